/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * While both sides are awake an exit costs one system call, KVM_RUN: the plugin is under a filter that allows none, and
 * the host's vCPU thread is traced. Each side has a CPU for itself, and looks for the other one for a second before it
 * sleeps.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "awake.h"
#include "harness.h"

/* An emulated machine's exits take much longer. */
#define TURNS     (getenv("PLUGVM_LAB") ? "500" : "20000")
#define RUN_CALLS (getenv("PLUGVM_LAB") ? 60u : 600u)

/* So often a machine with other work may leave a side without a CPU. */
#define TRIES 3

static int cpus[2]; /* the host's and the plugin's */

/* ---- Runs ---- */

static void find_cpus(void)
{
	cpu_set_t set;
	int count = 0;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++) {
		if (CPU_ISSET(cpu, &set))
			cpus[count++] = cpu;
	}
	if (count < 2)
		test_skip("there is one CPU, on which nobody waits awake");
}

/* The time, and which CPU this is: with or without a system call. */
static const char *clock_source(void)
{
	static const char *source;
	if (!source) {
		struct run run;
		run_words(&run, WORDS(ACTOR, "awake-clock"));
		source = run.status == 0 ? "by-vdso" : "by-kernel";
		print_message("# the time comes %s\n", source);
		run_fini(&run);
	}
	return source;
}

/* Return a file with the default policy and leave to install a filter. */
static int policy_file(void)
{
	static const char rule[] = "\nprctl: ", leave[] = "arg0 == PR_SET_SECCOMP || ";
	static char text[65536];
	struct run run;
	run_words(&run, WORDS(PLUGVM, "policy", "show", "default"));
	run_expect_status(&run, 0);
	const char *at = strstr(run.out.text, rule);
	assert_non_null(at);
	at += strlen(rule);
	int size = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - run.out.text), run.out.text, leave, at);
	assert_in_range(size, 1, sizeof(text) - 1);
	run_fini(&run);
	return file_with(text, (size_t)size);
}

static void take_cpu(void *context)
{
	cpu_set_t set;
	(void)context;
	CPU_ZERO(&set);
	CPU_SET(cpus[0], &set);
	unsetenv("PLUGVM_CHANNEL");
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		_exit(99);
}

static void start(struct run *run, const char *act, const char *spin_us, const char *variable)
{
	char cpu[16];
	find_cpus();
	const struct setup in_place = {.in_child = take_cpu, .stdin_fd = policy_file()};
	snprintf(cpu, sizeof(cpu), "%d", cpus[1]);
	run_start(run, &in_place,
	          WORDS(PLUGVM, "run", "--jail", "default", "--seccomp-policy", "/dev/stdin", "--grace", "0",
	                "--spin", spin_us, "--env", variable, "--", ACTOR, act, cpu, TURNS, clock_source()));
	close(in_place.stdin_fd);
}

/* ---- The plugin ---- */

/* The plugin comes to its end without a system call. */
static void test_plugin(void **state)
{
	(void)state;
	for (int try = 0; try < TRIES; try++) {
		struct run run;
		start(&run, "awake-filtered", AWAKE_US, "PLUGVM_SPIN=" AWAKE_US);
		run_finish(&run);
		bool was_starved = count_text(&run.err, AWAKE_STARVED) > 0;
		if (!was_starved) {
			run_expect_status(&run, 0);
			run_expect_err(&run, "done\n");
		}
		run_fini(&run);
		if (!was_starved)
			return;
	}
	test_skip(AWAKE_STARVED ", in each of the runs");
}

static void expect_refusal(const char *spin_us, const char *variable)
{
	struct run run;
	start(&run, "awake-filtered", spin_us, variable);
	run_finish(&run);
	run_expect_err(&run, AWAKE_READY);
	run_expect_err(&run, AWAKE_REFUSED);
	run_expect_no_err(&run, "done\n");
	run_fini(&run);
}

/* That the filter notices: one that sleeps, one with a host that does, one that has no shared memory. */
static void test_sleeping_plugin(void **state)
{
	(void)state;
	expect_refusal(AWAKE_US, "PLUGVM_SPIN=0");
}

static void test_plugin_that_wakes(void **state)
{
	(void)state;
	expect_refusal("0", "PLUGVM_SPIN=" AWAKE_US);
}

static void test_plugin_with_packets(void **state)
{
	(void)state;
	expect_refusal(AWAKE_US, "PLUGVM_CHANNEL=packets");
}

/* ---- The host ---- */

/* What a thread has called: KVM_RUN, and others. */
struct calls {
	unsigned runs, others;
	char other[80]; /* the first of these */
	bool was_starved;
};

