; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of two_vcpus: both vCPUs run this code and take turns at counting. An even count
; is vCPU 0's to raise, an odd one vCPU 1's, so that only one of them ever writes and no lock is needed.
;
; In: BX = the number of this vCPU, from two_vcpus.c. It is linked into the plugin as constant data between
; guest_start and guest_end, and copied from there into the guest's memory, where the count can change.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in two_vcpus.c
REPORT_PORT	equ 0x500
LAST_COUNT	equ 100

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	xor	cx, cx		; the turns that this vCPU had
.look:
	mov	ax, [LOAD_ADDRESS + (count - guest_start)]
	cmp	ax, LAST_COUNT
	je	.report
	and	ax, 1
	cmp	ax, bx
	je	.count
	pause			; the other's turn
	jmp	.look
.count:
	inc	cx
	inc	word [LOAD_ADDRESS + (count - guest_start)]
	jmp	.look
.report:
	mov	dx, REPORT_PORT
	mov	ax, cx
	out	dx, ax		; the plugin does not let this vCPU run on
	hlt

	align	2
count:
	dw	0
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
