/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the host share.
 */
#include "rig.h"

#include <poll.h>
#include <string.h>
#include <sys/time.h>

/* ---- Main connections ---- */

static int on_start(void *context)
{
	struct session_rig *rig = context;
	rig->starts++;
	return rig->start_result;
}

static void on_kick(void *context, uint32_t cpu)
{
	struct session_rig *rig = context;
	(void)cpu;
	rig->kicks++;
}

static void on_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct session_rig *rig = context;
	(void)level;
	(void)line;
	rig->log_lines++;
}

void session_rig_init(struct session_rig *rig, uint32_t vcpu_count)
{
	memset(rig, 0, sizeof(*rig));
	rig->fds_before = count_open_fds();
	rig->real = sys;
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig->kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig->kvm, PLUGVM_IRQCHIP_KERNEL, &rig->vm, NULL), 0);
	rig->config = (struct plugvm_plugin_config){.size = sizeof(rig->config),
	                                            .vcpu_count = vcpu_count,
	                                            .start = on_start,
	                                            .kick = on_kick,
	                                            .log = on_log,
	                                            .context = rig};
	assert_int_equal(session_init(&rig->session, &rig->config, false, &rig->socket), 0);
}

void session_rig_fini(struct session_rig *rig)
{
	sys = rig->real;
	session_fini(&rig->session, rig->vm);
	fd_close(&rig->socket);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
}

int session_rig_setup(void **state)
{
	static struct session_rig rig;
	session_rig_init(&rig, 2);
	*state = &rig;
	return 0;
}

int session_rig_teardown(void **state)
{
	session_rig_fini(*state);
	return 0;
}

int rig_send(int socket, const wire_MainRequest *request, int fd, size_t fd_count)
{
	static uint8_t data[LIMIT_REQUEST_BYTES];
	int fds[PACKET_FDS_MAX];
	ssize_t size = wire_encode_main_request(request, data, sizeof(data));
	assert_true(size >= 0);
	/* A request that nobody knows; an empty packet would be the end. */
	static const uint8_t unknown[] = {0xba, 0x3e, 0x00};
	if (size == 0) {
		memcpy(data, unknown, sizeof(unknown));
		size = sizeof(unknown);
	}
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = fd;
	return packet_send(socket, data, (size_t)size, fds, fd_count, MSG_DONTWAIT);
}

void rig_receive(int socket, struct answer_packet *out_answer)
{
	struct packet packet = {.data = out_answer->data,
	                        .capacity = sizeof(out_answer->data),
	                        .fds = out_answer->fds,
	                        .fd_capacity = ANSWER_FDS_MAX};
	out_answer->fd_count = 0;
	out_answer->result = packet_recv(socket, &packet, MSG_DONTWAIT);
	if (out_answer->result < 0)
		return;
	out_answer->fd_count = packet.fd_count;
	if (packet.size == 0) {
		out_answer->result = -ECONNRESET;
		return;
	}
	const struct wire_arena elements = {out_answer->elements, sizeof(out_answer->elements)};
	assert_int_equal(wire_decode_main_response(packet.data, packet.size, &elements, &out_answer->message), 0);
	/* Success names the request that it belongs to, and no failure comes with anything. */
	if (out_answer->message.error) {
		assert_int_equal(out_answer->message.which_message, 0);
		assert_int_equal(packet.fd_count, 0);
	}
}

void rig_close_fds(struct answer_packet *answer)
{
	for (size_t i = 0; i < answer->fd_count; i++)
		fd_close(&answer->fds[i]);
	answer->fd_count = 0;
}

/* Of these one is in time. */
#define DISPATCHES_MAX 100

int rig_request(struct session_rig *rig, int socket, const wire_MainRequest *request, int fd, size_t fd_count)
{
	struct answer_packet answer;
	int result = rig_send(socket, request, fd, fd_count);
	if (result < 0)
		return result;
	/* A dispatch has a bounded time, which a loaded machine may have spent on others before it begins. */
	int tries = 0;
	do {
		session_dispatch(&rig->session, rig->vm);
		rig_receive(socket, &answer);
	} while (answer.result == -EAGAIN && ++tries < DISPATCHES_MAX);
	rig_close_fds(&answer);
	return answer.result < 0 ? answer.result : answer.message.error;
}

