/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a jail and a program to start in it, a plan.
 */
#ifndef PLUGVM_JAIL_PLAN_WRITE_H
#define PLUGVM_JAIL_PLAN_WRITE_H

#include "base/log.h"
#include "jail/jail.h"
#include "jail/launch.h"

/* What the plugin may use: limit.h. */
struct jail_limits {
	uint64_t fds;
	uint64_t processes;
	uint64_t file_bytes;
	uint64_t address_space; /* 0: any */
	char *const *cgroups;   /* their cgroup.procs; NULL: those of the jail */
};

/*
 * Write the plan for launch->path with its argv, environment and fd numbers into a new sealed memfd; `log` hears what
 * was chosen. Returns 0 or -errno with *out_error filled.
 */
int plan_write(const struct plugvm_jail *, const struct launch *, const struct jail_limits *, const struct log *,
               int *out_memfd, struct plugvm_error *out_error);

/* Write bytes into a new memfd, sealed against everything. Returns the fd or -errno. */
int sealed_memfd(const char *name, const void *bytes, size_t size, bool is_program);

#endif
