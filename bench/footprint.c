/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a machine takes when it starts, when it is idle and beside many others: time, CPU time and memory. Nothing is
 * pinned. Memory is what is private to a process, without the guest's and the channel's.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"
#include "whole.h"

#define RUNS_MAX    100
#define CROWD       200
#define MORE_VCPUS  4
#define IDLE_S      10
#define SETTLE_NS   300000000
#define TREE_MAX    32
#define KIB_PER_MIB 1024.0

struct started {
	pid_t pid;
	double ms; /* from before the fork to the plugin's byte */
};

/* With a state of the plugin; NULL: the program in one process. */
static struct started start(const struct whole *whole, const char *state, unsigned int vcpus)
{
	int results[2];
	char number[16], byte;
	snprintf(number, sizeof(number), "%u", vcpus);
	if (pipe2(results, O_CLOEXEC) < 0)
		err(1, "pipe2");
	uint64_t begin = now_ns();
	struct started started = {.pid = fork()};
	if (started.pid < 0)
		err(1, "fork");
	if (started.pid == 0) {
		cpu_set_t all;
		memset(&all, 0xff, sizeof(all));
		sched_setaffinity(0, sizeof(all), &all);
		dup2(results[1], STDOUT_FILENO);
		/* Where plugvm says that it was stopped. */
		int null = open("/dev/null", O_WRONLY);
		if (state && null >= 0)
			dup2(null, STDERR_FILENO);
		const struct bench_config *config = whole->config;
		if (state)
			execl(config->plugvm, config->plugvm, "run", "-q", "--cpus", number, "--grace", "0",
			      "--spin", config->spin, "--", config->plugin, "state", state, number, (char *)NULL);
		else
			execl(config->bare, config->bare, (char *)NULL);
		_exit(1);
	}
	close(results[1]);
	if (read(results[0], &byte, 1) != 1)
		errx(1, "%s has not started", state ? "a machine" : "the bare program");
	started.ms = (double)(now_ns() - begin) / 1e6;
	close(results[0]);
	return started;
}

static void stop(struct started started)
{
	kill(started.pid, SIGTERM);
	while (waitpid(started.pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void wait_ns(uint64_t ns)
{
	nanosleep(&(struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)}, NULL);
}

/* ---- A process and what it has started ---- */

/* Call `add` for each thread's directory. */
static double for_threads(pid_t pid, double (*add)(const char *directory))
{
	char path[64];
	double sum = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		err(1, "%s", path);
	for (struct dirent *entry; (entry = readdir(tasks));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s", (int)pid, entry->d_name);
		sum += add(path);
	}
	closedir(tasks);
	return sum;
}

static pid_t tree[TREE_MAX];
static size_t tree_size;

static double add_children(const char *directory)
{
	char path[96];
	int pid;
	snprintf(path, sizeof(path), "%s/children", directory);
	FILE *file = fopen(path, "r");
	while (file && tree_size < TREE_MAX && fscanf(file, "%d", &pid) == 1)
		tree[tree_size++] = pid;
	if (file)
		fclose(file);
	return 0;
}

static void find_tree(pid_t pid)
{
	tree[0] = pid;
	tree_size = 1;
	for (size_t i = 0; i < tree_size; i++)
		for_threads(tree[i], add_children);
}

static double add_cpu_ms(const char *directory)
{
	char path[96];
	unsigned long long ns = 0;
	snprintf(path, sizeof(path), "%s/schedstat", directory);
	FILE *file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &ns) != 1)
		errx(1, "%s says nothing", path);
	fclose(file);
	return (double)ns / 1e6;
}

static double tree_cpu_ms(pid_t pid)
{
	double ms = 0;
	find_tree(pid);
	for (size_t i = 0; i < tree_size; i++)
		ms += for_threads(tree[i], add_cpu_ms);
	return ms;
}

/* The guest's memory and the channel are memfds; the vCPU's mapping is the kernel's. */
static bool is_counted(const char *mapping)
{
	return !strstr(mapping, "memfd:") && !strstr(mapping, "kvm-vcpu");
}

static double private_kib(pid_t pid)
{
	char line[512];
	bool counts = false;
	unsigned long from, to, kib, sum = 0;
	snprintf(line, sizeof(line), "/proc/%d/smaps", (int)pid);
	FILE *file = fopen(line, "r");
	if (!file)
		err(1, "%s", line);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			counts = is_counted(line);
		else if (counts && (sscanf(line, "Private_Clean: %lu", &kib) == 1 ||
		                    sscanf(line, "Private_Dirty: %lu", &kib) == 1))
			sum += kib;
	}
	fclose(file);
	return (double)sum;
}

static double tree_kib(pid_t pid)
{
	double kib = 0;
	find_tree(pid);
	for (size_t i = 0; i < tree_size; i++)
		kib += private_kib(tree[i]);
	return kib;
}

/* ---- The cases ---- */

