/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that fds are closed once, that closing keeps errno, and the reserve below RLIMIT_NOFILE.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static int open_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_close(void **state)
{
	(void)state;
	int before = count_open_fds();
	int fd = open_null();
	int number = fd;
	errno = ENODATA;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(fcntl(number, F_GETFD), -1);
	errno = ENODATA;
	fd_close(&fd);
	assert_int_equal(errno, ENODATA);
	int bad = INT_MAX;
	fd_close(&bad);
	assert_int_equal(errno, ENODATA);
	assert_int_equal(count_open_fds(), before);
}

static void test_take(void **state)
{
	(void)state;
	int before = count_open_fds();
	{
		FD_AUTO fd = open_null();
		FD_AUTO kept = open_null();
		assert_int_equal(count_open_fds(), before + 2);
		int taken = fd_take(&fd);
		assert_int_equal(fd, -1);
		assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
		fd_close(&taken);
		(void)kept;
	}
	assert_int_equal(count_open_fds(), before);
}

static void test_pair(void **state)
{
	(void)state;
	int before = count_open_fds();
	int pair[2] = {open_null(), -1};
	fd_close_pair(pair);
	assert_int_equal(pair[0], -1);
	assert_int_equal(pair[1], -1);
	assert_int_equal(count_open_fds(), before);
}

static void test_reserve(void **state)
{
	(void)state;
	struct rlimit old, limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	bool last_good = fd_eats_reserve(83, 16);
	bool first_bad = fd_eats_reserve(84, 16);
	bool without = fd_eats_reserve(99, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_false(last_good);
	assert_true(first_bad);
	assert_false(without);
}

/* A TCP socket with unsent data that is told to linger: close(2) would wait for as long as its owner said. */
static int make_lingering_socket(int *out_peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*out_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*out_peer >= 0);
	close(listener);

	static const uint8_t data[65536];
	while (send(fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	const struct linger linger = {.l_onoff = 1, .l_linger = 5};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

static void test_foreign_does_not_linger(void **state)
{
	(void)state;
	int before = count_open_fds();
	int peer;
	int fd = make_lingering_socket(&peer);
	uint64_t begin_ns = clock_ns();
	fd_close_foreign(&fd);
	assert_true(clock_ns() - begin_ns < UINT64_C(2000000000));
	assert_int_equal(fd, -1);
	fd_close(&peer);
	/* What is no socket is closed all the same. */
	fd = open_null();
	fd_close_foreign(&fd);
	fd_close_foreign(&fd);
	assert_int_equal(count_open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_pair),
	    cmocka_unit_test(test_reserve),
	    cmocka_unit_test(test_foreign_does_not_linger),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
