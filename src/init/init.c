/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The helper's main program: builder, then init.
 */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- What the compiler calls ---- */

void *memset(void *destination, int byte, size_t size);
void *memcpy(void *destination, const void *source, size_t size);

void *memset(void *destination, int byte, size_t size)
{
	void *at = destination;
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
	return destination;
}

void *memcpy(void *destination, const void *source, size_t size)
{
	void *at = destination;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(source), "+c"(size) : : "memory");
	return destination;
}

/* ---- The builder ---- */

/* Map the plan; a failure has nobody's plan to ask for its step. */
static const struct plan *read_plan(void)
{
	struct stat status = {};
	long result = SYS(fcntl, PLAN_FD, F_GET_SEALS);
	if (result < 0 || (result & SEALS) != SEALS)
		report_failure(STEP_PLAN, result < 0 ? result : -EPERM, "not sealed");
	result = SYS(fstat, PLAN_FD, &status);
	if (result < 0)
		report_failure(STEP_PLAN, result, "fstat");
	result = SYS(mmap, NULL, status.st_size, PROT_READ, MAP_PRIVATE, PLAN_FD, 0);
	if (result < 0)
		report_failure(STEP_PLAN, result, "mmap");
	if (!plan_check((const void *)result, (size_t)status.st_size))
		report_failure(STEP_PLAN, -EINVAL, "not a plan of this version");
	SYS(close, PLAN_FD);
	return (const void *)result;
}

static void reset_signals(void)
{
	/* The kernel's struct: handler, flags, restorer, mask. SIGKILL and SIGSTOP are refused. */
	const uint64_t action[4] = {0};
	for (int number = 1; number <= SIGNAL_LAST; number++)
		SYS(rt_sigaction, number, action, NULL, SIGNAL_MASK_BYTES);
	/* Init waits for its children by a signalfd, and nothing else may end it. */
	const uint64_t all = ~UINT64_C(0);
	SYS(rt_sigprocmask, SIGNAL_MASK_SET, &all, NULL, sizeof(all));
}

static void append_line(char *text, size_t capacity, uint32_t inner, uint32_t outer, uint32_t count)
{
	text_append_number(text, capacity, inner);
	text_append(text, capacity, " ");
	text_append_number(text, capacity, outer);
	text_append(text, capacity, " ");
	text_append_number(text, capacity, count);
	text_append(text, capacity, "\n");
}

static long write_proc(const struct init *init, const char *process, const char *name, const char *text)
{
	char path[64] = "";
	text_append(path, sizeof(path), process);
	text_append(path, sizeof(path), "/");
	text_append(path, sizeof(path), name);
	return write_file(init->proc, path, text);
}

/* Where the host may not mount: become one who may, without becoming anybody else. */
static void enter_builder_user_ns(const struct init *init)
{
	const struct plan *plan = init->plan;
	char uid_line[40] = "", gid_line[40] = "";
	must(init, STEP_BUILDER_USER_NS, SYS(unshare, CLONE_NEWUSER), "");
	append_line(uid_line, sizeof(uid_line), plan->outer_uid, plan->outer_uid, 1);
	append_line(gid_line, sizeof(gid_line), plan->outer_gid, plan->outer_gid, 1);
	must(init, STEP_BUILDER_MAPS, write_proc(init, "self", "setgroups", "deny"), "setgroups");
	must(init, STEP_BUILDER_MAPS, write_proc(init, "self", "uid_map", uid_line), "uid_map");
	must(init, STEP_BUILDER_MAPS, write_proc(init, "self", "gid_map", gid_line), "gid_map");
}

static void write_maps(const struct init *init, int pid)
{
	const struct plan *plan = init->plan;
	char process[16] = "", uid_line[40] = "", gid_text[4096] = "";
	text_append_number(process, sizeof(process), (uint64_t)pid);
	append_line(uid_line, sizeof(uid_line), plan->uid, plan->outer_uid, 1);
	append_line(gid_text, sizeof(gid_text), plan->gid, plan->outer_gid, 1);
	const struct plan_id_line *lines = plan_items(plan, plan->gid_lines);
	for (uint32_t i = 0; i < plan->gid_lines.count; i++)
		append_line(gid_text, sizeof(gid_text), lines[i].inner, lines[i].outer, lines[i].count);
	must(init, STEP_SETGROUPS, write_proc(init, process, "setgroups", "deny"), "");
	must(init, STEP_UID_MAP, write_proc(init, process, "uid_map", uid_line), "");
	must(init, STEP_GID_MAP, write_proc(init, process, "gid_map", gid_text), "");
}

static void join_cgroups(const struct init *init)
{
	const struct plan *plan = init->plan;
	for (uint32_t i = 0; i < plan->cgroups.count; i++) {
		const char *path = plan_text(plan, plan->cgroups, i);
		must(init, STEP_CGROUP, write_file(AT_FDCWD, path, "0"), path);
	}
	must(init, STEP_CGROUP, 0, "");
}

static long make_process(uint64_t flags, uint64_t exit_signal, int *out_pidfd)
{
	struct clone_args args = {
	    .flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)out_pidfd, .exit_signal = exit_signal};
	return SYS(clone3, &args, sizeof(args));
}

