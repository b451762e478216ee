/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A jail as the operator describes it. It is only read while plugins are started, so one object serves several.
 */
#ifndef PLUGVM_JAIL_JAIL_H
#define PLUGVM_JAIL_JAIL_H

#include <sys/resource.h>

#include "jail/plan.h"
#include "plugvm.h"
#include "policy/filter.h"

/* Who the plugin is inside. */
#define JAIL_UID 1000
#define JAIL_GID 1000

/* The kernel takes 340 lines, one of which is the plugin's own. */
#define JAIL_GID_LINES_MAX 339
/* And less than a page of text, with a line of the plugin's own of at most 18 bytes. */
#define JAIL_GID_BYTES_MAX (4095 - 18)

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
	struct policy *policy; /* NULL: the profile's */
	bool logs_failures;
	bool allows_jit;
	plugvm_jail_call_fn *observe; /* NULL: nobody */
	void *observe_context;
	uint64_t limits[PLUGVM_LIMIT_COUNT]; /* 0: as by default */
	bool limits_host;
	enum plan_step fail_step; /* for tests */
};

/* Make the filter, and fill in what init must know of it. Returns 0 or -errno with *out_error filled. */
int jail_make_filter(const struct plugvm_jail *, struct plan *, struct filter *out_filter,
                     struct plugvm_error *out_error);

/*
 * Parse what an option says and add it; `where` is the option's name or "FILE:LINE", and begins the error's text.
 * -EINVAL, or -ENOMEM.
 */
int parse_mount(struct plugvm_jail *, const char *where, const char *text, struct plugvm_error *out_error);
int parse_gid_map(struct plugvm_jail *, const char *where, const char *text, struct plugvm_error *out_error);

#endif
