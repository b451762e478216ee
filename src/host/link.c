/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of one vCPU channel.
 */
#include "host/link.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "base/sys.h"
#include "host/link_page.h"
#include "kvm/sync.h"
#include "wire/limits.h"

/* Requests that a plugin may have sent, against the rules, while its vCPU ran. More of them is an attack. */
#define STALE_REQUESTS_MAX 64

/* Memory for the elements of the largest request: a CPUID table. */
#define ELEMENTS_BYTES (LIMIT_CPUID_ENTRIES * sizeof(wire_CpuidEntry))

static const uint8_t zeros[LIMIT_ACCESS_BYTES];

int link_init(struct vcpu_link *link, uint32_t cpu, struct ranges *ranges, struct hints *hints,
              unsigned answer_timeout_ms, bool measure)
{
	memset(link, 0, sizeof(*link));
	link->cpu = cpu;
	link->ranges = ranges;
	link->hints = hints;
	link->answer_timeout_ms = answer_timeout_ms;
	link->requests = link->events = link->plugin_ends[0] = link->plugin_ends[1] = -1;
	atomic_init(&link->cut, false);
	atomic_init(&link->failed, 0);
	atomic_init(&link->pause_wanted, false);
	atomic_init(&link->pause_user, 0);
	atomic_init(&link->page, NULL);

	int pair[2];
	if (sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	link->requests = pair[0];
	link->plugin_ends[0] = pair[1];
	if (sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		goto fail;
	link->events = pair[0];
	link->plugin_ends[1] = pair[1];
	if (answer_timeout_ms > 0) {
		/* A plugin that does not read its replies makes send block: the same limit holds there. */
		struct timeval timeout = {.tv_sec = answer_timeout_ms / 1000,
		                          .tv_usec = (suseconds_t)(answer_timeout_ms % 1000) * 1000};
		if (setsockopt(link->events, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
			goto fail;
	}

	errno = ENOMEM;
	link->request = malloc(LIMIT_VCPU_REQUEST_BYTES);
	link->response = malloc(LINK_RESPONSE_BYTES);
	link->elements = (struct wire_arena){.memory = malloc(ELEMENTS_BYTES), .size = ELEMENTS_BYTES};
	if (!link->request || !link->response || !link->elements.memory || counts_init(&link->counts, measure) < 0)
		goto fail;
	return 0;
fail:;
	int code = errno;
	link_fini(link);
	return -code;
}

void link_fini(struct vcpu_link *link)
{
	fd_close(&link->requests);
	fd_close(&link->events);
	fd_close_pair(link->plugin_ends);
	free(link->request);
	free(link->response);
	free(link->elements.memory);
	link->request = link->response = link->elements.memory = NULL;
	counts_fini(&link->counts);
}

void link_cut(struct vcpu_link *link)
{
	/* The flag first: whoever is woken by the shutdown must find it set. */
	atomic_store(&link->cut, true);
	shutdown(link->requests, SHUT_RDWR);
	shutdown(link->events, SHUT_RDWR);
	if (atomic_load(&link->page))
		link_page_cut(link);
}

int link_check(const struct vcpu_link *link)
{
	/* Sequentially consistent, as the argument that no kick is lost needs it (exit_handle_error()). */
	if (atomic_load(&link->cut))
		return -ECANCELED;
	return atomic_load_explicit(&link->failed, memory_order_relaxed);
}

int link_fail(struct vcpu_link *link, int error, const char *format, ...)
{
	if (atomic_load(&link->cut))
		return -ECANCELED;
	atomic_store_explicit(&link->failed, error, memory_order_relaxed);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(link->fault, sizeof(link->fault), format, arguments);
	va_end(arguments);
	return error;
}

static int link_send(struct vcpu_link *link, const wire_VcpuResponse *response)
{
	ssize_t size = wire_encode_vcpu_response(response, link->response, LINK_RESPONSE_BYTES);
	assert(size >= 0); /* the host's own message, whose parts are bounded */
	uint8_t header[WIRE_FRAME_HEADER_MAX];
	struct iovec frame[] = {
	    {.iov_base = header, .iov_len = wire_frame_header((uint32_t)size, header)},
	    {.iov_base = link->response, .iov_len = (size_t)size},
	};
	struct msghdr message = {.msg_iov = frame, .msg_iovlen = 2};
	while (sys.sendmsg(link->events, &message, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return link_fail(link, -ETIMEDOUT, "the plugin did not read its replies for %u ms",
			                 link->answer_timeout_ms);
		if (errno != EPIPE && errno != ECONNRESET)
			return link_fail(link, -errno, "sending to the plugin failed: %s", error_name(errno));
		return link_fail(link, -EPIPE, "the plugin has closed the channel");
	}
	return 0;
}

static bool has_page(struct vcpu_link *link)
{
	return atomic_load_explicit(&link->page, memory_order_relaxed);
}

/* Post an event of `vcpu`, or the reply to a request. */
static int link_post(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse *event)
{
	return has_page(link) ? link_page_post(link, vcpu, event) : link_send(link, event);
}

static int link_reply(struct vcpu_link *link, const wire_VcpuResponse *response)
{
	return has_page(link) ? link_page_reply(link, response) : link_send(link, response);
}

static int link_reply_error(struct vcpu_link *link, int code)
{
	wire_VcpuResponse response = {.error = code};
	return link_reply(link, &response);
}

/* Wait for something to read until `deadline_ns` (0: not at all). */
static int await_request(struct vcpu_link *link, uint64_t deadline_ns)
{
	while (deadline_ns > 0) {
		uint64_t now = clock_ns();
		if (now >= deadline_ns)
			return link_fail(link, -ETIMEDOUT, "the plugin did not answer for %u ms",
			                 link->answer_timeout_ms);
		struct pollfd poll_fd = {.fd = link->requests, .events = POLLIN};
		uint64_t left_ms = (deadline_ns - now) / 1000000 + 1;
		if (poll(&poll_fd, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX) > 0)
			break;
	}
	return 0;
}

/* Returns 1 with a request, 0 if there is none now (with MSG_DONTWAIT only), or an error. */
static int link_receive(struct vcpu_link *link, uint64_t deadline_ns, int flags, wire_VcpuRequest *out_request)
{
	int result;
	/*
	 * Without room for fds the kernel closes those that come, and says so. They take no numbers then, and if it takes
	 * long the kick ends that.
	 */
	struct packet packet = {.data = link->request, .capacity = LIMIT_VCPU_REQUEST_BYTES};
	do {
		result = await_request(link, deadline_ns);
		if (result < 0)
			return result;
		result = packet_recv(link->requests, &packet, flags);
	} while (result == -EINTR);
	if (result == -EAGAIN && (flags & MSG_DONTWAIT))
		return 0;
	if (result < 0 && result != -ECONNRESET)
		return link_fail(link, result, "receiving from the plugin failed: %s", error_name(-result));
	if (packet.fds_truncated)
		return link_fail(link, -EPROTO, "a request came with file descriptors");
	if (result < 0 || packet.size == 0)
		return link_fail(link, -EPIPE, "the plugin has closed the channel");
	if (packet.truncated)
		return link_fail(link, -EPROTO, "a request is longer than %d bytes", LIMIT_VCPU_REQUEST_BYTES);
	if (wire_decode_vcpu_request(packet.data, packet.size, &link->elements, out_request) < 0)
		return link_fail(link, -EPROTO, "a request of %zu bytes does not decode", packet.size);
	if (out_request->which_message == wire_VcpuRequest_shutdown_tag)
		return link_fail(link, -EPROTO, "the plugin sent the host's own shutdown message");
	return 1;
}

/* Wait for the answer to an event, or a request before it. */
static int link_await(struct vcpu_link *link, uint64_t deadline_ns, wire_VcpuRequest *out_request)
{
	return has_page(link) ? link_page_await(link, deadline_ns, out_request)
	                      : link_receive(link, deadline_ns, 0, out_request);
}

static uint64_t answer_deadline(const struct vcpu_link *link)
{
	return link->answer_timeout_ms ? clock_ns() + link->answer_timeout_ms * UINT64_C(1000000) : 0;
}

/* Where the answer to an event goes. */
struct answer {
	uint8_t *data; /* NULL: the event wants none, and what comes is ignored */
	uint32_t size;
	struct hint_registers
	    *registers; /* where those that an access brings along are; NULL: the event has none */
};

/* Apply a resume. A negative errno means that nothing was applied. */
static int take_resume(struct vcpu_link *link, struct plugvm_vcpu *vcpu,
                       const wire_VcpuRequest_Resume *peer_resume, const struct answer *answer)
{
	struct vcpu_registers registers;
	int result = 0;
	if (has_page(link))
		link_page_take_registers(link, vcpu, &registers);
	else
		result = vcpu_state_unpack_registers(peer_resume, &registers);
	if (result == 0 && answer->data && peer_resume->data.size != answer->size)
		result = -EINVAL;
	if (result == 0 &&
	    (registers.has_regs || registers.has_sregs || registers.has_debugregs || registers.has_events))
		result = vcpu ? vcpu_state_set_registers(vcpu, &registers, has_page(link)) : -ENODEV;
	if (result == 0 && answer->data)
		memcpy(answer->data, peer_resume->data.data, answer->size);
	return result;
}

/* Send `event` and serve requests until it is resumed. Returns 0 or an error. */
static int link_serve(struct vcpu_link *link, struct plugvm_vcpu *vcpu, wire_VcpuResponse *event,
                      const struct answer *answer)
{
	uint64_t deadline_ns = answer_deadline(link);
	int result = link_post(link, vcpu, event);
	while (result == 0) {
		wire_VcpuRequest request = {.which_message = 0};
		struct vcpu_reply reply;
		result = link_await(link, deadline_ns, &request);
		if (result < 0)
			return result;
		switch (request.which_message) {
		case wire_VcpuRequest_resume_tag:
			result = take_resume(link, vcpu, &request.message.resume, answer);
			if (result == 0)
				return 0;
			/* Resume has no reply of its own: the same event again says what is wrong with it. */
			event->error = -result;
			if (answer->registers)
				hints_refresh(vcpu, &event->message.wait.exit.io, answer->registers);
			result = link_post(link, vcpu, event);
			break;
		case wire_VcpuRequest_wait_tag:
			result = link_reply_error(link, EPROTO);
			break;
		default:
			vcpu_request_serve(vcpu, &request, &reply);
			result = link_reply(link, &reply.message);
			if (reply.memory)
				free(reply.memory);
			break;
		}
	}
	return result;
}

/*
 * Refuse what the plugin sent while its vCPU was running, so that it does not pass for the answer to the event
 * that comes now.
 */
static int refuse_stale_requests(struct vcpu_link *link)
{
	wire_VcpuRequest request = {.which_message = 0};
	for (int i = 0; i < STALE_REQUESTS_MAX; i++) {
		int result = link_receive(link, 0, MSG_DONTWAIT, &request);
		if (result <= 0)
			return result;
		if (request.which_message == wire_VcpuRequest_resume_tag)
			return link_fail(link, -EPROTO, "the plugin resumed a vCPU that was running");
		int code = request.which_message == wire_VcpuRequest_wait_tag ? EPROTO
		           : request.which_message == 0                       ? ENOTTY
		                                                              : EBUSY;
		result = link_reply_error(link, code);
		if (result < 0)
			return result;
	}
	return link_fail(link, -EPROTO, "%d requests came while the vCPU was running", STALE_REQUESTS_MAX);
}

/* The packets of a plugin begin with a question for the first event. */
static int await_wait(struct vcpu_link *link)
{
	uint64_t deadline_ns = answer_deadline(link);
	for (;;) {
		wire_VcpuRequest request;
		int result = link_receive(link, deadline_ns, 0, &request);
		if (result < 0)
			return result;
		if (request.which_message == wire_VcpuRequest_wait_tag)
			return 0;
		result = link_reply_error(link, request.which_message == 0 ? ENOTTY : EPROTO);
		if (result < 0)
			return result;
	}
}

int link_deliver_init(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	int result = has_page(link) ? link_check(link) : await_wait(link);
	if (result < 0)
		return result;
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	event.message.wait.which_exit = wire_VcpuResponse_Wait_init_tag;
	struct answer none = {.data = NULL};
	return link_serve(link, vcpu, &event, &none);
}

/* Deliver an event of a vCPU that was running. */
static int link_deliver(struct vcpu_link *link, struct plugvm_vcpu *vcpu, wire_VcpuResponse *event,
                        const struct answer *answer)
{
	int result = link_check(link);
	if (result == 0 && !has_page(link))
		result = refuse_stale_requests(link);
	if (result == 0)
		result = link_serve(link, vcpu, event, answer);
	return result;
}

static void fill_io(wire_VcpuResponse *event, const struct guest_access *access)
{
	*event = (wire_VcpuResponse){.which_message = wire_VcpuResponse_wait_tag};
	event->message.wait.which_exit = wire_VcpuResponse_Wait_io_tag;
	wire_VcpuResponse_Wait_Io *io = &event->message.wait.exit.io;
	io->space = address_space_to_wire(access->space);
	io->address = access->address;
	io->is_write = access->is_write;
	io->data.data = access->is_write ? access->data : zeros;
	io->data.size = access->size;
}

static int deliver_claimed(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const struct guest_access *access)
{
	wire_VcpuResponse event;
	struct hint_registers registers;
	fill_io(&event, access);
	hints_attach(link->hints, link->cpu, vcpu, access->space, &event.message.wait.exit.io, &registers);
	struct answer answer = {
	    .data = access->is_write ? NULL : access->data, .size = access->size, .registers = &registers};
	return link_deliver(link, vcpu, &event, &answer);
}

/* A write that needs no answer. Waits only while the plugin has left so many of them that the channel is full. */
static int deliver_async(struct vcpu_link *link, const struct guest_access *access)
{
	if (has_page(link))
		return link_page_posted_write(link, access, answer_deadline(link));
	wire_VcpuResponse event;
	fill_io(&event, access);
	event.message.wait.exit.io.no_resume = true;
	return link_send(link, &event);
}

void link_request_pause(struct vcpu_link *link, uint64_t user)
{
	atomic_store(&link->pause_user, user);
	/* Pairs with the exchange in deliver_pause(). */
	atomic_store(&link->pause_wanted, true);
}

static int deliver_pause(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	/* The request first, its content afterwards: one that comes in between is delivered too, maybe twice. */
	if (!atomic_exchange(&link->pause_wanted, false))
		return 0;
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	event.message.wait.which_exit = wire_VcpuResponse_Wait_user_tag;
	event.message.wait.exit.user.user = atomic_load(&link->pause_user);
	struct answer none = {.data = NULL};
	return link_deliver(link, vcpu, &event, &none);
}

int link_pre_run(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	bool access_pending = link->access_pending;
	link->access_pending = false;
	int result = link_check(link);
	/* Sequentially consistent, as in link_check(): the kick was cleared before this look. */
	while (result == 0 && atomic_load(&link->pause_wanted)) {
		if (access_pending) {
			plugvm_vcpu_set_immediate_exit(vcpu, true);
			break;
		}
		result = deliver_pause(link, vcpu);
	}
	if (result == 0 && !access_pending)
		result = link_deliver_open_window(link, vcpu);
	/* An embedder may run its vCPU by a call of its own. */
	if (vcpu)
		kvm_sync_forget(vcpu);
	return result;
}

void link_post_run(struct vcpu_link *link)
{
	link->access_pending = true;
	if (has_page(link))
		link_page_prepare(link);
}

int link_deliver_hyperv_call(struct vcpu_link *link, struct plugvm_vcpu *vcpu, uint64_t input,
                             const uint64_t params[2], uint64_t *out_result)
{
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	event.message.wait.which_exit = wire_VcpuResponse_Wait_hyperv_call_tag;
	wire_VcpuResponse_Wait_HypervCall *call = &event.message.wait.exit.hyperv_call;
	call->input = input;
	call->params0 = params[0];
	call->params1 = params[1];
	struct answer answer = {.data = (uint8_t *)out_result, .size = sizeof(*out_result)};
	return link_deliver(link, vcpu, &event, &answer);
}

int link_deliver_hyperv_synic(struct vcpu_link *link, struct plugvm_vcpu *vcpu,
                              const wire_VcpuResponse_Wait_HypervSynic *synic)
{
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	event.message.wait.which_exit = wire_VcpuResponse_Wait_hyperv_synic_tag;
	event.message.wait.exit.hyperv_synic = *synic;
	struct answer none = {.data = NULL};
	return link_deliver(link, vcpu, &event, &none);
}

int link_deliver_event(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse_Event *event,
                       struct wire_event_answer *answer)
{
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_event_tag, .message.event = *event};
	struct answer wanted = {.data = (uint8_t *)answer, .size = answer ? sizeof(*answer) : 0};
	return link_deliver(link, vcpu, &response, &wanted);
}

int link_deliver_access(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const struct guest_access *access)
{
	assert(access->size <= LIMIT_ACCESS_BYTES);
	int result = link_check(link);
	if (result < 0)
		return result;

	uint64_t begin_ns = counts_now(&link->counts);
	struct range range;
	bool claimed = ranges_find(link->ranges, link->cpu, access->space, access->address, access->width, &range);
	if (claimed && range.async_write && !access->is_write)
		claimed = false;
	if (claimed) {
		result = range.async_write ? deliver_async(link, access) : deliver_claimed(link, vcpu, access);
		if (result < 0)
			return result;
	} else if (!access->is_write) {
		memset(access->data, 0, access->size);
	}
	counts_note(&link->counts, access->space, access->is_write, claimed ? &range : NULL, begin_ns);
	return claimed;
}
