/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of an x86 vCPU.
 */
#include "host/page_registers.h"

#include "channel/host_end.h"
#include "kvm/sync.h"

/* The sets that KVM keeps in struct kvm_run have the same bits there. */
#define SYNC_SETS (PAGE_REGS | PAGE_SREGS | PAGE_EVENTS)
_Static_assert((int)PAGE_REGS == KVM_SYNC_X86_REGS && (int)PAGE_SREGS == KVM_SYNC_X86_SREGS &&
                   (int)PAGE_EVENTS == KVM_SYNC_X86_EVENTS,
               "the same bits");

uint16_t page_registers_wanted(uint16_t peer_wanted)
{
	return peer_wanted & SYNC_SETS;
}

static uint16_t put(struct host_end *end, enum page_set set, const void *registers)
{
	host_end_put_registers(end, set, registers);
	return (uint16_t)set;
}

uint16_t page_registers_put_wanted(struct host_end *end, struct plugvm_vcpu *vcpu, uint16_t wanted)
{
	kvm_sync_fetch(vcpu, wanted);
	const struct kvm_sync_regs *values = kvm_sync_sets(vcpu);
	uint32_t current = kvm_sync_current(vcpu) & wanted;
	uint16_t valid = 0;
	if (current & PAGE_REGS)
		valid |= put(end, PAGE_REGS, &values->regs);
	if (current & PAGE_SREGS)
		valid |= put(end, PAGE_SREGS, &values->sregs);
	if (current & PAGE_EVENTS)
		valid |= put(end, PAGE_EVENTS, &values->events);
	return valid;
}

uint16_t page_registers_put_attached(struct host_end *end, const wire_VcpuResponse_Wait_Io *io)
{
	uint16_t valid = 0;
	if (io->regs.size > 0)
		valid |= put(end, PAGE_REGS, io->regs.data);
	if (io->sregs.size > 0)
		valid |= put(end, PAGE_SREGS, io->sregs.data);
	if (io->debugregs.size > 0)
		valid |= put(end, PAGE_DEBUGREGS, io->debugregs.data);
	return valid;
}

void page_registers_take(struct host_end *end, uint16_t peer_set, struct vcpu_registers *out_registers)
{
	struct vcpu_registers *registers = out_registers;
	registers->has_regs = peer_set & PAGE_REGS;
	registers->has_sregs = peer_set & PAGE_SREGS;
	registers->has_events = peer_set & PAGE_EVENTS;
	registers->has_debugregs = peer_set & PAGE_DEBUGREGS;
	if (registers->has_regs)
		host_end_take_registers(end, PAGE_REGS, &registers->regs);
	if (registers->has_sregs)
		host_end_take_registers(end, PAGE_SREGS, &registers->sregs);
	if (registers->has_events)
		host_end_take_registers(end, PAGE_EVENTS, &registers->events);
	if (registers->has_debugregs)
		host_end_take_registers(end, PAGE_DEBUGREGS, &registers->debugregs);
}
