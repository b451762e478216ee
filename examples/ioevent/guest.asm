; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of ioevent: have three numbers squared by a device that answers in memory.
;
; It is linked into the plugin as constant data between guest_start and guest_end, and copied from there to
; LOAD_ADDRESS. The mailbox is a page of its own.

MAILBOX		equ 0x2000	; the same numbers as in ioevent.c
BELL_PORT	equ 0x500
RING_WORK	equ 1
RING_BYE	equ 2
DONE_PORT	equ 0x604
QUESTION	equ MAILBOX
ANSWER		equ MAILBOX + 4

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	ecx, 3
.next:
	mov	dword [ANSWER], 0
	mov	[QUESTION], ecx
	mov	dx, BELL_PORT
	mov	al, RING_WORK
	out	dx, al			; this vCPU runs on at once
.wait:
	pause
	cmp	dword [ANSWER], 0
	je	.wait
	loop	.next

	mov	dx, BELL_PORT
	mov	al, RING_BYE
	out	dx, al
	mov	dx, DONE_PORT
	out	dx, al			; the plugin ends the machine here
	hlt
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