/* Returns in init only, once its maps are written. */
static void make_init(struct init *init)
{
	int ends[2] = {-1, -1}, pidfd = -1, none;
	must(init, STEP_CLONE, SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
	/* A child of the host, which is to see its end. */
	long pid = must(init, STEP_CLONE, make_process(CLONE_NEWUSER | CLONE_NEWPID | CLONE_PARENT, 0, &pidfd),
	                "");
	if (pid == 0) {
		SYS(close, ends[0]);
		/* The builder has ended without a byte: it has failed, and said so. */
		if (sync_receive(ends[1], &none) != 1)
			leave(127);
		SYS(close, ends[1]);
		return;
	}
	long result = report_send(&(struct lifeline_message){.kind = LIFELINE_INIT, .value = (int32_t)pid}, pidfd);
	if (result < 0)
		leave(127); /* nobody listens; init sees our end */
	write_maps(init, (int)pid);
	sync_send(ends[0], -1);
	leave(0);
}

/* ---- Init ---- */

static long drop_bounding_set(void)
{
	/* Until the first that this kernel does not know. */
	for (int capability = 0; capability < 64; capability++) {
		long result = SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
		if (result == -EINVAL)
			return capability > 0 ? 0 : result;
		if (result < 0)
			return result;
	}
	return 0;
}

static long drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {{.effective = 0}};
	long result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return result < 0 ? result : SYS(capset, &header, none);
}

static void drop_rights(const struct init *init)
{
	const struct plan *plan = init->plan;
	const unsigned securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
	                            SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
	                            SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	must(init, STEP_IDENTITY, SYS(setresgid, plan->gid, plan->gid, plan->gid), "setresgid");
	must(init, STEP_IDENTITY, SYS(setresuid, plan->uid, plan->uid, plan->uid), "setresuid");
	must(init, STEP_BOUNDING, drop_bounding_set(), "");
	must(init, STEP_SECUREBITS, SYS(prctl, PR_SET_SECUREBITS, securebits, 0, 0, 0), "");
	must(init, STEP_CAPABILITIES, drop_capabilities(), "");
	must(init, STEP_NO_NEW_PRIVS, SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "");
	must(init, STEP_DUMPABLE, SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "");
	/* After the change of uid, which would have cleared it. */
	if (plan->flags & PLAN_DIE_WITH_PARENT)
		must(init, STEP_DEATH_SIGNAL, SYS(prctl, PR_SET_PDEATHSIG, SIGNAL_KILL, 0, 0, 0), "");
}

/*
 * In a user namespace of its own the plugin would have every right in every other kind of namespace, and with them
 * parts of the kernel that an ordinary process never reaches; and a policy can allow clone(2) without a look at its
 * flags. The limit is that of our user namespace, which nobody in it can lift any more. Where /proc/sys cannot be
 * written to, what init lets through is all that is looked at.
 */
static long forbid_user_namespaces(const struct init *init)
{
	long result = write_file(init->proc, "sys/user/max_user_namespaces", "0");
	return result == -ENOENT || result == -EROFS || result == -EACCES || result == -EPERM ? 0 : result;
}

static void enter_namespaces(struct init *init)
{
	const char *hostname = plan_string(init->plan, init->plan->hostname);
	must(init, STEP_MOUNT_NS, SYS(unshare, CLONE_NEWNS), "");
	must(init, STEP_NET_NS, SYS(unshare, CLONE_NEWNET), "");
	must(init, STEP_IPC_NS, SYS(unshare, CLONE_NEWIPC), "");
	must(init, STEP_UTS_NS, SYS(unshare, CLONE_NEWUTS), "");
	must(init, STEP_CGROUP_NS, SYS(unshare, CLONE_NEWCGROUP), "");
	must(init, STEP_NO_USER_NS, forbid_user_namespaces(init), "");
	SYS(close, init->proc);
	init->proc = -1;
	must(init, STEP_HOSTNAME, SYS(sethostname, hostname, text_length(hostname)), "");
	must(init, STEP_HOSTNAME, SYS(setdomainname, "", 0), "");
}

__attribute__((noreturn)) static void init_main(struct init *init)
{
	int ends[2] = {-1, -1}, pidfd = -1;
	enter_namespaces(init);
	drop_rights(init);
	must(init, STEP_FORK, SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
	long pid = must(init, STEP_FORK, make_process(0, SIGNAL_CHILD, &pidfd), "");
	init->sync = ends[pid == 0];
	SYS(close, ends[pid != 0]);
	if (pid == 0)
		confine_and_exec(init);
	supervise(init, (int)pid, pidfd);
}

/* ---- The program ---- */

__attribute__((noreturn, used)) void helper_main(void);

void helper_main(void)
{
	struct init init = {.plan = read_plan(), .sync = -1};
	reset_signals();
	SYS(setsid);
	SYS(prctl, PR_SET_NAME, "plugvm-init", 0, 0, 0);
	must(&init, STEP_PLAN, 0, "");
	init.proc = (int)must(&init, STEP_OOM_SCORE,
	                      SYS(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), "/proc");
	join_cgroups(&init);
	must(&init, STEP_OOM_SCORE, write_proc(&init, "self", "oom_score_adj", "1000"), "");
	if (init.plan->flags & PLAN_UNPRIVILEGED)
		enter_builder_user_ns(&init);
	else
		must(&init, STEP_GROUPS, SYS(setgroups, 0, NULL), "");
	must(&init, STEP_BUILDER_MOUNT_NS, SYS(unshare, CLONE_NEWNS), "");
	root_build(&init);
	make_init(&init);
	init_main(&init);
}

/* The stack as the ABI wants it; argv and the environment are not used. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "	xor %ebp, %ebp\n"
        "	and $-16, %rsp\n"
        "	call helper_main\n"
        "	hlt\n");
