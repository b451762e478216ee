/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long one waiter of the channel spins before it sleeps.
 */
#include "channel/spin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_TRIAL SPIN_TRIALS

void spin_init(struct spin *spin, struct spin_setting setting)
{
	*spin = (struct spin){
	    .setting = setting,
	    .spins = true,
	    .interval_ns = SPIN_INTERVAL_FIRST_NS,
	    .next_rest = SPIN_REST_FIRST,
	};
}

/*
 * Which waits of a comparison spin: half of them, in the order of Thue and Morse, since guests repeat patterns of two or
 * four exits, and one of these must not meet the same kind of wait always.
 */
static bool trial_spins(uint32_t trial)
{
	return __builtin_parity(trial);
}

struct spin_plan spin_begin(struct spin *spin, uint32_t limit, bool same_cpu)
{
	const struct spin_plan sleep = {0};
	uint32_t limit_ns = limit & ~SPIN_WORD_FIXED, fixed_ns = spin->setting.fixed_ns;
	bool is_limit = limit & SPIN_WORD_FIXED;
	if (same_cpu)
		return sleep;
	if (spin->setting.mode == SPIN_FIXED)
		return (struct spin_plan){.budget_ns = is_limit && limit_ns < fixed_ns ? limit_ns : fixed_ns};
	if (limit_ns == 0 || is_limit)
		return (struct spin_plan){.budget_ns = limit_ns};
	if (limit_ns > SPIN_BUDGET_NS)
		limit_ns = SPIN_BUDGET_NS;
	if (spin->rest > 0) {
		spin->rest--;
		return sleep;
	}
	if (spin->trial != NO_TRIAL) {
		bool spins = trial_spins(spin->trial);
		return (struct spin_plan){.budget_ns = spins ? limit_ns : 0, .is_trial = true, .timed = true};
	}
	return (struct spin_plan){
	    .budget_ns = spin->spins ? limit_ns : 0,
	    .timed = ++spin->waits >= SPIN_WAITS_PER_LOOK,
	};
}

static int compare_times(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

static uint64_t median(uint64_t times[SPIN_TRIALS / 2])
{
	qsort(times, SPIN_TRIALS / 2, sizeof(times[0]), compare_times);
	return times[SPIN_TRIALS / 4];
}

/* A result that is what it was before is asked for less often, one that is new sooner. */
static void end_comparison(struct spin *spin, bool spins, uint64_t now_ns)
{
	if (spins != spin->spins)
		spin->interval_ns = SPIN_INTERVAL_FIRST_NS;
	else if (spin->interval_ns < SPIN_INTERVAL_LAST_NS)
		spin->interval_ns *= 2;
	spin->spins = spins;
	spin->trial = NO_TRIAL;
	spin->waits = 0;
	spin->next_trial_ns = now_ns + spin->interval_ns;
}

static void note_trial(struct spin *spin, uint64_t waited_ns, uint64_t now_ns)
{
	spin->times[trial_spins(spin->trial)][spin->trial / 2] = waited_ns;
	if (++spin->trial < SPIN_TRIALS)
		return;
	/* It takes a CPU: what it saves must be more than the noise. */
	uint64_t slept = median(spin->times[0]), spun = median(spin->times[1]);
	end_comparison(spin, spun < slept - slept / 16, now_ns);
}

/* The spin did not help. Returns whether it has to stop. */
static bool note_failure(struct spin *spin)
{
	if (++spin->failures < SPIN_FAILURES_MAX)
		return false;
	/* The first one after the rest decides about the next. */
	spin->failures = SPIN_FAILURES_MAX - 1;
	spin->rest = spin->next_rest;
	if (spin->next_rest < SPIN_REST_LAST)
		spin->next_rest *= 2;
	return true;
}

void spin_end(struct spin *spin, struct spin_plan plan, bool slept, uint64_t waited_ns, uint64_t now_ns)
{
	if (plan.budget_ns > 0 && !slept) {
		spin->failures = 0;
		spin->next_rest = SPIN_REST_FIRST;
	}
	if (plan.budget_ns > 0 && slept && note_failure(spin)) {
		/* To go on with what one knew before would compare two different times. */
		spin->trial = spin->trial == NO_TRIAL ? NO_TRIAL : 0;
		return;
	}
	if (plan.is_trial) {
		note_trial(spin, waited_ns, now_ns);
	} else if (plan.timed) {
		spin->waits = 0;
		if (now_ns >= spin->next_trial_ns)
			spin->trial = 0;
	}
}

int spin_parse(const char *text, struct spin_setting *out_setting)
{
	char *end;
	if (strcmp(text, "auto") == 0) {
		*out_setting = (struct spin_setting){.mode = SPIN_AUTO};
		return 0;
	}
	/* strtoul() would take a sign and blanks. */
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	unsigned long us = strtoul(text, &end, 10);
	if (errno || *end || us > SPIN_FIXED_NS_MAX / 1000)
		return -EINVAL;
	*out_setting = (struct spin_setting){.mode = SPIN_FIXED, .fixed_ns = (uint32_t)(us * 1000)};
	return 0;
}
