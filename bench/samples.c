/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measured times and what is said of them.
 */
#include "samples.h"

#include <err.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

void pin_task_to_cpu(int task, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(task, sizeof(set), &set) < 0)
		err(1, "cannot run on CPU %d", cpu);
}

void pin_to_cpu(int cpu)
{
	pin_task_to_cpu(0, cpu);
}

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory)
		err(1, "memory");
	return memory;
}

void samples_init(struct samples *samples, size_t blocks)
{
	samples->blocks = blocks;
	samples->times = allocate(blocks * BLOCK_EVENTS, sizeof(samples->times[0]));
	samples->medians = allocate(blocks, sizeof(samples->medians[0]));
}

void samples_fini(struct samples *samples)
{
	free(samples->times);
	free(samples->medians);
}

void samples_group(uint64_t *times, size_t i, uint64_t *begin)
{
	if (i % GROUP_EVENTS != GROUP_EVENTS - 1)
		return;
	uint64_t now = now_ns();
	for (size_t event = 0; event < GROUP_EVENTS; event++)
		times[i - event] = (now - *begin) / GROUP_EVENTS;
	*begin = now;
}

static int compare_times(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

static size_t quantile_index(size_t count, double q)
{
	return (size_t)(q * (double)(count - 1) + 0.5);
}

/* Sorts them. */
static struct quartiles quartiles_of(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare_doubles);
	return (struct quartiles){.low = values[quantile_index(count, 0.25)],
	                          .median = values[quantile_index(count, 0.5)],
	                          .high = values[quantile_index(count, 0.75)]};
}

static double quantile_of_times(const uint64_t *times, size_t count, double q)
{
	uint64_t *sorted = allocate(count, sizeof(sorted[0]));
	memcpy(sorted, times, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_times);
	double value = (double)sorted[quantile_index(count, q)];
	free(sorted);
	return value;
}

void samples_store(struct samples *samples, size_t block, const uint64_t *times)
{
	memcpy(samples->times + block * BLOCK_EVENTS, times, BLOCK_EVENTS * sizeof(times[0]));
	samples->medians[block] = quantile_of_times(times, BLOCK_EVENTS, 0.5);
}

double samples_quantile(const struct samples *samples, double q)
{
	return quantile_of_times(samples->times, samples->blocks * BLOCK_EVENTS, q);
}

struct quartiles samples_ratio(const struct samples *numerator, const struct samples *denominator)
{
	size_t count = numerator->blocks;
	double *ratios = allocate(count, sizeof(ratios[0]));
	for (size_t i = 0; i < count; i++)
		ratios[i] = numerator->medians[i] / denominator->medians[i];
	struct quartiles quartiles = quartiles_of(ratios, count);
	free(ratios);
	return quartiles;
}

double samples_difference(const struct samples *left, double left_scale, const struct samples *right,
                          double right_scale)
{
	size_t count = left->blocks;
	double *differences = allocate(count, sizeof(differences[0]));
	for (size_t i = 0; i < count; i++)
		differences[i] = left->medians[i] * left_scale - right->medians[i] * right_scale;
	double median = quartiles_of(differences, count).median;
	free(differences);
	return median;
}
