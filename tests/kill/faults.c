/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lets each system call that plugvm and its helper make, from start to end, fail once. Whatever comes of the run, it
 * ends with a documented status and says why, without a crash, and nothing stays.
 *
 * Each kind of call fails at its first, second and last use in each process and some between; with --all at each use.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "rig.h"

#define STATUS_LAST 9

/* Uses of a kind of call that are tried unless all are wanted: the first ones, the last, and so many between. */
#define FIRST_USES   2
#define BETWEEN_USES 2

/* What a call may fail with when it fails for no fault of the caller's. */
static const struct {
	int number;
	int code;
} codes[] = {
    {SYS_accept4, ENFILE},
    {SYS_clone3, EAGAIN},
    {SYS_clone, EAGAIN},
    {SYS_close, EIO},
    {SYS_close_range, ENOMEM},
    {SYS_dup2, EMFILE},
    {SYS_epoll_create1, ENFILE},
    {SYS_epoll_wait, EINTR},
    {SYS_eventfd2, ENFILE},
    {SYS_execve, ENOMEM},
    {SYS_execveat, ENOMEM},
    {SYS_faccessat2, EACCES},
    {SYS_fcntl, EMFILE},
    {SYS_getrandom, EINTR},
    {SYS_ioctl, EIO},
    {SYS_kill, EPERM},
    {SYS_memfd_create, ENFILE},
    {SYS_mount, EPERM},
    {SYS_newfstatat, EACCES},
    {SYS_openat, ENFILE},
    {SYS_pidfd_send_signal, EPERM},
    {SYS_pipe2, ENFILE},
    {SYS_poll, EINTR},
    {SYS_ppoll, EINTR},
    {SYS_pread64, EIO},
    {SYS_prctl, EPERM},
    {SYS_prlimit64, EPERM},
    {SYS_read, EIO},
    {SYS_readlink, EACCES},
    {SYS_recvmsg, ENOMEM},
    {SYS_seccomp, EACCES},
    {SYS_sendmsg, ENOBUFS},
    {SYS_shutdown, ENOTCONN},
    {SYS_signalfd4, ENFILE},
    {SYS_socketpair, ENFILE},
    {SYS_tgkill, EAGAIN},
    {SYS_unshare, EPERM},
    {SYS_wait4, EINTR},
    {SYS_waitid, EINTR},
    {SYS_write, ENOSPC},
};

/* What cannot fail, or only by a bug of the C library, which ends the program; brk(2) has no error to return. */
static const int spared[] = {SYS_exit,    SYS_exit_group,     SYS_rt_sigreturn,    SYS_restart_syscall,
                             SYS_futex,   SYS_rseq,           SYS_set_robust_list, SYS_getpid,
                             SYS_gettid,  SYS_rt_sigprocmask, SYS_munmap,          SYS_set_tid_address,
                             SYS_getppid, SYS_geteuid,        SYS_getegid,         SYS_umask,
                             SYS_brk};

static int code_of(int number)
{
	for (size_t i = 0; i < COUNT(spared); i++) {
		if (spared[i] == number)
			return 0;
	}
	for (size_t i = 0; i < COUNT(codes); i++) {
		if (codes[i].number == number)
			return codes[i].code;
	}
	return ENOMEM;
}

static bool is_use_tried(const struct rig *rig, unsigned use, unsigned uses)
{
	return rig->wants_all || use <= FIRST_USES || use == uses || use % (uses / (BETWEEN_USES + 1) + 1) == 0;
}

/* Return what is wrong, or NULL. */
static const char *check(const struct rig *rig, bool is_about_writing, const struct outcome *outcome)
{
	if (outcome->is_hung)
		return "it did not end";
	if (outcome->status < 0)
		return "it crashed";
	if (outcome->status > STATUS_LAST)
		return "the status is not documented";
	/* The plugin's own words may be lost. */
	if (!is_about_writing &&
	    !says(outcome, outcome->status == STATUS_OK ? "plugvm: the plugin exited\n" : "plugvm: "))
		return "it did not say why";
	return rig_check_remains(rig, outcome);
}

