/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's messages through the memory that it shares with the plugin.
 */
#include "host/link_page.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/packet.h"
#include "channel/host_end.h"
#include "kvm/sync.h"

/* The sets that KVM keeps in struct kvm_run have the same bits there. */
#define SYNC_SETS (PAGE_REGS | PAGE_SREGS | PAGE_EVENTS)
_Static_assert((int)PAGE_REGS == KVM_SYNC_X86_REGS && (int)PAGE_SREGS == KVM_SYNC_X86_SREGS &&
                   (int)PAGE_EVENTS == KVM_SYNC_X86_EVENTS,
               "the same bits");

void link_use_page(struct vcpu_link *link, struct host_end *end)
{
	atomic_store(&link->page, end);
}

static struct host_end *page_of(struct vcpu_link *link)
{
	return atomic_load_explicit(&link->page, memory_order_relaxed);
}

void link_page_prepare(struct vcpu_link *link)
{
	host_end_prepare(page_of(link));
}

/* The result of a post: 1 if the plugin waits for its fd. */
static int posted(struct vcpu_link *link, int result)
{
	if (result == -EPROTO)
		return link_fail(link, -EPROTO, "the plugin sent something while its vCPU was running");
	if (result > 0) {
		/* If there is no room there is something to read. */
		packet_send(link->events, "", 1, NULL, 0, MSG_DONTWAIT);
	}
	return result < 0 ? result : 0;
}

static void put(struct host_end *end, enum page_set set, const void *registers, uint16_t *valid)
{
	host_end_put_registers(end, set, registers);
	*valid |= (uint16_t)set;
}

/* Put what the plugin wants with each event into the page. Returns which sets are there. */
static uint16_t put_wanted(struct vcpu_link *link, struct host_end *end, struct plugvm_vcpu *vcpu)
{
	uint16_t valid = 0;
	if (!vcpu || !link->page_wanted)
		return 0;
	/* Without an ioctl, if the last thing that happened was an exit. What KVM does not give is left out. */
	kvm_sync_fetch(vcpu, link->page_wanted);
	const struct kvm_sync_regs *values = kvm_sync_sets(vcpu);
	uint32_t current = kvm_sync_current(vcpu) & link->page_wanted;
	if (current & PAGE_REGS)
		put(end, PAGE_REGS, &values->regs, &valid);
	if (current & PAGE_SREGS)
		put(end, PAGE_SREGS, &values->sregs, &valid);
	if (current & PAGE_EVENTS)
		put(end, PAGE_EVENTS, &values->events, &valid);
	return valid;
}

/* Those that a hint has attached. */
static void put_attached(struct host_end *end, const wire_VcpuResponse_Wait_Io *io, uint16_t *valid)
{
	if (io->regs.size > 0)
		put(end, PAGE_REGS, io->regs.data, valid);
	if (io->sregs.size > 0)
		put(end, PAGE_SREGS, io->sregs.data, valid);
	if (io->debugregs.size > 0)
		put(end, PAGE_DEBUGREGS, io->debugregs.data, valid);
}

static int post_access(struct vcpu_link *link, struct host_end *end, const wire_VcpuResponse *event,
                       uint16_t valid)
{
	const wire_VcpuResponse_Wait_Io *io = &event->message.wait.exit.io;
	put_attached(end, io, &valid);
	struct host_access access = {
	    .flags = (uint16_t)((io->is_write ? PAGE_IS_WRITE : 0) |
	                        (io->space == wire_AddressSpace_MMIO ? PAGE_IS_MMIO : 0)),
	    .valid = valid,
	    .error = (int32_t)event->error,
	    .address = io->address,
	    .data = io->data.data,
	    .size = (uint32_t)io->data.size,
	};
	return posted(link, host_end_access(end, &access));
}

static size_t encode(struct vcpu_link *link, const wire_VcpuResponse *response)
{
	ssize_t size = wire_encode_vcpu_response(response, link->response, LINK_RESPONSE_BYTES);
	assert(size >= 0); /* the host's own message, whose parts are bounded */
	return (size_t)size;
}

int link_page_post(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse *event)
{
	struct host_end *end = page_of(link);
	uint16_t valid = put_wanted(link, end, vcpu);
	if (event->which_message == wire_VcpuResponse_wait_tag &&
	    event->message.wait.which_exit == wire_VcpuResponse_Wait_io_tag)
		return post_access(link, end, event, valid);
	size_t size = encode(link, event);
	return posted(link, host_end_message(end, link->response, size, valid, (int32_t)event->error));
}

