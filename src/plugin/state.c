/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state sets of a vCPU that the plugin gets and sets while it is stopped. Runs in the plugin, on the
 * thread that the vCPU belongs to. The host may die at any moment or be an older one.
 */
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

#include "channel/plugin_end.h"
#include "plugin/stats.h"
#include "plugin/vcpu.h"

static const struct {
	wire_VcpuRequest_StateSet on_wire;
	size_t offset; /* of the copy in struct state */
	size_t size;
	enum page_set in_page;
} sets[STATE_KINDS] = {
    [STATE_REGS] = {wire_VcpuRequest_StateSet_REGS, offsetof(struct state, regs), sizeof(struct kvm_regs),
                    PAGE_REGS},
    [STATE_SREGS] = {wire_VcpuRequest_StateSet_SREGS, offsetof(struct state, sregs), sizeof(struct kvm_sregs),
                     PAGE_SREGS},
    [STATE_DEBUGREGS] = {wire_VcpuRequest_StateSet_DEBUGREGS, offsetof(struct state, debugregs),
                         sizeof(struct kvm_debugregs), PAGE_DEBUGREGS},
    [STATE_EVENTS] = {wire_VcpuRequest_StateSet_EVENTS, offsetof(struct state, events),
                      sizeof(struct kvm_vcpu_events), PAGE_EVENTS},
};

/* After so many events in a row whose registers nobody looked at, they do not come any more. */
#define UNUSED_MAX 64

static uint8_t *copy_of(struct state *state, enum state_kind kind)
{
	return (uint8_t *)state + sets[kind].offset;
}

static struct wire_bytes pending_of(const struct state *state, enum state_kind kind)
{
	if (state->copies[kind] != STATE_PENDING)
		return (struct wire_bytes){NULL, 0};
	return (struct wire_bytes){(const uint8_t *)state + sets[kind].offset, sets[kind].size};
}

static void keep_snapshot(struct state *state, enum state_kind kind, struct wire_bytes snapshot)
{
	if (snapshot.size != sets[kind].size)
		return;
	memcpy(copy_of(state, kind), snapshot.data, snapshot.size);
	state->copies[kind] = STATE_SNAPSHOT;
}

void state_forget(struct state *state)
{
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++)
		state->copies[kind] = STATE_ABSENT;
}

void state_keep_snapshots(struct state *state, const wire_VcpuResponse_Wait_Io *io)
{
	keep_snapshot(state, STATE_REGS, io->regs);
	keep_snapshot(state, STATE_SREGS, io->sregs);
	keep_snapshot(state, STATE_DEBUGREGS, io->debugregs);
}

void state_keep_page(struct state *state, struct plugin_end *end, uint16_t valid)
{
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		if (!(valid & sets[kind].in_page))
			continue;
		memcpy(copy_of(state, kind), plugin_end_registers(end, sets[kind].in_page), sets[kind].size);
		state->copies[kind] = STATE_SNAPSHOT;
		if (++state->unused[kind] == UNUSED_MAX) {
			state->unused[kind] = 0;
			state->wanted &= (uint16_t)~sets[kind].in_page;
		}
	}
}

uint16_t state_put_page(struct state *state, struct plugin_end *end)
{
	uint16_t set = 0;
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		if (state->copies[kind] != STATE_PENDING)
			continue;
		memcpy(plugin_end_registers(end, sets[kind].in_page), copy_of(state, kind), sets[kind].size);
		set |= (uint16_t)sets[kind].in_page;
	}
	return set;
}

void state_attach(const struct state *state, wire_VcpuRequest_Resume *resume)
{
	resume->regs = pending_of(state, STATE_REGS);
	resume->sregs = pending_of(state, STATE_SREGS);
	resume->debugregs = pending_of(state, STATE_DEBUGREGS);
}

static int send_set(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, struct wire_bytes value)
{
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_state_tag,
	    .message.set_state = {.set = set, .state = value},
	};
	wire_VcpuResponse reply;
	return vcpu_call(vcpu, &request, wire_VcpuResponse_set_state_tag, NULL, &reply);
}

static int send_pending(struct crosvm_vcpu *vcpu, enum state_kind kind)
{
	struct wire_bytes pending = pending_of(&vcpu->state, kind);
	if (pending.size == 0)
		return 0;
	/* Whatever comes of it, the value does not travel again. */
	vcpu->state.copies[kind] = STATE_ABSENT;
	return send_set(vcpu, sets[kind].on_wire, pending);
}

int state_flush(struct crosvm_vcpu *vcpu)
{
	int error = 0;
	for (enum state_kind kind = 0; kind < STATE_KINDS && !error; kind++)
		error = send_pending(vcpu, kind);
	return error;
}

