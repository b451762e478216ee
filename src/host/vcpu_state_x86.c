/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of vCPU state that a plugin may get and set, on x86.
 */
#include "host/vcpu_state.h"

#include <errno.h>
#include <string.h>

#include "kvm/sync.h"

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

/* KVM said at the last exit whether the guest can take an interrupt; with these, which may be NULL, it may not. */
static void note_interruptibility(struct plugvm_vcpu *vcpu, const struct kvm_regs *regs,
                                  const struct kvm_vcpu_events *events)
{
	bool masked = regs && !(regs->rflags & RFLAGS_IF);
	bool busy = events && (events->interrupt.injected || events->interrupt.shadow);
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
		note_interruptibility(vcpu, peer_set == wire_VcpuRequest_StateSet_REGS ? &state.regs : NULL,
		                      peer_set == wire_VcpuRequest_StateSet_EVENTS ? &state.events : NULL);
	return result;
}

int vcpu_state_unpack_registers(const wire_VcpuRequest_Resume *peer_resume, struct vcpu_registers *out_registers)
{
	struct vcpu_registers *registers = out_registers;
	registers->has_regs = peer_resume->regs.size > 0;
	registers->has_sregs = peer_resume->sregs.size > 0;
	registers->has_debugregs = peer_resume->debugregs.size > 0;
	registers->has_events = false;
	int result = 0;
	if (registers->has_regs)
		result = wire_bytes_unpack(peer_resume->regs, &registers->regs, sizeof(registers->regs));
	if (result == 0 && registers->has_sregs)
		result = wire_bytes_unpack(peer_resume->sregs, &registers->sregs, sizeof(registers->sregs));
	if (result == 0 && registers->has_debugregs)
		result = wire_bytes_unpack(peer_resume->debugregs, &registers->debugregs,
		                           sizeof(registers->debugregs));
	return result;
}

/* Read those that are about to be set, so that they can be set again; and the events, of which registers cost KVM some. */
static int save_registers(struct plugvm_vcpu *vcpu, const struct vcpu_registers *registers,
                          struct vcpu_registers *out_saved)
{
	*out_saved = (struct vcpu_registers){.has_regs = false};
	int result = 0;
	if (registers->has_regs)
		result = plugvm_vcpu_get_regs(vcpu, &out_saved->regs);
	if (result == 0 && registers->has_sregs)
		result = plugvm_vcpu_get_sregs(vcpu, &out_saved->sregs);
	if (result == 0 && registers->has_debugregs)
		result = plugvm_vcpu_get_debugregs(vcpu, &out_saved->debugregs);
	if (result == 0)
		result = plugvm_vcpu_get_events(vcpu, &out_saved->events);
	return result;
}

/*
 * Set what KVM can refuse before what it cannot, and note in *done what is set. The events come last, since KVM forgets
 * an exception that it was to deliver when it gets registers.
 */
static int set_one_by_one(struct plugvm_vcpu *vcpu, const struct vcpu_registers *registers, bool by_run,
                          struct vcpu_registers *done)
{
	int result = 0;
	if (registers->has_sregs) {
		result = plugvm_vcpu_set_sregs(vcpu, &registers->sregs);
		done->has_sregs = result == 0;
	}
	if (result == 0 && registers->has_debugregs) {
		result = plugvm_vcpu_set_debugregs(vcpu, &registers->debugregs);
		done->has_debugregs = result == 0;
	}
	if (result == 0 && registers->has_regs) {
		result = by_run ? kvm_sync_set_regs(vcpu, &registers->regs)
		                : plugvm_vcpu_set_regs(vcpu, &registers->regs);
		done->has_regs = result == 0;
	}
	if (result == 0 && registers->has_events)
		result = plugvm_vcpu_set_events(vcpu, &registers->events);
	return result;
}

int vcpu_state_set_registers(struct plugvm_vcpu *vcpu, const struct vcpu_registers *registers, bool by_run)
{
	/* The usual ones, of which only the first can be refused, need no undoing and cost no call more. */
	bool is_usual = !registers->has_events && !(registers->has_sregs && registers->has_debugregs);
	struct vcpu_registers saved, ignored;
	int result = is_usual ? 0 : save_registers(vcpu, registers, &saved);
	if (result == 0)
		result = set_one_by_one(vcpu, registers, by_run, is_usual ? &ignored : &saved);
	if (result < 0 && !is_usual) {
		saved.has_events = saved.has_regs;
		set_one_by_one(vcpu, &saved, false, &ignored);
	}
	if (result == 0)
		note_interruptibility(vcpu, registers->has_regs ? &registers->regs : NULL,
		                      registers->has_events ? &registers->events : NULL);
	return result;
}