/* Return the host's thread of this name. */
static pid_t find_thread(const struct run *run, const char *name)
{
	char path[300], text[32];
	pid_t found = -1;
	snprintf(path, sizeof(path), "/proc/%d/task", run->pid);
	DIR *tasks = opendir(path);
	assert_non_null(tasks);
	for (struct dirent *entry = readdir(tasks); entry && found < 0; entry = readdir(tasks)) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", run->pid, entry->d_name);
		FILE *comm = fopen(path, "re");
		if (comm && fgets(text, sizeof(text), comm) && strncmp(text, name, strlen(name)) == 0)
			found = atoi(entry->d_name);
		if (comm)
			fclose(comm);
	}
	closedir(tasks);
	assert_true(found > 0);
	return found;
}

/* Wait until the thread has stopped. */
static int await_stop(pid_t thread)
{
	const struct timespec turn = {.tv_nsec = 50000};
	const uint64_t deadline = awake_now_ns() + DEADLINE_MS * UINT64_C(1000000);
	int status;
	pid_t stopped;
	while ((stopped = waitpid(thread, &status, __WALL | WNOHANG)) == 0 && awake_now_ns() < deadline)
		nanosleep(&turn, NULL);
	assert_int_equal(stopped, thread);
	assert_true(WIFSTOPPED(status));
	return status;
}

/* The time, where the kernel must be asked for it, does not count. */
static bool is_clock(uint64_t number)
{
	return strcmp(clock_source(), "by-kernel") == 0 && (number == SYS_clock_gettime || number == SYS_getcpu);
}

/* The thread is at a system call's begin or end; it had gone on at `begin_ns`. */
static void note_call(pid_t thread, uint64_t begin_ns, struct calls *calls)
{
	struct __ptrace_syscall_info info;
	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) > 0);
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	if (info.entry.nr == SYS_ioctl && (uint32_t)info.entry.args[1] == KVM_RUN) {
		calls->runs++;
	} else if (!is_clock(info.entry.nr)) {
		if (calls->others++ == 0)
			snprintf(calls->other, sizeof(calls->other), "%llu (.., 0x%llx), after %u times KVM_RUN",
			         (unsigned long long)info.entry.nr, (unsigned long long)info.entry.args[1],
			         calls->runs);
		calls->was_starved = calls->was_starved || awake_now_ns() - begin_ns >= AWAKE_NS;
	}
}

/* Trace the thread until it has called KVM_RUN often enough. */
static struct calls trace(pid_t thread)
{
	struct calls calls = {.runs = 0};
	if (ptrace(PTRACE_SEIZE, thread, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD) < 0)
		test_skip("this root may not trace a host");
	assert_int_equal(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), 0);
	int status = await_stop(thread);
	while (calls.runs < RUN_CALLS) {
		bool is_call = WSTOPSIG(status) == (SIGTRAP | 0x80), is_event = status >> 16;
		uintptr_t signal = is_call || is_event ? 0 : (uintptr_t)WSTOPSIG(status);
		uint64_t begin_ns = awake_now_ns();
		assert_int_equal(ptrace(PTRACE_SYSCALL, thread, NULL, (void *)signal), 0);
		status = await_stop(thread);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			note_call(thread, begin_ns, &calls);
	}
	assert_int_equal(ptrace(PTRACE_DETACH, thread, NULL, NULL), 0);
	return calls;
}

static struct calls trace_host(const char *spin_us, const char *variable)
{
	struct run run;
	if (geteuid() != 0)
		test_skip("only root may trace a host");
	start(&run, "awake-rest", spin_us, variable);
	run_await(&run, AWAKE_READY);
	struct calls calls = trace(find_thread(&run, "vcpu0"));
	run_signal(&run, SIGTERM);
	run_finish(&run);
	run_expect_status(&run, 128 + SIGTERM);
	run_fini(&run);
	return calls;
}

static void test_host(void **state)
{
	(void)state;
	for (int try = 0; try < TRIES; try++) {
		struct calls calls = trace_host(AWAKE_US, "PLUGVM_SPIN=" AWAKE_US);
		if (calls.others > 0 && !calls.was_starved)
			fail_msg("%u other system calls; the first: %s", calls.others, calls.other);
		if (calls.others == 0) {
			print_message("# %u times KVM_RUN, and nothing else\n", calls.runs);
			return;
		}
	}
	test_skip(AWAKE_STARVED ", in each of the runs");
}

/* That the trace notices: one that sleeps, one that wakes, one without shared memory. */
static void test_other_hosts(void **state)
{
	(void)state;
	assert_true(trace_host("0", "PLUGVM_SPIN=" AWAKE_US).others > 0);
	assert_true(trace_host(AWAKE_US, "PLUGVM_SPIN=0").others > 0);
	assert_true(trace_host(AWAKE_US, "PLUGVM_CHANNEL=packets").others > 0);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plugin),
	    cmocka_unit_test(test_sleeping_plugin),
	    cmocka_unit_test(test_plugin_that_wakes),
	    cmocka_unit_test(test_plugin_with_packets),
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_other_hosts),
	};
	return SYSTEM_MAIN("awake", tests);
}
