/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plugins for the tests of whole machines.
 */
#include "role.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/packet.h"
#include "rig.h"
#include "wire/codec.h"
#include "wire/limits.h"

#define MAIN_SOCKET 3
#define VCPUS_MAX   16

struct plugin {
	int shutdown;
	bool tells_end;
	int vcpu_fds[2 * VCPUS_MAX];
	size_t vcpu_count;
};

/* Exit statuses that no role has, for what must not happen. */
enum { BROKEN = 100 };

static int ask(pb_size_t tag, int *fds, size_t fd_capacity, size_t *out_fd_count)
{
	uint8_t data[256];
	wire_MainRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = tag;
	ssize_t size = wire_encode_main_request(&request, data, sizeof(data));
	struct packet packet = {.data = data, .capacity = sizeof(data), .fds = fds, .fd_capacity = fd_capacity};
	wire_MainResponse response;
	if (packet_send(MAIN_SOCKET, data, (size_t)size, NULL, 0, 0) < 0 ||
	    packet_recv(MAIN_SOCKET, &packet, 0) < 0 || packet.size == 0 ||
	    wire_decode_main_response(data, packet.size, NULL, &response) < 0)
		_exit(BROKEN);
	*out_fd_count = packet.fd_count;
	return response.error;
}

/* Ask why the VM ends, and say it; returns the error. */
static int tell_end(void)
{
	static const uint8_t request[] = {0x8a, 0x0d, 0x00};
	uint8_t data[512];
	struct packet packet = {.data = data, .capacity = sizeof(data)};
	wire_MainResponse response;
	if (packet_send(MAIN_SOCKET, request, sizeof(request), NULL, 0, 0) < 0 ||
	    packet_recv(MAIN_SOCKET, &packet, 0) < 0 || packet.size == 0 ||
	    wire_decode_main_response(data, packet.size, NULL, &response) < 0)
		_exit(BROKEN + 7);
	const wire_MainResponse_GetEnd *end = &response.message.get_end;
	if (response.error == 0)
		dprintf(STDERR_FILENO, "%u %d %d %.*s\n", end->reason, end->value, end->cpu, (int)end->text.size,
		        (const char *)end->text.data);
	return response.error;
}

static void put(int socket, const wire_VcpuRequest *request)
{
	static uint8_t data[2 * LIMIT_ACCESS_BYTES];
	ssize_t size = wire_encode_vcpu_request(request, data, sizeof(data));
	/* If the host has ended the channel, the next read says so. */
	packet_send(socket, data, (size_t)size, NULL, 0, 0);
}

static void put_tag(int socket, pb_size_t tag)
{
	wire_VcpuRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = tag;
	put(socket, &request);
}

/* Take a frame and resume from it, a read with as many bytes 0x5a as it has; false at the end of the channel. */
static bool answer(const int fds[2], bool only_init)
{
	static uint8_t frame[WIRE_FRAME_HEADER_MAX + LIMIT_VCPU_RESPONSE_BYTES], data[LIMIT_ACCESS_BYTES];
	ssize_t size = recv(fds[1], frame, sizeof(frame), 0);
	if (size <= 0)
		return false;
	uint32_t body;
	wire_VcpuResponse response;
	ssize_t header = wire_frame_parse(frame, (size_t)size, &body);
	if (header <= 0 || wire_decode_vcpu_response(frame + header, body, NULL, &response) < 0)
		_exit(BROKEN + 1);
	if (response.which_message != wire_VcpuResponse_wait_tag)
		return true; /* an event beyond API 0.22, which waits for ever */
	const wire_VcpuResponse_Wait *wait = &response.message.wait;
	bool is_io = wait->which_exit == wire_VcpuResponse_Wait_io_tag;
	if (is_io && only_init)
		return true;
	wire_VcpuRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = wire_VcpuRequest_resume_tag;
	memset(data, 0x5a, sizeof(data));
	if (is_io && !wait->exit.io.is_write)
		request.message.resume.data = (struct wire_bytes){data, wait->exit.io.data.size};
	put(fds[0], &request);
	return true;
}

static void serve(struct plugin *plugin, bool stubborn, bool only_init)
{
	struct pollfd fds[VCPUS_MAX + 1];
	fds[VCPUS_MAX] = (struct pollfd){.fd = stubborn ? -1 : plugin->shutdown, .events = POLLIN};
	for (size_t i = 0; i < VCPUS_MAX; i++)
		fds[i] = (struct pollfd){.fd = i < plugin->vcpu_count ? plugin->vcpu_fds[2 * i + 1] : -1,
		                         .events = POLLIN};
	for (size_t i = 0; i < plugin->vcpu_count; i++)
		put_tag(plugin->vcpu_fds[2 * i], wire_VcpuRequest_wait_tag);
	for (;;) {
		poll(fds, VCPUS_MAX + 1, -1);
		if (fds[VCPUS_MAX].revents)
			_exit(plugin->tells_end ? tell_end() : 0);
		for (size_t i = 0; i < plugin->vcpu_count; i++) {
			if (fds[i].revents && !answer(&plugin->vcpu_fds[2 * i], only_init))
				fds[i].fd = -1;
		}
	}
}

