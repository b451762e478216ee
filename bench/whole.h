/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Figures of whole machines: what is not a time of one event.
 */
#ifndef PLUGVM_BENCH_WHOLE_H
#define PLUGVM_BENCH_WHOLE_H

#include <stdbool.h>

#include "cases.h"

struct whole {
	const struct bench_config *config;
	const char *wanted;
	bool (*is_wanted)(const char *wanted, const char *name);
	bool json, quick;
	bool over_limit;
};

/* Whether this is wanted, or something whose name goes on after it. */
bool whole_wants(const struct whole *whole, const char *name);

/* Measure those of the cases that are wanted and print them. Return whether there was one. */
bool crowd_run(struct whole *whole);     /* crowd.c: exits per second of more threads than CPUs */
bool footprint_run(struct whole *whole); /* footprint.c: starts, memory, CPU time */

struct figure {
	const char *name, *unit;
	double *values; /* `count` of them; they are sorted */
	size_t count;
	const char *against; /* NULL: nothing */
	double ratio;
};

/* Print one and return its median. */
double figure_print(const struct whole *whole, const struct figure *figure);
double median_of(double *values, size_t count);
/* Say so if something is not as promised, unless it was a quick run. */
void figure_judge(struct whole *whole, const char *name, double value, const char *relation, double limit);

#endif
