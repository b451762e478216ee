/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's process from its fork to exec: limits, clean signals and fds, Landlock, the filter. Its rights are gone
 * already: init dropped them before.
 */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Beyond the headers that this may be built with: what Landlock's ABI 2, 3 and 5 restrict in the file system ... */
#define FS_REFER     (1u << 13)
#define FS_TRUNCATE  (1u << 14)
#define FS_IOCTL_DEV (1u << 15)
#define FS_ABI1      ((1u << 13) - 1)
/* ... 4 in the network (bind and connect of TCP), and 6 (abstract sockets and signals). */
#define NET_TCP   3u
#define SCOPE_ALL 3u

/* Linux 5.19's SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. */
#define FILTER_WAIT_KILLABLE (1u << 5)

struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* As many members as the kernel knows: a longer struct is refused unless the rest is zero. */
static struct ruleset handled_by(long abi, size_t *out_size)
{
	struct ruleset handled = {.fs = FS_ABI1};
	if (abi >= 2)
		handled.fs |= FS_REFER;
	if (abi >= 3)
		handled.fs |= FS_TRUNCATE;
	if (abi >= 4)
		handled.net = NET_TCP;
	if (abi >= 5)
		handled.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		handled.scoped = SCOPE_ALL;
	*out_size = abi >= 6 ? sizeof(handled) : abi >= 4 ? 16 : 8;
	return handled;
}

