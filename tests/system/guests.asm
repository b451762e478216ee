; SPDX-License-Identifier: BSD-3-Clause
;
; guests.asm - the machines of the system tests. actor_machine.c loads one of them, and the table of accesses that a
; test expects stands beside each test in the actor_*.c.

LOAD_ADDRESS	equ 0x1000	; the same numbers as in actor.h
BUFFER		equ 0x4000
DEVICE_PORT	equ 0x500
REPORT_PORT	equ 0x510
DONE_PORT	equ 0x604
DEVICE_SEGMENT	equ 0x2000	; DEVICE_ADDRESS in real mode
WIDE_ADDRESS	equ 0x10000000	; WIDE_ADDRESS in 64-bit mode
FILL_BYTES	equ 0x10000000

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

; The machine that does what the plugin wrote to BUFFER (struct step in actor.h): at each step what to do, an address,
; and the values of RAX to RDX. A step whose kind is 0 is the end.
%macro step 2+			; kind, instruction
	cmp	sil, %1
	jne	%%other
	%2
	jmp	.next
%%other:
%endmacro
%macro step_report 2+		; the same, and then EAX
	cmp	sil, %1
	jne	%%other
	%2
	report
	jmp	.next
%%other:
%endmacro

guest script, 64
	mov	ebp, BUFFER
	jmp	.load
.next:
	add	rbp, 48
.load:
	mov	rsi, [rbp]
	mov	rdi, [rbp + 8]
	mov	rax, [rbp + 16]
	mov	rbx, [rbp + 24]
	mov	rcx, [rbp + 32]
	mov	rdx, [rbp + 40]
	test	rsi, rsi
	jz	.end
	cmp	sil, 10
	jae	.memory
	mov	edx, edi
	step		1, out dx, al
	step		2, out dx, ax
	step		3, out dx, eax
	step_report	4, in al, dx
	step_report	5, in ax, dx
	step_report	6, in eax, dx
.memory:
	step		10, mov [rdi], al
	step		11, mov [rdi], ax
	step		12, mov [rdi], eax
	step		13, mov [rdi], rax
	step_report	14, mov al, [rdi]
	step_report	15, mov ax, [rdi]
	step_report	16, mov eax, [rdi]
	cmp	sil, 17			; eight bytes are two reports
	jne	.no_quad
	mov	rax, [rdi]
	report
	shr	rax, 32
	report
	jmp	.next
.no_quad:
	step		18, movdqu [rdi], xmm0
	step_report	20, mov [rdi], eax
	step_report	21, nop
	cmp	sil, 22
	jne	.no_cpuid
	cpuid
	mov	esi, edx
	report
	mov	eax, ebx
	report
	mov	eax, ecx
	report
	mov	eax, esi
	report
	jmp	.next
.no_cpuid:
	cmp	sil, 23
	jne	.no_rdmsr
	rdmsr
	mov	esi, edx
	report
	mov	eax, esi
	report
	jmp	.next
.no_rdmsr:
	step	24, wrmsr
	cmp	sil, 25			; RBX writes, each of its turn's number
	jne	.no_repeat
	xor	eax, eax
	mov	edx, edi
.repeat:
	out	dx, eax
	inc	eax
	mov	[BUFFER - 8], eax
	cmp	eax, ebx
	jb	.repeat
	jmp	.next
.no_repeat:
	cmp	sil, 26
	jne	.no_hypercall
	mov	r8, [rbp + 8]		; the hypercall's third register
	jmp	.hypercall
.no_hypercall:
	cmp	sil, 27
	jne	.no_vmmcall
	mov	r8, [rbp + 8]
	jmp	.vmmcall
.no_vmmcall:
	ud2
.hypercall:
	vmcall
	report
	jmp	.next
.vmmcall:
	vmmcall
	report
	jmp	.next
.end:
	done	script

; Interrupts, in real mode. The vector is reported, then the end of the interrupt is said, then 0x100 + vector is
; reported. The plugin has let ES begin at the local APIC.
%macro handler 1		; vector
	push	eax
	push	edx
	mov	eax, %1
	report
%if %1 >= 0x30			; from the local APIC
	mov	dword [es:0xb0], 0
%elif %1 >= 0x20		; from the PIC
	mov	al, 0x20
	out	0x20, al
%endif
	mov	eax, 0x100 + %1
	report
	pop	edx
	pop	eax
	iret
%endmacro
%macro vector 1
	mov	word [4 * %1], LOAD_ADDRESS + (.handle_%1 - guest_interrupts)
	mov	word [4 * %1 + 2], 0
%endmacro

guest interrupts, 16
	mov	sp, 0xfff0
	vector	0x02
	vector	0x25
	vector	0x51
	vector	0x52
	mov	al, 0x11		; the first PIC: vectors from 0x20, all but line 5 masked
	out	0x20, al
	mov	al, 0x20
	out	0x21, al
	mov	al, 0x04
	out	0x21, al
	mov	al, 0x01
	out	0x21, al
	mov	al, 0xdf
	out	0x21, al
	mov	dword [es:0xf0], 0x1ff	; the local APIC
	sti
	mov	eax, 1
	report
