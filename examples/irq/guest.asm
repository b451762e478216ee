; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of irq: set up the interrupt controller and two handlers, ask the card for its one
; interrupt and the clock for its three, and sleep meanwhile.
;
; It is linked into the plugin as constant data between guest_start and guest_end, and copied from there to
; LOAD_ADDRESS.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in irq.c
CARD_STATUS	equ 0x500
CARD_START	equ 0x501
CLOCK_START	equ 0x502
DONE_PORT	equ 0x604
TICKS		equ 3

VECTOR_BASE	equ 0x20	; IRQ n comes as interrupt VECTOR_BASE + n
CLOCK_IRQ	equ 5
CARD_IRQ	equ 7
PIC_COMMAND	equ 0x20
PIC_DATA	equ 0x21
END_OF_INTERRUPT equ 0x20

%define at(label) (LOAD_ADDRESS + (label - guest_start))

; In real mode the table of handlers is at address 0, an offset and a segment for each vector.
%macro handler 2		; IRQ, label
	mov	word [(VECTOR_BASE + %1) * 4], at(%2)
	mov	word [(VECTOR_BASE + %1) * 4 + 2], 0
%endmacro

; Sleep until the byte at %1 is %2. STI takes effect after the instruction behind it, so that no interrupt can come
; between the look and the HLT.
%macro sleep_until 2
%%look:
	cli
	cmp	byte [at(%1)], %2
	je	%%there
	sti
	hlt
	jmp	%%look
%%there:
%endmacro

section .rodata
bits 16
global guest_start
global guest_end

guest_start:
	mov	sp, LOAD_ADDRESS
	handler	CLOCK_IRQ, on_clock
	handler	CARD_IRQ, on_card

	mov	al, 0x11		; begin to set up the 8259, four words
	out	PIC_COMMAND, al
	mov	al, VECTOR_BASE
	out	PIC_DATA, al
	mov	al, 0x04		; where the second 8259 is
	out	PIC_DATA, al
	mov	al, 0x01		; that of a PC, and the handler says when an interrupt ends
	out	PIC_DATA, al
	mov	al, ~((1 << CLOCK_IRQ) | (1 << CARD_IRQ)) & 0xff
	out	PIC_DATA, al		; all others are masked

	mov	dx, CARD_START
	out	dx, al
	sleep_until cards, 1
	mov	dx, CLOCK_START
	out	dx, al
	sleep_until ticks, TICKS

	mov	dx, DONE_PORT
	out	dx, al			; the plugin ends the machine here
	hlt

on_clock:
	inc	byte [at(ticks)]
	mov	al, END_OF_INTERRUPT
	out	PIC_COMMAND, al
	iret

on_card:
	mov	dx, CARD_STATUS
	in	al, dx			; the card lets go of its line
	add	[at(cards)], al
	mov	al, END_OF_INTERRUPT
	out	PIC_COMMAND, al
	iret

ticks:
	db	0
cards:
	db	0
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
