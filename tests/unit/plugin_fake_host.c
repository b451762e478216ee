/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's side of the wire for the tests of the client library. Not a program: the plugin_*.c tests include
 * it. What the library will receive is put into the sockets and pipes before the call that reads it, and what
 * it sent is taken out afterwards, so that one thread plays both sides. Bytes are written out by hand where
 * they are short, so that a mistake of the codec does not hide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/packet.h"
#include "base/sys.h"
#include "crosvm.h"
#include "wire/codec.h"
#include "wire/limits.h"

/* Of one packet, and of a VM. */
#define FAKE_VCPUS_MAX (PACKET_FDS_MAX / 2)
#define FAKE_VM_VCPUS  (2 * LIMIT_VCPUS_PER_REPLY + 2)

/* Two arguments: bytes and their number. */
#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* The question that comes first, and the one that an original host gets then. */
#define REQUEST_FEATURES BYTES(0xc2, 0x0c, 0x00)
#define REQUEST_VCPUS    BYTES(0x8a, 0x01, 0x00)

/* A successful response to get_vcpus_from. */
#define REPLY_VCPUS_FROM BYTES(0xca, 0x0c, 0x00)

/* A successful response to get_vcpus, and the messages of a vCPU that have no content. */
#define REPLY_VCPUS  BYTES(0x92, 0x01, 0x00)
#define REQUEST_WAIT BYTES(0x0a, 0x00)
#define FRAME_INIT   BYTES(0x04, 0x12, 0x02, 0x0a, 0x00)

/* What a vCPU channel is made of: our host's sockets, the original's pipes. */
enum fake_kind { FAKE_SOCKETS, FAKE_PIPES };

struct fake {
	size_t fds_before;
	int socket;        /* the host's end of the main connection */
	int plugin_socket; /* the other end, until the library has it */
	size_t vcpu_count;
	int requests[FAKE_VM_VCPUS]; /* where the host reads, per vCPU */
	int events[FAKE_VM_VCPUS];   /* where the host writes */
	struct crosvm *plugin;
	struct sys real; /* the system calls before a test replaced any */
};

static inline size_t fake_count_fds(void)
{
	size_t count = 0;
	DIR *directory = opendir("/proc/self/fd");
	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline bool fake_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static inline void fake_set_env(int fd)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", fd);
	setenv("CROSVM_SOCKET", text, 1);
}

/* A main connection that nobody has taken over yet. */
static inline int fake_setup(void **state)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	assert_non_null(fake);
	fake->fds_before = fake_count_fds();
	fake->real = sys;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fake->socket = pair[0];
	fake->plugin_socket = pair[1];
	/* As a host leaves it to the plugin. */
	assert_int_equal(fcntl(fake->plugin_socket, F_SETFD, 0), 0);
	fake_set_env(fake->plugin_socket);
	*state = fake;
	return 0;
}

static inline void fake_close_vcpus(struct fake *fake)
{
	for (size_t i = 0; i < fake->vcpu_count; i++) {
		fd_close(&fake->requests[i]);
		fd_close(&fake->events[i]);
	}
	fake->vcpu_count = 0;
}

/* Every fd that the test saw must be closed again. */
static inline int fake_teardown(void **state)
{
	struct fake *fake = *state;
	sys = fake->real;
	unsetenv("CROSVM_SOCKET");
	if (fake->plugin)
		assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	fd_close(&fake->socket);
	fd_close(&fake->plugin_socket);
	fake_close_vcpus(fake);
	size_t before = fake->fds_before;
	free(fake);
	*state = NULL;
	assert_int_equal(fake_count_fds(), before);
	return 0;
}

/* Put a response with `fd_count` fds into a main connection. */
static inline void fake_reply_fds(int socket, const uint8_t *data, size_t size, const int *fds, size_t fd_count)
{
	assert_int_equal(packet_send(socket, data, size, fds, fd_count, MSG_DONTWAIT), 0);
}

static inline void fake_reply(int socket, const uint8_t *data, size_t size)
{
	fake_reply_fds(socket, data, size, NULL, 0);
}

/* A response that refuses with the number `error`, whatever it is, and has no member. */
static inline void fake_refuse(int socket, int32_t error)
{
	wire_MainResponse response = {.error = error};
	uint8_t data[16];
	ssize_t size = wire_encode_main_response(&response, data, sizeof(data));
	assert_true(size > 0);
	fake_reply(socket, data, (size_t)size);
}

/* Take a request out, which must be exactly these bytes; returns the fd that came along, or -1. */
static inline int fake_expect_with_fd(int socket, const uint8_t *data, size_t size)
{
	uint8_t buffer[LIMIT_REQUEST_BYTES];
	int fds[2];
	struct packet packet = {.data = buffer, .capacity = sizeof(buffer), .fds = fds, .fd_capacity = 2};
	assert_int_equal(packet_recv(socket, &packet, MSG_DONTWAIT), 0);
	assert_int_equal(packet.size, size);
	assert_memory_equal(packet.data, data, size);
	assert_true(packet.fd_count <= 1);
	return packet.fd_count == 1 ? packet_take_fd(&packet, 0) : -1;
}

