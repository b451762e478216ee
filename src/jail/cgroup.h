/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM's own cgroups, of version 1 or 2: made, limited, and removed with what is in them. In each hierarchy it is a
 * directory plugvm-PID-START-N, beside this process's own place or below it, with a leaf `plugin` and, if the host is to
 * be in it too, a leaf `host`. At the top of a hierarchy it is in a directory `plugvm`, which stays. All that the removal needs is opened when they are made, since a host may drop its rights
 * in between. One thread.
 */
#ifndef PLUGVM_JAIL_CGROUP_H
#define PLUGVM_JAIL_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

#include "jail/cgroup_find.h"

/* Limits; 0: none. */
struct cgroup_request {
	uint64_t
	    memory; /* bytes, of the plugin and, with_host, of this process: guest memory is charged to either */
	uint64_t pids;        /* of the plugin */
	uint64_t cpu_percent; /* of one CPU, of the plugin */
	const char *devices;  /* what may be opened, in version 1's words, a line each; NULL: anything */
	bool with_host;
};

/* Where to look, and how to open; another one is for tests. */
struct cgroup_system {
	const char *proc;
	int open_flags; /* O_CREAT: files do not come by themselves */
};
extern const struct cgroup_system cgroup_system;

struct cgroup_part {
	struct cgroup_hierarchy hierarchy;
	unsigned controllers; /* that have their limit set */
	char *base;           /* the directory that ours is in */
	char *procs;          /* the plugin's cgroup.procs */
	unsigned enabled;     /* controllers that were not enabled in the base before */
	unsigned top_enabled; /* the same of the directory above, if the base is root's common one */
	bool has_host;
	int base_fd;
	int fd;         /* our directory, locked as long as this process lives */
	int home_procs; /* where this process came from */
	int control;    /* our cgroup.subtree_control */
	int base_control;
	int top_control;
	int plugin_fd; /* the plugin's directory, while it is made */
};

struct cgroup {
	char name[64];
	struct cgroup_part parts[CGROUP_HIERARCHIES_MAX];
	size_t part_count;
	unsigned controllers;                    /* of all parts */
	char *procs[CGROUP_HIERARCHIES_MAX + 1]; /* of all parts; NULL at the end */
	char failures[CGROUP_CONTROLLERS][160];  /* why a controller is missing */
	uint64_t memory;
	int events;    /* where the kernel counts what it has killed for want of memory */
	int oom_score; /* of this process, while it is not to be killed for the plugin's memory */
	char old_oom_score[16];
};

/*
 * Make the VM's cgroups where they can be made, and move this process there if it is asked for. Also removes those of
 * hosts that are gone. Returns 0; out->controllers and failures tell what became of each limit. Else -ENOMEM.
 */
int cgroup_make(const struct cgroup_system *, const struct cgroup_request *, struct cgroup **out_cgroup);

/* Tell whether the kernel killed a process of the plugin's because of the limit of memory. */
bool cgroup_is_over_memory(const struct cgroup *);

/* Move this process back, kill what is left and remove the cgroups. Takes at most a second; *cgroup becomes NULL. */
void cgroup_remove(struct cgroup **cgroup);

/* Remove every plugvm-PID-START-N in the directory whose host is gone: nobody holds its lock, and there is no such process. */
void cgroup_remove_stale(int base);

/* When did the process start, in clock ticks after the boot? 0: there is none. */
uint64_t process_start_time(pid_t pid);

#endif
