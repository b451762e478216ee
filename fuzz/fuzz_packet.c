/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_packet - packets with fds through a real socket: sent by the book and by hand, received with any room.
 *
 * Input: operations: a byte (OPERATION_..., FLAG_...), and then what it needs. The other end is a plain list of what was
 * sent, which says what has to arrive. The fds are memfds of different sizes, by which they are known again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/packet.h"
#include "fuzz.h"

#define OPERATION         0x03
#define OPERATION_SEND    0
#define OPERATION_BY_HAND 1 /* in two control messages, which the kernel joins */
#define OPERATION_RECEIVE 2
#define OPERATION_LOOK    3 /* packet_brings_more_fds() */
#define FLAG_MANY \
	0x04 /* of fds: what is sent or has room is all that a packet takes, less the count; twice at most */
#define FLAG_KEEP 0x08 /* take the first fd out of the packet, and close it otherwise */

#define QUEUE_MAX   8
#define DATA_MAX    64
#define KINDS       4
#define FDS_WATCHED 320

struct sent {
	struct wire_bytes data;
	size_t fd_count;
	uint8_t first_kind; /* fd i is of kind first_kind + i */
};

static int ends[2];
static int memfds[KINDS];
static struct sent queue[QUEUE_MAX];
static size_t queued;
static int many_left;

/*
 * Is none of ours left? The fuzzer itself opens some, now and then; but no memfd, and all that travels here is one. One
 * that is left has the lowest free number, mostly, so that is looked at each time, and at all of them now and then.
 */
static void check_fds(void)
{
	static int usual_lowest;
	static unsigned int turn;
	struct pollfd fds[FDS_WATCHED];
	size_t ours = 0;
	int lowest = dup(ends[0]);
	REQUIRE(lowest >= 0 && close(lowest) == 0);
	if (lowest == usual_lowest && turn++ % 64 != 0)
		return;
	usual_lowest = lowest;
	for (int i = 0; i < FDS_WATCHED; i++)
		fds[i] = (struct pollfd){.fd = i};
	REQUIRE(poll(fds, FDS_WATCHED, 0) >= 0);
	for (int i = 0; i < FDS_WATCHED; i++)
		ours += !(fds[i].revents & POLLNVAL) && fcntl(i, F_GET_SEALS) >= 0;
	REQUIRE(ours == KINDS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	for (int i = 0; i < KINDS; i++) {
		memfds[i] = memfd_create("fuzz", MFD_CLOEXEC);
		REQUIRE(memfds[i] >= 0 && ftruncate(memfds[i], i) == 0);
	}
	return 0;
}

static size_t take_fd_count(struct input *input, uint8_t operation)
{
	size_t count = input_byte(input) % 8;
	return operation & FLAG_MANY && many_left-- > 0 ? PACKET_FDS_MAX - count : count;
}

static struct wire_bytes take_data(struct input *input)
{
	size_t size = input_byte(input) % DATA_MAX;
	if (size > input->size)
		size = input->size;
	struct wire_bytes data = {.data = input->data, .size = size};
	input->data += size;
	input->size -= size;
	return data;
}

static void put_fds(struct cmsghdr *c, const int *fds, size_t count)
{
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

static void send_by_hand(struct wire_bytes data, const int *fds, size_t count)
{
	static _Alignas(struct cmsghdr)
	    uint8_t control[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int)) + CMSG_SPACE(0) + 8];
	size_t half = count / 2, rest = count - half;
	struct iovec io = {.iov_base = (void *)data.data, .iov_len = data.size};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control};
	message.msg_controllen = CMSG_SPACE(half * sizeof(int)) + CMSG_SPACE(rest * sizeof(int));
	memset(control, 0, message.msg_controllen);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	put_fds(c, fds, half);
	put_fds(CMSG_NXTHDR(&message, c), fds + half, rest);
	REQUIRE(sendmsg(ends[0], &message, MSG_DONTWAIT) == (ssize_t)data.size);
}

static void send_one(struct input *input, uint8_t operation)
{
	struct sent sent = {.fd_count = take_fd_count(input, operation), .first_kind = input_byte(input)};
	sent.data = take_data(input);
	if (queued == QUEUE_MAX)
		return;
	int fds[PACKET_FDS_MAX];
	for (size_t i = 0; i < sent.fd_count; i++)
		fds[i] = memfds[(sent.first_kind + i) % KINDS];
	if ((operation & OPERATION) == OPERATION_BY_HAND && sent.fd_count > 1)
		send_by_hand(sent.data, fds, sent.fd_count);
	else
		REQUIRE(packet_send(ends[0], sent.data.data, sent.data.size, fds, sent.fd_count, MSG_DONTWAIT) ==
		        0);
	queue[queued++] = sent;
}

static void check_fd(int fd, size_t kind)
{
	REQUIRE(lseek(fd, 0, SEEK_END) == (off_t)(kind % KINDS));
	REQUIRE(fcntl(fd, F_GETFD) == FD_CLOEXEC);
}

static void check_packet(const struct packet *packet, const struct sent *sent)
{
	bool is_long = sent->data.size > packet->capacity;
	REQUIRE(packet->truncated == is_long);
	REQUIRE(packet->size == (is_long ? packet->capacity : sent->data.size));
	if (packet->size > 0)
		REQUIRE(memcmp(packet->data, sent->data.data, packet->size) == 0);
	bool is_surplus = sent->fd_count > packet->fd_capacity;
	REQUIRE(packet->fds_truncated == is_surplus);
	REQUIRE(packet->fd_count == (is_surplus ? packet->fd_capacity : sent->fd_count));
	if (packet->fd_count == 0)
		return;
	check_fd(packet->fds[0], sent->first_kind);
	check_fd(packet->fds[packet->fd_count - 1], sent->first_kind + packet->fd_count - 1);
}

static void receive_one(size_t capacity, size_t fd_capacity, bool keep)
{
	uint8_t data[DATA_MAX];
	int fds[PACKET_FDS_MAX];
	struct packet packet = {.data = data, .capacity = capacity, .fds = fds, .fd_capacity = fd_capacity};
	int result = packet_recv(ends[1], &packet, MSG_DONTWAIT);
	if (queued == 0) {
		REQUIRE(result == -EAGAIN && packet.fd_count == 0);
		return;
	}
	REQUIRE(result == 0);
	check_packet(&packet, &queue[0]);
	if (keep && packet.fd_count > 0) {
		int taken = packet_take_fd(&packet, 0);
		packet_fini(&packet);
		check_fd(taken, queue[0].first_kind);
		close(taken);
	}
	packet_fini(&packet);
	REQUIRE(packet.fd_count == 0);
	memmove(queue, queue + 1, --queued * sizeof(queue[0]));
}

static void operate(struct input *input)
{
	uint8_t operation = input_byte(input);
	switch (operation & OPERATION) {
	case OPERATION_RECEIVE: {
		size_t fd_capacity = take_fd_count(input, operation);
		receive_one(input_byte(input) % DATA_MAX, fd_capacity, operation & FLAG_KEEP);
		break;
	}
	case OPERATION_LOOK: {
		/* Without one there is no room to look into. */
		size_t limit = take_fd_count(input, operation);
		limit += limit == 0;
		REQUIRE(packet_brings_more_fds(ends[1], limit) == (queued > 0 && queue[0].fd_count > limit));
		break;
	}
	default:
		send_one(input, operation);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	many_left = 2;
	for (int i = 0; i < 16 && input.size > 0; i++)
		operate(&input);
	while (queued > 0)
		receive_one(DATA_MAX, 0, false);
	check_fds();
	return 0;
}
