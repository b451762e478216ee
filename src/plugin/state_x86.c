/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state sets of an x86 vCPU.
 */
#include <stddef.h>

#include "channel/layout.h"
#include "plugin/state.h"
#include "plugin/stats.h"
#include "plugin/vcpu.h"

#define SET(name, NAME, type)                                                                       \
	.on_wire = wire_VcpuRequest_StateSet_##NAME, .offset = offsetof(struct state_values, name), \
	.size = sizeof(struct type), .in_page = PAGE_##NAME

/* KVM changes one set with another: an exception that waits goes with the registers, an interrupt is in the sregs too. */
const struct state_set state_sets[STATE_KINDS] = {
    [STATE_REGS] = {SET(regs, REGS, kvm_regs), .drops = 1u << STATE_EVENTS},
    [STATE_SREGS] = {SET(sregs, SREGS, kvm_sregs), .drops = 1u << STATE_EVENTS},
    [STATE_DEBUGREGS] = {SET(debugregs, DEBUGREGS, kvm_debugregs)},
    [STATE_EVENTS] = {SET(events, EVENTS, kvm_vcpu_events), .drops = 1u << STATE_SREGS, .depends_on_all = true},
};

void state_keep_snapshots(struct state *state, const wire_VcpuResponse_Wait_Io *io)
{
	state_keep(state, STATE_REGS, io->regs);
	state_keep(state, STATE_SREGS, io->sregs);
	state_keep(state, STATE_DEBUGREGS, io->debugregs);
}

void state_attach(const struct state *state, wire_VcpuRequest_Resume *resume)
{
	resume->regs = state_pending(state, STATE_REGS);
	resume->sregs = state_pending(state, STATE_SREGS);
	resume->debugregs = state_pending(state, STATE_DEBUGREGS);
}

int crosvm_vcpu_get_regs(struct crosvm_vcpu *vcpu, struct kvm_regs *out_regs)
{
	STATS();
	return state_get(vcpu, STATE_REGS, out_regs);
}

int crosvm_vcpu_set_regs(struct crosvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	STATS();
	return state_set(vcpu, STATE_REGS, regs);
}

int crosvm_vcpu_get_sregs(struct crosvm_vcpu *vcpu, struct kvm_sregs *out_sregs)
{
	STATS();
	return state_get(vcpu, STATE_SREGS, out_sregs);
}

int crosvm_vcpu_set_sregs(struct crosvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	STATS();
	return state_set(vcpu, STATE_SREGS, sregs);
}

int crosvm_vcpu_get_debugregs(struct crosvm_vcpu *vcpu, struct kvm_debugregs *out_debugregs)
{
	STATS();
	return state_get(vcpu, STATE_DEBUGREGS, out_debugregs);
}

int crosvm_vcpu_set_debugregs(struct crosvm_vcpu *vcpu, const struct kvm_debugregs *debugregs)
{
	STATS();
	return state_set(vcpu, STATE_DEBUGREGS, debugregs);
}

#define STATE_CALLS(name, SET, type)                                                                \
	int crosvm_vcpu_get_##name(struct crosvm_vcpu *vcpu, struct type *out)                      \
	{                                                                                           \
		STATS();                                                                            \
		return state_get_now(vcpu, wire_VcpuRequest_StateSet_##SET, out, sizeof(*out));     \
	}                                                                                           \
	int crosvm_vcpu_set_##name(struct crosvm_vcpu *vcpu, const struct type *value)              \
	{                                                                                           \
		STATS();                                                                            \
		return state_set_now(vcpu, wire_VcpuRequest_StateSet_##SET, value, sizeof(*value)); \
	}

STATE_CALLS(fpu, FPU, kvm_fpu)
STATE_CALLS(lapic_state, LAPIC, kvm_lapic_state)
STATE_CALLS(mp_state, MP, kvm_mp_state)
STATE_CALLS(xcrs, XCREGS, kvm_xcrs)

/* The events travel like registers where there is a page. */
int crosvm_vcpu_get_vcpu_events(struct crosvm_vcpu *vcpu, struct kvm_vcpu_events *out_events)
{
	STATS();
	if (vcpu && vcpu->has_page)
		return state_get(vcpu, STATE_EVENTS, out_events);
	return state_get_now(vcpu, wire_VcpuRequest_StateSet_EVENTS, out_events, sizeof(*out_events));
}

int crosvm_vcpu_set_vcpu_events(struct crosvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	STATS();
	if (vcpu && vcpu->has_page)
		return state_set(vcpu, STATE_EVENTS, events);
	return state_set_now(vcpu, wire_VcpuRequest_StateSet_EVENTS, events, sizeof(*events));
}