int rig_request_tag(struct session_rig *rig, pb_size_t tag)
{
	wire_MainRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = tag;
	return rig_request(rig, rig->socket, &request, -1, 0);
}

/* ---- A vCPU's channel ---- */

static void set_patience(int socket)
{
	struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
	assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
}

void link_rig_init(struct link_rig *rig, unsigned int answer_timeout_ms)
{
	uint32_t id;
	memset(rig, 0, sizeof(*rig));
	rig->fds_before = count_open_fds();
	rig->real = sys;
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig->kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig->kvm, PLUGVM_IRQCHIP_KERNEL, &rig->vm, NULL), 0);
	assert_int_equal(plugvm_vcpu_new(rig->vm, 0, &rig->vcpu, NULL), 0);
	rig->fake = fake_kvm_vcpu(0);
	assert_int_equal(ranges_init(&rig->ranges, 1), 0);
	assert_int_equal(ranges_reserve(&rig->ranges, ADDRESS_SPACE_PORT, 0x100, 0x100, false, &id), 0);
	assert_int_equal(ranges_reserve(&rig->ranges, ADDRESS_SPACE_MMIO, 0x1000, 0x1000, false, &id), 0);
	assert_int_equal(hints_init(&rig->hints, 1), 0);
	assert_int_equal(link_init(&rig->link, 0, &rig->ranges, &rig->hints, answer_timeout_ms, false), 0);
	rig->requests = fd_take(&rig->link.plugin_ends[0]);
	rig->events = fd_take(&rig->link.plugin_ends[1]);
	set_patience(rig->events);
}

void link_rig_fini(struct link_rig *rig)
{
	sys = rig->real;
	link_fini(&rig->link);
	fd_close(&rig->requests);
	fd_close(&rig->events);
	ranges_fini(&rig->ranges);
	hints_fini(&rig->hints);
	plugvm_vcpu_free(&rig->vcpu);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
}

int link_rig_setup(void **state)
{
	static struct link_rig rig;
	link_rig_init(&rig, 0);
	*state = &rig;
	return 0;
}

int link_rig_teardown(void **state)
{
	link_rig_fini(*state);
	return 0;
}

static void *deliver(void *argument)
{
	struct link_rig *rig = argument;
	switch (rig->step) {
	case LINK_INIT:
		rig->result = link_deliver_init(&rig->link, rig->vcpu);
		break;
	case LINK_ACCESS:
		rig->result = link_deliver_access(&rig->link, rig->vcpu, &rig->access);
		break;
	case LINK_PRE_RUN:
		rig->result = link_pre_run(&rig->link, rig->vcpu);
		break;
	}
	return NULL;
}

static void begin(struct link_rig *rig)
{
	assert_int_equal(pthread_create(&rig->thread, NULL, deliver, rig), 0);
}

void link_begin_init(struct link_rig *rig)
{
	rig->step = LINK_INIT;
	begin(rig);
}

void link_begin_access(struct link_rig *rig, enum address_space space, bool is_write, uint32_t size)
{
	rig->step = LINK_ACCESS;
	rig->access = (struct guest_access){.space = space,
	                                    .is_write = is_write,
	                                    .address = space == ADDRESS_SPACE_PORT ? 0x100 : 0x1000,
	                                    .width = 1,
	                                    .data = rig->data,
	                                    .size = size};
	begin(rig);
}

void link_begin_pre_run(struct link_rig *rig)
{
	rig->step = LINK_PRE_RUN;
	begin(rig);
}

int link_end(struct link_rig *rig)
{
	assert_int_equal(pthread_join(rig->thread, NULL), 0);
	return rig->result;
}

void link_put(struct link_rig *rig, const void *data, size_t size)
{
	assert_int_equal(packet_send(rig->requests, data, size, NULL, 0, MSG_DONTWAIT), 0);
}

void link_put_request(struct link_rig *rig, const wire_VcpuRequest *request)
{
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	ssize_t size = wire_encode_vcpu_request(request, data, sizeof(data));
	assert_true(size >= 0);
	static const uint8_t unknown[] = {0xba, 0x3e, 0x00};
	if (size == 0)
		link_put(rig, unknown, sizeof(unknown));
	else
		link_put(rig, data, (size_t)size);
}

