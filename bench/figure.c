/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Printing figures of whole machines.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "whole.h"

static int compare(const void *a, const void *b)
{
	double first = *(const double *)a, second = *(const double *)b;
	return (first > second) - (first < second);
}

double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare);
	return values[count / 2];
}

bool whole_wants(const struct whole *whole, const char *name)
{
	return whole->is_wanted(whole->wanted, name) || (whole->wanted && whole->is_wanted(name, whole->wanted));
}

double figure_print(const struct whole *whole, const struct figure *figure)
{
	double p50 = median_of(figure->values, figure->count);
	double p99 = figure->values[(size_t)(0.99 * (double)(figure->count - 1) + 0.5)];
	if (whole->json) {
		printf("{\"case\": \"%s\", \"unit\": \"%s\", \"p50\": %.3f, \"p99\": %.3f, \"n\": %zu",
		       figure->name, figure->unit, p50, p99, figure->count);
		if (figure->against)
			printf(", \"ratio_to\": \"%s\", \"ratio\": %.3f", figure->against, figure->ratio);
		printf("}\n");
	} else {
		printf("%-34s median %9.3f %s  p99 %9.3f %s  (%zu)", figure->name, p50, figure->unit, p99,
		       figure->unit, figure->count);
		if (figure->against)
			printf("  %6.3f of %s", figure->ratio, figure->against);
		printf("\n");
	}
	fflush(stdout);
	return p50;
}

void figure_judge(struct whole *whole, const char *name, double value, const char *relation, double limit)
{
	bool is_miss = relation[0] == '<' ? value > limit : value < limit;
	if (!is_miss || whole->quick)
		return;
	warnx("%s: %.3f, and should be %s %.3f", name, value, relation, limit);
	whole->over_limit = true;
}
