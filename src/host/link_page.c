/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's messages through the memory that it shares with the plugin.
 */
#include "host/link_page.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/packet.h"
#include "channel/host_end.h"
#include "host/page_registers.h"
#include "kvm/sync.h"

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

static int post_access(struct vcpu_link *link, struct host_end *end, const wire_VcpuResponse *event,
                       uint16_t valid)
{
	const wire_VcpuResponse_Wait_Io *io = &event->message.wait.exit.io;
	valid |= page_registers_put_attached(end, io);
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
	uint16_t valid = vcpu && link->page_wanted ? page_registers_put_wanted(end, vcpu, link->page_wanted) : 0;
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
	page_registers_take(page_of(link), link->page_set, out_registers);
	uint16_t wanted = page_registers_wanted(link->page_next_wanted);
	if (wanted == link->page_wanted)
		return;
	link->page_wanted = wanted;
	if (vcpu)
		kvm_sync_want(vcpu, wanted);
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
