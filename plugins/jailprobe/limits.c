/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much the plugin can have, and in what state it was started.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
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

static void check_processes(void)
{
	pid_t pids[PROCESSES_TRIED];
	int count = 0;
	int code = 0;
	while (count < PROCESSES_TRIED && code == 0) {
		pids[count] = fork();
		if (pids[count] == 0) {
			pause();
			_exit(0);
		}
		if (pids[count] < 0)
			code = errno;
		else
			count++;
	}
	for (int i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	expect(code == EAGAIN, "after %d processes: %s", count, strerrorname_np(code));
}

static void check_cgroup(void)
{
	not_here("limits of a cgroup are seen from outside");
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
		getitimer((__itimer_which_t)timer, &value);
		expect(value.it_value.tv_sec == 0 && value.it_value.tv_usec == 0, "timer %d runs", timer);
	}
}

static void check_umask(void)
{
	mode_t mask = umask(077);
	expect(mask == 077, "it is %o", mask);
}

static void check_priority(void)
{
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);
	expect(errno == 0 && nice >= 0, "nice %d", nice);
	expect_errno("a better one", setpriority(PRIO_PROCESS, 0, nice - 1), EACCES, EPERM);
}

static void check_oom_score(void)
{
	not_here("no /proc; the host can read /proc/PID/oom_score_adj");
}

const struct item limit_items[] = {
    {"rlimits", check_rlimits},   {"size of files", check_file_size},    {"number of processes", check_processes},
    {"cgroup", check_cgroup},     {"signals and timers", check_signals}, {"umask", check_umask},
    {"priority", check_priority}, {"oom_score_adj", check_oom_score},    {NULL, NULL},
};
