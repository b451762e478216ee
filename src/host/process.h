/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin as a process: start, watch, kill, reap. Identity is the pidfd's; the pid is used only while the
 * process has not been reaped. One thread, but for process_kill().
 */
#ifndef PLUGVM_HOST_PROCESS_H
#define PLUGVM_HOST_PROCESS_H

#include "base/log.h"
#include "jail/spawn.h"
#include "plugvm.h"

struct process {
	pid_t pid;        /* of our child: the plugin, or its jail's init */
	pid_t plugin_pid; /* of the plugin */
	int pidfd;        /* of our child */
	bool is_jailed;
	struct jail_process jail; /* if it is; owns pidfd */
	struct log log;
	bool reaped;
	struct plugvm_plugin_status status; /* once reaped */
};

/* The plugin finds its main connection under this number; 0 to 2 are its stdio. */
#define PLUGIN_SOCKET_FD 3

/*
 * Start config->path, in config->jail if there is one, with `socket` as PLUGIN_SOCKET_FD, in a session of its own,
 * with a clean signal state and no fds but the documented ones. Returns when it has been executed for sure. `socket`
 * stays the caller's.
 */
int process_spawn(struct process *process, const struct plugvm_plugin_config *config, int socket,
                  struct plugvm_error *out_error);

/* Kill the process. Never blocks. Any thread and signal handlers. */
void process_kill(struct process *process);

/* As plugvm_plugin_try_wait() and wait(). What is left of the process group is killed before the process is
 * reaped. */
int process_try_wait(struct process *process, struct plugvm_plugin_status *out_status);
int process_wait(struct process *process, int timeout_ms, struct plugvm_plugin_status *out_status);

/* Kill, reap and free. Takes at most 5 s. */
void process_fini(struct process *process);

#endif
