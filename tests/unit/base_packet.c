/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks packets and the fds in them: sizes at the buffer's edge, every number of fds, truncation of either, a
 * process without fd numbers, and that no fd is ever lost.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/packet.h"
#include "base/sys.h"

struct rig {
	int fds_before;
	int pair[2];
	int event;
	uint8_t data[64];
	int fds[PACKET_FDS_MAX];
	struct sys real;
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.real = sys;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rig.pair), 0);
	rig.event = eventfd(0, EFD_CLOEXEC);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	sys = rig->real;
	fd_close_pair(rig->pair);
	fd_close(&rig->event);
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static struct packet packet_for(struct rig *rig, size_t fd_capacity)
{
	return (struct packet){
	    .data = rig->data, .capacity = sizeof(rig->data), .fds = rig->fds, .fd_capacity = fd_capacity};
}

static void send_fds(struct rig *rig, size_t size, size_t fd_count)
{
	static const uint8_t data[256] = {1, 2, 3};
	int fds[PACKET_FDS_MAX] = {0};
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = rig->event;
	assert_int_equal(packet_send(rig->pair[0], data, size, fds, fd_count, MSG_DONTWAIT), 0);
}

static void test_sizes(void **state)
{
	struct rig *rig = *state;
	static const size_t sizes[] = {1, 2, 63, 64, 65, 256};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_fds(rig, sizes[i], 0);
		struct packet packet = packet_for(rig, 1);
		assert_int_equal(packet_recv(rig->pair[1], &packet, MSG_DONTWAIT), 0);
		assert_int_equal(packet.size, sizes[i] < 64 ? sizes[i] : 64);
		assert_int_equal(packet.truncated, sizes[i] > 64);
		assert_false(packet.fds_truncated);
		packet_fini(&packet);
	}
	/* The rest of a packet that was too long is gone. */
	struct packet packet = packet_for(rig, 1);
	assert_int_equal(packet_recv(rig->pair[1], &packet, MSG_DONTWAIT), -EAGAIN);
}

static void test_every_fd_count(void **state)
{
	struct rig *rig = *state;
	static const size_t capacities[] = {0, 1, 2, 3, 32, PACKET_FDS_MAX};
	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		for (size_t count = 0; count <= PACKET_FDS_MAX; count += count < 40 ? 1 : 71) {
			int before = count_open_fds();
			send_fds(rig, 8, count);
			struct packet packet = packet_for(rig, capacities[c]);
			assert_int_equal(packet_recv(rig->pair[1], &packet, MSG_DONTWAIT), 0);
			size_t expected = count < capacities[c] ? count : capacities[c];
			assert_int_equal(packet.fd_count, expected);
			assert_int_equal(packet.fds_truncated, count > capacities[c]);
			assert_int_equal(count_open_fds(), before + (int)expected);
			for (size_t i = 0; i < expected; i++)
				assert_int_equal(fcntl(packet.fds[i], F_GETFD), FD_CLOEXEC);
			packet_fini(&packet);
			assert_int_equal(packet.fd_count, 0);
			assert_int_equal(count_open_fds(), before);
		}
	}
}

static void test_take(void **state)
{
	struct rig *rig = *state;
	send_fds(rig, 8, 3);
	struct packet packet = packet_for(rig, 3);
	assert_int_equal(packet_recv(rig->pair[1], &packet, 0), 0);
	int before = count_open_fds();
	int taken = packet_take_fd(&packet, 1);
	assert_int_equal(packet.fds[1], -1);
	packet_fini(&packet);
	assert_int_equal(count_open_fds(), before - 2);
	assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
	fd_close(&taken);
}

static void test_no_fd_numbers(void **state)
{
	struct rig *rig = *state;
	send_fds(rig, 8, 3);
	struct rlimit old, limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* Room for just one more. */
	int lowest = dup(rig->event);
	close(lowest);
	limit = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	struct packet packet = packet_for(rig, 3);
	int result = packet_recv(rig->pair[1], &packet, MSG_DONTWAIT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(result, 0);
	assert_int_equal(packet.fd_count, 1);
	assert_true(packet.fds_truncated);
	packet_fini(&packet);
}

static void test_end(void **state)
{
	struct rig *rig = *state;
	send_fds(rig, 1, 1);
	send_fds(rig, 0, 0);
	fd_close(&rig->pair[0]);
	struct packet packet = packet_for(rig, 1);
	assert_int_equal(packet_recv(rig->pair[1], &packet, 0), 0);
	assert_int_equal(packet.size, 1);
	packet_fini(&packet);
	/* The empty packet, and then the end itself. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(packet_recv(rig->pair[1], &packet, 0), 0);
		assert_int_equal(packet.size, 0);
		assert_int_equal(packet.fd_count, 0);
	}
	/* No signal, though nobody is there. */
	assert_int_equal(packet_send(rig->pair[1], "x", 1, NULL, 0, 0), -EPIPE);
}

static void test_fds_in_empty_packet(void **state)
{
	struct rig *rig = *state;
	send_fds(rig, 0, 2);
	struct packet packet = packet_for(rig, 3);
	assert_int_equal(packet_recv(rig->pair[1], &packet, MSG_DONTWAIT), 0);
	assert_int_equal(packet.size, 0);
	assert_int_equal(packet.fd_count, 2);
	packet_fini(&packet);
}

static void test_unread_fds(void **state)
{
	struct rig *rig = *state;
	/* An ordinary user may have as many on the way as RLIMIT_NOFILE says, which is often 1024. */
	for (int i = 0; i < 3; i++)
		send_fds(rig, 8, PACKET_FDS_MAX);
	/* Closing the receiving end drops what is under way; teardown counts. */
	fd_close(&rig->pair[1]);
}

static int interruptions;

static ssize_t interrupted_sendmsg(int socket, const struct msghdr *message, int flags)
{
	if (interruptions-- > 0) {
		errno = EINTR;
		return -1;
	}
	return sendmsg(socket, message, flags);
}

static void test_errors(void **state)
{
	struct rig *rig = *state;
	struct packet packet = packet_for(rig, 1);
	assert_int_equal(packet_recv(-1, &packet, 0), -EBADF);
	assert_int_equal(packet.fd_count, 0);
	assert_int_equal(packet_recv(rig->event, &packet, 0), -ENOTSOCK);
	assert_int_equal(packet_send(-1, "x", 1, NULL, 0, 0), -EBADF);
	int closed = -1;
	assert_int_equal(packet_send(rig->pair[0], "x", 1, &closed, 1, 0), -EBADF);

	interruptions = 3;
	sys.sendmsg = interrupted_sendmsg;
	assert_int_equal(packet_send(rig->pair[0], "x", 1, NULL, 0, 0), 0);
	assert_int_equal(packet_recv(rig->pair[1], &packet, MSG_DONTWAIT), 0);
	assert_int_equal(packet.size, 1);

	int result;
	do {
		result = packet_send(rig->pair[0], rig->data, sizeof(rig->data), NULL, 0, MSG_DONTWAIT);
	} while (result == 0);
	assert_int_equal(result, -EAGAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_sizes), TEST(test_every_fd_count),      TEST(test_take),       TEST(test_no_fd_numbers),
	    TEST(test_end),   TEST(test_fds_in_empty_packet), TEST(test_unread_fds), TEST(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
