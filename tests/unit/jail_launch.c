/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what launch_start() says when something fails, before there is a child and in it; and that nothing is left but the
 * child, whom the caller reaps.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "jail/launch.h"

static char *argv[] = {"true", NULL}, *env[] = {NULL};

/* Start it and return what launch_start() says; a child there is must end by itself, with this code. */
static int start(struct launch *launch, int exit_code, struct launch_failure *out_failure)
{
	int before = count_open_fds();
	pid_t pid;
	int pidfd, status;
	memset(out_failure, 0, sizeof(*out_failure));
	int result = launch_start(launch, &pid, &pidfd, out_failure);
	if (exit_code < 0) {
		assert_true(pid < 0 && pidfd < 0);
	} else {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), exit_code);
		assert_int_equal(close(pidfd), 0);
	}
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return result;
}

static void test_fine(void **state)
{
	(void)state;
	struct plugvm_fd_map fds[] = {{-1, 0}, {-1, 200}};
	struct launch_failure failure;
	struct launch launch = {
	    .path = "/bin/true", .argv = argv, .env = env, .fds = fds, .fd_count = 2, .die_with_thread = true};
	assert_int_equal(start(&launch, 0, &failure), 0);
	launch.path = "/nowhere";
	launch.fds[0].fd = launch.fds[1].fd = -1;
	assert_int_equal(start(&launch, 127, &failure), -ENOENT);
	assert_string_equal(failure.step, "");
}

static int no_pipe(int fds[2], int flags)
{
	(void)fds;
	(void)flags;
	errno = EMFILE;
	return -1;
}

static pid_t no_fork(int *out_pidfd)
{
	(void)out_pidfd;
	errno = EAGAIN;
	return -1;
}

static void test_no_child(void **state)
{
	(void)state;
	const struct sys real = sys;
	struct launch_failure failure;
	struct launch launch = {.path = "/bin/true", .argv = argv, .env = env};
	sys.pipe2 = no_pipe;
	int result = start(&launch, -1, &failure);
	sys = real;
	assert_int_equal(result, -EMFILE);
	assert_string_equal(failure.step, "pipe");
	sys.fork_pidfd = no_fork;
	result = start(&launch, -1, &failure);
	sys = real;
	assert_int_equal(result, -EAGAIN);
	assert_string_equal(failure.step, "clone3");
	assert_int_equal(failure.code, EAGAIN);
}

static void test_wrong_fds(void **state)
{
	(void)state;
	struct {
		int fd, number, exec_fd;
		const char *path;
		int code;
	} cases[] = {
	    {-1, 1 << 30, -1, "/bin/true", EINVAL}, /* above every limit */
	    {1 << 20, 0, -1, "/bin/true", EBADF},
	    {-1, 0, -1, NULL, EBADF},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plugvm_fd_map fd = {cases[i].fd, cases[i].number};
		struct launch_failure failure;
		struct launch launch = {.path = cases[i].path,
		                        .exec_fd = cases[i].exec_fd,
		                        .argv = argv,
		                        .env = env,
		                        .fds = &fd,
		                        .fd_count = 1};
		assert_int_equal(start(&launch, 127, &failure), -cases[i].code);
		assert_string_equal(failure.step, "duplicating an fd");
		assert_int_equal(failure.code, cases[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fine),
	    cmocka_unit_test(test_no_child),
	    cmocka_unit_test(test_wrong_fds),
	};
	return cmocka_run_group_tests_name("jail_launch", tests, NULL, NULL);
}