/* A jail that lacks a step is none: with what fails before the plugin runs, there is none, or it does not matter. */
static bool must_fail(const struct point *point)
{
	static const int vital[] = {SYS_seccomp,
	                            SYS_landlock_restrict_self,
	                            SYS_landlock_add_rule,
	                            SYS_unshare,
	                            SYS_setresuid,
	                            SYS_setresgid,
	                            SYS_capset,
	                            SYS_pivot_root,
	                            SYS_mount,
	                            SYS_umount2,
	                            SYS_mount_setattr,
	                            SYS_sethostname,
	                            SYS_close_range};
	for (size_t i = 0; i < COUNT(vital) && point->is_jailed && point->victim != VICTIM_HOST; i++) {
		if (vital[i] == point->number)
			return true;
	}
	return false;
}

static bool fail_kind(const struct rig *rig, struct point point, unsigned uses, unsigned *tried)
{
	static struct outcome outcome;
	unsigned statuses[STATUS_LAST + 1] = {0}, bad = 0;
	for (point.call = 1; point.call <= uses; point.call++) {
		if (!is_use_tried(rig, point.call, uses))
			continue;
		++*tried;
		rig_run(rig, &point, &outcome);
		const char *problem = check(rig, point.number == SYS_write, &outcome);
		if (!problem && outcome.was_killed && must_fail(&point) && outcome.status != STATUS_JAIL)
			problem = "the jail lacks something, and the plugin was started";
		if (outcome.status >= 0 && outcome.status <= STATUS_LAST)
			statuses[outcome.status]++;
		if (!problem)
			continue;
		bad++;
		printf("# call %d of the %s, use %u of %u: %s\n# status %d, printed: %s\n", point.number,
		       victim_names[point.victim], point.call, uses, problem, outcome.status, outcome.text);
	}
	if (getenv("PLUGVM_FAULTS_VERBOSE")) {
		printf("# %s %d %s:", victim_names[point.victim], point.number, strerrorname_np(point.error));
		for (int i = 0; i <= STATUS_LAST; i++) {
			if (statuses[i])
				printf(" %ux status %d", statuses[i], i);
		}
		printf("\n");
	}
	return bad == 0;
}

static bool fail_victim(const struct rig *rig, enum victim victim, bool is_jailed)
{
	static struct outcome whole;
	/* Call 1 of nobody; an error, so that only our own are counted. */
	const struct point none = {
	    .victim = VICTIM_NONE, .is_jailed = is_jailed, .call = 1, .number = ANY_CALL, .error = EIO};
	rig_run(rig, &none, &whole);
	if (check(rig, false, &whole) || whole.status != STATUS_OK) {
		printf("# without a failure: status %d: %s\n", whole.status, whole.text);
		return false;
	}
	/* One kind, to look at. */
	int only = atoi(getenv("PLUGVM_FAULTS_ONLY") ? getenv("PLUGVM_FAULTS_ONLY") : "");
	bool ok = true;
	unsigned tried = 0, kinds = 0;
	for (int number = 0; number < CALLS_MAX; number++) {
		unsigned uses = whole.kinds[victim][number];
		if (uses == 0 || code_of(number) == 0 || (only && only != number))
			continue;
		kinds++;
		ok = fail_kind(
		         rig,
		         (struct point){
		             .victim = victim, .is_jailed = is_jailed, .number = number, .error = code_of(number)},
		         uses, &tried) &&
		     ok;
	}
	printf("# %u failures of %u kinds of calls, of %u that it makes\n", tried, kinds, whole.calls[victim]);
	return ok && (only || tried > 0);
}

int main(int argc, char **argv)
{
	static const struct {
		enum victim victim;
		bool is_jailed;
	} subjects[] = {{VICTIM_HOST, true},   {VICTIM_BUILDER, true}, {VICTIM_INIT, true},
	                {VICTIM_PLUGIN, true}, {VICTIM_HOST, false},   {VICTIM_PLUGIN, false}};
	struct rig rig;
	rig_init(&rig, argc, argv);
	bool all_ok = true;
	printf("1..%zu\n", COUNT(subjects));
	for (size_t i = 0; i < COUNT(subjects); i++) {
		bool ok = fail_victim(&rig, subjects[i].victim, subjects[i].is_jailed);
		printf("%s %zu - a system call of the %s%s fails%s\n", ok ? "ok" : "not ok", i + 1,
		       victim_names[subjects[i].victim],
		       subjects[i].victim == VICTIM_PLUGIN ? "'s process before its exec" : "",
		       subjects[i].is_jailed ? "" : ", unjailed");
		all_ok = all_ok && ok;
	}
	rig_fini(&rig);
	return all_ok ? 0 : 1;
}