void link_put_tag(struct link_rig *rig, pb_size_t tag)
{
	wire_VcpuRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = tag;
	link_put_request(rig, &request);
}

void link_resume(struct link_rig *rig, const void *data, size_t size)
{
	wire_VcpuRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = wire_VcpuRequest_resume_tag;
	request.message.resume.data = (struct wire_bytes){data, size};
	link_put_request(rig, &request);
}

bool link_take(struct link_rig *rig, struct link_frame *out_frame)
{
	struct packet packet = {.data = out_frame->bytes, .capacity = sizeof(out_frame->bytes)};
	int result = packet_recv(rig->events, &packet, 0);
	if (result == -ECONNRESET || (result == 0 && packet.size == 0))
		return false;
	assert_int_equal(result, 0);
	uint32_t size;
	ssize_t header = wire_frame_parse(packet.data, packet.size, &size);
	assert_true(header > 0);
	assert_int_equal(packet.size, (size_t)header + size);
	const struct wire_arena elements = {out_frame->elements, sizeof(out_frame->elements)};
	assert_int_equal(wire_decode_vcpu_response(packet.data + header, size, &elements, &out_frame->message), 0);
	return true;
}

static void expect(struct link_rig *rig, int code, pb_size_t which, pb_size_t exit)
{
	struct link_frame frame;
	assert_true(link_take(rig, &frame));
	assert_int_equal(frame.message.error, code);
	assert_int_equal(frame.message.which_message, which);
	if (exit)
		assert_int_equal(frame.message.message.wait.which_exit, exit);
}

void link_expect_error(struct link_rig *rig, int code)
{
	expect(rig, code, 0, 0);
}

void link_expect_init(struct link_rig *rig, int code)
{
	expect(rig, code, wire_VcpuResponse_wait_tag, wire_VcpuResponse_Wait_init_tag);
}

void link_expect_access(struct link_rig *rig, int code)
{
	expect(rig, code, wire_VcpuResponse_wait_tag, wire_VcpuResponse_Wait_io_tag);
}

void link_expect_paused(struct link_rig *rig, int code, uint64_t user)
{
	struct link_frame frame;
	assert_true(link_take(rig, &frame));
	assert_int_equal(frame.message.error, code);
	assert_int_equal(frame.message.which_message, wire_VcpuResponse_wait_tag);
	assert_int_equal(frame.message.message.wait.which_exit, wire_VcpuResponse_Wait_user_tag);
	assert_true(frame.message.message.wait.exit.user.user == user);
}

void link_expect_nothing(struct link_rig *rig)
{
	struct pollfd poller = {.fd = rig->events, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
}

void link_pass_init(struct link_rig *rig)
{
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
}

/* ---- Exits ---- */

int exit_rig_setup(void **state)
{
	static struct exit_rig rig;
	/* A wait for an answer that nobody gives fails, rather than hangs. */
	link_rig_init(&rig.link, PATIENCE_MS);
	rig.pv.link = &rig.link.link;
	rig.run = plugvm_vcpu_exit(rig.link.vcpu);
	memset(&rig.end, 0, sizeof(rig.end));
	*state = &rig;
	return 0;
}

int exit_rig_teardown(void **state)
{
	struct exit_rig *rig = *state;
	link_rig_fini(&rig->link);
	return 0;
}

enum exit_verdict exit_now(struct exit_rig *rig, uint32_t reason)
{
	rig->run->exit_reason = reason;
	memset(&rig->end, 0, sizeof(rig->end));
	return exit_handle(&rig->pv, rig->link.vcpu, &rig->end);
}

static void *handle_in_thread(void *argument)
{
	struct exit_rig *rig = argument;
	rig->verdict = exit_handle(&rig->pv, rig->link.vcpu, &rig->end);
	return NULL;
}

void exit_begin(struct exit_rig *rig, uint32_t reason)
{
	rig->run->exit_reason = reason;
	memset(&rig->end, 0, sizeof(rig->end));
	assert_int_equal(pthread_create(&rig->thread, NULL, handle_in_thread, rig), 0);
}

enum exit_verdict exit_end(struct exit_rig *rig)
{
	pthread_join(rig->thread, NULL);
	return rig->verdict;
}
