/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kills plugvm, its plugin and the helper's processes with SIGKILL at random points: after a random time, at a random
 * one of the system calls that they make, or a random number of instructions after one that belongs to the hand-over of an
 * exit. Whenever it comes, the end is the documented one, it comes at once, and nothing stays: no process, mount, cgroup
 * or file.
 * The same seed gives the same points (rig.h has the options). Prints TAP.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "rig.h"

#define SAMPLES 5    /* runs without a kill, for the range of the points */
#define TRIES   4    /* runs for a kill, at most */
#define STEPS   2000 /* more than an exit and its answer take */
#define LIMITED 4    /* each such run in a jail is one with control groups */

struct subject {
	enum victim victim;
	bool is_jailed;
	bool by_call;
	unsigned parts; /* of eighths of the number of runs */
	int step_from;  /* 0, or some instructions after one of the later calls of this number */
};

/* Of the kills of plugin and host each, five eighths are jailed and by a system call. */
static const struct subject subjects[] = {
    {VICTIM_PLUGIN, true, true, 3, 0},
    {VICTIM_PLUGIN, true, false, 3, 0},
    {VICTIM_PLUGIN, false, true, 1, 0},
    {VICTIM_PLUGIN, false, false, 1, 0},
    {VICTIM_HOST, true, true, 3, 0},
    {VICTIM_HOST, true, false, 3, 0},
    {VICTIM_HOST, false, true, 1, 0},
    {VICTIM_HOST, false, false, 1, 0},
    {VICTIM_BUILDER, true, true, 1, 0},
    {VICTIM_INIT, true, true, 1, 0},
    /* A plugin that is traced sleeps between two exits; the host's last ioctls are KVM_RUN. */
    {VICTIM_PLUGIN, true, true, 4, SYS_futex},
    {VICTIM_HOST, true, true, 4, SYS_ioctl},
};

/* ---- What a kill must come to ---- */

/* Return what is wrong with the end of the host, or NULL. */
static const char *check_end(const struct point *point, const struct outcome *outcome)
{
	bool is_over = outcome->status == STATUS_OK && says(outcome, "leaving\n");
	if (!outcome->was_killed || is_over)
		return is_over ? NULL : "a run without a kill did not end well";
	if (point->victim == VICTIM_HOST)
		return outcome->status == -SIGKILL ? NULL : "the host ended in another way";
	if (outcome->status == STATUS_KILLED)
		return says(outcome, "plugvm: the plugin was killed by signal 9 (SIGKILL)\n")
		           ? NULL
		           : "the signal is not named";
	/* A jail that was not complete, or whose init could not say any more that the plugin has just been executed. */
	if (outcome->status == STATUS_JAIL && !says(outcome, "began\n"))
		return says(outcome, "plugvm: the jail: ") ? NULL : "the jail's failure is not named";
	if (outcome->status == STATUS_JAIL && point->victim == VICTIM_INIT)
		return says(outcome, "plugvm: the jail: the helper ended without a word") ? NULL
		                                                                          : "it is told otherwise";
	return "the status is another one";
}

static const char *check(const struct rig *rig, const struct point *point, const struct outcome *outcome,
                         unsigned *stale)
{
	if (outcome->was_killed && outcome->host_us > rig->limit_ms * 1000)
		return "the host took too long to end";
	const char *problem = check_end(point, outcome);
	if (!problem)
		problem = rig_check_remains(rig, outcome);
	return !problem && point->is_limited ? rig_check_cgroups(rig, outcome, stale) : problem;
}

static int compare(const void *a, const void *b)
{
	unsigned first = *(const unsigned *)a, second = *(const unsigned *)b;
	return (first > second) - (first < second);
}

static void print_times(const char *what, unsigned *times, unsigned count)
{
	if (count == 0)
		return;
	qsort(times, count, sizeof(times[0]), compare);
	printf("# %s: median %.1f ms, p99 %.1f ms, max %.1f ms\n", what, times[count / 2] / 1e3,
	       times[(count * 99ull) / 100] / 1e3, times[count - 1] / 1e3);
}

static uint64_t life_of(const struct outcome *outcome, enum victim victim)
{
	return victim == VICTIM_PLUGIN ? outcome->plugin_life_ns : outcome->life_ns;
}

/* Store the length of a run and the number of calls; false if such a run does not end well. */
static bool sample(const struct rig *rig, const struct subject *subject, struct outcome *out_sample)
{
	for (int i = 0; i < SAMPLES; i++) {
		struct outcome outcome;
		/* Call 1 of nobody: traced, and nobody dies. */
		const struct point none = {.victim = VICTIM_NONE,
		                           .is_jailed = subject->is_jailed,
		                           .call = subject->by_call,
		                           .number = ANY_CALL};
		rig_run(rig, &none, &outcome);
		if (check(rig, &none, &outcome, NULL)) {
			printf("# status %d: %s\n", outcome.status, outcome.text);
			return false;
		}
		if (i == 0 || life_of(&outcome, subject->victim) < life_of(out_sample, subject->victim))
			*out_sample = outcome;
	}
	return true;
}

