/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Per function of crosvm.h: how often it was called and how long that took.
 */
#include "plugin/stats.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* More than crosvm.h has functions, so that the search below stays short and always ends. */
#define ENTRIES 256

struct stats_entry {
	_Atomic(const char *) function;
	_Atomic(uint64_t) count;
	_Atomic(uint64_t) total_ns;
	_Atomic(uint64_t) max_ns;
};

static struct {
	bool enabled; /* written before main() */
	struct stats_entry entries[ENTRIES];
} stats;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((constructor)) static void stats_init(void)
{
	stats.enabled = getenv("CROSVM_STATS") != NULL;
}

static int compare_names(const void *left, const void *right)
{
	const struct stats_entry *a = left, *b = right;
	const char *a_name = atomic_load(&a->function), *b_name = atomic_load(&b->function);
	if (!a_name || !b_name)
		return (a_name == NULL) - (b_name == NULL);
	return strcmp(a_name, b_name);
}

__attribute__((destructor)) static void stats_print(void)
{
	if (!stats.enabled)
		return;
	qsort(stats.entries, ENTRIES, sizeof(stats.entries[0]), compare_names);
	for (size_t i = 0; i < ENTRIES && atomic_load(&stats.entries[i].function); i++) {
		const struct stats_entry *entry = &stats.entries[i];
		unsigned long long count = atomic_load(&entry->count), total = atomic_load(&entry->total_ns);
		fprintf(stderr, "stats: %-34s calls %10llu  avg %10llu ns  max %10llu ns\n",
		        atomic_load(&entry->function), count, count ? total / count : 0,
		        (unsigned long long)atomic_load(&entry->max_ns));
	}
}

/* Find the function's entry, or make it. The name is a constant of the function: its address tells it. */
static struct stats_entry *find_entry(const char *function)
{
	size_t first = ((uintptr_t)function >> 3) % ENTRIES;
	for (size_t i = 0; i < ENTRIES; i++) {
		struct stats_entry *entry = &stats.entries[(first + i) % ENTRIES];
		const char *known = atomic_load(&entry->function);
		if (!known && atomic_compare_exchange_strong(&entry->function, &known, function))
			return entry;
		if (known == function)
			return entry;
	}
	return NULL;
}

/* A function of crosvm.h that is made of others counts for itself alone. */
static _Thread_local unsigned int depth;

struct stats_call stats_begin(const char *function)
{
	if (!stats.enabled || depth++ > 0)
		return (struct stats_call){.entry = NULL};
	return (struct stats_call){.entry = find_entry(function), .begin_ns = now_ns()};
}

void stats_end(struct stats_call *call)
{
	if (!stats.enabled)
		return;
	depth--;
	if (!call->entry)
		return;
	uint64_t ns = now_ns() - call->begin_ns;
	atomic_fetch_add(&call->entry->count, 1);
	atomic_fetch_add(&call->entry->total_ns, ns);
	uint64_t max = atomic_load(&call->entry->max_ns);
	while (ns > max && !atomic_compare_exchange_weak(&call->entry->max_ns, &max, ns))
		;
}
