/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic on numbers that came from a peer. Any process, any thread; no state.
 */
#ifndef PLUGVM_BASE_CHECKED_H
#define PLUGVM_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* Add; false (and *out_sum untouched) if the sum does not fit 64 bits. */
static inline bool checked_add_u64(uint64_t a, uint64_t b, uint64_t *out_sum)
{
	uint64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out_sum = sum;
	return true;
}

/*
 * Compute the last address of `length` addresses from `start`, so that a range may end at 2^64 - 1. False if
 * `length` is 0 or the last address does not fit 64 bits.
 */
static inline bool checked_last_u64(uint64_t start, uint64_t length, uint64_t *out_last)
{
	return length > 0 && checked_add_u64(start, length - 1, out_last);
}

static inline bool is_aligned_u64(uint64_t value, uint64_t power_of_two)
{
	return (value & (power_of_two - 1)) == 0;
}

#endif
