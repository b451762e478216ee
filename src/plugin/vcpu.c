/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU: events out of the channel, answers into it. Runs in the plugin, on the thread that the vCPU belongs
 * to; only its retirement comes from another one. The host may die at any moment or be an older one.
 */
#include "plugin/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "channel/plugin_end.h"
#include "plugin/connection.h"
#include "plugin/exits_x86.h"
#include "plugin/peer.h"
#include "plugin/stats.h"

#define VCPU_RETIRED 0x80000000u

int vcpu_new(struct machine *machine, int fds[2], struct vcpu_page *page, struct crosvm_vcpu **out_vcpu)
{
	struct crosvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	atomic_init(&vcpu->users, 0);
	vcpu->machine = machine;
	vcpu->has_page = page;
	int error = channel_init(&vcpu->channel, fds);
	if (!error && page) {
		error = channel_use_page(&vcpu->channel, page);
		if (error)
			channel_fini(&vcpu->channel);
	}
	if (error) {
		free(vcpu);
		return error;
	}
	*out_vcpu = vcpu;
	return 0;
}

void vcpu_free(struct crosvm_vcpu *vcpu)
{
	channel_fini(&vcpu->channel);
	free(vcpu);
}

/* Go, and be the one who closes if this was the last call of a retired vCPU. */
static void release(struct crosvm_vcpu *vcpu)
{
	if (atomic_fetch_sub(&vcpu->users, 1) != VCPU_RETIRED + 1)
		return;
	ready_close(&vcpu->ready);
	channel_fini(&vcpu->channel);
	machine_leave_area(vcpu->machine);
}

void vcpu_retire(struct crosvm_vcpu *vcpu)
{
	/* As a user, so that nobody closes the channel while it is hung up. */
	atomic_fetch_add(&vcpu->users, VCPU_RETIRED + 1);
	channel_hang_up(&vcpu->channel);
	release(vcpu);
}

int vcpu_enter(struct crosvm_vcpu *vcpu)
{
	unsigned int users = atomic_load(&vcpu->users);
	do {
		if (users & VCPU_RETIRED)
			return -ENOTCONN;
	} while (!atomic_compare_exchange_weak(&vcpu->users, &users, users + 1));
	int error = vcpu->channel.broken;
	if (error)
		vcpu_leave(vcpu);
	return error;
}

void vcpu_leave(struct crosvm_vcpu *vcpu)
{
	ready_update(&vcpu->ready, &vcpu->channel, !vcpu->stopped);
	release(vcpu);
}

int vcpu_enter_stopped(struct crosvm_vcpu *vcpu)
{
	int error = vcpu_enter(vcpu);
	if (!error && !vcpu->stopped) {
		vcpu_leave(vcpu);
		return -EBUSY;
	}
	return error;
}

int vcpu_need(struct crosvm_vcpu *vcpu, bool has)
{
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	vcpu_leave(vcpu);
	return has ? 0 : -ENOTTY;
}

int vcpu_call(struct crosvm_vcpu *vcpu, const wire_VcpuRequest *request, unsigned int reply_member,
              const struct wire_arena *elements, wire_VcpuResponse *out_reply)
{
	int error = channel_send(&vcpu->channel, request);
	if (!error)
		error = channel_next_reply(&vcpu->channel, elements, out_reply);
	if (!error)
		error = peer_errno(out_reply->error);
	if (error)
		return error;
	return out_reply->which_message == reply_member ? 0 : -EPROTO;
}

int vcpu_command(struct crosvm_vcpu *vcpu, const wire_VcpuRequest *request, unsigned int reply_member,
                 wire_VcpuResponse *out_reply)
{
	int error = vcpu_enter_stopped(vcpu);
	if (error)
		return error;
	error = state_flush(vcpu);
	if (!error) {
		/* Nothing is pending any more. */
		state_forget(&vcpu->state);
		error = vcpu_call(vcpu, request, reply_member, NULL, out_reply);
	}
	vcpu_leave(vcpu);
	return error;
}

static int take_io(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Wait_Io *io, struct crosvm_vcpu_event *event)
{
	if (io->data.size == 0 || io->data.size > sizeof(vcpu->answer.bytes))
		return -EPROTO;
	if (io->space != wire_AddressSpace_IOPORT && io->space != wire_AddressSpace_MMIO)
		return -EPROTO;
	uint32_t length = (uint32_t)io->data.size;
	if (io->is_write)
		memcpy(vcpu->answer.bytes, io->data.data, length);
	else
		memset(vcpu->answer.bytes, 0, length);
	vcpu->answer_size = io->is_write ? 0 : length;
	vcpu->stopped = !io->no_resume;
	state_keep_snapshots(&vcpu->state, io);

	event->kind = CROSVM_VCPU_EVENT_KIND_IO_ACCESS;
	event->io_access.address_space = io->space == wire_AddressSpace_MMIO ? CROSVM_ADDRESS_SPACE_MMIO
	                                                                     : CROSVM_ADDRESS_SPACE_IOPORT;
	event->io_access.address = io->address;
	event->io_access.data = vcpu->answer.bytes;
	event->io_access.length = length;
	event->io_access.is_write = io->is_write;
	event->io_access.no_resume = io->no_resume;
	return 0;
}

