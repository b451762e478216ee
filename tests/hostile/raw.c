/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire by hand, and the way into each state.
 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a test waits for on a loaded machine. */
#define DEADLINE_S 20

struct vcpu vcpus[64];
int vcpu_count;
uint8_t *rom;
int rom_fd = -1;
unsigned long option;

/* ---- Bytes ---- */

struct bytes *bytes_new(void)
{
	static _Thread_local struct bytes ring[8];
	static _Thread_local unsigned next;
	struct bytes *bytes = &ring[next++ % 8];
	bytes->size = 0;
	return bytes;
}

void put_byte(struct bytes *bytes, uint8_t byte)
{
	if (bytes->size == sizeof(bytes->data))
		abort();
	bytes->data[bytes->size++] = byte;
}

void put_varint(struct bytes *bytes, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		put_byte(bytes, (uint8_t)(value | 0x80));
	put_byte(bytes, (uint8_t)value);
}

void put_number(struct bytes *bytes, unsigned field, uint64_t value)
{
	put_varint(bytes, (uint64_t)field << 3);
	put_varint(bytes, value);
}

void put_blob(struct bytes *bytes, unsigned field, const void *data, size_t size)
{
	put_varint(bytes, (uint64_t)field << 3 | 2);
	put_varint(bytes, size);
	for (size_t i = 0; i < size; i++)
		put_byte(bytes, ((const uint8_t *)data)[i]);
}

void put_member(struct bytes *bytes, unsigned field, const struct bytes *body)
{
	put_blob(bytes, field, body->data, body->size);
}

struct bytes *fields(size_t count, const uint64_t *values)
{
	struct bytes *body = bytes_new();
	for (size_t i = 0; i < count; i++)
		put_number(body, (unsigned)i + 1, values[i]);
	return body;
}

struct bytes *numbers(unsigned field, size_t count, const uint64_t *values)
{
	struct bytes *message = bytes_new();
	put_member(message, field, fields(count, values));
	return message;
}

struct bytes *empty_member(unsigned field)
{
	struct bytes *message = bytes_new();
	put_blob(message, field, "", 0);
	return message;
}

struct bytes *state_of(unsigned field, uint64_t set, size_t size)
{
	static const uint8_t zeros[65536];
	struct bytes *body = bytes_new(), *message = bytes_new();
	put_number(body, 1, set);
	put_blob(body, 2, zeros, size);
	put_member(message, field, body);
	return message;
}

/* ---- A connection ---- */

int send_packet(int socket, const void *data, size_t size, const int *fds, int fd_count)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int) * REPLY_FDS)];
	} control;
	struct iovec part = {.iov_base = (void *)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd_count > 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * (size_t)fd_count);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
	}
	ssize_t sent;
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? errno : 0;
}

