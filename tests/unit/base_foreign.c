/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that no fd of a peer's makes its closer wait.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/foreign.h"
#include "base/log.h"
#include "slow_fd.h"

/* Far more than FOREIGN_PATIENCE_MS, far less than the minute. */
#define SOON_NS UINT64_C(10000000000)

static void expect_soon(int *fds, size_t count)
{
	uint64_t begin_ns = clock_ns();
	errno = ENODATA;
	foreign_close(fds, count);
	assert_int_equal(errno, ENODATA);
	assert_true(clock_ns() - begin_ns < SOON_NS);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(fds[i], -1);
}

static void test_quick(void **state)
{
	(void)state;
	int before = count_open_fds();
	int fds[] = {-1, open("/dev/null", O_RDWR | O_CLOEXEC), memfd_create("m", MFD_CLOEXEC),
	             open("/dev/null", O_RDWR | O_CLOEXEC), -1};
	assert_int_equal(count_open_fds(), before + 3);
	expect_soon(fds, 5);
	assert_int_equal(count_open_fds(), before);
	expect_soon(fds, 5);
	expect_soon(NULL, 0);
}

static void test_lingering(void **state)
{
	(void)state;
	int before = count_open_fds();
	int peer;
	int fd = make_slow_fd(&peer);
	expect_soon(&fd, 1);
	fd_close(&peer);
	assert_int_equal(count_open_fds(), before);
}

/* What counts is not what the fd is, but what goes with it. */
static void test_nested(void **state)
{
	(void)state;
	int before = count_open_fds();
	int peer, pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	send_slow_fd(pair[0], 1, make_slow_fd(&peer));
	fd_close(&pair[0]);
	expect_soon(&pair[1], 1);
	fd_close(&peer);
	assert_int_equal(count_open_fds(), before);
}

/* An attacker may have so many hanging threads and no more. They end with what they wait for. */
static void test_many(void **state)
{
	(void)state;
	int before = count_open_fds();
	int peers[FOREIGN_THREADS_MAX + 2], fds[FOREIGN_THREADS_MAX + 2];
	for (int i = 0; i < FOREIGN_THREADS_MAX + 2; i++) {
		fds[i] = make_slow_fd(&peers[i]);
		int fd = fds[i];
		expect_soon(&fd, 1);
	}
	/* The last one of all has no thread. */
	assert_true(fcntl(fds[FOREIGN_THREADS_MAX + 1], F_GETFD) >= 0);
	for (int i = 0; i < FOREIGN_THREADS_MAX + 2; i++)
		fd_close(&peers[i]);
	for (int i = FOREIGN_THREADS_MAX - 2; i < FOREIGN_THREADS_MAX + 2; i++) {
		if (fcntl(fds[i], F_GETFD) >= 0)
			close(fds[i]);
	}
	/* There are threads again. */
	int fd;
	uint64_t end_ns = clock_ns() + SOON_NS;
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		foreign_close(&(int){fd}, 1);
	} while (fcntl(fd, F_GETFD) >= 0 && close(fd) == 0 && clock_ns() < end_ns);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(count_open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_quick),
	    cmocka_unit_test(test_lingering),
	    cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
