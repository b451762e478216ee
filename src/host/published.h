/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pointer to something immutable that one writer (the main thread) replaces rarely and that each vCPU thread
 * reads on every exit. Reading takes no lock and writes no cache line that another thread reads often.
 *
 * A reader announces the value that it looks at in a word of its own (a hazard pointer); the writer frees a
 * replaced value once no reader announces it. So at most one value per reader waits to be freed, whatever the
 * readers do.
 */
#ifndef PLUGVM_HOST_PUBLISHED_H
#define PLUGVM_HOST_PUBLISHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct published_reader {
	_Alignas(64) _Atomic(const void *) in_use;
};

struct published {
	_Atomic(const void *) current;
	_Atomic(uint64_t) version; /* counts the replacements, from 1 */
	struct published_reader *readers;
	uint32_t reader_count;
	const void **retired;   /* room for reader_count + 1 */
	const void **announced; /* by each reader, when the writer last looked */
	size_t retired_count;
	void (*free_value)(void *value);
};

/* Publish NULL. `free_value` frees what is published later. Returns 0 or -ENOMEM. */
int published_init(struct published *published, uint32_t reader_count, void (*free_value)(void *value));
/* Free everything; does nothing if init failed. No reader may be between read and done. */
void published_fini(struct published *published);

/* Return the current value. The writer's. */
const void *published_current(const struct published *published);
/* Make `value`, which may be NULL, the current one and own it. When this has returned every later read gives it. */
void published_replace(struct published *published, const void *value);

/*
 * Return a number that changes with each replacement, never 0. A reader may use a copy of what it reads after it has got this
 * number for as long as the number is the same, though it be replaced meanwhile: that replacement has not returned yet.
 */
uint64_t published_version(const struct published *published);

/* Return the current value, which stays valid until done. NULL needs no done. Thread number `reader`. */
const void *published_read(struct published *published, uint32_t reader);
void published_done(struct published *published, uint32_t reader);

#endif
