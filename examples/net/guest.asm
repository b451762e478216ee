; SPDX-License-Identifier: BSD-3-Clause
;
; guest.asm - the machine's side of net: a driver for its network card and the least that makes a host on a network,
; answers to ARP and to ping.
;
; It runs in 32-bit protected mode with flat segments, which net.c has set up, and is linked into the plugin as
; constant data between guest_start and guest_end. It holds no address of its own, so it could be loaded anywhere.
;
; In: EBX = this machine's IP address, in the byte order of the network; ECX = how many pings to answer. Fields of
; frames are compared as they lie in memory, lowest byte first, so that numbers appear with their bytes turned round.

FRAME		equ 0x10000	; the same numbers as in net.c
RECEIVE_PORT	equ 0x500
SEND_PORT	equ 0x504
DONE_PORT	equ 0x604

; Offsets into a frame.
TO_MAC		equ 0
FROM_MAC	equ 6
TYPE		equ 12
ARP_KIND	equ 14		; Ethernet, IPv4: 8 bytes up to the operation
ARP_OPERATION	equ 20
ARP_SENDER	equ 22		; MAC and IP, 10 bytes
ARP_SENDER_IP	equ 28
ARP_TARGET	equ 32
ARP_TARGET_IP	equ 38
IP_HEADER	equ 14
IP_FRAGMENT	equ 20
IP_PROTOCOL	equ 23
IP_FROM		equ 26
IP_TO		equ 30
ICMP_TYPE	equ 34
ICMP_CHECKSUM	equ 36

section .rodata
bits 32
global guest_start
global guest_end

guest_start:
	mov	ebp, FRAME
receive:
	mov	edx, RECEIVE_PORT
	in	eax, dx			; waits for a frame and says how long it is
	mov	esi, eax
	cmp	word [ebp + TYPE], 0x0608
	je	arp
	cmp	word [ebp + TYPE], 0x0008
	je	ip
	jmp	receive

arp:
	cmp	dword [ebp + ARP_KIND], 0x00080100
	jne	receive
	cmp	dword [ebp + ARP_KIND + 4], 0x01000406	; a request
	jne	receive
	cmp	[ebp + ARP_TARGET_IP], ebx
	jne	receive
	mov	byte [ebp + ARP_OPERATION + 1], 2	; a reply
	mov	eax, [ebp + ARP_SENDER]			; its sender becomes the target
	mov	[ebp + ARP_TARGET], eax
	mov	eax, [ebp + ARP_SENDER + 4]
	mov	[ebp + ARP_TARGET + 4], eax
	mov	ax, [ebp + ARP_SENDER + 8]
	mov	[ebp + ARP_TARGET + 8], ax
	lea	edi, [ebp + ARP_SENDER]
	call	write_mac
	mov	[ebp + ARP_SENDER_IP], ebx
	call	send_back
	jmp	receive

ip:
	cmp	byte [ebp + IP_HEADER], 0x45		; a header of 20 bytes
	jne	receive
	test	word [ebp + IP_FRAGMENT], 0xff3f	; a whole packet
	jnz	receive
	cmp	byte [ebp + IP_PROTOCOL], 1		; ICMP
	jne	receive
	cmp	[ebp + IP_TO], ebx
	jne	receive
	cmp	byte [ebp + ICMP_TYPE], 8		; an echo request
	jne	receive
	mov	byte [ebp + ICMP_TYPE], 0		; an echo reply
	add	word [ebp + ICMP_CHECKSUM], 8		; so much less is the sum of the packet now
	adc	word [ebp + ICMP_CHECKSUM], 0
	mov	eax, [ebp + IP_FROM]			; the header's sum stays the same
	mov	[ebp + IP_TO], eax
	mov	[ebp + IP_FROM], ebx
	call	send_back
	dec	ecx
	jnz	receive

	mov	edx, DONE_PORT
	out	dx, al			; the plugin ends the machine here
	hlt

; Send the frame, of ESI bytes, to where it came from.
send_back:
	mov	eax, [ebp + FROM_MAC]
	mov	[ebp + TO_MAC], eax
	mov	ax, [ebp + FROM_MAC + 4]
	mov	[ebp + TO_MAC + 4], ax
	lea	edi, [ebp + FROM_MAC]
	call	write_mac
	mov	edx, SEND_PORT
	mov	eax, esi
	out	dx, eax
	ret

; Store this card's MAC address, 02:00:00:00:00:2a, at EDI.
write_mac:
	mov	dword [edi], 0x00000002
	mov	word [edi + 4], 0x2a00
	ret
guest_end:

section .note.GNU-stack noalloc noexec nowrite progbits