/* Take a request that is too long to write out, without its fd; what it refers to is valid until the next. */
static inline wire_MainRequest fake_take(int socket, const struct wire_arena *elements)
{
	static uint8_t buffer[LIMIT_REQUEST_BYTES];
	int fds[1];
	struct packet packet = {.data = buffer, .capacity = sizeof(buffer), .fds = fds, .fd_capacity = 1};
	assert_int_equal(packet_recv(socket, &packet, MSG_DONTWAIT), 0);
	assert_false(packet.truncated);
	packet_fini(&packet);
	wire_MainRequest request;
	assert_int_equal(wire_decode_main_request(buffer, packet.size, elements, &request), 0);
	return request;
}

static inline void fake_expect(int socket, const uint8_t *data, size_t size)
{
	assert_int_equal(fake_expect_with_fd(socket, data, size), -1);
}

/* Nothing was sent. */
static inline void fake_expect_nothing(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
}

/* Make a vCPU's two directions; fds[] gets the plugin's ends in the order of the protocol. */
static inline void fake_make_vcpu(struct fake *fake, enum fake_kind kind, int fds[2])
{
	int requests[2], events[2];
	if (kind == FAKE_SOCKETS) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events), 0);
	} else {
		assert_int_equal(pipe2(requests, O_CLOEXEC), 0);
		assert_int_equal(pipe2(events, O_CLOEXEC), 0);
		/* As the original host does. */
		assert_true(fcntl(requests[1], F_SETPIPE_SZ, 256 << 10) > 0);
		assert_true(fcntl(events[1], F_SETPIPE_SZ, 256 << 10) > 0);
	}
	fds[0] = requests[1];
	fds[1] = events[0];
	fake->requests[fake->vcpu_count] = requests[0];
	fake->events[fake->vcpu_count] = events[1];
	fake->vcpu_count++;
}

/* Answer as a host of API 0.22, which has never heard of the question. */
static inline void fake_be_original(struct fake *fake)
{
	fake_refuse(fake->socket, ENOTTY);
}

/* Answer with these bytes and with `count` new vCPUs. */
static inline void fake_reply_new_vcpus(struct fake *fake, enum fake_kind kind, size_t count, const uint8_t *data,
                                        size_t size)
{
	int fds[2 * FAKE_VCPUS_MAX] = {0};
	for (size_t i = 0; i < count; i++)
		fake_make_vcpu(fake, kind, &fds[2 * i]);
	fake_reply_fds(fake->socket, data, size, fds, 2 * count);
	for (size_t i = 0; i < 2 * count; i++)
		fd_close(&fds[i]);
}

/* Answer get_vcpus with `count` new vCPUs. */
static inline void fake_reply_vcpus(struct fake *fake, enum fake_kind kind, size_t count)
{
	fake_reply_new_vcpus(fake, kind, count, REPLY_VCPUS);
}

/* Connect to a VM of `count` vCPUs on an original host. */
static inline void fake_connect(struct fake *fake, enum fake_kind kind, size_t count)
{
	fake_be_original(fake);
	fake_reply_vcpus(fake, kind, count);
	assert_int_equal(crosvm_connect(&fake->plugin), 0);
	fake->plugin_socket = -1;
	fake_expect(fake->socket, REQUEST_FEATURES);
	fake_expect(fake->socket, REQUEST_VCPUS);
}

/* What our host says of itself, unless the test changes it. */
static inline wire_MainResponse fake_features(uint32_t vcpu_count)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_features_tag};
	response.message.features = (wire_MainResponse_Features){
	    .version_minor = 2,
	    .features = 0xffff,
	    .vcpu_count = vcpu_count,
	    .irqchip = CROSVM_IRQCHIP_SPLIT,
	    .request_bytes = LIMIT_REQUEST_BYTES,
	};
	return response;
}

/* Put a response that is too long to write out into a main connection. */
static inline void fake_reply_message(int socket, const wire_MainResponse *response)
{
	static uint8_t data[LIMIT_RESPONSE_BYTES];
	ssize_t size = wire_encode_main_response(response, data, sizeof(data));
	assert_true(size >= 0);
	fake_reply(socket, data, (size_t)size);
}

