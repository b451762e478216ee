/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of an x86 vCPU whose setting is deferred, and what a copy of each is.
 */
#ifndef PLUGVM_PLUGIN_STATE_X86_H
#define PLUGVM_PLUGIN_STATE_X86_H

#include <linux/kvm.h>

enum state_kind {
	STATE_REGS,
	STATE_SREGS,
	STATE_DEBUGREGS,
	STATE_EVENTS, /* where there is a page; elsewhere no resume takes it along */
	STATE_KINDS,
};

struct state_values {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
};

#endif
