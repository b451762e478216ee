/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pointer to something immutable that is replaced rarely and read on every exit.
 */
#include "host/published.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int published_init(struct published *published, uint32_t reader_count, void (*free_value)(void *value))
{
	memset(published, 0, sizeof(*published));
	atomic_init(&published->current, NULL);
	atomic_init(&published->version, 1);
	published->readers = aligned_alloc(_Alignof(struct published_reader),
	                                   reader_count * sizeof(published->readers[0]));
	/* One value per reader can be held, and one more has just been replaced. */
	published->retired = calloc((size_t)reader_count + 1, sizeof(void *));
	published->announced = calloc(reader_count, sizeof(void *));
	if (!published->readers || !published->retired || !published->announced) {
		free(published->readers);
		free(published->retired);
		free(published->announced);
		memset(published, 0, sizeof(*published));
		return -ENOMEM;
	}
	published->reader_count = reader_count;
	published->free_value = free_value;
	for (uint32_t i = 0; i < reader_count; i++)
		atomic_init(&published->readers[i].in_use, NULL);
	return 0;
}

void published_fini(struct published *published)
{
	for (size_t i = 0; i < published->retired_count; i++)
		published->free_value((void *)published->retired[i]);
	void *current = (void *)atomic_load_explicit(&published->current, memory_order_relaxed);
	if (current)
		published->free_value(current);
	free(published->retired);
	free(published->announced);
	free(published->readers);
	memset(published, 0, sizeof(*published));
}

const void *published_current(const struct published *published)
{
	return atomic_load_explicit(&published->current, memory_order_relaxed);
}

static bool is_announced(const struct published *published, const void *value)
{
	for (uint32_t i = 0; i < published->reader_count; i++) {
		if (published->announced[i] == value)
			return true;
	}
	return false;
}

void published_replace(struct published *published, const void *value)
{
	/* Pairs with the loads in published_read(): a reader sees the new value, or is seen with the old one. */
	const void *old = atomic_exchange_explicit(&published->current, value, memory_order_seq_cst);
	/* Pairs with published_version(): who gets the new number reads the new value. */
	atomic_fetch_add_explicit(&published->version, 1, memory_order_release);
	if (old)
		published->retired[published->retired_count++] = old;

	/*
	 * Each reader is asked once, so that it keeps one value at most: one that moves on while the retired are gone
	 * through would keep two, and there is no room for them. What it announces later it finds replaced.
	 * Pairs with the exchange in published_read().
	 */
	for (uint32_t i = 0; i < published->reader_count; i++)
		published->announced[i] = atomic_load_explicit(&published->readers[i].in_use,
		                                               memory_order_seq_cst);
	size_t kept = 0;
	for (size_t i = 0; i < published->retired_count; i++) {
		if (is_announced(published, published->retired[i]))
			published->retired[kept++] = published->retired[i];
		else
			published->free_value((void *)published->retired[i]);
	}
	published->retired_count = kept;
}

uint64_t published_version(const struct published *published)
{
	return atomic_load_explicit(&published->version, memory_order_acquire);
}

const void *published_read(struct published *published, uint32_t reader)
{
	_Atomic(const void *) *in_use = &published->readers[reader].in_use;
	const void *value = atomic_load_explicit(&published->current, memory_order_seq_cst);
	while (value) {
		/* The load after it pairs with published_replace(): if the value is still current once it was
		 * announced, then the writer sees the announcement before it can free the value. */
		atomic_exchange_explicit(in_use, value, memory_order_seq_cst);
		const void *again = atomic_load_explicit(&published->current, memory_order_seq_cst);
		if (again == value)
			return value;
		value = again;
	}
	atomic_store_explicit(in_use, NULL, memory_order_release);
	return NULL;
}

void published_done(struct published *published, uint32_t reader)
{
	/* Pairs with published_replace(): what was read was read before the value can be freed. */
	atomic_store_explicit(&published->readers[reader].in_use, NULL, memory_order_release);
}
