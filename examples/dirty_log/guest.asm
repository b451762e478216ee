; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of dirty_log: three rounds of writes to a picture of 16 pages, with a report to the
; plugin after each. A round is a list of page numbers.
;
; It is linked into the plugin as constant data between guest_start and guest_end, and copied from there to
; LOAD_ADDRESS.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in dirty_log.c
PICTURE_SEGMENT	equ 0x1000	; PICTURE_ADDRESS / 16
ROUND_PORT	equ 0x500
ROUNDS		equ 3
END_OF_ROUND	equ 0xff

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	dx, ROUND_PORT
	mov	cx, ROUNDS
	mov	si, LOAD_ADDRESS + (pages - guest_start)
.next:
	lodsb
	cmp	al, END_OF_ROUND
	je	.report
	mov	ah, al			; page * 0x100: segments count 16 bytes
	xor	al, al
	add	ax, PICTURE_SEGMENT
	mov	es, ax
	inc	byte [es:0x123]		; one byte makes the whole page dirty
	mov	bl, [es:0xf00]		; reading does not
	jmp	.next
.report:
	out	dx, al			; the plugin ends the machine at the last one
	loop	.next
	hlt

pages:
	db	1, 3, 3, 8, 15, END_OF_ROUND
	db	END_OF_ROUND
	db	0, 8, END_OF_ROUND
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