static void take_hyperv_call(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Wait_HypervCall *call,
                             struct crosvm_vcpu_event *event)
{
	vcpu->answer.hyperv_result = 0;
	vcpu->answer_size = sizeof(vcpu->answer.hyperv_result);
	event->kind = CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL;
	event->hyperv_call.input = call->input;
	event->hyperv_call.result = &vcpu->answer.hyperv_result;
	event->hyperv_call.params[0] = call->params0;
	event->hyperv_call.params[1] = call->params1;
}

static void take_hyperv_synic(const wire_VcpuResponse_Wait_HypervSynic *synic, struct crosvm_vcpu_event *event)
{
	event->kind = CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC;
	event->hyperv_synic.msr = synic->msr;
	event->hyperv_synic.control = synic->control;
	event->hyperv_synic.evt_page = synic->evt_page;
	event->hyperv_synic.msg_page = synic->msg_page;
}

static int take_baseline(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Wait *wait,
                         struct crosvm_vcpu_event *event)
{
	switch (wait->which_exit) {
	case wire_VcpuResponse_Wait_init_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_INIT;
		return 0;
	case wire_VcpuResponse_Wait_io_tag:
		return take_io(vcpu, &wait->exit.io, event);
	case wire_VcpuResponse_Wait_user_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_PAUSED;
		event->user = (void *)(uintptr_t)wait->exit.user.user;
		return 0;
	case wire_VcpuResponse_Wait_hyperv_call_tag:
		take_hyperv_call(vcpu, &wait->exit.hyperv_call, event);
		return 0;
	case wire_VcpuResponse_Wait_hyperv_synic_tag:
		take_hyperv_synic(&wait->exit.hyperv_synic, event);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Make the event the vCPU's own. Nothing of it refers to the message afterwards. */
static int take_event(struct crosvm_vcpu *vcpu, const wire_VcpuResponse *response,
                      struct crosvm_vcpu_event *out_event)
{
	struct crosvm_vcpu_event event;
	memset(&event, 0, sizeof(event));
	state_forget(&vcpu->state);
	vcpu->answer_size = 0;
	vcpu->stopped = true;
	int error = response->which_message == wire_VcpuResponse_wait_tag
	                ? take_baseline(vcpu, &response->message.wait, &event)
	                : exits_take(vcpu, &response->message.event, &event);
	if (error)
		return error;
	*out_event = event;
	return 0;
}

/* Make an access out of a page the vCPU's own, as take_event(). */
static int take_page_access(struct crosvm_vcpu *vcpu, const struct plugin_event *access,
                            struct crosvm_vcpu_event *out_event)
{
	uint32_t length = access->size;
	if (access->is_write)
		page_copy_access(vcpu->answer.bytes, access->data, length);
	else
		memset(vcpu->answer.bytes, 0, length);
	vcpu->answer_size = access->is_write ? 0 : length;
	vcpu->stopped = access->kind != PLUGIN_POSTED;

	memset(out_event, 0, sizeof(*out_event));
	out_event->kind = CROSVM_VCPU_EVENT_KIND_IO_ACCESS;
	out_event->io_access.address_space = access->is_mmio ? CROSVM_ADDRESS_SPACE_MMIO
	                                                     : CROSVM_ADDRESS_SPACE_IOPORT;
	out_event->io_access.address = access->address;
	out_event->io_access.data = vcpu->answer.bytes;
	out_event->io_access.length = length;
	out_event->io_access.is_write = access->is_write;
	out_event->io_access.no_resume = access->kind == PLUGIN_POSTED;
	return 0;
}

static int take_page_message(struct crosvm_vcpu *vcpu, const struct plugin_event *message,
                             struct crosvm_vcpu_event *out_event)
{
	wire_VcpuResponse response;
	uint64_t words[EXITS_WORDS];
	const struct wire_arena elements = {.memory = words, .size = sizeof(words)};
	if (wire_decode_vcpu_response(message->data, message->size, &elements, &response) < 0 ||
	    !channel_is_event(&response))
		return -EPROTO;
	return take_event(vcpu, &response, out_event);
}

static int wait_on_page(struct crosvm_vcpu *vcpu, const struct timespec *deadline,
                        struct crosvm_vcpu_event *out_event)
{
	struct plugin_event event;
	int error = channel_wait_page(&vcpu->channel, deadline, &event);
	if (error)
		return error;
	state_forget(&vcpu->state);
	error = event.kind == PLUGIN_MESSAGE ? take_page_message(vcpu, &event, out_event)
	                                     : take_page_access(vcpu, &event, out_event);
	if (error)
		return channel_break(&vcpu->channel, -EPROTO);
	state_keep_page(&vcpu->state, vcpu->channel.page, event.valid);
	return peer_errno((uint32_t)event.error);
}

/* The host answers once; from then on the events come by themselves. */
static int ask_for_events(struct crosvm_vcpu *vcpu)
{
	if (vcpu->asked)
		return 0;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_wait_tag};
	int error = channel_send(&vcpu->channel, &request);
	vcpu->asked = error == 0;
	return error;
}

static int wait_for_event(struct crosvm_vcpu *vcpu, const struct timespec *deadline,
                          struct crosvm_vcpu_event *out_event)
{
	if (vcpu->stopped)
		return -EBUSY;
	if (vcpu->channel.page)
		return wait_on_page(vcpu, deadline, out_event);
	int error = ask_for_events(vcpu);
	wire_VcpuResponse response;
	uint64_t words[EXITS_WORDS];
	const struct wire_arena elements = {.memory = words, .size = sizeof(words)};
	if (!error)
		error = channel_next(&vcpu->channel, deadline, &elements, &response);
	if (error)
		return error;
	int refusal = peer_errno(response.error);
	if (!channel_is_event(&response))
		return refusal ? refusal : -EPROTO;
	/* The host holds the vCPU at an event that nobody can answer: there is no way on. */
	if (take_event(vcpu, &response, out_event) < 0)
		return channel_break(&vcpu->channel, -EPROTO);
	return refusal;
}

static int resume(struct crosvm_vcpu *vcpu)
{
	if (!vcpu->stopped)
		return -EINVAL;
	if (vcpu->channel.page) {
		struct state *state = &vcpu->state;
		/* Nobody would take it. */
		if (plugin_end_is_closed(vcpu->channel.page))
			return channel_break(&vcpu->channel, -ECONNRESET);
		uint16_t set = state_put_page(state, vcpu->channel.page);
		channel_resume_page(&vcpu->channel, vcpu->answer.bytes, vcpu->answer_size, set, state->wanted);
		vcpu->stopped = false;
		return 0;
	}
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_resume_tag,
	    .message.resume.data = {vcpu->answer.bytes, vcpu->answer_size},
	};
	state_attach(&vcpu->state, &request.message.resume);
	int error = channel_send(&vcpu->channel, &request);
	vcpu->stopped = error != 0;
	return error;
}

