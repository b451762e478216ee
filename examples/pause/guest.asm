; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of pause: count for ever. Nothing here ever leaves the guest; the way out is the
; plugin's to take, by setting RIP to guest_way_out.
;
; It is linked into the plugin as constant data between guest_start and guest_end, and copied from there to
; LOAD_ADDRESS. The count is a page of its own.

COUNT_ADDRESS	equ 0x2000	; the same numbers as in pause.c
DONE_PORT	equ 0x604

section .rodata
bits 16
global guest_start
global guest_way_out
global guest_end

guest_start:
	inc	dword [COUNT_ADDRESS]
	jmp	guest_start

guest_way_out:
	mov	dx, DONE_PORT
	out	dx, al			; the plugin ends the machine here
	hlt
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
