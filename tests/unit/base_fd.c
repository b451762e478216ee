/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that fds are closed once, that closing keeps errno, and the reserve below RLIMIT_NOFILE.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_pair),
	    cmocka_unit_test(test_reserve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