int crosvm_get_vcpu(struct crosvm *crosvm, uint32_t cpu_id, struct crosvm_vcpu **out_vcpu)
{
	STATS();
	if (!crosvm || !out_vcpu)
		return -EINVAL;
	if (cpu_id >= crosvm->machine->vcpu_count)
		return -ENOENT;
	*out_vcpu = crosvm->machine->vcpus[cpu_id];
	return 0;
}

static int wait_until(struct crosvm_vcpu *vcpu, const struct timespec *deadline,
                      struct crosvm_vcpu_event *out_event)
{
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = wait_for_event(vcpu, deadline, out_event);
	vcpu_leave(vcpu);
	return error;
}

int crosvm_vcpu_wait(struct crosvm_vcpu *vcpu, struct crosvm_vcpu_event *out_event)
{
	STATS();
	if (!vcpu || !out_event)
		return -EINVAL;
	return wait_until(vcpu, NULL, out_event);
}

int crosvm_vcpu_wait_timeout(struct crosvm_vcpu *vcpu, struct crosvm_vcpu_event *out_event, int timeout_ms)
{
	STATS();
	if (!vcpu || !out_event || timeout_ms < -1)
		return -EINVAL;
	if (timeout_ms < 0)
		return wait_until(vcpu, NULL, out_event);
	/* Only to look takes no clock, and no spin. */
	if (timeout_ms == 0)
		return wait_until(vcpu, &(struct timespec){.tv_nsec = PLUGIN_END_NO_WAIT}, out_event);
	struct timespec deadline;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += timeout_ms / 1000;
	deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	return wait_until(vcpu, &deadline, out_event);
}

int crosvm_vcpu_get_poll_fd(struct crosvm_vcpu *vcpu)
{
	STATS();
	if (!vcpu)
		return -EINVAL;
	int result = vcpu_enter(vcpu);
	if (result)
		return result;
	if (!vcpu->ready.is_open)
		result = ready_open(&vcpu->ready, &vcpu->channel);
	/* Without the question not even INIT comes. */
	if (!result && !vcpu->channel.page)
		result = ask_for_events(vcpu);
	if (!result)
		result = vcpu->ready.epoll;
	vcpu_leave(vcpu);
	return result;
}

int crosvm_vcpu_set_spin(struct crosvm_vcpu *vcpu, int us)
{
	STATS();
	if (!vcpu || us < CROSVM_SPIN_AUTO || us > SPIN_FIXED_NS_MAX / 1000)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	if (vcpu->channel.page)
		plugin_end_set_spin(vcpu->channel.page,
		                    (struct spin_setting){.mode = us < 0 ? SPIN_AUTO : SPIN_FIXED,
		                                          .fixed_ns = us < 0 ? 0 : (uint32_t)us * 1000});
	else
		error = -ENOTTY;
	vcpu_leave(vcpu);
	return error;
}

int crosvm_vcpu_resume(struct crosvm_vcpu *vcpu)
{
	STATS();
	if (!vcpu)
		return -EINVAL;
	int error = vcpu_enter(vcpu);
	if (error)
		return error;
	error = resume(vcpu);
	vcpu_leave(vcpu);
	return error;
}