.again:
	hlt
	jmp	.again
.handle_0x02:
	handler	0x02
.handle_0x25:
	handler	0x25
.handle_0x51:
	handler	0x51
.handle_0x52:
	handler	0x52
guest_interrupts_end:

; No interrupt table is in reach, so the first exception is the third.
guest triple_fault, 64
	lidt	[rel .no_table]
	int3
	hlt
.no_table:
	dw	0
	dq	0
guest_triple_fault_end:

; Touches FILL_BYTES of memory, a page after the other.
guest fill, 64
	mov	edi, WIDE_ADDRESS
	xor	eax, eax
	report
.page:
	mov	[rdi], edi
	add	rdi, 4096
	cmp	edi, WIDE_ADDRESS + FILL_BYTES
	jb	.page
	report
	done	fill

; On to memory that KVM cannot bring in.
guest absent_memory, 16
	jmp	DEVICE_SEGMENT:0
guest_absent_memory_end:

; What the local APIC says which vCPU this is. The plugin has let ES begin at it.
guest ids, 16
	mov	eax, [es:0x20]
	shr	eax, 24
	report
	cli
.again:
	hlt
	jmp	.again
guest_ids_end:

; Reports, and starts vCPU 1 at BUFFER by INIT and SIPI, again and again. The plugin has let ES begin at the local APIC.
guest starter, 16
	mov	dword [es:0xf0], 0x1ff	; the local APIC
.again:
	report
	mov	dword [es:0x310], 1 << 24
	mov	dword [es:0x300], 0x4500
	mov	dword [es:0x300], 0x4600 + BUFFER / 0x1000
	jmp	.again
guest_starter_end:

; What vCPU 1 runs then, wherever it is.
guest started, 16
	mov	eax, ebx
	report
	cli
.again:
	hlt
	jmp	.again
guest_started_end:

; RDMSR and WRMSR as the plugin says: the device gives an operation (0: the end, 1: read, 2: write), an index and the
; two halves of a value. What EAX and EDX are afterwards is reported, after FAULT if the instruction faulted.
FAULT		equ 0xdead
guest msrs, 16
	mov	sp, 0xfff0
	mov	word [4 * 13], LOAD_ADDRESS + (.fault - guest_msrs)
	mov	word [4 * 13 + 2], 0
.again:
	mov	dx, DEVICE_PORT
	in	eax, dx
	mov	ebx, eax
	in	eax, dx
	mov	ecx, eax
	in	eax, dx
	mov	esi, eax
	in	eax, dx
	mov	edx, eax
	mov	eax, esi
	test	ebx, ebx
	jz	.end
	cmp	ebx, 1
	jne	.write
	rdmsr
	jmp	.tell
.write:
	wrmsr
.tell:
	mov	edi, edx
	report
	mov	eax, edi
	report
	jmp	.again
.fault:
	push	eax
	push	edx
	mov	eax, FAULT
	report
	pop	edx
	pop	eax
	push	bp
	mov	bp, sp
	add	word [bp + 2], 2	; the length of either instruction
	pop	bp
	iret
.end:
	done	msrs

; Three instructions to step through, a breakpoint of each kind. The labels are those of the plugin's table.
guest debug, 64
	report
	global	guest_debug_steps
guest_debug_steps:
	inc	eax
	inc	eax
	inc	eax
	report
	global	guest_debug_hardware
guest_debug_hardware:
	nop
	report
	global	guest_debug_software
guest_debug_software:
	int3
	report
	done	debug

; Of all that a snapshot holds something, reported and then changed, again and again.
guest snapshot, 64
.again:
	mov	eax, ebx		; a register
	report
	movdqu	[BUFFER], xmm7		; the FPU, by what software KVMs can emulate
	mov	eax, [BUFFER]
	report
	mov	ecx, 0xc0000082		; an MSR, LSTAR
	rdmsr
	report
	mov	r8, cr8			; the local APIC
	mov	eax, r8d
	report
	mov	r9, dr1			; the debug registers
	mov	eax, r9d
	report
	inc	ebx
	mov	[BUFFER], ebx
	movdqu	xmm7, [BUFFER]
	mov	ecx, 0xc0000082
	mov	eax, ebx
	add	eax, 0x100
	xor	edx, edx
	wrmsr
	mov	r8d, ebx
	and	r8d, 7
	mov	cr8, r8
	lea	r9d, [ebx + 0x4000]
	mov	dr1, r9
	jmp	.again
guest_snapshot_end:

; Writes EBX and the number after it to one port and the next number to another, again and again. The plugin sets EBX.
guest awake, 16
.again:
	mov	dx, DEVICE_PORT
	mov	eax, ebx
	out	dx, eax
	inc	eax
	out	dx, eax
	inc	eax
	report
	jmp	.again
guest_awake_end:

section .note.GNU-stack noalloc noexec nowrite progbits