/*
 * After a call of that kind while the guest runs: in the second half of the host's ioctls, and in the second quarter of the
 * plugin's waits and wake-ups, of which there are fewer when only the plugin is traced and the host is fast.
 */
static void choose_step(const struct rig *rig, size_t number, unsigned i, const struct outcome *whole,
                        struct point *point)
{
	point->number = subjects[number].step_from;
	unsigned count = whole->kinds[point->victim][point->number];
	unsigned first = point->victim == VICTIM_HOST ? count / 2 : count / 8;
	unsigned range = point->victim == VICTIM_HOST ? count - first : count / 4;
	point->call = 1 + first + (unsigned)rig_random(rig, number, i, range);
	point->steps = 1 + (unsigned)rig_random(rig, COUNT(subjects) + number, i, STEPS);
}

static bool kill_subject(const struct rig *rig, size_t number)
{
	const struct subject *subject = &subjects[number];
	static struct outcome whole, outcome;
	if (!sample(rig, subject, &whole))
		return false;
	unsigned runs = (rig->runs * subject->parts + 7) / 8, killed = 0, failed = 0;
	unsigned *host_us = calloc(runs, sizeof(unsigned)), *all_us = calloc(runs, sizeof(unsigned));
	if (!host_us || !all_us)
		err(1, "calloc");
	uint64_t life = life_of(&whole, subject->victim);
	unsigned tries = 0, stale = 0;
	/* Some come too late, and do not count. */
	for (; killed < runs && tries < runs * TRIES; tries++) {
		unsigned i = tries;
		struct point point = {.victim = subject->victim,
		                      .is_jailed = subject->is_jailed,
		                      .is_limited = subject->is_jailed && i % LIMITED == 0,
		                      .number = ANY_CALL};
		if (subject->step_from)
			choose_step(rig, number, i, &whole, &point);
		else if (subject->by_call)
			point.call = 1 + (unsigned)rig_random(rig, number, i, whole.calls[subject->victim]);
		if (!subject->by_call)
			point.delay_ns = rig_random(rig, number, i, life);
		/* Each second one over the packets; instructions are those of the shared memory. */
		if (i % 2 == 1 && !subject->step_from)
			setenv("PLUGVM_CHANNEL", "packets", 1);
		rig_run(rig, &point, &outcome);
		unsetenv("PLUGVM_CHANNEL");
		const char *problem = check(rig, &point, &outcome, &stale);
		if (problem) {
			failed++;
			printf("# run %u, call %u and %u steps, after %.3f ms: %s\n# status %d, host %.1f ms, all "
			       "%.1f ms; "
			       "printed: %s\n",
			       i, point.call, point.steps, (double)point.delay_ns / 1e6, problem, outcome.status,
			       outcome.host_us / 1e3, outcome.all_us / 1e3, outcome.text);
		}
		if (outcome.was_killed) {
			host_us[killed] = outcome.host_us;
			all_us[killed++] = outcome.all_us;
		}
	}
	printf("# %u kills in %u runs; without one, ", killed, tries);
	if (subject->step_from)
		printf("%u calls of number %d\n", whole.kinds[subject->victim][subject->step_from],
		       subject->step_from);
	else if (subject->by_call)
		printf("%u calls\n", whole.calls[subject->victim]);
	else
		printf("%.1f ms\n", (double)life / 1e6);
	if (subject->is_jailed)
		printf("# control groups of %u killed hosts were removed by the next start\n", stale);
	print_times("until the host's end", host_us, killed);
	print_times("until nothing was left", all_us, killed);
	free(host_us);
	free(all_us);
	return failed == 0 && killed == runs;
}

int main(int argc, char **argv)
{
	struct rig rig;
	rig_init(&rig, argc, argv);
	bool all_ok = true;
	printf("# seed %llu\n1..%zu\n", (unsigned long long)rig.seed, COUNT(subjects));
	for (size_t i = 0; i < COUNT(subjects); i++) {
		/* A plugin that spins makes no calls. */
		if (subjects[i].step_from)
			setenv("PLUGVM_SPIN", "0", 1);
		bool ok = kill_subject(&rig, i);
		unsetenv("PLUGVM_SPIN");
		printf("%s %zu - the %s is killed %s%s\n", ok ? "ok" : "not ok", i + 1,
		       victim_names[subjects[i].victim],
		       subjects[i].step_from ? "at a random instruction of the hand-over"
		       : subjects[i].by_call ? "at a random system call"
		                             : "at a random time",
		       subjects[i].is_jailed ? "" : ", unjailed");
		all_ok = all_ok && ok;
	}
	rig_fini(&rig);
	return all_ok ? 0 : 1;
}
