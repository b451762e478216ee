/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start a plugin in a jail, and hear what its init says. One thread.
 */
#ifndef PLUGVM_JAIL_SPAWN_H
#define PLUGVM_JAIL_SPAWN_H

#include "base/log.h"
#include "jail/launch.h"
#include "jail/plan_write.h"

struct jail_process {
	pid_t init_pid;   /* our child; every process in the jail ends with it */
	int init_pidfd;   /* readable once all of them have ended */
	pid_t plugin_pid; /* outside the jail */
	int plugin_pidfd;
	int lifeline; /* init ends when this is closed */
	bool has_status;
	int status; /* the plugin's, as of wait(2) */
};

/*
 * Start launch->path in the jail with the launch's argv, environment and fds. Returns 0 when the jail is complete and
 * the plugin has been executed; on failure -errno, with the step in *out_error, and nothing is left. The caller
 * reaps init_pid and then calls jail_process_fini().
 */
int jail_spawn(const struct plugvm_jail *, const struct launch *, const struct jail_limits *,
               struct jail_process *out_process, struct plugvm_error *out_error);

/* Take what init has said: the status is kept, refused system calls are logged. Never blocks. */
void jail_process_drain(struct jail_process *, const struct log *log);

/* Close what it holds. If it still runs, that is its end. */
void jail_process_fini(struct jail_process *);

#endif
