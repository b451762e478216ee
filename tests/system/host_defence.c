/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks from outside what a running host has given up: each of its threads in /proc, and what a process of the same
 * user without capabilities can do to it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* Threads of a run with two vCPUs: main, notifier, vCPUs, and the pump of stdout. */
#define THREADS 5
/* Of these, main and the two vCPUs have a filter that is narrower than the others'. */
#define NARROWER 3

#define PATIENCE_MS 5000

/* A run whose plugin waits for ever in its vCPU's first event. */
static void start(struct run *run, void (*in_child)(void *context))
{
	const struct setup setup = {.in_child = in_child};
	run_start(run, &setup,
	          WORDS(PLUGVM, "run", "-v", "--disable-sandbox", "--grace", "0", "--cpus", "2", "--", ACTOR,
	                "life", "init", "rest"));
	run_await(run, "ready");
}

static void stop(struct run *run)
{
	run_signal(run, SIGTERM);
	run_finish(run);
	run_expect_status(run, 128 + SIGTERM);
	run_fini(run);
}

/* As start(), of a host that filters itself: it must, unless it says why it cannot. */
static void start_filtered(struct run *run, void (*in_child)(void *context))
{
	start(run, in_child);
	if (count_text(&run->err, "the host's own filter is off: this is a build with") == 1) {
		stop(run);
		test_skip("a sanitizer's or profiler's runtime cannot live under the host's filter");
	}
	assert_int_equal(count_text(&run->err, "the host's own filter is on"), 1);
}

static void expect_line(const char *status, const char *line, const char *thread)
{
	if (!strstr(status, line))
		fail_msg("thread %s has not \"%s\":\n%s", thread, line + 1, status);
}

/* ---- What /proc says ---- */

/* What the threads of a host have by way of rights. */
struct threads {
	unsigned count;
	unsigned narrower; /* those with a second filter, beside what this test itself is under */
	bool tells;        /* not every kernel says how many there are */
};

static void look_at_thread(const struct run *run, const char *thread, struct threads *threads)
{
	static const char *const lines[] = {
	    "\nNoNewPrivs:\t1\n",
	    "\nSeccomp:\t2\n",
	    "\nCapInh:\t0000000000000000\n",
	    "\nCapPrm:\t0000000000000000\n",
	    "\nCapEff:\t0000000000000000\n",
	    "\nCapAmb:\t0000000000000000\n",
	};
	char path[300], status[4096];
	snprintf(path, sizeof(path), "/proc/%d/task/%s/status", run->pid, thread);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, status, sizeof(status) - 1);
	close(fd);
	assert_true(size > 0);
	status[size] = '\0';
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_line(status, lines[i], thread);
	/* Main and vCPUs are to have a second filter. */
	const char *filters = strstr(status, "Seccomp_filters:");
	bool is_meant = strncmp(status, "Name:\tvcpu", 10) == 0 || atoi(thread) == run->pid;
	threads->count++;
	threads->tells = filters;
	if (filters && is_meant)
		threads->narrower += atoi(filters + strlen("Seccomp_filters:")) >= 2;
}

static struct threads look_at_threads(const struct run *run)
{
	struct threads threads = {.count = 0};
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", run->pid);
	DIR *tasks = opendir(path);
	assert_non_null(tasks);
	for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
		if (entry->d_name[0] != '.')
			look_at_thread(run, entry->d_name, &threads);
	}
	closedir(tasks);
	return threads;
}

static void test_every_thread(void **state)
{
	(void)state;
	struct run run;
	start_filtered(&run, NULL);
	/* The narrower filters come with the start of the VM, which the plugin may be ahead of. */
	struct threads threads = look_at_threads(&run);
	for (int i = 0; i < PATIENCE_MS / 10 && threads.tells && threads.narrower < NARROWER; i++) {
		poll(NULL, 0, 10);
		threads = look_at_threads(&run);
	}
	assert_int_equal(threads.count, THREADS);
	assert_true(threads.narrower == NARROWER || !threads.tells);
	stop(&run);
}

/* ---- What another process of the user can do ---- */

struct attempt {
	const char *name;
	int (*make)(pid_t pid); /* 0, or -errno */
};

static int open_in_proc(pid_t pid, const char *name, int flags)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags) < 0 ? -errno : 0;
}

static int open_memory(pid_t pid)
{
	return open_in_proc(pid, "mem", O_RDWR);
}

static int open_environ(pid_t pid)
{
	return open_in_proc(pid, "environ", O_RDONLY);
}

static int follow_fd(pid_t pid)
{
	char path[64], target[64];
	snprintf(path, sizeof(path), "/proc/%d/fd/2", pid);
	return readlink(path, target, sizeof(target)) < 0 ? -errno : 0;
}

static int take_fd(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return syscall(SYS_pidfd_getfd, pidfd, 2, 0) < 0 ? -errno : 0;
}

static int attach(pid_t pid)
{
	return ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? -errno : 0;
}

static int read_memory(pid_t pid)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {&byte, 1};
	return process_vm_readv(pid, &to, 1, &from, 1, 0) < 0 ? -errno : 0;
}

static const struct attempt attempts[] = {
    {"open mem", open_memory},  {"open environ", open_environ},
    {"follow fd 2", follow_fd}, {"pidfd_getfd", take_fd},
    {"ptrace", attach},         {"process_vm_readv", read_memory},
};

static void test_same_user(void **state)
{
	(void)state;
	struct run run;
	start_filtered(&run, NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{.effective = 0}};
		syscall(SYS_capset, &header, none);
		for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
			int result = attempts[i].make(run.pid);
			if (result != -EPERM && result != -EACCES) {
				dprintf(STDERR_FILENO, "# %s: %d\n", attempts[i].name, result);
				_exit((int)i + 1);
			}
		}
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	stop(&run);
}

/* ---- No memory of the guest, nor anything else ---- */

static void allow_core_dumps(void *context)
{
	(void)context;
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_CORE, &unlimited);
}

static void test_no_core_dump(void **state)
{
	(void)state;
	struct run run;
	start_filtered(&run, allow_core_dumps);
	run_signal(&run, SIGABRT);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)run.pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(info.si_code, CLD_KILLED); /* not CLD_DUMPED */
	run_finish(&run);
	run_expect_status(&run, -SIGABRT);
	run_fini(&run);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_thread),
	    cmocka_unit_test(test_same_user),
	    cmocka_unit_test(test_no_core_dump),
	};
	return SYSTEM_MAIN("host_defence", tests);
}
