; SPDX-License-Identifier: BSD-3-Clause
;
; expected.asm - what the examples print, from the files beside them, for a test that runs where the tree is not.

section .rodata

%macro expected 2		; example, file
	global	expected_%1
expected_%1:
	incbin	%2
	db	0
%endmacro

	expected hello, "hello/expected"
	expected adder, "adder/expected"
	expected two_vcpus, "two_vcpus/expected"
	expected irq, "irq/expected"
	expected ioevent, "ioevent/expected"
	expected dirty_log, "dirty_log/expected"
	expected pause, "pause/expected"
	expected async_write, "async_write/expected"

section .note.GNU-stack noalloc noexec nowrite progbits