int link_page_reply(struct vcpu_link *link, const wire_VcpuResponse *response)
{
	size_t size = encode(link, response);
	return posted(link, host_end_reply(page_of(link), link->response, size));
}

/* The packets' sockets hang up when the plugin closes its ends, though nothing goes through them. */
static int check_ends(struct vcpu_link *link)
{
	struct pollfd poller = {.fd = link->requests};
	if (poll(&poller, 1, 0) > 0 && poller.revents & (POLLHUP | POLLERR))
		return link_fail(link, -EPIPE, "the plugin has closed the channel");
	return 0;
}

/* Returns 0 to wait on, or the error that ends it. */
static int wait_failed(struct vcpu_link *link, int result)
{
	if (result == -EINTR)
		return atomic_load(&link->cut) ? -ECANCELED : 0;
	if (result == -EAGAIN)
		return check_ends(link);
	if (result == -ETIMEDOUT)
		return link_fail(link, result, "the plugin did not answer for %u ms", link->answer_timeout_ms);
	if (result == -EPROTO)
		return link_fail(link, result, "what the plugin wrote into its shared memory makes no sense");
	return link_fail(link, result, "waiting for the plugin failed: %s", error_name(-result));
}

static int take_request(struct vcpu_link *link, struct host_end *end, const struct page_answer *answer,
                        wire_VcpuRequest *out_request)
{
	host_end_take_message(end, answer, link->request);
	if (wire_decode_vcpu_request(link->request, answer->size, &link->elements, out_request) < 0)
		return link_fail(link, -EPROTO, "a request of %u bytes does not decode", answer->size);
	/* The page has a turn of its own for these, and needs no waiting. */
	if (out_request->which_message == wire_VcpuRequest_shutdown_tag ||
	    out_request->which_message == wire_VcpuRequest_resume_tag)
		return link_fail(link, -EPROTO,
		                 "the plugin sent a message that does not belong into its shared memory");
	return 0;
}

int link_page_await(struct vcpu_link *link, uint64_t deadline_ns, wire_VcpuRequest *out_request)
{
	struct host_end *end = page_of(link);
	struct page_answer answer;
	int result;
	while ((result = host_end_await(end, deadline_ns, &answer)) < 0) {
		result = wait_failed(link, result);
		if (result < 0)
			return result;
	}
	if (answer.kind == PAGE_REQUEST)
		return take_request(link, end, &answer, out_request);
	host_end_take_data(end, &answer, link->request);
	out_request->which_message = wire_VcpuRequest_resume_tag;
	out_request->message.resume.data = (struct wire_bytes){link->request, answer.size};
	link->page_set = answer.set;
	link->page_next_wanted = answer.wanted;
	return 0;
}

void link_page_take_registers(struct vcpu_link *link, struct plugvm_vcpu *vcpu,
                              struct vcpu_registers *out_registers)
{
	struct host_end *end = page_of(link);
	struct vcpu_registers *registers = out_registers;
	registers->has_regs = link->page_set & PAGE_REGS;
	registers->has_sregs = link->page_set & PAGE_SREGS;
	registers->has_events = link->page_set & PAGE_EVENTS;
	registers->has_debugregs = link->page_set & PAGE_DEBUGREGS;
	if (registers->has_regs)
		host_end_take_registers(end, PAGE_REGS, &registers->regs);
	if (registers->has_sregs)
		host_end_take_registers(end, PAGE_SREGS, &registers->sregs);
	if (registers->has_events)
		host_end_take_registers(end, PAGE_EVENTS, &registers->events);
	if (registers->has_debugregs)
		host_end_take_registers(end, PAGE_DEBUGREGS, &registers->debugregs);
	uint16_t wanted = link->page_next_wanted & SYNC_SETS;
	if (wanted == link->page_wanted)
		return;
	link->page_wanted = wanted;
	if (vcpu)
		kvm_sync_want(vcpu, link->page_wanted);
}

int link_page_posted_write(struct vcpu_link *link, const struct guest_access *access, uint64_t deadline_ns)
{
	struct host_access write = {
	    .flags = (uint16_t)(PAGE_IS_WRITE | (access->space == ADDRESS_SPACE_MMIO ? PAGE_IS_MMIO : 0)),
	    .address = access->address,
	    .data = access->data,
	    .size = access->size,
	};
	int result;
	while ((result = host_end_posted_write(page_of(link), &write, deadline_ns)) < 0) {
		result = wait_failed(link, result);
		if (result < 0)
			return result;
	}
	return posted(link, result);
}

void link_page_cut(struct vcpu_link *link)
{
	struct host_end *end = atomic_load(&link->page);
	host_end_kick(end);
	host_end_close(end);
}