static int fetch(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, void *out, size_t size)
{
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_get_state_tag,
	    .message.get_state.set = set,
	};
	wire_VcpuResponse reply;
	int error = vcpu_call(vcpu, &request, wire_VcpuResponse_get_state_tag, NULL, &reply);
	if (error)
		return error;
	const struct wire_bytes *value = &reply.message.get_state.state;
	if (value->size != size)
		return -EPROTO;
	memcpy(out, value->data, size);
	return 0;
}

static int get_stopped(struct crosvm_vcpu *vcpu, enum state_kind kind, void *out)
{
	if (!vcpu->stopped)
		return -EBUSY;
	vcpu->state.unused[kind] = 0;
	if (vcpu->channel.page)
		vcpu->state.wanted |= (uint16_t)sets[kind].in_page;
	if (vcpu->state.copies[kind] == STATE_SNAPSHOT) {
		memcpy(out, copy_of(&vcpu->state, kind), sets[kind].size);
		return 0;
	}
	/* Of the events every other set may make something else. */
	int error = kind == STATE_EVENTS ? state_flush(vcpu) : send_pending(vcpu, kind);
	return error ? error : fetch(vcpu, sets[kind].on_wire, out, sets[kind].size);
}

static int state_get(struct crosvm_vcpu *vcpu, enum state_kind kind, void *out)
{
	if (!vcpu || !out)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = get_stopped(vcpu, kind, out);
	vcpu_leave(vcpu);
	return error;
}

static void drop_snapshot(struct state *state, enum state_kind kind)
{
	if (state->copies[kind] == STATE_SNAPSHOT)
		state->copies[kind] = STATE_ABSENT;
}

/* KVM changes one set with another: an exception that waits goes with the registers, an interrupt is in the sregs too. */
static void drop_dependent(struct state *state, enum state_kind kind)
{
	if (kind == STATE_REGS || kind == STATE_SREGS)
		drop_snapshot(state, STATE_EVENTS);
	if (kind == STATE_EVENTS)
		drop_snapshot(state, STATE_SREGS);
}

static int state_set(struct crosvm_vcpu *vcpu, enum state_kind kind, const void *value)
{
	if (!vcpu || !value)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	if (vcpu->stopped) {
		memcpy(copy_of(&vcpu->state, kind), value, sets[kind].size);
		vcpu->state.copies[kind] = STATE_PENDING;
		drop_dependent(&vcpu->state, kind);
	} else {
		error = -EBUSY;
	}
	vcpu_leave(vcpu);
	return error;
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

/* Get a set that is not deferred. */
static int get_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, void *out, size_t size)
{
	if (!vcpu || !out)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = vcpu->stopped ? fetch(vcpu, set, out, size) : -EBUSY;
	/* KVM takes a pending INIT when it is asked for the mp state. */
	for (enum state_kind kind = 0; kind < STATE_KINDS && set == wire_VcpuRequest_StateSet_MP; kind++)
		drop_snapshot(&vcpu->state, kind);
	vcpu_leave(vcpu);
	return error;
}

static int set_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, const void *value, size_t size)
{
	if (!vcpu || !value)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = vcpu->stopped ? state_flush(vcpu) : -EBUSY;
	if (!error) {
		/* Nothing is pending any more, and what came along may change: the task priority is in the sregs too. */
		state_forget(&vcpu->state);
		error = send_set(vcpu, set, (struct wire_bytes){value, size});
	}
	vcpu_leave(vcpu);
	return error;
}

#define STATE_CALLS(name, SET, type)                                                          \
	int crosvm_vcpu_get_##name(struct crosvm_vcpu *vcpu, struct type *out)                \
	{                                                                                     \
		STATS();                                                                      \
		return get_now(vcpu, wire_VcpuRequest_StateSet_##SET, out, sizeof(*out));     \
	}                                                                                     \
	int crosvm_vcpu_set_##name(struct crosvm_vcpu *vcpu, const struct type *value)        \
	{                                                                                     \
		STATS();                                                                      \
		return set_now(vcpu, wire_VcpuRequest_StateSet_##SET, value, sizeof(*value)); \
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
	return get_now(vcpu, wire_VcpuRequest_StateSet_EVENTS, out_events, sizeof(*out_events));
}

int crosvm_vcpu_set_vcpu_events(struct crosvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	STATS();
	if (vcpu && vcpu->has_page)
		return state_set(vcpu, STATE_EVENTS, events);
	return set_now(vcpu, wire_VcpuRequest_StateSet_EVENTS, events, sizeof(*events));
}
