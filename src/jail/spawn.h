/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start a plugin in a jail, and hear what its init says. One thread.
 */
#ifndef PLUGVM_JAIL_SPAWN_H
#define PLUGVM_JAIL_SPAWN_H

#include "base/log.h"
#include "jail/cgroup.h"
#include "jail/launch.h"
#include "jail/plan_write.h"

struct jail_process {
	pid_t init_pid;   /* our child; every process in the jail ends with it */
	int init_pidfd;   /* readable once all of them have ended */
	pid_t plugin_pid; /* outside the jail */
	int plugin_pidfd;
	int lifeline; /* init ends when this is closed */
	bool has_status;
	int status;       /* the plugin's, as of wait(2) */
	bool has_refused; /* the next is the call that ended the plugin */
	int system_call;
	plugvm_jail_call_fn *observe; /* the jail's */
	void *observe_context;
	struct cgroup *cgroup; /* NULL: none of its own */
};

/*
 * Start launch->path in the jail with the launch's argv, environment and fds; `limits` are those of the VM's size, and
 * `log` hears how the jail's are held. Returns 0 when the jail is complete and the plugin has been executed; on failure -errno, with the step in *out_error, and nothing is left. The caller
 * reaps init_pid and then calls jail_process_fini().
 */
int jail_spawn(const struct plugvm_jail *, const struct launch *, const struct jail_limits *,
               const struct log *log, struct jail_process *out_process, struct plugvm_error *out_error);

/*
 * Take what init has said, `most` messages: the status is kept, refused system calls are logged, observed ones told. Never
 * blocks. What makes no sense closes the lifeline, and with that ends init and its plugin.
 */
void jail_process_drain(struct jail_process *, const struct log *log, size_t most);

/* Return the limit of memory in bytes if the kernel has killed the plugin, or a part of it, because of that; else 0. */
uint64_t jail_process_over_memory(const struct jail_process *);

/* Return what the end line says more of a plugin that was killed: the call that the filter refused, or its memory; else "". */
#define JAIL_WHY_BYTES 128
const char *jail_process_explain(const struct jail_process *, char out_text[JAIL_WHY_BYTES]);

/* Close what it holds, and remove its cgroup. If it still runs, that is its end. */
void jail_process_fini(struct jail_process *);

#endif
