/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which cgroup hierarchies there are, and where in each this process is. Reads only. One thread.
 */
#ifndef PLUGVM_JAIL_CGROUP_FIND_H
#define PLUGVM_JAIL_CGROUP_FIND_H

#include <stdbool.h>
#include <stddef.h>

/* The controllers that limits use, as bits. */
enum cgroup_controller {
	CGROUP_MEMORY = 1 << 0,
	CGROUP_PIDS = 1 << 1,
	CGROUP_CPU = 1 << 2,
	CGROUP_DEVICES = 1 << 3, /* version 1 only */
};
#define CGROUP_CONTROLLERS 4

/* At most one for each controller, and the one of version 2. */
#define CGROUP_HIERARCHIES_MAX (CGROUP_CONTROLLERS + 1)

struct cgroup_hierarchy {
	unsigned controllers;
	bool is_v2;
	char *top;  /* where it is mounted */
	char *home; /* this process's directory in it: top, or below it */
};

/*
 * Find the hierarchies that have one of these controllers, from `proc`/cgroup and `proc`/mountinfo (`proc` is /proc/self,
 * but for tests). Returns how many; cgroup_hierarchy_fini() frees each.
 */
size_t cgroup_find(const char *proc, struct cgroup_hierarchy *out_hierarchies);
void cgroup_hierarchy_fini(struct cgroup_hierarchy *);

/* Return the bits of the names in a list, which are separated by `separators`. */
unsigned cgroup_parse_controllers(const char *list, const char *separators);
/* Return the name of the controller number `index`. */
const char *cgroup_controller_name(size_t index);

/* Read a small file, relative to an open directory or AT_FDCWD, into `text`. Returns 0 or -errno. */
int cgroup_read(int directory, const char *path, char *out_text, size_t capacity);

#endif
