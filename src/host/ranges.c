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

/*
 * A table has two levels, so that a change need not copy all of it: an index of chunks, and chunks of ranges, which
 * tables share. All of it but `users` is immutable, and that is the writer's alone.
 */
#define CHUNK_RANGES 128

struct chunk {
	size_t users; /* tables that have it */
	size_t count; /* 1 to CHUNK_RANGES */
	struct range ranges[];
};

struct range_table {
	size_t range_count;
	size_t chunk_count;
	struct chunk_entry {
		uint64_t start; /* of its first range */
		struct chunk *chunk;
	} index[];
};

/* What a reader found last: a device is often accessed many times in a row. */
struct range_memo {
	_Alignas(64) struct range range;
	uint64_t version; /* of its space's table; 0: nothing */
	enum address_space space;
};

static const struct range_table empty_table;
static const struct chunk empty_chunk;

/* Returns how many of `count` entries of `size` bytes, each of which begins with its start, begin up to `address`. */
static size_t count_up_to(const void *entries, size_t count, size_t size, uint64_t address)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (*(const uint64_t *)((const char *)entries + middle * size) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t count_chunks_up_to(const struct range_table *table, uint64_t address)
{
	return count_up_to(table->index, table->chunk_count, sizeof(table->index[0]), address);
}

/* Returns the range of `address`, or else the next one if it begins at or before `last`, or else NULL. */
static const struct range *find_touched(const struct range_table *table, uint64_t address, uint64_t last)
{
	size_t next_chunk = count_chunks_up_to(table, address);
	if (next_chunk > 0) {
		const struct chunk *chunk = table->index[next_chunk - 1].chunk;
		size_t next = count_up_to(chunk->ranges, chunk->count, sizeof(chunk->ranges[0]), address);
		if (chunk->ranges[next - 1].last >= address)
			return &chunk->ranges[next - 1];
		if (next < chunk->count)
			return chunk->ranges[next].start <= last ? &chunk->ranges[next] : NULL;
	}
	if (next_chunk < table->chunk_count && table->index[next_chunk].start <= last)
		return &table->index[next_chunk].chunk->ranges[0];
	return NULL;
}

static void table_free(void *value)
{
	struct range_table *table = value;
	for (size_t i = 0; i < table->chunk_count; i++) {
		if (--table->index[i].chunk->users == 0)
			free(table->index[i].chunk);
	}
	free(table);
}

int ranges_init(struct ranges *ranges, uint32_t reader_count)
{
	memset(ranges, 0, sizeof(*ranges));
	int result = 0;
	for (int space = 0; space < ADDRESS_SPACE_COUNT && result == 0; space++)
		result = published_init(&ranges->tables[space], reader_count, table_free);
	if (result == 0) {
		size_t size = reader_count * sizeof(ranges->memos[0]);
		ranges->memos = aligned_alloc(_Alignof(struct range_memo), size);
		if (ranges->memos)
			memset(ranges->memos, 0, size);
		else
			result = -ENOMEM;
	}
	if (result < 0)
		ranges_fini(ranges);
	return result;
}

void ranges_fini(struct ranges *ranges)
{
	for (int space = 0; space < ADDRESS_SPACE_COUNT; space++)
		published_fini(&ranges->tables[space]);
	free(ranges->memos);
	ranges->memos = NULL;
}

/* Returns the table as the writer sees it. */
static const struct range_table *current_table(const struct ranges *ranges, enum address_space space)
{
	const struct range_table *table = published_current(&ranges->tables[space]);
	return table ? table : &empty_table;
}

static void table_append(struct range_table *table, const struct chunk_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		entries[i].chunk->users++;
		table->index[table->chunk_count++] = entries[i];
	}
}

/* Append a new chunk with copies of `count` ranges. */
static int table_append_ranges(struct range_table *table, const struct range *ranges, size_t count)
{
	struct chunk *chunk = malloc(sizeof(*chunk) + count * sizeof(*ranges));
	if (!chunk)
		return -ENOMEM;
	*chunk = (struct chunk){.count = count};
	memcpy(chunk->ranges, ranges, count * sizeof(*ranges));
	table_append(table, &(struct chunk_entry){.start = ranges[0].start, .chunk = chunk}, 1);
	return 0;
}

