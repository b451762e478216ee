/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plan of a jail: what the host decided, as one flat block in a sealed memfd, and what the helper that carries it
 * out (src/init) reports while it does. Written by the host (plan_write.c), read by the helper. Both ends are built
 * together, so the version only guards against a helper of another build.
 *
 * Every offset counts from the begin of the block. Strings are offsets too; 0, which is the header's own place, means
 * "none".
 */
#ifndef PLUGVM_JAIL_PLAN_H
#define PLUGVM_JAIL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC     0x4e4c504au
#define PLAN_VERSION   3u
#define PLAN_BYTES_MAX (16u << 20)

/* The numbers under which the helper finds the plan and its lifeline: above all that a plugin may be given. */
#define PLAN_FD     256
#define LIFELINE_FD 257

/* The executable's directory in the jail. */
#define PLAN_EXECUTABLE_DIR "/plugin"

/* What can fail, in order, and what it is called in an error. */
#define PLAN_STEPS(X)                                                 \
	X(PLAN, "reading the plan")                                   \
	X(CGROUP, "joining the cgroup")                               \
	X(OOM_SCORE, "oom_score_adj")                                 \
	X(GROUPS, "dropping supplementary groups")                    \
	X(BUILDER_USER_NS, "a user namespace to build the root in")   \
	X(BUILDER_MAPS, "its uid and gid maps")                       \
	X(BUILDER_MOUNT_NS, "a mount namespace to build the root in") \
	X(PRIVATE, "making mounts private")                           \
	X(ROOT, "making the root")                                    \
	X(EXECUTABLE, "binding the executable")                       \
	X(MOUNT, "mounting")                                          \
	X(READ_ONLY, "making the root read-only")                     \
	X(PIVOT_ROOT, "pivot_root")                                   \
	X(DETACH, "detaching the old root")                           \
	X(CLONE, "user and pid namespaces")                           \
	X(SETGROUPS, "denying setgroups")                             \
	X(UID_MAP, "writing uid_map")                                 \
	X(GID_MAP, "writing gid_map")                                 \
	X(MOUNT_NS, "mount namespace")                                \
	X(NET_NS, "network namespace")                                \
	X(IPC_NS, "ipc namespace")                                    \
	X(UTS_NS, "uts namespace")                                    \
	X(CGROUP_NS, "cgroup namespace")                              \
	X(NO_USER_NS, "no user namespaces inside")                    \
	X(HOSTNAME, "hostname")                                       \
	X(IDENTITY, "uid and gid")                                    \
	X(BOUNDING, "dropping the capability bounding set")           \
	X(SECUREBITS, "securebits")                                   \
	X(CAPABILITIES, "dropping capabilities")                      \
	X(NO_NEW_PRIVS, "no_new_privs")                               \
	X(DUMPABLE, "making init not dumpable")                       \
	X(DEATH_SIGNAL, "dying with the host's thread")               \
	X(FORK, "making the plugin's process")                        \
	X(INIT_FILTER, "init's own filter")                           \
	X(SESSION, "a session of its own")                            \
	X(SIGNALS, "resetting signals")                               \
	X(KEYRING, "an empty session keyring")                        \
	X(RLIMITS, "rlimits")                                         \
	X(FDS, "closing fds")                                         \
	X(LANDLOCK, "Landlock")                                       \
	X(SECCOMP, "seccomp")                                         \
	X(EXEC, "executing the plugin")

enum plan_step {
	STEP_NONE,
#define PLAN_STEP_NUMBER(name, text) STEP_##name,
	PLAN_STEPS(PLAN_STEP_NUMBER)
#undef PLAN_STEP_NUMBER
	    STEP_COUNT
};

enum plan_flag {
	PLAN_UNPRIVILEGED = 1 << 0, /* the builder needs a user namespace of its own to mount anything */
	PLAN_DIE_WITH_PARENT = 1 << 1,
};
#define PLAN_FLAGS_ALL (PLAN_UNPRIVILEGED | PLAN_DIE_WITH_PARENT)

/* What init does with a call that the filter hands it: one that the policy neither allows nor answers with an errno. */
enum plan_refusal {
	PLAN_ANSWER = 1, /* it fails with ENOSYS, and the host is told now and then */
	PLAN_KILL,       /* the process ends, and the host is told */
	PLAN_LET,        /* it is made, and the host is told now and then */
	PLAN_OBSERVE,    /* it is made, and the host is told each time */
};

/* Of calls that no policy can allow: one bit for each number. They end the process, whatever the refusal is. */
#define PLAN_NEVER_WORDS 16

