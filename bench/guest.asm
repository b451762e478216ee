; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the guest of the exit benchmarks: one port write after the other, and nothing else. The ports are
; those from DX on, SI apart; past CX it goes on DI lower. guest_posted writes GUEST_POSTED times to DX, then once to the
; port after it, and again.

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

global guest_posted
guest_posted:
	mov	cx, 500
.again:
	out	dx, al
	dec	cx
	jnz	.again
	inc	dx
	out	dx, al
	dec	dx
	jmp	guest_posted
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
