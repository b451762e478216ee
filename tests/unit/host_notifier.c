/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the shutdown eventfd: written once however often it is asked for, and that a plugin that fills it can
 * keep nobody from going on.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "host/notifier.h"

static bool becomes_readable(int fd, int timeout_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	return poll(&poller, 1, timeout_ms) == 1;
}

static void test_fire(void **state)
{
	(void)state;
	int before = count_open_fds();
	struct notifier notifier;
	assert_int_equal(notifier_init(&notifier), 0);
	assert_int_equal(fcntl(notifier.target, F_GETFD), FD_CLOEXEC);
	/* Plugins block in read on it. */
	assert_false(fcntl(notifier.target, F_GETFL) & O_NONBLOCK);
	assert_false(becomes_readable(notifier.target, 0));
	for (int i = 0; i < 3; i++)
		notifier_fire(&notifier);
	assert_true(becomes_readable(notifier.target, 10000));
	uint64_t value;
	assert_int_equal(read(notifier.target, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
	notifier_fini(&notifier);
	notifier_fini(&notifier);
	assert_int_equal(count_open_fds(), before);
}

static void test_never_fired(void **state)
{
	(void)state;
	int before = count_open_fds();
	for (int i = 0; i < 50; i++) {
		struct notifier notifier;
		assert_int_equal(notifier_init(&notifier), 0);
		notifier_fini(&notifier);
	}
	assert_int_equal(count_open_fds(), before);
}

static void test_saturated(void **state)
{
	(void)state;
	int before = count_open_fds();
	for (int i = 0; i < 20; i++) {
		struct notifier notifier;
		assert_int_equal(notifier_init(&notifier), 0);
		uint64_t full = UINT64_MAX - 1;
		assert_int_equal(write(notifier.target, &full, sizeof(full)), sizeof(full));
		uint64_t begin = clock_ns();
		notifier_fire(&notifier);
		/* On odd rounds, when the thread has taken the order and is at its write. */
		while (i % 2 && becomes_readable(notifier.armed, 0))
			usleep(100);
		notifier_fire(&notifier);
		notifier_fini(&notifier);
		assert_true(clock_ns() - begin < UINT64_C(5000000000));
	}
	assert_int_equal(count_open_fds(), before);
}

static int eventfds_left;

static int limited_eventfd(unsigned int value, int flags)
{
	if (eventfds_left-- > 0)
		return eventfd(value, flags);
	errno = ENFILE;
	return -1;
}

static void test_no_eventfd(void **state)
{
	(void)state;
	int before = count_open_fds();
	struct sys real = sys;
	sys.eventfd = limited_eventfd;
	for (int left = 0; left < 2; left++) {
		struct notifier notifier;
		eventfds_left = left;
		assert_int_equal(notifier_init(&notifier), -ENFILE);
		notifier_fini(&notifier);
		assert_int_equal(count_open_fds(), before);
	}
	sys = real;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fire),
	    cmocka_unit_test(test_never_fired),
	    cmocka_unit_test(test_saturated),
	    cmocka_unit_test(test_no_eventfd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
