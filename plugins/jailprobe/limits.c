/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much the plugin can have, and in what state it was started.
 */
#include "probe.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define PROCESSES_TRIED 400

/* The C library's own two. */
#define IS_INTERNAL_SIGNAL(number) ((number) == 32 || (number) == 33)

static void check_rlimits(void)
{
	static const struct {
		__rlimit_resource_t resource;
		const char *name;
		rlim_t most;
	} limits[] = {
	    {RLIMIT_NOFILE, "NOFILE", 64 + 4 * 1024 + 2 * 1024},
	    {RLIMIT_NPROC, "NPROC", 32 + 4 * 1024},
	    {RLIMIT_FSIZE, "FSIZE", (rlim_t)64 << 30},
	    {RLIMIT_CORE, "CORE", 0},
	    {RLIMIT_MEMLOCK, "MEMLOCK", 64 << 10},
	    {RLIMIT_STACK, "STACK", 8 << 20},
	    {RLIMIT_MSGQUEUE, "MSGQUEUE", 0},
	    {RLIMIT_SIGPENDING, "SIGPENDING", 64},
	    {RLIMIT_RTPRIO, "RTPRIO", 0},
	    {RLIMIT_NICE, "NICE", 0},
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit;
		expect(getrlimit(limits[i].resource, &limit) == 0, "%s", limits[i].name);
		expect(limit.rlim_cur == limit.rlim_max, "%s: soft %lu, hard %lu", limits[i].name, limit.rlim_cur,
		       limit.rlim_max);
		expect(limit.rlim_max <= limits[i].most, "%s is %lu", limits[i].name, limit.rlim_max);
		limit.rlim_max++;
		expect_errno("raising a limit", setrlimit(limits[i].resource, &limit), EPERM, EPERM);
	}
}

static void check_file_size(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	if (limit.rlim_cur == RLIM_INFINITY) {
		expect(false, "no limit");
		return;
	}
	signal(SIGXFSZ, SIG_IGN);
	int fd = memfd_create("probe", MFD_CLOEXEC);
	expect(ftruncate(fd, (off_t)limit.rlim_cur) == 0, "a memfd at the limit: %s", strerrorname_np(errno));
	expect_errno("a memfd above it", ftruncate(fd, (off_t)limit.rlim_cur + 1), EFBIG, EFBIG);
	close(fd);
	signal(SIGXFSZ, SIG_DFL);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *wait_at_gate(void *unused)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return unused;
}

/* Threads, which count as processes do, and which any filter allows. */
static void check_processes(void)
{
	pthread_t threads[PROCESSES_TRIED];
	int count = 0, code = 0;
	pthread_mutex_lock(&gate);
	while (count < PROCESSES_TRIED && code == 0) {
		code = pthread_create(&threads[count], NULL, wait_at_gate, NULL);
		count += code == 0;
	}
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	expect(code == EAGAIN, "after %d: %s", count, strerrorname_np(code));
	detail("%d threads", count);
}

static void check_cgroup(void)
{
	not_here("seen from outside");
}

static void check_signals(void)
{
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number <= 64; number++) {
		struct sigaction action;
		if (IS_INTERNAL_SIGNAL(number))
			continue;
		expect(sigismember(&mask, number) == 0, "signal %d is blocked", number);
		expect(sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL,
		       "signal %d is not as by default", number);
	}
	stack_t stack;
	expect(sigaltstack(NULL, &stack) == 0 && stack.ss_flags & SS_DISABLE, "there is a signal stack");
	for (int timer = 0; timer < 3; timer++) {
		struct itimerval value;
		if (getitimer((__itimer_which_t)timer, &value) < 0) {
			expect(is_refusal(errno), "getitimer: %s", strerrorname_np(errno));
			continue;
		}
		expect(value.it_value.tv_sec == 0 && value.it_value.tv_usec == 0, "timer %d runs", timer);
	}
}

static void check_umask(void)
{
	mode_t mask = umask(077);
	if (mask > 0777)
		not_here("the filter does not tell; seen from outside");
	else
		expect(mask == 077, "it is %o", mask);
}

static void check_priority(void)
{
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);
	if (is_refusal(errno)) {
		not_here("the filter does not tell");
		return;
	}
	expect(errno == 0 && nice >= 0, "nice %d", nice);
	expect_errno("a better one", setpriority(PRIO_PROCESS, 0, nice - 1), EACCES, EPERM);
}

static void check_oom_score(void)
{
	not_here("no /proc; seen from outside");
}

const struct item limit_items[] = {
    {"rlimits", check_rlimits, NULL, false},
    {"size of files", check_file_size, NULL, false},
    {"number of processes", check_processes, NULL, false},
    {"cgroup", check_cgroup, NULL, false},
    {"signals and timers", check_signals, NULL, false},
    {"umask", check_umask, NULL, false},
    {"priority", check_priority, NULL, false},
    {"oom_score_adj", check_oom_score, NULL, false},
    {NULL, NULL, NULL, false},
};
