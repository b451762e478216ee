/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reserved address ranges of a VM.
 */
#include "host/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "wire/limits.h"

#define PORT_LAST 0xffffu

struct range_table {
	/* Ports first, then MMIO; each sorted by start. */
	size_t count[ADDRESS_SPACE_COUNT];
	struct range entries[];
};

static const struct range_table empty_table;

static size_t table_size(const struct range_table *table)
{
	return table->count[ADDRESS_SPACE_PORT] + table->count[ADDRESS_SPACE_MMIO];
}

static const struct range *space_begin(const struct range_table *table, enum address_space space)
{
	return table->entries + (space == ADDRESS_SPACE_MMIO ? table->count[ADDRESS_SPACE_PORT] : 0);
}

/* Returns how many ranges of the space begin at or below `address`. */
static size_t count_up_to(const struct range_table *table, enum address_space space, uint64_t address)
{
	const struct range *ranges = space_begin(table, space);
	size_t low = 0, high = table->count[space];
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Returns the range of `address`, or else the next one if it begins at or before `last`, or else NULL. */
static const struct range *find_touched(const struct range_table *table, enum address_space space,
                                        uint64_t address, uint64_t last)
{
	const struct range *ranges = space_begin(table, space);
	size_t next = count_up_to(table, space, address);
	if (next > 0 && ranges[next - 1].last >= address)
		return &ranges[next - 1];
	if (next < table->count[space] && ranges[next].start <= last)
		return &ranges[next];
	return NULL;
}

int ranges_init(struct ranges *ranges, uint32_t reader_count)
{
	memset(ranges, 0, sizeof(*ranges));
	atomic_init(&ranges->current, &empty_table);
	ranges->readers = aligned_alloc(_Alignof(struct range_reader), reader_count * sizeof(ranges->readers[0]));
	/* One table per reader can be held, and one more has just been replaced. */
	ranges->retired = calloc((size_t)reader_count + 1, sizeof(const struct range_table *));
	if (!ranges->readers || !ranges->retired) {
		free(ranges->readers);
		free(ranges->retired);
		ranges->readers = NULL;
		ranges->retired = NULL;
		return -ENOMEM;
	}
	ranges->reader_count = reader_count;
	for (uint32_t i = 0; i < reader_count; i++)
		atomic_init(&ranges->readers[i].in_use, NULL);
	return 0;
}

static void table_free(const struct range_table *table)
{
	if (table != &empty_table)
		free((void *)table);
}

void ranges_fini(struct ranges *ranges)
{
	for (size_t i = 0; i < ranges->retired_count; i++)
		table_free(ranges->retired[i]);
	table_free(atomic_load_explicit(&ranges->current, memory_order_relaxed));
	atomic_store_explicit(&ranges->current, &empty_table, memory_order_relaxed);
	free(ranges->retired);
	free(ranges->readers);
	ranges->retired = NULL;
	ranges->readers = NULL;
	ranges->retired_count = 0;
}

static bool is_announced(const struct ranges *ranges, const struct range_table *table)
{
	for (uint32_t i = 0; i < ranges->reader_count; i++) {
		/* Pairs with the exchange in announce(). */
		if (atomic_load_explicit(&ranges->readers[i].in_use, memory_order_seq_cst) == table)
			return true;
	}
	return false;
}

static void publish(struct ranges *ranges, const struct range_table *table)
{
	/* Pairs with the loads in announce(): a reader either sees the new table or is seen with the old one. */
	const struct range_table *old = atomic_exchange_explicit(&ranges->current, table, memory_order_seq_cst);
	ranges->retired[ranges->retired_count++] = old;

	size_t kept = 0;
	for (size_t i = 0; i < ranges->retired_count; i++) {
		if (is_announced(ranges, ranges->retired[i]))
			ranges->retired[kept++] = ranges->retired[i];
		else
			table_free(ranges->retired[i]);
	}
	ranges->retired_count = kept;
}

static struct range_table *table_new(size_t ranges)
{
	return malloc(sizeof(struct range_table) + ranges * sizeof(struct range));
}

/* Copy `table` with the entry at `index` (of all) left out or, with `added`, put before it. */
static struct range_table *table_edit(const struct range_table *table, enum address_space space, size_t index,
                                      const struct range *added)
{
	size_t old_size = table_size(table);
	size_t skipped = added ? 0 : 1;
	struct range_table *copy = table_new(old_size + (added ? 1 : 0));
	if (!copy)
		return NULL;
	memcpy(copy->count, table->count, sizeof(copy->count));
	copy->count[space] = added ? copy->count[space] + 1 : copy->count[space] - 1;

	struct range *out = copy->entries;
	memcpy(out, table->entries, index * sizeof(*out));
	out += index;
	if (added)
		*out++ = *added;
	memcpy(out, table->entries + index + skipped, (old_size - index - skipped) * sizeof(*out));
	return copy;
}

int ranges_reserve(struct ranges *ranges, enum address_space space, uint64_t start, uint64_t length,
                   uint32_t *out_id)
{
	struct range added = {.start = start};
	if (!checked_last_u64(start, length, &added.last))
		return -EINVAL;
	if (space == ADDRESS_SPACE_PORT && added.last > PORT_LAST)
		return -EINVAL;

	const struct range_table *table = atomic_load_explicit(&ranges->current, memory_order_relaxed);
	if (find_touched(table, space, start, added.last))
		return -EPERM;
	if (table_size(table) >= LIMIT_RANGES)
		return -ENOSPC;

	added.id = ranges->next_id;
	size_t index = (size_t)(space_begin(table, space) - table->entries) + count_up_to(table, space, start);
	struct range_table *copy = table_edit(table, space, index, &added);
	if (!copy)
		return -ENOMEM;
	publish(ranges, copy);
	*out_id = ranges->next_id++;
	return 0;
}

int ranges_release(struct ranges *ranges, enum address_space space, uint64_t start)
{
	const struct range_table *table = atomic_load_explicit(&ranges->current, memory_order_relaxed);
	const struct range *first = space_begin(table, space);
	size_t next = count_up_to(table, space, start);
	if (next == 0 || first[next - 1].start != start)
		return -ENOENT;
	struct range_table *copy = table_edit(table, space, (size_t)(first - table->entries) + next - 1, NULL);
	if (!copy)
		return -ENOMEM;
	publish(ranges, copy);
	return 0;
}

/* Announce the current table as in use by `reader` and return it. */
static const struct range_table *announce(struct ranges *ranges, struct range_reader *reader)
{
	for (;;) {
		/* The second load pairs with publish(): if the table is still current after it was announced, then
		 * the writer sees the announcement before it can free the table. */
		const struct range_table *table = atomic_load_explicit(&ranges->current, memory_order_seq_cst);
		atomic_exchange_explicit(&reader->in_use, table, memory_order_seq_cst);
		if (table == atomic_load_explicit(&ranges->current, memory_order_seq_cst))
			return table;
	}
}

bool ranges_find(struct ranges *ranges, uint32_t reader, enum address_space space, uint64_t address,
                 uint32_t width, struct range *out_range)
{
	uint64_t last;
	if (!checked_last_u64(address, width ? width : 1, &last))
		last = UINT64_MAX;

	struct range_reader *mine = &ranges->readers[reader];
	const struct range_table *table = announce(ranges, mine);
	const struct range *found = find_touched(table, space, address, last);
	if (found)
		*out_range = *found;
	/* Pairs with is_announced(): what was read above was read before the table can be freed. */
	atomic_store_explicit(&mine->in_use, NULL, memory_order_release);
	return found != NULL;
}

size_t ranges_count(const struct ranges *ranges)
{
	return table_size(atomic_load_explicit(&ranges->current, memory_order_relaxed));
}
