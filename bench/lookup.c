/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of ranges alone: a lookup, as each exit does one, by itself and while another thread looks up without a
 * pause, in the same table at other addresses ("shared") or in a table of its own ("apart"). If readers do not slow
 * each other down, these two do not differ; what two busy CPUs cost each other anyway is in both. And a change: a
 * reservation and its release.
 */
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "cases.h"
#include "host/ranges.h"
#include "samples.h"

#define SIZES        3
#define LOOKUPS      64 /* that are timed as one: a single one is not much longer than reading the clock */
#define SPACING      16
#define RANGE_LENGTH 8

/* A prime number: one after the other, but not side by side. */
#define STEP 1009

static const uint64_t sizes[SIZES] = {1, 100, 10000};
static struct ranges shared[SIZES], apart[SIZES];
static int other_cpu;

struct lookup {
	size_t size; /* of the tables, an index */
	struct ranges *beside;
};

static struct lookup alone[SIZES], beside_shared[SIZES], beside_apart[SIZES];

static void make_table(struct ranges *ranges, uint64_t count)
{
	uint32_t id;
	if (ranges_init(ranges, 2) < 0)
		errx(1, "memory");
	for (uint64_t i = 0; i < count; i++) {
		if (ranges_reserve(ranges, ADDRESS_SPACE_MMIO, i * SPACING, RANGE_LENGTH, false, &id) < 0)
			errx(1, "reserving range %zu failed", (size_t)i);
	}
}

/* Look up some addresses: reader 0 in the lower half of the ranges, reader 1 in the upper. */
static void look_up(struct ranges *ranges, uint32_t reader, size_t size, uint64_t *place)
{
	uint64_t half = sizes[size] / 2, count = sizes[size] - half;
	for (int i = 0; i < LOOKUPS; i++) {
		struct range found;
		*place = (*place + STEP) % count;
		if (!ranges_find(ranges, reader, ADDRESS_SPACE_MMIO,
		                 (reader ? half + *place : *place) * SPACING + 1, 1, &found))
			errx(1, "a range is not there");
	}
}

/* ---- The other thread ---- */

struct other {
	const struct lookup *lookup;
	atomic_bool runs, stop;
};

static void *look_up_beside(void *argument)
{
	struct other *other = argument;
	uint64_t place = 0;
	pin_to_cpu(other_cpu);
	while (!atomic_load(&other->stop)) {
		look_up(other->lookup->beside, 1, other->lookup->size, &place);
		atomic_store(&other->runs, true);
	}
	return NULL;
}

static void lookup_block(void *context, uint64_t *times)
{
	const struct lookup *lookup = context;
	struct other other = {.lookup = lookup};
	pthread_t thread;
	if (lookup->beside) {
		if (pthread_create(&thread, NULL, look_up_beside, &other) != 0)
			errx(1, "cannot make a thread");
		while (!atomic_load(&other.runs))
			sched_yield();
	}
	uint64_t place = 0;
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		uint64_t begin = now_ns();
		look_up(&shared[lookup->size], 0, lookup->size, &place);
		times[i] = now_ns() - begin;
	}
	if (lookup->beside) {
		atomic_store(&other.stop, true);
		pthread_join(thread, NULL);
	}
}

static void change_block(void *context, uint64_t *times)
{
	const struct lookup *lookup = context;
	uint64_t place = 0;
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		uint32_t id;
		uint64_t begin = now_ns();
		place = (place + STEP) % sizes[lookup->size];
		uint64_t start = place * SPACING + RANGE_LENGTH;
		if (ranges_reserve(&shared[lookup->size], ADDRESS_SPACE_MMIO, start, 1, false, &id) < 0 ||
		    ranges_release(&shared[lookup->size], ADDRESS_SPACE_MMIO, start) < 0)
			errx(1, "a change failed");
		times[i] = now_ns() - begin;
	}
}

static size_t lookup_open(const struct bench_config *config, struct bench_case *out_cases)
{
	static const char *const names[4][SIZES] = {
	    {"ranges/lookup/1", "ranges/lookup/100", "ranges/lookup/10000"},
	    {"ranges/lookup/apart/1", "ranges/lookup/apart/100", "ranges/lookup/apart/10000"},
	    {"ranges/lookup/shared/1", "ranges/lookup/shared/100", "ranges/lookup/shared/10000"},
	    {"ranges/change/1", "ranges/change/100", "ranges/change/10000"},
	};
	other_cpu = config->other_cpu;
	for (size_t i = 0; i < SIZES; i++) {
		make_table(&shared[i], sizes[i]);
		make_table(&apart[i], sizes[i]);
		alone[i] = (struct lookup){.size = i};
		beside_apart[i] = (struct lookup){.size = i, .beside = &apart[i]};
		beside_shared[i] = (struct lookup){.size = i, .beside = &shared[i]};
		out_cases[i] = (struct bench_case){
		    .name = names[0][i], .block = lookup_block, .context = &alone[i], .events = LOOKUPS};
		out_cases[SIZES + i] = (struct bench_case){.name = names[1][i],
		                                           .block = lookup_block,
		                                           .context = &beside_apart[i],
		                                           .events = LOOKUPS,
		                                           .against = i};
		out_cases[2 * SIZES + i] = (struct bench_case){.name = names[2][i],
		                                               .block = lookup_block,
		                                               .context = &beside_shared[i],
		                                               .events = LOOKUPS,
		                                               .against = SIZES + i};
		out_cases[3 * SIZES + i] = (struct bench_case){.name = names[3][i],
		                                               .block = change_block,
		                                               .context = &alone[i],
		                                               .events = 2,
		                                               .against = 3 * SIZES};
	}
	return 4 * SIZES;
}

static void lookup_close(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		ranges_fini(&shared[i]);
		ranges_fini(&apart[i]);
	}
}

const struct family lookup_family = {"ranges", lookup_open, lookup_close};
