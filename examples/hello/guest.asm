; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of hello: send a text to one port, byte by byte, then write to another.
;
; This is assembled to an object file and linked into the plugin, as constant data between guest_start and
; guest_end. The linker knows nothing of the guest's addresses, so the code forms them itself: LOAD_ADDRESS plus
; the distance from guest_start.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in hello.c
CONSOLE_PORT	equ 0x3f8
DONE_PORT	equ 0x604

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	si, LOAD_ADDRESS + (message - guest_start)
	mov	dx, CONSOLE_PORT
.next:
	lodsb
	test	al, al
	jz	.done
	out	dx, al
	jmp	.next
.done:
	mov	dx, DONE_PORT
	out	dx, al		; the plugin ends the machine here
	hlt

message:
	db	"hello from the guest", 10, 0
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
