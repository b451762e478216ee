/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reserved address ranges of a VM. Written by the main thread, read by every vCPU thread on every exit: for
 * each space an immutable sorted table (published.h), of which a change makes a new one that shares most of the old.
 */
#ifndef PLUGVM_HOST_RANGES_H
#define PLUGVM_HOST_RANGES_H

#include "host/address_space.h"
#include "host/published.h"

struct range {
	uint64_t start;
	uint64_t last;    /* inclusive, so that a range may end at 2^64 - 1 */
	uint32_t id;      /* of this reservation; not used again in the life of the VM */
	bool async_write; /* writes need no answer, and reads are nobody's */
};

struct ranges {
	struct published tables[ADDRESS_SPACE_COUNT]; /* struct range_table of ranges.c */
	struct range_memo *memos;                     /* one for each reader */
	uint32_t next_id;
};

/* Returns 0 or -ENOMEM. */
int ranges_init(struct ranges *ranges, uint32_t reader_count);
/* No reader may be in a lookup. */
void ranges_fini(struct ranges *ranges);

/*
 * Reserve [start, start + length). Main thread. *out_id tells the reservation's id. When this has returned, every later
 * lookup finds it.
 *   -EINVAL  length is 0, or the end is past the space's last address
 *   -EPERM   it overlaps another; -ENOSPC  there are LIMIT_RANGES; -ENOMEM
 */
int ranges_reserve(struct ranges *ranges, enum address_space space, uint64_t start, uint64_t length,
                   bool async_write, uint32_t *out_id);

/* Release the reservation that begins at `start`. -ENOENT if there is none. */
int ranges_release(struct ranges *ranges, enum address_space space, uint64_t start);

/*
 * Find whose an access to `width` addresses from `address` is: the range of the first byte; if that is in none,
 * the lowest that it touches. vCPU thread number `reader`.
 */
bool ranges_find(struct ranges *ranges, uint32_t reader, enum address_space space, uint64_t address,
                 uint32_t width, struct range *out_range);

/* Return how many there are, in both spaces together. Main thread. */
size_t ranges_count(const struct ranges *ranges);

#endif
