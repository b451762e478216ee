/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests that kill, and those that let calls fail, have in common: options, the user, what must not stay.
 */
#ifndef PLUGVM_TESTS_KILL_RIG_H
#define PLUGVM_TESTS_KILL_RIG_H

#include "run.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What the statuses of plugvm(1) mean. */
#define STATUS_OK     0
#define STATUS_KILLED 4
#define STATUS_JAIL   8

struct rig {
	unsigned runs;
	uint64_t seed;
	unsigned limit_ms;
	bool as_user;
	bool wants_all;
	char plugvm[4096], actor[4096];
	char policy[4096];    /* the default one, and children */
	char directory[4096]; /* the current one, and where a program would put its files, if it made some */
	char *mounts;
};

/*
 * Take the options:
 *
 *   [--user] [--runs N] [--seed N] [--limit MS] [--all]
 *
 * and become an ordinary user, if they say so. Ends the program with a line of TAP if there is nothing to test with.
 */
void rig_init(struct rig *out_rig, int argc, char **argv);
void rig_fini(struct rig *rig);

/* Return a number below `limit` that depends on the seed, the subject and the run, and on nothing else. */
uint64_t rig_random(const struct rig *rig, size_t subject, unsigned run, uint64_t limit);

/* Run plugvm and a plugin that takes a little of everything. */
void rig_run(const struct rig *rig, const struct point *point, struct outcome *out_outcome);

/* Return what is there after a run and should not be, or NULL. */
const char *rig_check_remains(const struct rig *rig, const struct outcome *outcome);

/*
 * Check what a host with limits left of its control groups: nothing; a killed one at most its own, with nobody in them,
 * and the next start removes them. Returns what is wrong, or NULL; *stale counts those that a next start removed.
 */
const char *rig_check_cgroups(const struct rig *rig, const struct outcome *outcome, unsigned *stale);

/* Whether this was printed. */
bool says(const struct outcome *outcome, const char *text);

#endif