/* Connect to a VM on a host that says this. */
static inline void fake_connect_to(struct fake *fake, enum fake_kind kind, const wire_MainResponse *features)
{
	uint32_t count = features->message.features.vcpu_count;
	fake_reply_message(fake->socket, features);
	for (uint32_t have = 0; have < count; have += LIMIT_VCPUS_PER_REPLY) {
		uint32_t rest = count - have;
		fake_reply_new_vcpus(fake, kind, rest < LIMIT_VCPUS_PER_REPLY ? rest : LIMIT_VCPUS_PER_REPLY,
		                     REPLY_VCPUS_FROM);
	}
	assert_int_equal(crosvm_connect(&fake->plugin), 0);
	fake->plugin_socket = -1;
	fake_expect(fake->socket, REQUEST_FEATURES);
	for (uint32_t have = 0; have < count; have += LIMIT_VCPUS_PER_REPLY) {
		wire_MainRequest request = fake_take(fake->socket, NULL);
		assert_int_equal(request.which_message, wire_MainRequest_get_vcpus_from_tag);
		assert_int_equal(request.message.get_vcpus_from.first, have);
	}
	fake_expect_nothing(fake->socket);
}

/* The same for our host as it is, with `count` vCPUs. */
static inline void fake_connect_ours(struct fake *fake, enum fake_kind kind, uint32_t count)
{
	wire_MainResponse features = fake_features(count);
	fake_connect_to(fake, kind, &features);
}

static inline struct crosvm_vcpu *fake_vcpu(struct fake *fake, uint32_t id)
{
	struct crosvm_vcpu *vcpu;
	assert_int_equal(crosvm_get_vcpu(fake->plugin, id, &vcpu), 0);
	return vcpu;
}

/* Put bytes into a vCPU channel: one packet, or one write. */
static inline void fake_write(struct fake *fake, size_t vcpu, const void *data, size_t size)
{
	assert_int_equal(write(fake->events[vcpu], data, size), size);
}

static inline void fake_send(struct fake *fake, size_t vcpu, const wire_VcpuResponse *response)
{
	uint8_t frame[WIRE_FRAME_HEADER_MAX + LIMIT_VCPU_RESPONSE_BYTES];
	uint8_t *body = frame + WIRE_FRAME_HEADER_MAX;
	ssize_t size = wire_encode_vcpu_response(response, body, LIMIT_VCPU_RESPONSE_BYTES);
	assert_true(size >= 0);
	uint8_t header[WIRE_FRAME_HEADER_MAX];
	size_t header_size = wire_frame_header((uint32_t)size, header);
	memcpy(body - header_size, header, header_size);
	fake_write(fake, vcpu, body - header_size, header_size + (size_t)size);
}

/* An I/O event; the caller fills in what it wants beyond the data. */
static inline wire_VcpuResponse fake_io(const void *data, size_t size)
{
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_wait_tag};
	response.message.wait.which_exit = wire_VcpuResponse_Wait_io_tag;
	response.message.wait.exit.io.data = (struct wire_bytes){data, size};
	return response;
}

/* A successful reply to a vCPU request without content, by its number from 100 on. */
static inline void fake_send_empty(struct fake *fake, size_t vcpu, pb_size_t member)
{
	wire_VcpuResponse response = {.which_message = member};
	fake_send(fake, vcpu, &response);
}

/* Take one vCPU request out as bytes; returns their number. */
static inline size_t fake_read(struct fake *fake, size_t vcpu, uint8_t buffer[static LIMIT_VCPU_REQUEST_BYTES])
{
	struct pollfd poller = {.fd = fake->requests[vcpu], .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 1);
	ssize_t size = read(fake->requests[vcpu], buffer, LIMIT_VCPU_REQUEST_BYTES);
	assert_true(size > 0);
	return (size_t)size;
}

/* The same, decoded; what it refers to is valid until the next. */
static inline wire_VcpuRequest fake_take_vcpu(struct fake *fake, size_t vcpu, const struct wire_arena *elements)
{
	static uint8_t buffer[LIMIT_VCPU_REQUEST_BYTES];
	size_t size = fake_read(fake, vcpu, buffer);
	wire_VcpuRequest request;
	assert_int_equal(wire_decode_vcpu_request(buffer, size, elements, &request), 0);
	return request;
}

static inline void fake_expect_vcpu(struct fake *fake, size_t vcpu, const uint8_t *data, size_t size)
{
	uint8_t buffer[LIMIT_VCPU_REQUEST_BYTES];
	assert_int_equal(fake_read(fake, vcpu, buffer), size);
	assert_memory_equal(buffer, data, size);
}

/* Bring a vCPU to its INIT event, nothing left in the channel. */
static inline void fake_init(struct fake *fake, size_t vcpu)
{
	struct crosvm_vcpu_event event;
	fake_write(fake, vcpu, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait(fake_vcpu(fake, (uint32_t)vcpu), &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INIT);
	fake_expect_vcpu(fake, vcpu, REQUEST_WAIT);
}

/* Bring a vCPU that is at INIT past it, nothing left in the channel. */
static inline void fake_resume(struct fake *fake, size_t vcpu)
{
	assert_int_equal(crosvm_vcpu_resume(fake_vcpu(fake, (uint32_t)vcpu)), 0);
	fake_expect_vcpu(fake, vcpu, BYTES(0x12, 0x00));
}
