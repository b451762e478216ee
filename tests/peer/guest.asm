; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the accesses that original_client.py expects, one after the other, in real mode. Assembled to a flat
; file; the addresses are the same numbers as in original_client.py.

CONSOLE		equ 0x3f8
DONE		equ 0x604
UNCLAIMED	equ 0x2f0
DEVICE		equ 0xd000	; MMIO: within reach of a segment at 0, and no memory there

org 0x1000
bits 16

	mov	dx, CONSOLE
	mov	al, 'A'
	out	dx, al			; 41
	in	al, dx			; 1 byte, kept for the next
	mov	ah, 0x12
	inc	dx
	out	dx, ax			; the byte read, 12
	mov	dx, CONSOLE + 4
	in	eax, dx			; 4 bytes
	out	dx, eax			; the same 4

	mov	dx, CONSOLE
	cld
	mov	si, text
	mov	cx, text_end - text
	rep	outsb			; the whole text, in one event or in several
	mov	di, buffer
	mov	cx, buffer_end - buffer
	rep	insb			; as many bytes into the buffer

	mov	dx, UNCLAIMED
	mov	al, 0xff
	out	dx, al			; nobody's: vanishes
	in	al, dx			; nobody's: 0
	mov	dx, CONSOLE
	out	dx, al			; 00

	mov	word [DEVICE], 0xbeef	; ef be
	mov	eax, [DEVICE + 8]	; 4 bytes
	mov	[DEVICE + 8], eax	; the same 4

	mov	dx, DONE
next:
	out	dx, al
	jmp	next

text:
	db	"sixteen bytes..."
text_end:
buffer:
	times text_end - text db 0
buffer_end:
