/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start a program with exactly these fds, signals and environment.
 */
#include "jail/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

__attribute__((noreturn)) static void child_fail(const struct launch *launch, const char *step)
{
	struct launch_failure failure = {.code = errno};
	for (size_t i = 0; i + 1 < sizeof(failure.step) && step[i]; i++)
		failure.step[i] = step[i];
	ssize_t ignored = write(launch->report, &failure, sizeof(failure));
	(void)ignored;
	_exit(127);
}

static void child_reset_signals(void)
{
	struct sigaction action;
	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL); /* refused for SIGKILL, SIGSTOP and the C library's own two */
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Bring every fd to its number: first all of them above the numbers in question, so that none is overwritten before it
 * was copied, then down. The rest closes at exec.
 */
static void child_arrange_fds(struct launch *launch)
{
	int above = 0;
	for (size_t i = 0; i < launch->fd_count; i++)
		above = launch->fds[i].number >= above ? launch->fds[i].number + 1 : above;

	int report = fcntl(launch->report, F_DUPFD_CLOEXEC, above);
	if (report < 0)
		child_fail(launch, "duplicating an fd");
	launch->report = report;
	if (!launch->path)
		launch->exec_fd = fcntl(launch->exec_fd, F_DUPFD_CLOEXEC, above);
	if (!launch->path && launch->exec_fd < 0)
		child_fail(launch, "duplicating an fd");
	for (size_t i = 0; i < launch->fd_count; i++) {
		int source = launch->fds[i].fd;
		if (source < 0)
			source = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (source < 0)
			child_fail(launch, "opening /dev/null");
		launch->fds[i].fd = fcntl(source, F_DUPFD_CLOEXEC, above);
		if (launch->fds[i].fd < 0)
			child_fail(launch, "duplicating an fd");
	}
	if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(launch, "close_range (Linux 5.11 or later is needed)");
	for (size_t i = 0; i < launch->fd_count; i++) {
		if (dup2(launch->fds[i].fd, launch->fds[i].number) < 0)
			child_fail(launch, "bringing an fd to its number");
	}
}

__attribute__((noreturn)) static void child_main(struct launch *launch)
{
	/* A session of its own: no signal to our group reaches the plugin, none of its to its group reaches us. */
	setsid();
	child_reset_signals();
	if (launch->die_with_thread) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			child_fail(launch, "prctl(PR_SET_PDEATHSIG)");
		if (getppid() != launch->parent)
			_exit(127); /* it ended before the line above took effect */
	}
	child_arrange_fds(launch);
	if (launch->path)
		execve(launch->path, launch->argv, launch->env);
	else
		execveat(launch->exec_fd, "", launch->argv, launch->env, AT_EMPTY_PATH);
	child_fail(launch, "");
}

static int fail_before_fork(struct launch_failure *failure, const char *step)
{
	failure->code = errno;
	snprintf(failure->step, sizeof(failure->step), "%s", step);
	return -failure->code;
}

/* Read what the child says; an exec that works closes the pipe without a word. */
static int await_exec(int report, struct launch_failure *failure)
{
	ssize_t size;
	do {
		size = read(report, failure, sizeof(*failure));
	} while (size < 0 && errno == EINTR);
	if (size == 0)
		return 0;
	if (size != (ssize_t)sizeof(*failure))
		*failure = (struct launch_failure){.code = EPIPE, .step = "reading what the child says"};
	failure->step[sizeof(failure->step) - 1] = '\0';
	return -failure->code;
}

int launch_start(struct launch *launch, pid_t *out_pid, int *out_pidfd, struct launch_failure *out_failure)
{
	*out_pid = -1;
	*out_pidfd = -1;
	int pipe_fds[2];
	if (sys.pipe2(pipe_fds, O_CLOEXEC) < 0)
		return fail_before_fork(out_failure, "pipe");
	FD_AUTO report_read = pipe_fds[0];
	FD_AUTO report_write = pipe_fds[1];
	launch->report = report_write;
	launch->parent = getpid();

	/* No handler of ours may run in the child before it has reset them. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = sys.fork_pidfd(out_pidfd);
	if (pid == 0)
		child_main(launch);
	int fork_errno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0) {
		errno = fork_errno;
		return fail_before_fork(out_failure, "clone3");
	}
	*out_pid = pid;
	fd_close(&report_write);
	return await_exec(report_read, out_failure);
}
