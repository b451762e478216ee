/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU channel: requests out, responses and events in. Runs in the plugin, on the thread that the vCPU
 * belongs to. The host may die at any moment or be an older one.
 */
#include "plugin/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/packet.h"
#include "base/sys.h"
#include "channel/plugin_end.h"
#include "plugin/channel_page.h"
#include "wire/limits.h"

#define FRAME_BYTES (WIRE_FRAME_HEADER_MAX + LIMIT_VCPU_RESPONSE_BYTES)

struct channel_buffers {
	uint8_t request[LIMIT_VCPU_REQUEST_BYTES];
	/* The frame that is waited for, and as much again of events that came before it. */
	uint8_t received[2 * FRAME_BYTES];
};

static int is_socket(int fd, bool *out_is_socket)
{
	struct stat status;
	if (sys.fstat(fd, &status) < 0)
		return -errno;
	*out_is_socket = S_ISSOCK(status.st_mode);
	return 0;
}

int channel_init(struct channel *channel, int fds[2])
{
	memset(channel, 0, sizeof(*channel));
	int error = is_socket(fds[0], &channel->write_is_socket);
	if (!error)
		error = is_socket(fds[1], &channel->read_is_socket);
	if (error)
		return error;
	/* Not calloc(): only the pages that a message ever reaches cost memory. */
	channel->buffers = malloc(sizeof(*channel->buffers));
	if (!channel->buffers)
		return -ENOMEM;
	channel->write_fd = fd_take(&fds[0]);
	channel->read_fd = fd_take(&fds[1]);
	return 0;
}

void channel_fini(struct channel *channel)
{
	channel_free_page(channel);
	fd_close(&channel->write_fd);
	fd_close(&channel->read_fd);
	free(channel->buffers);
	channel->buffers = NULL;
}

void channel_hang_up(struct channel *channel)
{
	shutdown(channel->write_fd, SHUT_RDWR);
	shutdown(channel->read_fd, SHUT_RDWR);
	channel_kick_page(channel);
}

int channel_break(struct channel *channel, int error)
{
	channel->broken = error == -EPIPE ? -ECONNRESET : error;
	return channel->broken;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);
		if (written < 0 && errno != EINTR)
			return -errno;
		if (written < 0)
			continue;
		data += written;
		size -= (size_t)written;
	}
	return 0;
}

