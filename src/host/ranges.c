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
	ranges->next_id = 0;
	return published_init(&ranges->table, reader_count);
}

void ranges_fini(struct ranges *ranges)
{
	published_fini(&ranges->table);
}

/* Returns the table as the writer sees it. */
static const struct range_table *current_table(const struct ranges *ranges)
{
	const struct range_table *table = published_current(&ranges->table);
	return table ? table : &empty_table;
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
                   bool async_write, uint32_t *out_id)
{
	struct range added = {.start = start, .async_write = async_write};
	if (!checked_last_u64(start, length, &added.last))
		return -EINVAL;
	if (space == ADDRESS_SPACE_PORT && added.last > PORT_LAST)
		return -EINVAL;

	const struct range_table *table = current_table(ranges);
	if (find_touched(table, space, start, added.last))
		return -EPERM;
	if (table_size(table) >= LIMIT_RANGES)
		return -ENOSPC;

	added.id = ranges->next_id;
	size_t index = (size_t)(space_begin(table, space) - table->entries) + count_up_to(table, space, start);
	struct range_table *copy = table_edit(table, space, index, &added);
	if (!copy)
		return -ENOMEM;
	published_replace(&ranges->table, copy);
	*out_id = ranges->next_id++;
	return 0;
}

int ranges_release(struct ranges *ranges, enum address_space space, uint64_t start)
{
	const struct range_table *table = current_table(ranges);
	const struct range *first = space_begin(table, space);
	size_t next = count_up_to(table, space, start);
	if (next == 0 || first[next - 1].start != start)
		return -ENOENT;
	struct range_table *copy = table_edit(table, space, (size_t)(first - table->entries) + next - 1, NULL);
	if (!copy)
		return -ENOMEM;
	published_replace(&ranges->table, copy);
	return 0;
}

bool ranges_find(struct ranges *ranges, uint32_t reader, enum address_space space, uint64_t address,
                 uint32_t width, struct range *out_range)
{
	uint64_t last;
	if (!checked_last_u64(address, width ? width : 1, &last))
		last = UINT64_MAX;

	const struct range_table *table = published_read(&ranges->table, reader);
	if (!table)
		return false;
	const struct range *found = find_touched(table, space, address, last);
	if (found)
		*out_range = *found;
	published_done(&ranges->table, reader);
	return found != NULL;
}

size_t ranges_count(const struct ranges *ranges)
{
	return table_size(current_table(ranges));
}
