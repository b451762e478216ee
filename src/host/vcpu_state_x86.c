/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of vCPU state that a plugin may get and set, on x86.
 */
#include "host/vcpu_state.h"

#include <errno.h>
#include <string.h>

#define RFLAGS_IF 0x200 /* interrupts are enabled */

int vcpu_state_get(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet peer_set, union vcpu_state *out_state,
                   size_t *out_size)
{
	switch (peer_set) {
#define GET(SET, name)                               \
	case wire_VcpuRequest_StateSet_##SET:        \
		*out_size = sizeof(out_state->name); \
		return plugvm_vcpu_get_##name(vcpu, &out_state->name)
		GET(REGS, regs);
		GET(SREGS, sregs);
		GET(FPU, fpu);
		GET(DEBUGREGS, debugregs);
		GET(LAPIC, lapic);
		GET(MP, mp_state);
		GET(XCREGS, xcrs);
		GET(EVENTS, events);
#undef GET
	}
	return -EINVAL;
}

/* KVM said at the last exit whether the guest can take an interrupt; with these registers it cannot. */
static void note_interruptibility(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet set,
                                  const union vcpu_state *state)
{
	bool masked = set == wire_VcpuRequest_StateSet_REGS && !(state->regs.rflags & RFLAGS_IF);
	bool busy = set == wire_VcpuRequest_StateSet_EVENTS &&
	            (state->events.interrupt.injected || state->events.interrupt.shadow);
	if (masked || busy)
		plugvm_vcpu_exit(vcpu)->ready_for_interrupt_injection = 0;
}

int vcpu_state_set(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet peer_set, struct wire_bytes peer_state)
{
	union vcpu_state state;
	int result;
	switch (peer_set) {
#define SET(SET, name)                                                                   \
	case wire_VcpuRequest_StateSet_##SET:                                            \
		result = wire_bytes_unpack(peer_state, &state.name, sizeof(state.name)); \
		if (result == 0)                                                         \
			result = plugvm_vcpu_set_##name(vcpu, &state.name);              \
		break
		SET(REGS, regs);
		SET(SREGS, sregs);
		SET(FPU, fpu);
		SET(DEBUGREGS, debugregs);
		SET(LAPIC, lapic);
		SET(MP, mp_state);
		SET(XCREGS, xcrs);
		SET(EVENTS, events);
#undef SET
	default:
		return -EINVAL;
	}
	if (result == 0)
		note_interruptibility(vcpu, peer_set, &state);
	return result;
}

int vcpu_state_set_registers(struct plugvm_vcpu *vcpu, const wire_VcpuRequest_Resume *peer_resume)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs, old_sregs;
	struct kvm_debugregs debugregs;
	bool has_regs = peer_resume->regs.size > 0;
	bool has_sregs = peer_resume->sregs.size > 0;
	bool has_debugregs = peer_resume->debugregs.size > 0;

	/* All lengths before the first change. */
	int result = 0;
	if (has_regs)
		result = wire_bytes_unpack(peer_resume->regs, &regs, sizeof(regs));
	if (result == 0 && has_sregs)
		result = wire_bytes_unpack(peer_resume->sregs, &sregs, sizeof(sregs));
	if (result == 0 && has_debugregs)
		result = wire_bytes_unpack(peer_resume->debugregs, &debugregs, sizeof(debugregs));
	if (result < 0)
		return result;

	/*
	 * What KVM can refuse comes first: sregs, then debugregs; it takes any regs. So only one order of events
	 * needs undoing, and the usual ones cost no call more.
	 */
	if (has_sregs && has_debugregs)
		result = plugvm_vcpu_get_sregs(vcpu, &old_sregs);
	if (result == 0 && has_sregs)
		result = plugvm_vcpu_set_sregs(vcpu, &sregs);
	if (result == 0 && has_debugregs) {
		result = plugvm_vcpu_set_debugregs(vcpu, &debugregs);
		if (result < 0 && has_sregs)
			plugvm_vcpu_set_sregs(vcpu, &old_sregs);
	}
	if (result == 0 && has_regs)
		result = plugvm_vcpu_set_regs(vcpu, &regs);
	return result;
}