struct plan_array {
	uint32_t offset;
	uint32_t count;
};

enum plan_entry_kind {
	PLAN_DIRECTORY = 1, /* target */
	PLAN_SYMLINK,       /* target, which says source */
	PLAN_BIND,          /* source at target, which is made if it is missing */
	PLAN_TMPFS,         /* target, with `size` bytes */
};

enum plan_entry_flag {
	PLAN_WRITABLE = 1 << 0, /* else read-only */
	PLAN_EXEC = 1 << 1,     /* else noexec */
	PLAN_DEVICE = 1 << 2,   /* a device node; else nodev */
	PLAN_AS_IT_IS =
	    1 << 3, /* the host has looked at the source; a symlink in its path came later, and is refused */
};
#define PLAN_ENTRY_FLAGS_ALL (PLAN_WRITABLE | PLAN_EXEC | PLAN_DEVICE | PLAN_AS_IT_IS)

/* One thing to make in the new root. */
struct plan_entry {
	uint32_t kind;
	uint32_t flags;
	uint32_t source; /* string */
	uint32_t target; /* string; absolute, and inside the new root */
	uint64_t size;
};

struct plan_id_line {
	uint32_t inner;
	uint32_t outer;
	uint32_t count;
};

struct plan_rlimit {
	uint64_t value; /* soft and hard; less if the host's own hard limit is less */
	uint32_t resource;
	uint32_t zero;
};

struct plan {
	uint32_t magic;
	uint32_t version;
	uint32_t size;
	uint32_t flags;
	uint32_t fail_step; /* for tests: this enum plan_step fails with EIO */

	uint32_t refusal;                 /* enum plan_refusal */
	uint32_t exec_error;              /* instead of the refusal for execveat, once the plugin runs; 0: none */
	uint32_t never[PLAN_NEVER_WORDS]; /* bit N % 32 of word N / 32 */

	uint32_t uid, gid;             /* inside */
	uint32_t outer_uid, outer_gid; /* what they are outside */

	uint32_t hostname;        /* string */
	uint32_t executable;      /* string; outside */
	uint32_t executable_name; /* string; its name in PLAN_EXECUTABLE_DIR */

	struct plan_array gid_lines; /* struct plan_id_line: beside that of gid */
	struct plan_array entries;   /* struct plan_entry, in this order */
	struct plan_array rlimits;   /* struct plan_rlimit */
	struct plan_array filter;    /* struct sock_filter */
	struct plan_array argv;      /* strings */
	struct plan_array env;       /* strings */
	struct plan_array fds;       /* uint32_t, ascending: what the plugin keeps, under the same numbers */
	struct plan_array cgroups;   /* strings: the cgroup.procs files to join */
};

/* Check a block of `size` bytes, 8-byte aligned: after that, every offset in it can be used. */
bool plan_check(const void *block, size_t size);

static inline const char *plan_string(const struct plan *plan, uint32_t offset)
{
	return (const char *)plan + offset;
}

static inline const void *plan_items(const struct plan *plan, struct plan_array array)
{
	return (const char *)plan + array.offset;
}

/* Return string `index` of an array of strings. */
static inline const char *plan_text(const struct plan *plan, struct plan_array array, uint32_t index)
{
	const uint32_t *offsets = plan_items(plan, array);
	return plan_string(plan, offsets[index]);
}

/* ---- What the helper says on the lifeline ---- */

enum lifeline_kind {
	LIFELINE_INIT = 1, /* from the builder: init is there. `value`: its pid; with its pidfd */
	LIFELINE_FAILED,   /* a step failed. `step`, `code`, `detail` */
	LIFELINE_PLUGIN,   /* from init: the plugin's process is there, with its pidfd */
	LIFELINE_CONFINED, /* from the plugin's process, whose pid the kernel attests, before the filter and exec */
	LIFELINE_STARTED,  /* it was executed */
	LIFELINE_STATUS,   /* it has ended. `value`: the raw wait status */
	/* These have a call's number in `value`, its arguments, and in `code` how many more were not told. */
	LIFELINE_UNLISTED,     /* it was answered with ENOSYS */
	LIFELINE_LET,          /* it was made all the same */
	LIFELINE_OBSERVED,     /* it was made, as all are; each is told */
	LIFELINE_KILLED,       /* it ends the plugin; always told */
	LIFELINE_KILLED_CHILD, /* it ended another process of the plugin's */
};

struct lifeline_message {
	uint32_t kind;
	uint32_t step;
	int32_t code; /* positive errno */
	int32_t value;
	char detail[112]; /* a path, say; ends with a zero byte */
	uint64_t arguments[6];
};

#endif
