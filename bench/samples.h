/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measured times and what is said of them. Cases that are compared alternate in blocks, because the machine's
 * speed drifts more from second to second than they differ; a ratio is formed block by block.
 */
#ifndef PLUGVM_BENCH_SAMPLES_H
#define PLUGVM_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BLOCK_EVENTS 500

struct samples {
	size_t blocks;
	uint64_t *times; /* blocks * BLOCK_EVENTS, nanoseconds */
	double *medians; /* one for each block */
};

struct quartiles {
	double low, median, high;
};

static inline uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Bind this thread, and what it starts, to one CPU. Ends the program on failure. */
void pin_to_cpu(int cpu);
/* The same for a thread by its id. */
void pin_task_to_cpu(int task, int cpu);

/*
 * What is not seen one by one as it happens is timed in groups; each counts with its mean. Call this after event `i` (from
 * 0); `begin` is when the group began.
 */
#define GROUP_EVENTS 50
void samples_group(uint64_t *times, size_t i, uint64_t *begin);

void samples_init(struct samples *samples, size_t blocks);
void samples_fini(struct samples *samples);
/* Store the times of block number `block` (BLOCK_EVENTS of them). */
void samples_store(struct samples *samples, size_t block, const uint64_t *times);
/* Return the quantile `q` (0 to 1) of all times, in nanoseconds. */
double samples_quantile(const struct samples *samples, double q);
/* Return the quartiles of the ratios of block medians, numerator to denominator. */
struct quartiles samples_ratio(const struct samples *numerator, const struct samples *denominator);
/* Return the median of the differences of block medians, each times its scale. */
double samples_difference(const struct samples *left, double left_scale, const struct samples *right,
                          double right_scale);

#endif
