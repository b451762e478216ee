/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The helper that carries out a jail's plan: a program of its own, static, without a C library, one thread.
 *
 * The host starts it with the plugin's fds at their numbers, the plan and the lifeline above. It is three processes in
 * turn:
 *
 *   builder   has the host's rights. Builds the new root in a mount namespace of its own, where paths are those of the
 *             host's and can still be read, makes init, writes its maps, ends.
 *   init      pid 1 of the jail and a child of the host. Enters the other namespaces and drops all rights, makes the
 *             plugin's process, and stays: reaps, answers what the filter hands it, ends with the host.
 *   plugin    pid 2. Limits, Landlock, the filter, exec. Pid 3 lives for a moment: it hands init the filter's listener.
 *
 * Trusts the plan, once plan_check() has passed, and nothing that the plugin does.
 */
#ifndef PLUGVM_INIT_INIT_H
#define PLUGVM_INIT_INIT_H

#include "init/sys.h"
#include "jail/plan.h"

/* The kernel's numbers: <signal.h> is the C library's. */
#define SIGNAL_KILL       9
#define SIGNAL_SYS        31
#define SIGNAL_CHILD      17
#define SIGNAL_LAST       64
#define SIGNAL_MASK_SET   2
#define SIGNAL_MASK_BYTES 8

/*
 * What the plugin's process says to init when its filter stands, and nothing else is sure to be allowed: calls that no
 * kernel has and no policy can have a rule for, so that the filter always hands them over. Init understands them until
 * the plugin has been executed.
 */
#define CALL_READY  0x100000 /* returns 0 when init listens */
#define CALL_FAILED 0x100001 /* the executable could not be executed: -errno; does not return */

struct init {
	const struct plan *plan;
	int proc; /* the host's /proc, while it is needed */
	int sync; /* our end of a pair: first builder and init, then init and plugin */
};

/* ---- Saying how it goes (report.c) ---- */

/* Tell the host, with an fd if `fd` is not -1. Returns 0 or -errno. */
long report_send(const struct lifeline_message *message, int fd);
/* Tell the host that a step failed, and end this process. */
__attribute__((noreturn)) void report_failure(enum plan_step step, long result, const char *detail);
/* Go on if result is not negative and no test wants this step to fail; returns it. */
long must(const struct init *, enum plan_step step, long result, const char *detail);

/* Send one byte, and an fd if it is not -1, over a socket pair. Returns 1 or -errno. */
long sync_send(int socket, int fd);
/* Receive one byte and perhaps an fd (else -1). Returns 1, 0 at the end, or -errno. */
long sync_receive(int socket, int *out_fd);

/* ---- The steps ---- */

/* Build the root and make it this process's root (root.c). */
void root_build(const struct init *);

/* Become the plugin (confine.c). */
__attribute__((noreturn)) void confine_and_exec(struct init *);

/* Stay as pid 1 until the plugin or the host has ended (supervise.c). */
__attribute__((noreturn)) void supervise(const struct init *, int plugin_pid, int plugin_pidfd);

/* Write a file whole, relative to a directory. Returns 0 or -errno. */
long write_file(int directory, const char *path, const char *text);

__attribute__((noreturn)) static inline void leave(int code)
{
	for (;;)
		SYS(exit_group, code);
}

#endif
