; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of async_write: print two lines, the first byte by byte, the second in one
; instruction, and tell the plugin that it is done.
;
; It is linked into the plugin as constant data between guest_start and guest_end, and copied from there to
; LOAD_ADDRESS.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in async_write.c
CONSOLE_PORT	equ 0x3f8
DONE_PORT	equ 0x604

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	dx, CONSOLE_PORT
	mov	si, LOAD_ADDRESS + (bytewise - guest_start)
	mov	cx, at_once - bytewise
.next:
	lodsb
	out	dx, al			; this vCPU does not wait for the plugin
	loop	.next

	mov	cx, texts_end - at_once
	rep outsb
	in	al, dx			; reads of such a range are nobody's: 0

	mov	dx, DONE_PORT
	out	dx, al			; here it does: the plugin ends the machine
	hlt

bytewise:
	db	"one byte at a time", 10
at_once:
	db	"and a whole line at once", 10
texts_end:
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
