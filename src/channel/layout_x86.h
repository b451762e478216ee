/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What of a vCPU's page is x86: its registers.
 */
#ifndef PLUGVM_CHANNEL_LAYOUT_X86_H
#define PLUGVM_CHANNEL_LAYOUT_X86_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* The sets of registers in the page, as bits. */
enum page_set {
	PAGE_REGS = 1 << 0,
	PAGE_SREGS = 1 << 1,
	PAGE_EVENTS = 1 << 2,
	PAGE_DEBUGREGS = 1 << 3,
	PAGE_SETS = (1 << 4) - 1,
};

/* The host's before an answer, the plugin's before the resume. */
struct page_registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
};

/* Return the place of one set of registers, and its size. */
static inline void *page_registers_find(struct page_registers *registers, enum page_set set, size_t *out_size)
{
	switch (set) {
	case PAGE_REGS:
		*out_size = sizeof(registers->regs);
		return &registers->regs;
	case PAGE_SREGS:
		*out_size = sizeof(registers->sregs);
		return &registers->sregs;
	case PAGE_EVENTS:
		*out_size = sizeof(registers->events);
		return &registers->events;
	case PAGE_DEBUGREGS:
		*out_size = sizeof(registers->debugregs);
		return &registers->debugregs;
	case PAGE_SETS:
		break;
	}
	*out_size = 0;
	return registers;
}

#endif
