/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs to start `plugvm run` until its plugin's main(), and to stop it, in every state: from the signal to its
 * end, without any grace time. Cases alternate, one run of each at a time. Nothing is pinned, and starts
 * have real-time priority if that is allowed.
 */
#include "life.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "samples.h"

#define RUNS       100
#define QUICK_RUNS 2
/* A plugin says that it is in a state, and then it takes the machine a moment to be. */
#define SETTLE_NS 20000000
/* What was promised, in milliseconds. */
#define START_LIMIT    5.0
#define STOP_LIMIT_P99 100.0
#define STOP_LIMIT_MAX 1000.0

struct life_case {
	const char *name;
	const char *state; /* NULL: it is the start that is timed */
	const char *vcpus;
	bool is_jailed;
	/* Every CPU has dozens of threads that compute: the one that stops them waits for its turn, and only the maximum holds. */
	bool is_crowded;
};

static const struct life_case cases[] = {
    {"start/unjailed", NULL, "1", false, false},
    {"start/jailed", NULL, "1", true, false},
    {"stop/before-start", "before-start", "4", true, false},
    {"stop/running", "running", "4", true, false},
    {"stop/halted", "halted", "4", true, false},
    {"stop/in-event", "in-event", "4", true, false},
    {"stop/paused", "paused", "4", true, false},
    {"stop/channel-full", "channel-full", "4", true, false},
    {"stop/plugin-stopped", "plugin-stopped", "4", true, false},
    {"stop/running/1-vcpu", "running", "1", true, false},
    {"stop/running/64-vcpus", "running", "64", true, true},
    {"stop/channel-full/64-vcpus", "channel-full", "64", true, true},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Return whether this was allowed. */
static bool set_policy(int policy)
{
	const struct sched_param priority = {.sched_priority = policy == SCHED_OTHER ? 0 : 1};
	return sched_setscheduler(0, policy, &priority) == 0;
}

static pid_t start(const struct bench_config *config, const struct life_case *this, int *out_results)
{
	int results[2];
	if (pipe2(results, O_CLOEXEC) < 0)
		err(1, "pipe2");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		cpu_set_t all;
		memset(&all, 0xff, sizeof(all));
		sched_setaffinity(0, sizeof(all), &all);
		/* A guest that runs for ever must leave room for what is to stop it. */
		if (this->state)
			set_policy(SCHED_OTHER);
		setpriority(PRIO_PROCESS, 0, -20);
		dup2(results[1], STDOUT_FILENO);
		/* Where it says that it was stopped. */
		int null = open("/dev/null", O_WRONLY);
		if (this->state && null >= 0)
			dup2(null, STDERR_FILENO);
		const char *words[20] = {
		    config->plugvm, "run", "-q", "--cpus", this->vcpus, "--grace", this->state ? "0" : "1000"};
		size_t count = 7;
		if (this->is_jailed) {
			words[count++] = "--jail";
			words[count++] = "default";
		} else {
			words[count++] = "--disable-sandbox";
		}
		words[count++] = "--";
		words[count++] = config->plugin;
		words[count++] = this->state ? "state" : "begin";
		words[count++] = this->state ? this->state : NULL;
		words[count++] = this->vcpus;
		execv(config->plugvm, (char **)(uintptr_t)words);
		err(1, "%s", config->plugvm);
	}
	close(results[1]);
	*out_results = results[0];
	return pid;
}

