; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of adder: let the device add two numbers and hand back what it answered.
;
; It runs in 32-bit protected mode with flat segments, which adder.c has set up, and is linked into the plugin as
; constant data between guest_start and guest_end. It holds no address of its own, so it could be loaded anywhere.

ADDER	equ 0xd0000000		; the same numbers as in adder.c
LEFT	equ 0x0
RIGHT	equ 0x4
SUM	equ 0x8
RESULT	equ 0xc

section .rodata
bits 32
global guest_start
global guest_end

guest_start:
	mov	ebx, ADDER
	mov	dword [ebx + LEFT], 20
	mov	dword [ebx + RIGHT], 22
	mov	eax, [ebx + SUM]
	mov	[ebx + RESULT], eax	; the plugin ends the machine here
	hlt
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