/*
 * Copy the chunk's ranges without the one that begins at `start` or, with `added`, with that one, which begins there.
 * Returns how many that are.
 */
static size_t chunk_edit(const struct chunk *chunk, uint64_t start, const struct range *added, struct range *out)
{
	size_t up_to = count_up_to(chunk->ranges, chunk->count, sizeof(chunk->ranges[0]), start);
	size_t before = added ? up_to : up_to - 1;
	memcpy(out, chunk->ranges, before * sizeof(*out));
	out += before;
	if (added)
		*out++ = *added;
	memcpy(out, chunk->ranges + up_to, (chunk->count - up_to) * sizeof(*out));
	return added ? chunk->count + 1 : chunk->count - 1;
}

/* Publish a table that is edited like that. */
static int replace_table(struct ranges *ranges, enum address_space space, uint64_t start,
                         const struct range *added)
{
	const struct range_table *table = current_table(ranges, space);
	size_t up_to = count_chunks_up_to(table, start);
	size_t before = up_to > 0 ? up_to - 1 : 0;
	size_t after = table->chunk_count > 0 ? table->chunk_count - before - 1 : 0;
	struct range edited[CHUNK_RANGES + 1];
	size_t count = chunk_edit(table->chunk_count > 0 ? table->index[before].chunk : &empty_chunk, start, added,
	                          edited);

	/* One chunk becomes one again, or two, or none. */
	size_t parts = (count + CHUNK_RANGES - 1) / CHUNK_RANGES;
	struct range_table *copy = malloc(sizeof(*copy) + (before + parts + after) * sizeof(copy->index[0]));
	if (!copy)
		return -ENOMEM;
	copy->range_count = added ? table->range_count + 1 : table->range_count - 1;
	copy->chunk_count = 0;
	table_append(copy, table->index, before);
	for (size_t part = 0; part < parts; part++) {
		size_t begin = count * part / parts, end = count * (part + 1) / parts;
		if (table_append_ranges(copy, edited + begin, end - begin) < 0) {
			table_free(copy);
			return -ENOMEM;
		}
	}
	table_append(copy, table->index + table->chunk_count - after, after);
	published_replace(&ranges->tables[space], copy);
	return 0;
}

int ranges_reserve(struct ranges *ranges, enum address_space space, uint64_t start, uint64_t length,
                   bool async_write, uint32_t *out_id)
{
	struct range added = {.start = start, .async_write = async_write};
	if (!checked_last_u64(start, length, &added.last))
		return -EINVAL;
	if (space == ADDRESS_SPACE_PORT && added.last > PORT_LAST)
		return -EINVAL;

	if (find_touched(current_table(ranges, space), start, added.last))
		return -EPERM;
	if (ranges_count(ranges) >= LIMIT_RANGES)
		return -ENOSPC;

	added.id = ranges->next_id;
	int result = replace_table(ranges, space, start, &added);
	if (result == 0)
		*out_id = ranges->next_id++;
	return result;
}

int ranges_release(struct ranges *ranges, enum address_space space, uint64_t start)
{
	const struct range *found = find_touched(current_table(ranges, space), start, start);
	if (!found || found->start != start)
		return -ENOENT;
	return replace_table(ranges, space, start, NULL);
}

bool ranges_find(struct ranges *ranges, uint32_t reader, enum address_space space, uint64_t address,
                 uint32_t width, struct range *out_range)
{
	struct range_memo *memo = &ranges->memos[reader];
	uint64_t version = published_version(&ranges->tables[space]);
	if (memo->version == version && memo->space == space && memo->range.start <= address &&
	    address <= memo->range.last) {
		*out_range = memo->range;
		return true;
	}

	uint64_t last;
	if (!checked_last_u64(address, width ? width : 1, &last))
		last = UINT64_MAX;
	const struct range_table *table = published_read(&ranges->tables[space], reader);
	if (!table)
		return false;
	const struct range *found = find_touched(table, address, last);
	if (found) {
		*out_range = *found;
		*memo = (struct range_memo){.range = *found, .version = version, .space = space};
	}
	published_done(&ranges->tables[space], reader);
	return found != NULL;
}

size_t ranges_count(const struct ranges *ranges)
{
	return current_table(ranges, ADDRESS_SPACE_PORT)->range_count +
	       current_table(ranges, ADDRESS_SPACE_MMIO)->range_count;
}
