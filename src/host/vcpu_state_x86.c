/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of vCPU state that a plugin may get and set, on x86.
 */
#include "host/vcpu_state.h"

#include <errno.h>
#include <string.h>

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

/* Copy the bytes, which have no alignment, into the struct at `out`; -EINVAL if the length is not just its size. */
static int unpack(struct wire_bytes peer_state, void *out, size_t size)
{
	if (peer_state.size != size)
		return -EINVAL;
	memcpy(out, peer_state.data, size);
	return 0;
}

int vcpu_state_set(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet peer_set, struct wire_bytes peer_state)
{
	union vcpu_state state;
	int result;
	switch (peer_set) {
#define SET(SET, name)                                                        \
	case wire_VcpuRequest_StateSet_##SET:                                 \
		result = unpack(peer_state, &state.name, sizeof(state.name)); \
		return result < 0 ? result : plugvm_vcpu_set_##name(vcpu, &state.name)
		SET(REGS, regs);
		SET(SREGS, sregs);
		SET(FPU, fpu);
		SET(DEBUGREGS, debugregs);
		SET(LAPIC, lapic);
		SET(MP, mp_state);
		SET(XCREGS, xcrs);
		SET(EVENTS, events);
#undef SET
	}
	return -EINVAL;
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
		result = unpack(peer_resume->regs, &regs, sizeof(regs));
	if (result == 0 && has_sregs)
		result = unpack(peer_resume->sregs, &sregs, sizeof(sregs));
	if (result == 0 && has_debugregs)
		result = unpack(peer_resume->debugregs, &debugregs, sizeof(debugregs));
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