/* Answer one event of each vCPU, as it comes. */
static void answer_each(struct plugin *plugin)
{
	for (size_t i = 0; i < plugin->vcpu_count; i++) {
		if (!answer(&plugin->vcpu_fds[2 * i], false))
			_exit(BROKEN + 5);
	}
}

static void pass_init(struct plugin *plugin)
{
	for (size_t i = 0; i < plugin->vcpu_count; i++)
		put_tag(plugin->vcpu_fds[2 * i], wire_VcpuRequest_wait_tag);
	answer_each(plugin);
}

static void pause_twice(struct plugin *plugin)
{
	/* All there are, with the user 7; a vCPU runs, and gives no event but PAUSED. */
	static const uint8_t pause_all[] = {0x82, 0x01, 5, 0x08, 0xff, 0x01, 0x10, 7};
	uint8_t reply[16];
	pass_init(plugin);
	for (int i = 0; i < 2; i++) {
		if (send(MAIN_SOCKET, pause_all, sizeof(pause_all), MSG_NOSIGNAL) < 0 ||
		    recv(MAIN_SOCKET, reply, sizeof(reply), 0) != 3)
			_exit(BROKEN + 6);
		answer_each(plugin);
	}
	_exit(0);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void play(const char *role)
{
	struct plugin plugin;
	size_t count;
	if (strcmp(role, "close") == 0) {
		close(MAIN_SOCKET);
		wait_for_ever();
	}
	if (ask(wire_MainRequest_get_shutdown_eventfd_tag, &plugin.shutdown, 1, &count) || count != 1)
		_exit(BROKEN + 2);
	if (ask(wire_MainRequest_get_vcpus_tag, plugin.vcpu_fds, 2 * VCPUS_MAX, &count))
		_exit(BROKEN + 3);
	plugin.vcpu_count = count / 2;
	/* A range for the guest to touch: ports 0x100 to 0x10f. */
	static const uint8_t reserve[] = {0x52, 0x05, 0x10, 0x80, 0x02, 0x18, 0x10};
	static const uint8_t reserve_async[] = {0x52, 0x07, 0x10, 0x80, 0x02, 0x18, 0x10, 0x20, 1};
	bool is_deaf = strcmp(role, "deaf") == 0;
	uint8_t reply[16];
	if (send(MAIN_SOCKET, is_deaf ? reserve_async : reserve, is_deaf ? sizeof(reserve_async) : sizeof(reserve),
	         MSG_NOSIGNAL) < 0 ||
	    recv(MAIN_SOCKET, reply, 16, 0) <= 0)
		_exit(BROKEN + 4);
	plugin.tells_end = strcmp(role, "end") == 0;
	if (plugin.tells_end && tell_end() != EAGAIN)
		_exit(BROKEN + 8);
	int error = ask(wire_MainRequest_start_tag, NULL, 0, &count);
	for (int i = 0; i < 100 && strcmp(role, "insist") == 0; i++) {
		if (ask(wire_MainRequest_start_tag, NULL, 0, &count) != error)
			_exit(BROKEN + 5);
	}
	if (strcmp(role, "refused") == 0 || error)
		_exit(error);
	if (strcmp(role, "crash") == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		abort();
	}
	if (strcmp(role, "close-vcpus") == 0) {
		for (size_t i = 0; i < 2 * plugin.vcpu_count; i++)
			close(plugin.vcpu_fds[i]);
	}
	if (strcmp(role, "garbage") == 0)
		send(plugin.vcpu_fds[0], "\xff", 1, MSG_NOSIGNAL);
	if (is_deaf)
		pass_init(&plugin);
	if (strcmp(role, "pause") == 0)
		pause_twice(&plugin);
	if (strcmp(role, "no-resume") == 0)
		put_tag(plugin.vcpu_fds[0], wire_VcpuRequest_wait_tag);
	if (strcmp(role, "serve") == 0 || plugin.tells_end || strcmp(role, "stubborn") == 0 ||
	    strcmp(role, "no-answer") == 0)
		serve(&plugin, role[0] == 's' && role[1] == 't', role[0] == 'n');
	wait_for_ever();
}

static char own_path[4096];

void role_main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--role") == 0)
		play(argv[2]);
	ssize_t size = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
	if (size <= 0)
		exit(1);
}

const char *role_path(void)
{
	return own_path;
}

const char *const *role_argv(const char *role)
{
	static const char *argv[4];
	argv[0] = own_path;
	argv[1] = "--role";
	argv[2] = role;
	return argv;
}

struct plugvm_machine_config role_machine(const char *role, plugvm_log_fn *log, void *context)
{
	return (struct plugvm_machine_config){.size = sizeof(struct plugvm_machine_config),
	                                      .kvm_fd = -1,
	                                      .vcpu_count = 2,
	                                      .path = role_path(),
	                                      .argv = role_argv(role),
	                                      .stdin_fd = -1,
	                                      .stdout_fd = -1,
	                                      .die_with_thread = true,
	                                      .grace_ms = PATIENCE_MS,
	                                      .log = log,
	                                      .context = context};
}
