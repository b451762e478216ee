; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the guest of the exit benchmarks: one port write after the other, and nothing else. The ports are
; those from DX on, SI apart; past CX it goes on DI lower.

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	out	dx, al
	add	dx, si
	cmp	dx, cx
	jb	guest_start
	sub	dx, di
	jmp	guest_start
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
