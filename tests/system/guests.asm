; SPDX-License-Identifier: BSD-3-Clause
;
; guests.asm - the machines of the system tests. actor_machine.c loads one of them, and the table of accesses that a
; test expects stands beside each test in actor_io.c and actor_state.c.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in actor.h
BUFFER		equ 0x4000
DEVICE_PORT	equ 0x500
REPORT_PORT	equ 0x510
DONE_PORT	equ 0x604
DEVICE_SEGMENT	equ 0x2000	; DEVICE_ADDRESS in real mode
WIDE_ADDRESS	equ 0x10000000	; WIDE_ADDRESS in 64-bit mode

section .rodata

%macro guest 2			; name, bits
	align	16
	bits	%2
	global	guest_%1
	global	guest_%1_end
guest_%1:
%endmacro

%macro report 0			; tell the plugin what EAX is
	mov	dx, REPORT_PORT
	out	dx, eax
%endmacro

%macro done 1			; the guest's name
	mov	dx, DONE_PORT
	out	dx, al
	hlt
guest_%1_end:
%endmacro

guest port_widths, 16
	mov	dx, DEVICE_PORT
	mov	eax, 0x44332211
	out	dx, al
	out	dx, ax
	out	dx, eax
	mov	eax, 0xffffffff
	in	al, dx
	report
	mov	dx, DEVICE_PORT
	mov	eax, 0xffffffff
	in	ax, dx
	report
	mov	dx, DEVICE_PORT
	mov	eax, 0xffffffff
	in	eax, dx
	report
	done	port_widths

guest mmio_widths, 64
	mov	ebx, WIDE_ADDRESS
	mov	rax, 0x8877665544332211
	mov	[rbx], al
	mov	[rbx], ax
	mov	[rbx], eax
	mov	[rbx], rax
	mov	rax, -1
	mov	al, [rbx]
	mov	[rbx + 8], rax
	mov	rax, -1
	mov	ax, [rbx]
	mov	[rbx + 8], rax
	mov	rax, -1
	mov	eax, [rbx]
	mov	[rbx + 8], rax
	mov	rax, [rbx]
	mov	[rbx + 8], rax
	done	mmio_widths

guest unclaimed, 16
	mov	ax, DEVICE_SEGMENT
	mov	ds, ax
	mov	dx, DEVICE_PORT
	mov	eax, 0x12345678
	out	dx, eax
	out	dx, al
%assign width 1
%rep 3
	mov	dx, DEVICE_PORT
	mov	eax, 0xffffffff
%if width == 1
	in	al, dx
%elif width == 2
	in	ax, dx
%else
	in	eax, dx
%endif
	report
%assign width width * 2
%endrep
	mov	eax, 0x12345678
	mov	[0], eax
	mov	eax, 0xffffffff
	mov	eax, [0]
	report
	done	unclaimed

guest reserve, 16
%rep 3
	mov	dx, DEVICE_PORT
	mov	eax, 0xffffffff
	in	eax, dx
	report
%endrep
	done	reserve

guest edges, 16
	mov	ax, DEVICE_SEGMENT
	mov	ds, ax
	mov	eax, [0x0e]
	report
	mov	[0x0e], eax
	mov	eax, [0x12]
	report
	mov	[0x12], eax
	mov	eax, [0x14]		; between the ranges
	report
	mov	eax, [0x16]
	report
	mov	dx, DEVICE_PORT - 2
	in	eax, dx
	report
	mov	dx, DEVICE_PORT + 2
	in	eax, dx
	report
	done	edges

guest memory, 16
	mov	ax, DEVICE_SEGMENT
	mov	ds, ax
	mov	eax, [0]
	report
	mov	eax, [0]
	mov	dword [4], 0x77
	report
	mov	eax, [0]
	report
	done	memory

guest read_only, 16
	mov	ax, DEVICE_SEGMENT
	mov	ds, ax
	mov	eax, [0]
	report
	mov	dword [8], 0x1234
	mov	eax, [8]
	report
	done	read_only

; CX elements of each width come from the device and go back to it.
guest strings, 16
%macro both_ways 2		; ins, outs
	mov	dx, DEVICE_PORT
	mov	di, BUFFER
	mov	cx, bx
	rep	%1
	mov	si, BUFFER
	mov	cx, bx
	rep	%2
	shr	bx, 1
%endmacro
	cld
	both_ways insb, outsb
	both_ways insw, outsw
	both_ways insd, outsd
	done	strings

; The plugin changes registers at each report.
guest registers, 16
	mov	eax, ecx
	mov	ebx, 0x22
	report
	mov	eax, ebx
	report
	mov	eax, [es:0]
	report
	done	registers

; What a life cycle test has a guest do: report for ever, run for ever, halt for ever.
guest busy_port, 16
.again:
	report
	jmp	.again
guest_busy_port_end:

guest spin, 16
	report
	jmp	$
guest_spin_end:

guest halt, 16
	report
	cli
.again:
	hlt
	jmp	.again
guest_halt_end:

; Report again when the plugin has written to BUFFER.
guest await_plugin, 16
	report
.look:
	pause
	cmp	byte [BUFFER], 0
	je	.look
	report
	done	await_plugin

; No interrupt table is in reach, so the first exception is the third.
guest triple_fault, 64
	lidt	[rel .no_table]
	int3
	hlt
.no_table:
	dw	0
	dq	0
guest_triple_fault_end:

; On to memory that KVM cannot bring in.
guest absent_memory, 16
	jmp	DEVICE_SEGMENT:0
guest_absent_memory_end:

section .note.GNU-stack noalloc noexec nowrite progbits
