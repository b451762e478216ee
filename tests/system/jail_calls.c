/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that makes the system calls whose numbers it is given, the rest of them after "fork" in a child, and exits with
 * the last one's errno. Built plain: under a filter of the tests' choice a sanitizer would make calls of its own.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Can a process be made in a new user namespace? Returns an errno, or 0. */
static int make_namespace(bool by_clone3)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long child = by_clone3 ? syscall(SYS_clone3, &args, sizeof(args))
	                       : syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
	if (child == 0)
		_exit(0);
	return child < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
	int status = 0;
	for (char **words = argv + (argc > 0); *words; words++) {
		if (strcmp(*words, "namespace") == 0 || strcmp(*words, "namespace3") == 0)
			status = make_namespace((*words)[9]);
		pid_t child = strcmp(*words, "fork") == 0 ? fork() : 0;
		if (child > 0)
			return waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? WTERMSIG(status) : 99;
		if (**words >= '0' && **words <= '9')
			status = syscall(strtol(*words, NULL, 0), 11L, 22L, 33L, 44L, 55L, 66L) < 0 ? errno : 0;
	}
	return status;
}
