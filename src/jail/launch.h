/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start a program with exactly these fds, signals and environment, from a process that may have any number of threads.
 * One thread.
 */
#ifndef PLUGVM_JAIL_LAUNCH_H
#define PLUGVM_JAIL_LAUNCH_H

#include "plugvm.h"

/* Everything that the child needs, made before the fork: after it only async-signal-safe calls are legal. */
struct launch {
	const char *path; /* NULL: exec_fd */
	int exec_fd;
	char **argv;
	char **env;
	struct plugvm_fd_map *fds; /* all that it gets, stdio too; an fd of -1 means /dev/null */
	size_t fd_count;
	bool die_with_thread; /* kill it when the calling thread ends */

	int report; /* launch_start()'s own */
	pid_t parent;
};

/* What failed in the child. */
struct launch_failure {
	int code;      /* positive errno */
	char step[44]; /* "": the exec itself */
};

/*
 * Fork and execute, in a session of its own with a clean signal state. Returns 0 when it has been executed for sure.
 * On failure -errno with *out_failure filled; *out_pid and *out_pidfd are -1 if there was no fork, else they are a
 * child that has ended or soon will.
 */
int launch_start(struct launch *launch, pid_t *out_pid, int *out_pidfd, struct launch_failure *out_failure);

#endif
