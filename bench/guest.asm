; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the guest of the exit benchmarks: one port write after the other, and nothing else.

PORT	equ 0x200	; as in guest.h

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	dx, PORT
.again:
	out	dx, al
	jmp	.again
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