static uint64_t run_once(const struct bench_config *config, const struct life_case *this)
{
	int results, status;
	char byte;
	uint64_t begin = now_ns();
	pid_t pid = start(config, this, &results);
	if (read(results, &byte, 1) != 1)
		errx(1, "%s: the plugin has not begun", this->name);
	uint64_t end = now_ns();
	if (this->state) {
		nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
		begin = now_ns();
		kill(pid, SIGTERM);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (this->state)
		end = now_ns();
	int wanted = this->state ? 128 + SIGTERM : 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
		errx(1, "%s: plugvm ended with status 0x%x", this->name, status);
	close(results);
	return end - begin;
}

static int compare(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
	return (first > second) - (first < second);
}

static double quantile_ms(const uint64_t *sorted, size_t count, double q)
{
	return (double)sorted[(size_t)(q * (double)(count - 1) + 0.5)] / 1e6;
}

/* Whether this case is to be measured: both starts or none, since they are compared. */
static bool is_measured(const struct life_case *this, bool (*is_wanted)(const char *, const char *),
                        const char *wanted)
{
	if (!this->state && is_wanted(wanted, "start/jailed"))
		return true;
	return is_wanted(wanted, this->name) || is_wanted(wanted, this->state ? "stop" : "start");
}

static void print_case(const struct life_case *this, const uint64_t *sorted, size_t count, bool json)
{
	printf(
	    json
	        ? "{\"case\": \"%s\", \"unit\": \"ms\", \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"n\": %zu}\n"
	        : "%-28s median %9.3f ms  p99 %9.3f ms  max %9.3f ms  (%zu runs)\n",
	    this->name, quantile_ms(sorted, count, 0.5), quantile_ms(sorted, count, 0.99),
	    quantile_ms(sorted, count, 1), count);
	fflush(stdout);
}

static void compare_starts(const uint64_t *unjailed, const uint64_t *jailed, size_t runs, bool json, bool quick,
                           bool *out_over_limit)
{
	double more = quantile_ms(jailed, runs, 0.5) - quantile_ms(unjailed, runs, 0.5);
	double more_p99 = quantile_ms(jailed, runs, 0.99) - quantile_ms(unjailed, runs, 0.99);
	printf(json ? "{\"case\": \"%s\", \"unit\": \"ms\", \"p50\": %.3f, \"p99\": %.3f, \"n\": %zu}\n"
	            : "%-28s median %9.3f ms  p99 %9.3f ms  (%zu runs)\n",
	       "start/difference", more, more_p99, runs);
	if (more > START_LIMIT && !quick) {
		warnx("the jail adds more than %.0f ms to a start", START_LIMIT);
		*out_over_limit = true;
	}
}

bool life_run(const struct bench_config *config, const char *wanted,
              bool (*is_wanted)(const char *wanted, const char *name), bool json, bool quick, bool *out_over_limit)
{
	static uint64_t times[CASES][RUNS];
	size_t runs = quick ? QUICK_RUNS : RUNS;
	bool found = false;
	/* What else this machine does is not what is measured. */
	bool has_priority = set_policy(SCHED_RR);
	/* One more of each comes first and is not counted. */
	for (size_t run = 0; run <= runs; run++) {
		for (size_t i = 0; i < CASES; i++) {
			if (!is_measured(&cases[i], is_wanted, wanted))
				continue;
			found = true;
			times[i][run > 0 ? run - 1 : 0] = run_once(config, &cases[i]);
		}
	}
	set_policy(SCHED_OTHER);
	if (found && !json)
		printf("# starts have %s priority, stops the highest ordinary one that is allowed\n",
		       has_priority ? "real-time" : "ordinary");
	for (size_t i = 0; i < CASES; i++) {
		if (!is_measured(&cases[i], is_wanted, wanted))
			continue;
		qsort(times[i], runs, sizeof(times[i][0]), compare);
		print_case(&cases[i], times[i], runs, json);
		bool is_late = quantile_ms(times[i], runs, 1) > STOP_LIMIT_MAX ||
		               (!cases[i].is_crowded && quantile_ms(times[i], runs, 0.99) > STOP_LIMIT_P99);
		if (cases[i].state && !quick && is_late) {
			warnx("%s takes more than %.0f ms (p99) or %.0f ms (max)", cases[i].name, STOP_LIMIT_P99,
			      STOP_LIMIT_MAX);
			*out_over_limit = true;
		}
		if (i == 1)
			compare_starts(times[0], times[1], runs, json, quick, out_over_limit);
	}
	return found;
}