static uint64_t take_varint(const uint8_t *data, size_t size, size_t *at)
{
	uint64_t value = 0;
	for (unsigned shift = 0; *at < size && shift < 64; shift += 7) {
		uint8_t byte = data[(*at)++];
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

/* The error of a response: field 1, zigzag. */
int error_of(const uint8_t *data, size_t size)
{
	size_t at = 0;
	if (size == 0 || take_varint(data, size, &at) != (1 << 3))
		return 0;
	return (int)(take_varint(data, size, &at) >> 1);
}

static bool await(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	if (poll(&poll_fd, 1, DEADLINE_S * 1000) > 0)
		return true;
	problem("nothing came on fd %d for %d s", fd, DEADLINE_S);
	return false;
}

int receive(int socket, struct reply *out_reply)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int) * REPLY_FDS)];
	} control;
	struct iovec part = {.iov_base = out_reply->data, .iov_len = sizeof(out_reply->data)};
	struct msghdr message = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	out_reply->fd_count = 0;
	if (!await(socket))
		return LOST;
	ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	if (size <= 0)
		return LOST;
	out_reply->size = (size_t)size;
	for (struct cmsghdr *part_of = CMSG_FIRSTHDR(&message); part_of;
	     part_of = CMSG_NXTHDR(&message, part_of)) {
		out_reply->fd_count = (int)((part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(out_reply->fds, CMSG_DATA(part_of), sizeof(int) * (size_t)out_reply->fd_count);
	}
	return error_of(out_reply->data, out_reply->size);
}

static struct reply *reply_buffer(void)
{
	static _Thread_local struct reply reply;
	return &reply;
}

int ask_fds(int socket, const struct bytes *request, const int *fds, int fd_count)
{
	struct reply *reply = reply_buffer();
	if (send_packet(socket, request->data, request->size, fds, fd_count) != 0)
		return LOST;
	int error = receive(socket, reply);
	for (int i = 0; i < reply->fd_count; i++)
		close(reply->fds[i]);
	return error;
}

int ask(int socket, const struct bytes *request)
{
	return ask_fds(socket, request, NULL, 0);
}

int ask_for_fds(int socket, const struct bytes *request, int count, int *out_fds)
{
	struct reply *reply = reply_buffer();
	expect(send_packet(socket, request->data, request->size, NULL, 0), 0, "a request for fds");
	expect(receive(socket, reply), 0, "the reply to a request for fds");
	expect(reply->fd_count, count, "fds of a reply");
	for (int i = 0; i < count; i++)
		out_fds[i] = i < reply->fd_count ? reply->fds[i] : -1;
	return out_fds[0];
}

int clone_connection(void)
{
	int fd;
	return ask_for_fds(MAIN, empty_member(NEW_CONNECTION), 1, &fd);
}

bool is_dropped(int socket)
{
	return receive(socket, reply_buffer()) == LOST;
}

int create_memory(int socket, uint32_t id, int fd, uint64_t offset, uint64_t start, uint64_t length, bool logged)
{
	struct bytes *memory = bytes_new(), *create = bytes_new(), *message = bytes_new();
	put_number(memory, 1, offset);
	put_number(memory, 2, start);
	put_number(memory, 3, length);
	put_number(memory, 5, logged);
	put_number(create, 1, id);
	put_member(create, 3, memory);
	put_member(message, CREATE, create);
	return ask_fds(socket, message, &fd, fd >= 0 ? 1 : 0);
}

int memfd(uint64_t size, bool sealed)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || (sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0))
		problem("a memfd of %llu bytes: %m", (unsigned long long)size);
	return fd;
}

/* ---- A vCPU ---- */

void vcpu_send(const struct vcpu *vcpu, const struct bytes *request)
{
	send_packet(vcpu->requests, request->data, request->size, NULL, 0);
}

int vcpu_receive(const struct vcpu *vcpu)
{
	struct reply *reply = reply_buffer();
	if (receive(vcpu->events, reply) == LOST)
		return LOST;
	size_t at = 0;
	uint64_t size = take_varint(reply->data, reply->size, &at);
	expect((int)size, (int)(reply->size - at), "the length of a frame");
	return error_of(reply->data + at, reply->size - at);
}

int vcpu_ask(const struct vcpu *vcpu, const struct bytes *request)
{
	vcpu_send(vcpu, request);
	return vcpu_receive(vcpu);
}

struct bytes *resume_with(size_t size)
{
	static const uint8_t zeros[65536];
	struct bytes *body = bytes_new(), *message = bytes_new();
	if (size > 0)
		put_blob(body, 1, zeros, size);
	put_member(message, RESUME, body);
	return message;
}

/* ---- States ---- */

void set_guest(const void *code, size_t size)
{
	memcpy(rom + ROM_SIZE - 16, code, size);
}