static void run_start(struct whole *whole)
{
	static double here[RUNS_MAX], ours[RUNS_MAX], ratios[RUNS_MAX];
	size_t runs = whole->quick ? 2 : RUNS_MAX;
	for (size_t run = 0; run <= runs; run++) {
		size_t i = run > 0 ? run - 1 : 0;
		struct started started = start(whole, NULL, 1);
		here[i] = started.ms;
		stop(started);
		started = start(whole, "answered", 1);
		ours[i] = started.ms;
		stop(started);
		ratios[i] = ours[i] / here[i];
	}
	double ratio = median_of(ratios, runs);
	figure_print(whole, &(struct figure){"start/bare", "ms", here, runs, NULL, 1});
	figure_print(whole, &(struct figure){"start/answered", "ms", ours, runs, "start/bare", ratio});
	figure_judge(whole, "start/answered", ratio, "<= start/bare times", 1.6);
}

static void run_idle(struct whole *whole)
{
	struct started started = start(whole, "waiting", 1);
	wait_ns(SETTLE_NS);
	double before = tree_cpu_ms(started.pid);
	wait_ns(UINT64_C(1000000000) * (whole->quick ? 1 : IDLE_S));
	double ms = tree_cpu_ms(started.pid) - before;
	stop(started);
	figure_print(whole, &(struct figure){"idle", "ms", &ms, 1, NULL, 1});
	figure_judge(whole, "idle", ms, "<=", 50);
}

static void run_memory(struct whole *whole)
{
	static double one[RUNS_MAX], more[RUNS_MAX];
	size_t runs = whole->quick ? 1 : 10;
	for (size_t i = 0; i < runs; i++) {
		struct started few = start(whole, "waiting", 1), many = start(whole, "waiting", 1 + MORE_VCPUS);
		wait_ns(SETTLE_NS);
		one[i] = private_kib(few.pid);
		more[i] = (private_kib(many.pid) - one[i]) / MORE_VCPUS;
		stop(few);
		stop(many);
	}
	double kib = figure_print(whole, &(struct figure){"memory/1-vcpu", "KiB", one, runs, NULL, 1});
	figure_judge(whole, "memory/1-vcpu", kib, "<=", 1.5 * KIB_PER_MIB);
	kib = figure_print(whole, &(struct figure){"memory/each-further-vcpu", "KiB", more, runs, NULL, 1});
	figure_judge(whole, "memory/each-further-vcpu", kib, "<=", 96);
}

static void run_scale(struct whole *whole)
{
	static double alone_ms[RUNS_MAX], alone_kib[RUNS_MAX], ms[CROWD], kib[CROWD];
	static struct started crowd[CROWD];
	size_t runs = whole->quick ? 2 : 30, count = whole->quick ? 5 : CROWD;
	for (size_t i = 0; i < runs; i++) {
		/* Two, so that what they have in common is not private to one. */
		struct started other = start(whole, "answered", 1), one = start(whole, "answered", 1);
		alone_ms[i] = one.ms;
		alone_kib[i] = tree_kib(one.pid);
		stop(one);
		stop(other);
	}
	for (size_t i = 0; i < count; i++) {
		crowd[i] = start(whole, "answered", 1);
		ms[i] = crowd[i].ms;
	}
	for (size_t i = 0; i < count; i++)
		kib[i] = tree_kib(crowd[i].pid);
	for (size_t i = 0; i < count; i++)
		kill(crowd[i].pid, SIGTERM);
	for (size_t i = 0; i < count; i++)
		stop(crowd[i]);

	figure_print(whole, &(struct figure){"scale/start-alone", "ms", alone_ms, runs, NULL, 1});
	double ratio = median_of(ms, count) / median_of(alone_ms, runs);
	figure_print(whole, &(struct figure){"scale/start", "ms", ms, count, "scale/start-alone", ratio});
	figure_judge(whole, "scale/start", ratio, "<= scale/start-alone times", 1.2);
	figure_print(whole, &(struct figure){"scale/memory-alone", "KiB", alone_kib, runs, NULL, 1});
	ratio = median_of(kib, count) / median_of(alone_kib, runs);
	figure_print(whole, &(struct figure){"scale/memory", "KiB", kib, count, "scale/memory-alone", ratio});
	figure_judge(whole, "scale/memory", ratio, "<= scale/memory-alone times", 1.2);
}

bool footprint_run(struct whole *whole)
{
	static const struct {
		const char *name, *other; /* start has more cases than these (life.c) */
		void (*run)(struct whole *whole);
	} cases[] = {
	    {"start/answered", "start/bare", run_start},
	    {"idle", "idle", run_idle},
	    {"memory", "memory", run_memory},
	    {"scale", "scale", run_scale},
	};
	bool found = false;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!whole_wants(whole, cases[i].name) && !whole_wants(whole, cases[i].other))
			continue;
		found = true;
		cases[i].run(whole);
	}
	return found;
}
