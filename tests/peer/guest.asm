; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the accesses that original_client.py expects, one after the other, in real mode. Assembled to a flat
; file of one page; the addresses are the same numbers as in client.py. It begins with the guest of most cases. The
; others (client_kvm.py) begin at an entry of the table at the page's end, whose order is that of client.py's ROUTINES.

CONSOLE		equ 0x3f8
DONE		equ 0x604
UNCLAIMED	equ 0x2f0
DEVICE		equ 0xd000	; MMIO: within reach of a segment at 0, and no memory there
BELL		equ 0x500	; an ioeventfd's
ASYNC		equ 0x510	; asynchronous writes
LOGGED		equ 0x4000	; memory whose writes are logged
PIC		equ 0x20

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

; Writes that ring an ioeventfd: any to the port, a value to MMIO. The last rings none.
ring:
	mov	dx, BELL
	out	dx, al
	out	dx, ax
	mov	dword [DEVICE], 0xcafe0001
	mov	dword [DEVICE], 0xcafe0002
	jmp	done

; Take interrupts for ever: IRQ 4 of the PIC as vector 0x0c.
interrupts:
	mov	al, 0x11		; ICW1: edge, cascade, ICW4
	out	PIC, al
	mov	al, 0x08		; ICW2: the first vector
	out	PIC + 1, al
	mov	al, 0x04		; ICW3: a slave at IRQ 2
	out	PIC + 1, al
	mov	al, 0x01		; ICW4: 8086
	out	PIC + 1, al
	mov	al, 0xef		; all masked but IRQ 4
	out	PIC + 1, al
	mov	dx, DONE
	out	dx, al			; ready
	sti
idle:
	hlt
	jmp	idle

on_irq:
	mov	dx, CONSOLE
	mov	al, 'I'
	out	dx, al
	mov	al, 0x20		; end of interrupt
	out	PIC, al
	iret

on_msi:
	mov	dx, CONSOLE
	mov	al, 'M'
	out	dx, al
	iret

; Run without an exit.
spin:
	inc	ebx
	jmp	spin

; Write the second and the ninth page.
write_pages:
	mov	byte [LOGGED + 0x1000], 1
	mov	byte [LOGGED + 0x8000], 2
	jmp	done

asynchronous:
	mov	dx, ASYNC
	mov	al, 1
	out	dx, al
	in	al, dx			; nobody's: 0
	add	al, 2
	out	dx, al			; 02
	inc	dx
	mov	ax, 0x0403
	out	dx, ax
	jmp	done

; A write and a read of the console with eax to edx known, then another write.
hypercall:
	mov	eax, 0xa1a2a3a4
	mov	ebx, 0xb1b2b3b4
	mov	ecx, 0xc1c2c3c4
	mov	edx, CONSOLE
	out	dx, al
	in	al, dx
	mov	al, 5
	out	dx, al
	jmp	done

; Leaf 0x40000000, and leaf 0x40000001 for subleaf 7.
ask_cpuid:
	mov	eax, 0x40000000
	xor	ecx, ecx
	cpuid
	mov	eax, ebx
	mov	dx, CONSOLE
	out	dx, eax
	mov	eax, 0x40000001
	mov	ecx, 7
	cpuid
	mov	dx, CONSOLE
	out	dx, eax
	jmp	done

; IA32_SYSENTER_CS: tell it, set it.
use_msrs:
	mov	ecx, 0x174
	rdmsr
	mov	dx, CONSOLE
	out	dx, eax
	mov	eax, 0x77
	xor	edx, edx
	wrmsr
	jmp	done

fail:
	ud2

done:
	mov	dx, DONE
	out	dx, al
	jmp	done

	times	0xf00 - ($ - $$) db 0
	dw	ring, interrupts, on_irq, on_msi, spin, write_pages, asynchronous, hypercall, ask_cpuid, use_msrs
	dw	fail
	times	0x1000 - ($ - $$) db 0