/* A pipe has no MSG_NOSIGNAL, and what a program does about SIGPIPE is its own business. */
static int write_to_pipe(int fd, const uint8_t *data, size_t size)
{
	sigset_t sigpipe, before, pending;
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigemptyset(&pending);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
	/* One that was pending before is not ours to take. It can only be if it was blocked. */
	if (sigismember(&before, SIGPIPE) == 1)
		sigpending(&pending);
	int error = write_all(fd, data, size);
	if (error == -EPIPE && sigismember(&pending, SIGPIPE) == 0) {
		const struct timespec at_once = {0};
		while (sigtimedwait(&sigpipe, NULL, &at_once) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int channel_send(struct channel *channel, const wire_VcpuRequest *request)
{
	if (channel->broken)
		return channel->broken;
	uint8_t *data = channel->buffers->request;
	ssize_t size = wire_encode_vcpu_request(request, data, LIMIT_VCPU_REQUEST_BYTES);
	if (size < 0)
		return -E2BIG;
	if (channel->page) {
		plugin_end_request(channel->page, data, (uint32_t)size);
		return 0;
	}
	int error = channel->write_is_socket ? packet_send(channel->write_fd, data, (size_t)size, NULL, 0, 0)
	                                     : write_to_pipe(channel->write_fd, data, (size_t)size);
	return error ? channel_break(channel, error) : 0;
}

/* Return the number of bytes, 0 at the end, or -errno. */
static ssize_t receive_packet(int socket, uint8_t *buffer, size_t room)
{
	/* Without room for fds the kernel closes those that come, and says so. */
	struct packet packet = {.data = buffer, .capacity = room};
	int error = packet_recv(socket, &packet, 0);
	if (error)
		return error;
	return packet.truncated || packet.fds_truncated ? -EPROTO : (ssize_t)packet.size;
}

static ssize_t read_from_pipe(int fd, uint8_t *buffer, size_t room)
{
	ssize_t size = read(fd, buffer, room);
	return size < 0 ? -errno : size;
}

/* What is left until the deadline; nothing if it has passed. */
static struct timespec time_left(const struct timespec *deadline)
{
	struct timespec now, left = {0};
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > deadline->tv_sec || (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec))
		return left;
	left.tv_sec = deadline->tv_sec - now.tv_sec;
	left.tv_nsec = deadline->tv_nsec - now.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000;
	}
	return left;
}

/* Wait until there is something to read, or the end of it. */
static int await_input(const struct channel *channel, const struct timespec *deadline)
{
	struct pollfd poller = {.fd = channel->read_fd, .events = POLLIN};
	int count;
	do {
		struct timespec left = time_left(deadline);
		count = ppoll(&poller, 1, &left, NULL);
	} while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	return count == 0 ? -EAGAIN : 0;
}

static int receive_more(struct channel *channel, const struct timespec *deadline)
{
	uint8_t *end = channel->buffers->received + channel->used;
	size_t room = sizeof(channel->buffers->received) - channel->used;
	if (room == 0)
		return channel_break(channel, -EPROTO);
	int error = deadline ? await_input(channel, deadline) : 0;
	if (error)
		return error;
	ssize_t size;
	do {
		size = channel->read_is_socket ? receive_packet(channel->read_fd, end, room)
		                               : read_from_pipe(channel->read_fd, end, room);
	} while (size == -EINTR);
	if (size <= 0)
		return channel_break(channel, size == 0 ? -ECONNRESET : (int)size);
	channel->used += (size_t)size;
	return 0;
}

/* Find the frame that begins at `at`. -EAGAIN: it is not all there yet. */
static int find_frame(const struct channel *channel, size_t at, struct wire_bytes *out_body)
{
	const uint8_t *data = channel->buffers->received + at;
	size_t size = channel->used - at;
	uint32_t body_size;
	ssize_t header_size = wire_frame_parse(data, size, &body_size);
	if (header_size < 0 || (header_size > 0 && body_size > LIMIT_VCPU_RESPONSE_BYTES))
		return -EPROTO;
	if (header_size == 0 || size - (size_t)header_size < body_size)
		return -EAGAIN;
	out_body->data = data + header_size;
	out_body->size = body_size;
	return 0;
}

/* Wait until the frame that begins at `at` is there. */
static int complete_frame(struct channel *channel, size_t at, const struct timespec *deadline,
                          struct wire_bytes *out_body)
{
	for (;;) {
		int error = find_frame(channel, at, out_body);
		if (error == -EPROTO)
			return channel_break(channel, error);
		if (!error)
			return 0;
		error = receive_more(channel, deadline);
		if (error)
			return error;
	}
}

static void remove_taken(struct channel *channel)
{
	uint8_t *taken = channel->buffers->received + channel->taken_at;
	size_t rest = channel->used - channel->taken_at - channel->taken_size;
	memmove(taken, taken + channel->taken_size, rest);
	channel->used -= channel->taken_size;
	channel->taken_at = 0;
	channel->taken_size = 0;
}

static int take_message(struct channel *channel, bool want_reply, const struct timespec *deadline,
                        const struct wire_arena *elements, wire_VcpuResponse *out_response)
{
	if (channel->broken)
		return channel->broken;
	remove_taken(channel);
	for (size_t at = 0;;) {
		struct wire_bytes body = {NULL, 0};
		int error = complete_frame(channel, at, deadline, &body);
		if (error)
			return error;
		if (wire_decode_vcpu_response(body.data, body.size, elements, out_response) < 0)
			return channel_break(channel, -EPROTO);
		size_t end = (size_t)(body.data - channel->buffers->received) + body.size;
		if (!want_reply || !channel_is_event(out_response)) {
			channel->taken_at = at;
			channel->taken_size = end - at;
			return 0;
		}
		at = end;
	}
}

int channel_next(struct channel *channel, const struct timespec *deadline, const struct wire_arena *elements,
                 wire_VcpuResponse *out_response)
{
	return take_message(channel, false, deadline, elements, out_response);
}

int channel_next_reply(struct channel *channel, const struct wire_arena *elements, wire_VcpuResponse *out_response)
{
	if (channel->page)
		return channel_page_reply(channel, elements, out_response);
	return take_message(channel, true, NULL, elements, out_response);
}

bool channel_is_ready(const struct channel *channel)
{
	if (channel->broken)
		return true;
	/* What stands before a frame that was handed out are whole events. */
	size_t first = channel->taken_at > 0 ? 0 : channel->taken_size;
	struct wire_bytes body;
	return find_frame(channel, first, &body) != -EAGAIN;
}
