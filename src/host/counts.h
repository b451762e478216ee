/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The account of a vCPU's exits: how many accesses of which kind and, when measuring, of which range and how long
 * each took to answer. Written by the vCPU's thread, read when it has ended.
 */
#ifndef PLUGVM_HOST_COUNTS_H
#define PLUGVM_HOST_COUNTS_H

#include "host/ranges.h"
#include "plugvm.h"

/* Reservations are counted one by one up to this many in the life of a VM; the later ones together. */
#define COUNTED_RANGES 1024

struct tally {
	uint64_t count;
	uint64_t total_ns;
	uint64_t max_ns;
};

struct counts {
	/* [space][is_write] */
	struct tally claimed[ADDRESS_SPACE_COUNT][2];
	struct tally unclaimed[ADDRESS_SPACE_COUNT][2];
	/* [range id][is_write], one more for all the rest; NULL: not measuring */
	struct tally (*by_range)[2];
};

/* The first and last address of each reservation, by its id. Main thread. */
struct range_names {
	struct {
		enum address_space space;
		uint64_t start, last;
	} entries[COUNTED_RANGES];
	uint32_t count;
};

/* Returns 0 or -ENOMEM. */
int counts_init(struct counts *counts, bool measure);
void counts_fini(struct counts *counts);

/* Return the time if measuring, else 0. */
uint64_t counts_now(const struct counts *counts);

/* Count one access that began at `begin_ns` (of counts_now()); `range` is NULL if nobody claimed it. */
void counts_note(struct counts *counts, enum address_space space, bool is_write, const struct range *range,
                 uint64_t begin_ns);

void range_names_note(struct range_names *names, uint32_t id, enum address_space space, uint64_t start,
                      uint64_t length);

/* Add up `counts` of all vCPUs into lines; at most `capacity` are stored, and all are counted. */
size_t counts_report(const struct counts *const *counts, size_t vcpus, const struct range_names *names,
                     struct plugvm_exit_count *lines, size_t capacity);

#endif
