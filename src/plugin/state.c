/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state sets of a vCPU that the plugin gets and sets while it is stopped. Runs in the plugin, on the
 * thread that the vCPU belongs to. The host may die at any moment or be an older one.
 */
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

#include "channel/plugin_end.h"
#include "plugin/vcpu.h"

/* After so many events in a row whose registers nobody looked at, they do not come any more. */
#define UNUSED_MAX 64

static uint8_t *copy_of(struct state *state, enum state_kind kind)
{
	return (uint8_t *)&state->values + state_sets[kind].offset;
}

struct wire_bytes state_pending(const struct state *state, enum state_kind kind)
{
	if (state->copies[kind] != STATE_PENDING)
		return (struct wire_bytes){NULL, 0};
	return (struct wire_bytes){(const uint8_t *)&state->values + state_sets[kind].offset,
	                           state_sets[kind].size};
}

void state_keep(struct state *state, enum state_kind kind, struct wire_bytes snapshot)
{
	if (snapshot.size != state_sets[kind].size)
		return;
	memcpy(copy_of(state, kind), snapshot.data, snapshot.size);
	state->copies[kind] = STATE_SNAPSHOT;
}

void state_forget(struct state *state)
{
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++)
		state->copies[kind] = STATE_ABSENT;
}

void state_keep_page(struct state *state, struct plugin_end *end, uint16_t valid)
{
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		if (!(valid & state_sets[kind].in_page))
			continue;
		memcpy(copy_of(state, kind), plugin_end_registers(end, state_sets[kind].in_page),
		       state_sets[kind].size);
		state->copies[kind] = STATE_SNAPSHOT;
		if (++state->unused[kind] == UNUSED_MAX) {
			state->unused[kind] = 0;
			state->wanted &= (uint16_t)~state_sets[kind].in_page;
		}
	}
}

uint16_t state_put_page(struct state *state, struct plugin_end *end)
{
	uint16_t set = 0;
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		if (state->copies[kind] != STATE_PENDING)
			continue;
		memcpy(plugin_end_registers(end, state_sets[kind].in_page), copy_of(state, kind),
		       state_sets[kind].size);
		set |= (uint16_t)state_sets[kind].in_page;
	}
	return set;
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
	struct wire_bytes pending = state_pending(&vcpu->state, kind);
	if (pending.size == 0)
		return 0;
	/* Whatever comes of it, the value does not travel again. */
	vcpu->state.copies[kind] = STATE_ABSENT;
	return send_set(vcpu, state_sets[kind].on_wire, pending);
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
		vcpu->state.wanted |= (uint16_t)state_sets[kind].in_page;
	if (vcpu->state.copies[kind] == STATE_SNAPSHOT) {
		memcpy(out, copy_of(&vcpu->state, kind), state_sets[kind].size);
		return 0;
	}
	int error = state_sets[kind].depends_on_all ? state_flush(vcpu) : send_pending(vcpu, kind);
	return error ? error : fetch(vcpu, state_sets[kind].on_wire, out, state_sets[kind].size);
}

int state_get(struct crosvm_vcpu *vcpu, enum state_kind kind, void *out)
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

static void drop_snapshots(struct state *state, uint32_t kinds)
{
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		if (kinds & 1u << kind && state->copies[kind] == STATE_SNAPSHOT)
			state->copies[kind] = STATE_ABSENT;
	}
}

int state_set(struct crosvm_vcpu *vcpu, enum state_kind kind, const void *value)
{
	if (!vcpu || !value)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	if (vcpu->stopped) {
		memcpy(copy_of(&vcpu->state, kind), value, state_sets[kind].size);
		vcpu->state.copies[kind] = STATE_PENDING;
		drop_snapshots(&vcpu->state, state_sets[kind].drops);
	} else {
		error = -EBUSY;
	}
	vcpu_leave(vcpu);
	return error;
}

int state_get_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, void *out, size_t size)
{
	if (!vcpu || !out)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = vcpu->stopped ? fetch(vcpu, set, out, size) : -EBUSY;
	/* KVM takes a pending INIT when it is asked for the mp state. */
	if (set == wire_VcpuRequest_StateSet_MP)
		drop_snapshots(&vcpu->state, ~0u);
	vcpu_leave(vcpu);
	return error;
}

int state_set_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, const void *value, size_t size)
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
