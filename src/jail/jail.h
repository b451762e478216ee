/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A jail as the operator describes it. It is only read while plugins are started, so one object serves several.
 */
#ifndef PLUGVM_JAIL_JAIL_H
#define PLUGVM_JAIL_JAIL_H

#include <linux/filter.h>
#include <sys/resource.h>

#include "jail/plan.h"
#include "plugvm.h"

/* Who the plugin is inside. */
#define JAIL_UID 1000
#define JAIL_GID 1000

/* The kernel takes 340 lines, one of which is the plugin's own. */
#define JAIL_GID_LINES_MAX 339

/* Each controller of version 1 can have a hierarchy of its own. */
#define JAIL_CGROUPS_MAX 16

struct jail_mount {
	char *source;
	char *target;
	bool writable;
};

struct jail_rlimit {
	bool is_set;
	uint64_t value;
};

struct plugvm_jail {
	enum plugvm_jail_profile profile;
	uid_t uid;  /* outside; PLUGVM_JAIL_UID_DEFAULT */
	char *root; /* what is in this directory is in the root; NULL: only what the profile says */
	struct jail_mount *mounts;
	size_t mount_count;
	struct plan_id_line *gid_lines;
	size_t gid_line_count;
	char *cgroups[JAIL_CGROUPS_MAX + 1]; /* their cgroup.procs; NULL at the end */
	struct jail_rlimit rlimits[RLIM_NLIMITS];
	struct sock_filter *filter; /* NULL: the built-in one */
	size_t filter_count;
	bool filter_notifies;
	enum plan_step fail_step; /* for tests */
};

/* Make the built-in filter: everything but what no plugin ever needs. Returns its length, at most BPF_MAXINSNS. */
size_t filter_builtin(struct sock_filter *out_filter);

/*
 * Parse what an option says and add it; `where` is the option's name or "FILE:LINE", and begins the error's text.
 * -EINVAL, or -ENOMEM.
 */
int parse_mount(struct plugvm_jail *, const char *where, const char *text, struct plugvm_error *out_error);
int parse_gid_map(struct plugvm_jail *, const char *where, const char *text, struct plugvm_error *out_error);

#endif