static long landlock_allow(int ruleset, uint64_t handled, const char *path, uint64_t allowed, bool is_file)
{
	const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
	                          LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE;
	long fd = SYS(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return fd;
	struct landlock_path_beneath_attr rule = {
	    .allowed_access = allowed & handled & (is_file ? of_files : ~UINT64_C(0)), .parent_fd = (int)fd};
	long result = SYS(landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	SYS(close, fd);
	/* A directory's rights for a file are refused: it was one. */
	return result == -EINVAL && !is_file ? landlock_allow(ruleset, handled, path, allowed, true) : result;
}

static long landlock_allow_entry(const struct plan *plan, const struct plan_entry *entry, int ruleset,
                                 uint64_t handled)
{
	if (entry->kind != PLAN_BIND && entry->kind != PLAN_TMPFS)
		return 0;
	uint64_t allowed = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (entry->flags & PLAN_WRITABLE && entry->flags & PLAN_DEVICE)
		allowed |= LANDLOCK_ACCESS_FS_WRITE_FILE;
	else if (entry->flags & PLAN_WRITABLE)
		allowed |= FS_ABI1 | FS_TRUNCATE | FS_REFER;
	if (entry->flags & PLAN_EXEC)
		allowed |= LANDLOCK_ACCESS_FS_EXECUTE;
	else
		allowed &= ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE;
	/* No device nodes, whatever may be written. */
	allowed &= ~(uint64_t)(LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_CHAR);
	return landlock_allow(ruleset, handled, plan_string(plan, entry->target), allowed,
	                      entry->flags & PLAN_DEVICE);
}

/* Beneath the mounts: even a directory fd that came from elsewhere opens nothing. */
static long restrict_files(const struct plan *plan, const char *executable, const char **out_what)
{
	long abi = SYS(landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi == -ENOSYS || abi == -EOPNOTSUPP)
		return 0; /* a kernel without it, or with it switched off */
	if (abi < 0)
		return abi;
	size_t size;
	struct ruleset handled = handled_by(abi, &size);
	long ruleset = SYS(landlock_create_ruleset, &handled, size, 0);
	if (ruleset < 0)
		return ruleset;
	*out_what = executable;
	long result = landlock_allow((int)ruleset, handled.fs, executable,
	                             LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE, true);
	/* What there is, the plugin may know; and what is not of this root is not beneath it. */
	if (result == 0 && plan->entries.count > 0)
		result = landlock_allow((int)ruleset, handled.fs, "/", LANDLOCK_ACCESS_FS_READ_DIR, false);
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	for (uint32_t i = 0; i < plan->entries.count && result == 0; i++) {
		*out_what = plan_string(plan, entries[i].target);
		result = landlock_allow_entry(plan, &entries[i], (int)ruleset, handled.fs);
	}
	if (result == 0)
		result = SYS(landlock_restrict_self, ruleset, 0);
	SYS(close, ruleset);
	return result;
}

static long set_rlimits(const struct plan *plan)
{
	const struct plan_rlimit *rlimits = plan_items(plan, plan->rlimits);
	for (uint32_t i = 0; i < plan->rlimits.count; i++) {
		struct rlimit limit = {};
		long result = SYS(prlimit64, 0, rlimits[i].resource, NULL, &limit);
		if (result < 0)
			return result;
		if (limit.rlim_max > rlimits[i].value)
			limit.rlim_max = rlimits[i].value;
		limit.rlim_cur = limit.rlim_max;
		result = SYS(prlimit64, 0, rlimits[i].resource, &limit, NULL);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Let everything but the plugin's own close at exec; it has been the host's care to pass nothing else. */
static long close_the_rest(const struct plan *plan)
{
	const uint32_t *fds = plan_items(plan, plan->fds);
	uint32_t next = 0;
	long result = 0;
	for (uint32_t i = 0; i < plan->fds.count && result == 0; i++) {
		if (fds[i] > next)
			result = SYS(close_range, next, fds[i] - 1, CLOSE_RANGE_CLOEXEC);
		next = fds[i] + 1;
	}
	return result < 0 ? result : SYS(close_range, next, ~0u, CLOSE_RANGE_CLOEXEC);
}

static long join_empty_keyring(void)
{
	long result = SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	return result == -ENOSYS ? 0 : result; /* a kernel without keys */
}

/* ---- The filter ---- */

/* Wait for the listener's number, and for the listener to be there, and hand it to init. */
__attribute__((noreturn)) static void hand_over(int sync, int numbers)
{
	int listener = -1;
	if (SYS(read, numbers, &listener, sizeof(listener)) == sizeof(listener)) {
		while (sync_send(sync, listener) == -EBADF)
			SYS(sched_yield);
	}
	leave(0);
}

/*
 * Make the messenger: a child of init with the fds of this process and without its filter, under which no call to hand
 * the listener over can be counted on. Returns the fd to which the listener's number is written.
 */
static long make_messenger(const struct init *init)
{
	int numbers[2] = {-1, -1};
	struct clone_args args = {.flags = CLONE_FILES | CLONE_PARENT};
	long result = SYS(pipe2, numbers, O_CLOEXEC);
	if (result < 0)
		return result;
	result = SYS(clone3, &args, sizeof(args));
	if (result == 0)
		hand_over(init->sync, numbers[0]);
	return result < 0 ? result : numbers[1];
}

/* Tell the messenger which number the next fd gets: that will be the listener. */
static long announce_listener(long messenger)
{
	long next = SYS(fcntl, messenger, F_DUPFD_CLOEXEC, 0);
	if (next < 0)
		return next;
	int number = (int)next;
	SYS(close, next);
	return SYS(write, messenger, &number, sizeof(number));
}

static long install_filter(const struct plan *plan)
{
	struct sock_fprog program = {.len = (unsigned short)plan->filter.count,
	                             .filter = (struct sock_filter *)(uintptr_t)plan_items(plan, plan->filter)};
	/* No signal interrupts a call that init has begun to look at, where the kernel can do that. */
	long result = SYS(seccomp, SECCOMP_SET_MODE_FILTER,
	                  SECCOMP_FILTER_FLAG_NEW_LISTENER | FILTER_WAIT_KILLABLE, &program);
	return result == -EINVAL
	           ? SYS(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)
	           : result;
}

/* ---- The whole ---- */

static void fill_pointers(const struct plan *plan, struct plan_array array, const char **out_pointers)
{
	for (uint32_t i = 0; i < array.count; i++)
		out_pointers[i] = plan_text(plan, array, i);
	out_pointers[array.count] = NULL;
}

/* Returns the array of argv with that of the environment behind it, or -errno. */
static long make_pointers(const struct plan *plan)
{
	size_t count = (size_t)plan->argv.count + plan->env.count + 2;
	long memory = SYS(mmap, NULL, count * sizeof(char *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);
	if (memory < 0)
		return memory;
	const char **pointers = (const char **)memory;
	fill_pointers(plan, plan->argv, pointers);
	fill_pointers(plan, plan->env, pointers + plan->argv.count + 1);
	return memory;
}

void confine_and_exec(struct init *init)
{
	const struct plan *plan = init->plan;
	char executable[512] = PLAN_EXECUTABLE_DIR "/";
	text_append(executable, sizeof(executable), plan_string(plan, plan->executable_name));

	/* Init is ready to be an init; if it cannot be, it has said so, and its end will be ours. */
	int no_fd;
	if (sync_receive(init->sync, &no_fd) != 1)
		leave(127);
	must(init, STEP_SESSION, SYS(setsid), "");
	uint64_t none = 0;
	must(init, STEP_SIGNALS, SYS(rt_sigprocmask, SIGNAL_MASK_SET, &none, NULL, sizeof(none)), "");
	SYS(umask, 077);
	must(init, STEP_KEYRING, join_empty_keyring(), "");
	const char **argv = (const char **)must(init, STEP_EXEC, make_pointers(plan), "");
	/* Before the limits: there may be room for one process only. */
	long messenger = must(init, STEP_FORK, make_messenger(init), "the listener's messenger");
	must(init, STEP_RLIMITS, set_rlimits(plan), "");
	must(init, STEP_FDS, close_the_rest(plan), "");
	const char *what = "";
	long result = restrict_files(plan, executable, &what);
	must(init, STEP_LANDLOCK, result, what);
	/* The kernel attests the pid, which is another one outside. */
	must(init, STEP_SECCOMP, report_send(&(struct lifeline_message){.kind = LIFELINE_CONFINED}, -1), "");
	must(init, STEP_SECCOMP, announce_listener(messenger), "the listener's number");
	must(init, STEP_SECCOMP, install_filter(plan), "");
	/* Init lets this process execute once, whatever the policy says. */
	result = sys_call6(CALL_READY, 0, 0, 0, 0, 0, 0);
	if (result == 0)
		result = SYS(execveat, AT_FDCWD, executable, argv, argv + plan->argv.count + 1, 0);
	sys_call6(CALL_FAILED, result, 0, 0, 0, 0, 0);
	/* Init has ended, and this process is about to. */
	for (;;)
		__builtin_trap();
}
