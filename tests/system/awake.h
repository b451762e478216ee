/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the test "awake" and its acts know of each other.
 */
#ifndef PLUGVM_TESTS_SYSTEM_AWAKE_H
#define PLUGVM_TESTS_SYSTEM_AWAKE_H

#include <stdint.h>
#include <time.h>

/* How long each side is awake for the other, also as a word of the command line. */
#define AWAKE_NS UINT64_C(1000000000)
#define AWAKE_US "1000000"

/* The plugin's words; the last one may follow the one before. A test tries such a run again. */
#define AWAKE_READY   "the filter is next"
#define AWAKE_REFUSED "this system call was refused: "
#define AWAKE_STARVED "a side had no CPU for a second"

static inline uint64_t awake_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