static void set_up(void)
{
	rom_fd = memfd(ROM_SIZE, true);
	rom = mmap(NULL, ROM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rom_fd, 0);
	expect(create_memory(MAIN, ROM_ID, rom_fd, 0, ROM_AT, ROM_SIZE, false), 0, "the guest's memory");
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 8), 0, "a range");
	struct reply *reply = reply_buffer();
	struct bytes *request = empty_member(GET_VCPUS);
	send_packet(MAIN, request->data, request->size, NULL, 0);
	expect(receive(MAIN, reply), 0, "the vCPUs");
	vcpu_count = reply->fd_count / 2;
	for (int i = 0; i < vcpu_count && i < 64; i++)
		vcpus[i] = (struct vcpu){.requests = reply->fds[2 * i], .events = reply->fds[2 * i + 1]};
}

void set_guest_of(enum state state)
{
	static const uint8_t out[] = {0xba, 0xf8, 0x03, 0xee, 0xeb, 0xfd}; /* mov dx, PORT; again: out dx, al */
	static const uint8_t in[] = {0xba, 0xf8, 0x03, 0xec, 0xeb, 0xfd};
	static const uint8_t spin[] = {0xeb, 0xfe};
	static const uint8_t halt[] = {0xfb, 0xf4, 0xeb, 0xfd}; /* sti; again: hlt */
	if (state == HELD_IN)
		set_guest(in, sizeof(in));
	else if (state == SPINNING)
		set_guest(spin, sizeof(spin));
	else if (state == HALTED)
		set_guest(halt, sizeof(halt));
	else
		set_guest(out, sizeof(out));
}

void enter(enum state state)
{
	if (state == BARE)
		return;
	set_up();
	set_guest_of(state);
	if (state == SET_UP)
		return;
	expect(ask(MAIN, empty_member(START)), 0, "start");
	for (int i = 0; i < vcpu_count; i++) {
		vcpu_send(&vcpus[i], empty_member(WAIT));
		expect(vcpu_receive(&vcpus[i]), 0, "INIT");
	}
	for (int i = 0; i < vcpu_count && state != AT_INIT; i++)
		vcpu_send(&vcpus[i], resume_with(0));
	if (state == HELD || state == HELD_IN)
		expect(vcpu_receive(&vcpus[0]), 0, "the guest's access");
}

/* ---- Means ---- */

static void *in_thread(void *run)
{
	((void (*)(void))run)();
	return NULL;
}

void start_thread(void (*run)(void))
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, in_thread, (void *)run);
	if (error)
		problem("a thread: %s", strerror(error));
}

uint32_t random_word(void)
{
	static _Thread_local uint32_t state = 2463534242u;
	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

/* ---- To the runner ---- */

static void say(const char *text)
{
	size_t size = strlen(text);
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, text, size);
		if (written < 0 && errno == EAGAIN) {
			struct pollfd poll_fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
			poll(&poll_fd, 1, -1);
		} else if (written < 0 && errno != EINTR) {
			return;
		}
		text += written > 0 ? written : 0;
		size -= written > 0 ? (size_t)written : 0;
	}
}

void mark(const char *text)
{
	char line[64], answer;
	snprintf(line, sizeof(line), "mark %s\n", text);
	say(line);
	struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
	poll(&poll_fd, 1, -1);
	if (read(STDIN_FILENO, &answer, 1) != 1)
		hang();
}

void problem(const char *format, ...)
{
	char text[400], line[420];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(line, sizeof(line), "problem: %s\n", text);
	say(line);
}

void expect(int got, int wanted, const char *what)
{
	if (got != wanted)
		problem("%s: %d (%s) instead of %d (%s)", what, got, got > 0 ? strerror(got) : "", wanted,
		        wanted > 0 ? strerror(wanted) : "");
}

void lives(void)
{
	expect(ASK(MAIN, CHECK_EXTENSION, 3), 0, "a request afterwards");
}

bool has_policy(void)
{
	return fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 16) < 0;
}

void hang(void)
{
	for (;;)
		poll(NULL, 0, -1);
}
