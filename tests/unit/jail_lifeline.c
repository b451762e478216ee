/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the host takes from a jail's init, which may have been taken over: messages that make no sense, fds that
 * nobody asked for, and more of them than one turn has time for.
 */
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/plan.h"
#include "jail/spawn.h"

static struct {
	int fds_before;
	int init; /* its end */
	struct jail_process process;
	int observed;
} rig;

static void observe(void *context, const struct plugvm_jail_call *call)
{
	assert_ptr_equal(context, &rig);
	assert_int_equal(call->number, 7);
	rig.observed++;
}

static int setup(void **state)
{
	(void)state;
	int ends[2];
	const int on = 1;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
	    setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -1;
	rig.init = ends[1];
	rig.process = (struct jail_process){.init_pidfd = -1,
	                                    .plugin_pidfd = -1,
	                                    .lifeline = ends[0],
	                                    .observe = observe,
	                                    .observe_context = &rig};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	jail_process_fini(&rig.process);
	fd_close(&rig.init);
	assert_int_equal(count_open_fds(), rig.fds_before);
	return 0;
}

#define MOST_FDS 4

/* Send `size` bytes of a message, with `count` fds (at most MOST_FDS). Returns false if there is no room. */
static bool say(const struct lifeline_message *message, size_t size, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control;
	memset(&control, 0, sizeof(control));
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[MOST_FDS] = {null, null, null, null};
	if (count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *item = CMSG_FIRSTHDR(&header);
		*item = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(item), fds, count * sizeof(fds[0]));
	}
	bool sent = sendmsg(rig.init, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
	fd_close(&null);
	return sent;
}

static void drain(size_t most)
{
	jail_process_drain(&rig.process, NULL, most);
}

static const struct lifeline_message observed = {.kind = LIFELINE_OBSERVED, .value = 7};

static void test_fds(void **state)
{
	(void)state;
	int before = count_open_fds();
	for (size_t count = 0; count <= MOST_FDS; count++) {
		assert_true(say(&observed, sizeof(observed), count));
		drain(10);
		assert_int_equal(count_open_fds(), before);
		assert_int_equal(rig.observed, (int)count + 1);
	}
}

/* Whoever says what is no message is not heard any more, and what came along is closed. */
static void test_no_message(void **state)
{
	static const size_t sizes[] = {0, 1, sizeof(observed) - 1, sizeof(observed) + 1};
	static const struct lifeline_message two[2] = {{.kind = LIFELINE_OBSERVED, .value = 7}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int before = count_open_fds();
		assert_true(say(two, sizes[i], 2));
		assert_true(say(&observed, sizeof(observed), 0));
		drain(10);
		assert_int_equal(rig.process.lifeline, -1);
		assert_int_equal(rig.observed, 0);
		assert_int_equal(count_open_fds(), before - 1);
		drain(10);
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
}

static void test_kinds(void **state)
{
	(void)state;
	for (uint32_t kind = 0; kind < 100; kind++) {
		struct lifeline_message message = {.kind = kind, .value = 7, .step = UINT32_MAX, .code = -1};
		assert_true(say(&message, sizeof(message), 1));
		drain(10);
	}
	assert_int_equal(rig.observed, 1);
	assert_true(rig.process.has_status);
	assert_true(rig.process.lifeline >= 0);
}

/* A turn has an end, also where more comes than it takes. */
static void test_bounded(void **state)
{
	(void)state;
	int sent = 0;
	while (say(&observed, sizeof(observed), 0))
		sent++;
	assert_true(sent > 20);
	drain(10);
	assert_int_equal(rig.observed, 10);
	drain(SIZE_MAX);
	assert_int_equal(rig.observed, sent);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_fds), TEST(test_no_message), TEST(test_kinds),
	                                   TEST(test_bounded)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
