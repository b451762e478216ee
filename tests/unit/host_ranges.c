/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the address ranges: the edges of both spaces, a random comparison with naive models, the limit, memory
 * that runs out, readers that look up while the writer changes the table, of which few copies are kept, and that a
 * lookup writes nothing that another reads. To be linked with --wrap for malloc and free.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host/ranges.h"
#include "wire/limits.h"

#define PORT ADDRESS_SPACE_PORT
#define MMIO ADDRESS_SPACE_MMIO

static int setup(void **state)
{
	static struct ranges ranges;
	assert_int_equal(ranges_init(&ranges, 4), 0);
	*state = &ranges;
	return 0;
}

static int teardown(void **state)
{
	ranges_fini(*state);
	return 0;
}

static bool finds(struct ranges *ranges, enum address_space space, uint64_t address, uint32_t width,
                  uint64_t start)
{
	struct range found;
	return ranges_find(ranges, 0, space, address, width, &found) && found.start == start;
}

static bool finds_none(struct ranges *ranges, enum address_space space, uint64_t address, uint32_t width)
{
	struct range found;
	return !ranges_find(ranges, 0, space, address, width, &found);
}

static void test_edges(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id = 42;
	assert_int_equal(ranges_reserve(ranges, MMIO, 0, 0, false, &id), -EINVAL);
	assert_int_equal(ranges_reserve(ranges, PORT, 0xffff, 2, false, &id), -EINVAL);
	assert_int_equal(ranges_reserve(ranges, PORT, 0x10000, 1, false, &id), -EINVAL);
	assert_int_equal(ranges_reserve(ranges, PORT, 0, 0x10001, false, &id), -EINVAL);
	assert_int_equal(ranges_reserve(ranges, MMIO, UINT64_MAX, 2, false, &id), -EINVAL);
	assert_int_equal(ranges_reserve(ranges, MMIO, 2, UINT64_MAX, false, &id), -EINVAL);
	assert_int_equal(id, 42);
	assert_int_equal(ranges_count(ranges), 0);

	assert_int_equal(ranges_reserve(ranges, MMIO, UINT64_MAX, 1, false, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(ranges_reserve(ranges, MMIO, 0, 1, false, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(ranges_reserve(ranges, PORT, 0xffff, 1, false, &id), 0);
	assert_int_equal(ranges_reserve(ranges, PORT, 0, 1, false, &id), 0);
	assert_true(finds(ranges, MMIO, UINT64_MAX, 1, UINT64_MAX));
	assert_true(finds(ranges, MMIO, UINT64_MAX, 8, UINT64_MAX));
	assert_true(finds(ranges, MMIO, UINT64_MAX - 3, 4, UINT64_MAX));
	assert_true(finds(ranges, MMIO, UINT64_MAX - 3, 8, UINT64_MAX));
	assert_true(finds_none(ranges, MMIO, UINT64_MAX - 4, 4));
	assert_true(finds(ranges, PORT, 0xfffc, 4, 0xffff));
	assert_true(finds(ranges, PORT, 0xffff, 4, 0xffff));
	assert_true(finds_none(ranges, PORT, 0xfffb, 4));
	assert_true(finds(ranges, PORT, 0, 1, 0));
	assert_true(finds_none(ranges, PORT, 1, 4));
	/* The whole space at once does not go any more, and does once all is released. */
	assert_int_equal(ranges_reserve(ranges, MMIO, 1, UINT64_MAX, false, &id), -EPERM);
	assert_int_equal(ranges_release(ranges, MMIO, UINT64_MAX), 0);
	assert_int_equal(ranges_reserve(ranges, MMIO, 1, UINT64_MAX, false, &id), 0);
	assert_true(finds(ranges, MMIO, 0x1234, 8, 1));
	assert_true(finds(ranges, MMIO, 0, 8, 0));
	assert_int_equal(ranges_release(ranges, PORT, 0), 0);
	assert_int_equal(ranges_release(ranges, PORT, 0xffff), 0);
	assert_int_equal(ranges_reserve(ranges, PORT, 0, 0x10000, false, &id), 0);
	assert_int_equal(ranges_count(ranges), 3);
}

static void test_overlap(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id;
	assert_int_equal(ranges_reserve(ranges, PORT, 100, 10, false, &id), 0);
	static const struct {
		uint64_t start, length;
		int result;
	} cases[] = {{100, 10, -EPERM}, {99, 2, -EPERM}, {109, 1, -EPERM}, {90, 30, -EPERM},
	             {105, 1, -EPERM},  {99, 1, 0},      {110, 1, 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ranges_reserve(ranges, PORT, cases[i].start, cases[i].length, false, &id),
		                 cases[i].result);
	assert_int_equal(ranges_reserve(ranges, MMIO, 100, 10, false, &id), 0);

	assert_int_equal(ranges_release(ranges, PORT, 101), -ENOENT);
	assert_int_equal(ranges_release(ranges, PORT, 98), -ENOENT);
	assert_int_equal(ranges_release(ranges, MMIO, 99), -ENOENT);
	assert_int_equal(ranges_release(ranges, PORT, 100), 0);
	assert_int_equal(ranges_release(ranges, PORT, 100), -ENOENT);
	assert_true(finds(ranges, PORT, 99, 1, 99));
	assert_true(finds(ranges, PORT, 100, 11, 110));
	assert_true(finds(ranges, MMIO, 100, 1, 100));
}

static void test_straddling_access(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id;
	assert_int_equal(ranges_reserve(ranges, MMIO, 0x1000, 4, false, &id), 0);
	assert_int_equal(ranges_reserve(ranges, MMIO, 0x1008, 4, false, &id), 0);
	assert_true(finds(ranges, MMIO, 0x1003, 8, 0x1000));
	assert_true(finds(ranges, MMIO, 0x0ffd, 4, 0x1000));
	assert_true(finds(ranges, MMIO, 0x0ffd, 64, 0x1000));
	assert_true(finds(ranges, MMIO, 0x1004, 8, 0x1008));
	assert_true(finds_none(ranges, MMIO, 0x1004, 4));
	assert_true(finds_none(ranges, MMIO, 0x0ffc, 4));
	assert_true(finds_none(ranges, MMIO, 0x100c, 8));
}

static void test_ids(void **state)
{
	struct ranges *ranges = *state;
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t id;
		struct range found;
		assert_int_equal(ranges_reserve(ranges, PORT, 5, 1, false, &id), 0);
		assert_int_equal(id, i);
		assert_true(ranges_find(ranges, 3, PORT, 5, 1, &found));
		assert_int_equal(found.id, id);
		assert_int_equal(found.last, 5);
		assert_int_equal(ranges_release(ranges, PORT, 5), 0);
	}
}

static void test_limit(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id;
	for (uint64_t i = 0; i < LIMIT_RANGES; i++)
		assert_int_equal(ranges_reserve(ranges, i % 2 ? PORT : MMIO, i * 2, 1, false, &id), 0);
	assert_int_equal(ranges_count(ranges), LIMIT_RANGES);
	assert_int_equal(ranges_reserve(ranges, MMIO, UINT64_C(1) << 40, 1, false, &id), -ENOSPC);
	assert_int_equal(ranges_reserve(ranges, PORT, 0xffff, 1, false, &id), -ENOSPC);
	assert_int_equal(ranges_reserve(ranges, PORT, 2, 1, false, &id), -EPERM);
	assert_int_equal(ranges_release(ranges, PORT, 2), 0);
	assert_int_equal(ranges_reserve(ranges, MMIO, UINT64_C(1) << 40, 1, false, &id), 0);
	assert_int_equal(ranges_reserve(ranges, PORT, 2, 1, false, &id), -ENOSPC);
}

/* ---- The model: every reservation in no order, and a loop over all of them ---- */

#define MODEL_MAX 200

struct model {
	struct {
		enum address_space space;
		uint64_t start, last;
		uint32_t id;
	} entries[MODEL_MAX];
	size_t count;
};

static int model_reserve(const struct model *model, enum address_space space, uint64_t start, uint64_t length)
{
	uint64_t top = space == PORT ? 0xffff : UINT64_MAX;
	if (length == 0 || start > top || length - 1 > top - start)
		return -EINVAL;
	for (size_t i = 0; i < model->count; i++) {
		if (model->entries[i].space == space && model->entries[i].start <= start + length - 1 &&
		    start <= model->entries[i].last)
			return -EPERM;
	}
	return 0;
}

static size_t model_find(const struct model *model, enum address_space space, uint64_t address, uint32_t width)
{
	size_t best = model->count;
	uint64_t last = width - 1 > UINT64_MAX - address ? UINT64_MAX : address + width - 1;
	for (size_t i = 0; i < model->count; i++) {
		if (model->entries[i].space != space || model->entries[i].start > last ||
		    model->entries[i].last < address)
			continue;
		if (best == model->count || model->entries[i].start < model->entries[best].start)
			best = i;
	}
	return best;
}

static uint64_t random_address(unsigned int *seed, enum address_space space)
{
	/* Near each other, near the edges, so that ranges touch, overlap and reach the end. */
	uint64_t small = (uint64_t)rand_r(seed) % 512;
	if (rand_r(seed) % 2)
		return small;
	return space == PORT ? 0x10000 - small : UINT64_MAX - small;
}

static void check_against_model(struct ranges *ranges, struct model *model, unsigned int *seed)
{
	enum address_space space = rand_r(seed) % 2 ? PORT : MMIO;
	uint64_t start = random_address(seed, space);
	uint64_t length = (uint64_t)rand_r(seed) % 12;
	uint32_t id, width = 1 + (uint32_t)rand_r(seed) % 16;
	struct range found;
	switch (rand_r(seed) % 4) {
	case 0: {
		int expected = model_reserve(model, space, start, length);
		if (expected == 0 && model->count == MODEL_MAX)
			return;
		assert_int_equal(ranges_reserve(ranges, space, start, length, false, &id), expected);
		if (expected < 0)
			return;
		model->entries[model->count].space = space;
		model->entries[model->count].start = start;
		model->entries[model->count].last = start + length - 1;
		model->entries[model->count++].id = id;
		return;
	}
	case 1: {
		size_t i = model_find(model, space, start, 1);
		bool is_start = i < model->count && model->entries[i].start == start;
		assert_int_equal(ranges_release(ranges, space, start), is_start ? 0 : -ENOENT);
		if (is_start)
			model->entries[i] = model->entries[--model->count];
		return;
	}
	default: {
		size_t i = model_find(model, space, start, width);
		assert_int_equal(ranges_find(ranges, 1, space, start, width, &found), i < model->count);
		if (i < model->count) {
			assert_int_equal(found.id, model->entries[i].id);
			assert_int_equal(found.start, model->entries[i].start);
			assert_int_equal(found.last, model->entries[i].last);
		}
		return;
	}
	}
}

static void test_model(void **state)
{
	struct ranges *ranges = *state;
	static struct model model;
	unsigned int seed = 7;
	for (int step = 0; step < 200000; step++) {
		check_against_model(ranges, &model, &seed);
		assert_int_equal(ranges_count(ranges), model.count);
	}
}

/* ---- Many: the table grows and shrinks by chunks ---- */

#define SLOTS 4096

static void check_slot(struct ranges *ranges, const bool *reserved, size_t slot)
{
	struct range found;
	bool is_found = ranges_find(ranges, 2, MMIO, slot * 16 + 3, 1, &found);
	assert_int_equal(is_found, reserved[slot]);
	if (is_found)
		assert_true(found.start == slot * 16 && found.last == slot * 16 + 15);
	/* From before the slot's range to the end of the next one's: the lower of those that there are. */
	size_t lowest = reserved[slot] || slot == SLOTS - 1 ? slot : slot + 1;
	is_found = ranges_find(ranges, 2, MMIO, slot * 16 + 15, 17, &found);
	assert_int_equal(is_found, reserved[lowest]);
	if (is_found)
		assert_true(found.start == lowest * 16);
}

/* The head of a table, to see how many chunks it has. */
struct table_head {
	size_t range_count, chunk_count;
};

static void check_chunks(const struct ranges *ranges)
{
	const struct table_head *head = published_current(&ranges->tables[MMIO]);
	assert_int_equal(head->range_count, ranges_count(ranges));
	/* Ranges that come in order leave chunks half full; here many go again, but no chunk is without any. */
	assert_in_range(head->chunk_count, head->range_count / 128, head->range_count);
}

static void test_many(void **state)
{
	struct ranges *ranges = *state;
	static bool reserved[SLOTS];
	unsigned int seed = 11;
	uint32_t id;
	memset(reserved, 0, sizeof(reserved));
	for (int step = 0; step < 60000; step++) {
		size_t slot = (size_t)rand_r(&seed) % SLOTS;
		/* It grows to nearly all of them and shrinks to nearly none, several times. */
		bool grows = step / 15000 % 2 == 0;
		if (rand_r(&seed) % 8 == 0)
			grows = !grows;
		if (grows) {
			assert_int_equal(ranges_reserve(ranges, MMIO, slot * 16, 16, false, &id),
			                 reserved[slot] ? -EPERM : 0);
		} else {
			assert_int_equal(ranges_release(ranges, MMIO, slot * 16), reserved[slot] ? 0 : -ENOENT);
		}
		reserved[slot] = grows;
		check_slot(ranges, reserved, slot);
		check_slot(ranges, reserved, (size_t)rand_r(&seed) % SLOTS);
		check_chunks(ranges);
	}
	for (size_t slot = 0; slot < SLOTS; slot++) {
		check_slot(ranges, reserved, slot);
		if (reserved[slot])
			assert_int_equal(ranges_release(ranges, MMIO, slot * 16), 0);
	}
	assert_int_equal(ranges_count(ranges), 0);
	check_chunks(ranges);
}

/* Order of addresses, and the reverse. */
static void test_in_order(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id;
	for (int is_reverse = 0; is_reverse < 2; is_reverse++) {
		for (uint64_t i = 0; i < 1000; i++)
			assert_int_equal(ranges_reserve(ranges, PORT, is_reverse ? 999 - i : i, 1, false, &id), 0);
		for (uint64_t i = 0; i < 1000; i++)
			assert_true(finds(ranges, PORT, i, 2, i));
		const struct table_head *head = published_current(&ranges->tables[PORT]);
		assert_in_range(head->chunk_count, 1000 / 128, 1000 / 64 + 1);
		for (uint64_t i = 0; i < 1000; i++) {
			assert_int_equal(ranges_release(ranges, PORT, is_reverse ? 999 - i : i), 0);
			assert_int_equal(ranges_count(ranges), 999 - i);
		}
		assert_true(finds_none(ranges, PORT, 0, 4));
	}
}

/* ---- Memory: it runs out, or is watched ---- */

#define ARENA_SIZE (UINT64_C(64) << 20)

static int mallocs_left = -1; /* until one fails; -1: none does */
static char *arena;           /* where malloc takes from, if not NULL; nothing is given back */
static size_t arena_used;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	if (mallocs_left >= 0 && mallocs_left-- == 0) {
		errno = ENOMEM;
		return NULL;
	}
	if (!arena)
		return __real_malloc(size);
	size_t begin = arena_used;
	arena_used += (size + 15) & ~(size_t)15;
	return arena_used <= ARENA_SIZE ? arena + begin : NULL;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
	if (!arena || (char *)memory < arena || (char *)memory >= arena + ARENA_SIZE)
		__real_free(memory);
}

/* A change that finds no memory changes nothing, wherever that shows. */
static void test_no_memory(void **state)
{
	struct ranges *ranges = *state;
	uint32_t id = 0;
	/* A chunk that the next reservation splits. */
	for (uint64_t i = 0; i < 128; i++)
		assert_int_equal(ranges_reserve(ranges, MMIO, i * 2, 1, false, &id), 0);
	for (int allowed = 0; allowed < 3; allowed++) {
		mallocs_left = allowed;
		assert_int_equal(ranges_reserve(ranges, MMIO, 101, 1, false, &id), -ENOMEM);
		mallocs_left = allowed;
		assert_int_equal(ranges_release(ranges, MMIO, 100), allowed < 2 ? -ENOMEM : 0);
		mallocs_left = -1;
		assert_int_equal(ranges_count(ranges), allowed < 2 ? 128 : 127);
		assert_true(finds_none(ranges, MMIO, 101, 1));
	}
	assert_int_equal(id, 127);
	assert_int_equal(ranges_reserve(ranges, MMIO, 101, 1, false, &id), 0);
	assert_int_equal(id, 128);
	for (uint64_t i = 0; i < 128; i++)
		assert_true(finds(ranges, MMIO, i * 2, 2, i == 50 ? 101 : i * 2));
}

/* ---- Readers alone ---- */

#define WATCHED 2000

struct lookups {
	struct ranges *ranges;
	uint32_t reader;
	unsigned long wrong;
};

static void *look_up_all(void *argument)
{
	struct lookups *lookups = argument;
	struct range found;
	for (int round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < WATCHED; i++) {
			lookups->wrong += !ranges_find(lookups->ranges, lookups->reader, MMIO, i * 16 + 5, 1,
			                               &found) ||
			                  found.start != i * 16;
			lookups->wrong += ranges_find(lookups->ranges, lookups->reader, MMIO, i * 16 + 8, 1,
			                              &found);
			lookups->wrong += ranges_find(lookups->ranges, lookups->reader, PORT, i, 1, &found);
		}
	}
	return NULL;
}

/*
 * Readers do not slow each other down: what they share they only read, or this would fault, and what each writes is
 * on a cache line of its own.
 */
static void test_lookups_write_nothing_shared(void **state)
{
	(void)state;
	char *memory = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                    -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	arena = memory;
	arena_used = 0;
	struct ranges *ranges = __wrap_malloc(sizeof(*ranges));
	uint32_t id;
	assert_int_equal(ranges_init(ranges, 2), 0);
	for (uint64_t i = 0; i < WATCHED; i++)
		assert_int_equal(ranges_reserve(ranges, MMIO, i * 16, 8, false, &id), 0);
	assert_in_range((uintptr_t)published_current(&ranges->tables[MMIO]), (uintptr_t)arena,
	                (uintptr_t)arena + arena_used);
	for (int space = 0; space < ADDRESS_SPACE_COUNT; space++) {
		const struct published_reader *readers = ranges->tables[space].readers;
		assert_int_equal((uintptr_t)readers % 64, 0);
		assert_int_equal((const char *)&readers[1] - (const char *)&readers[0], 64);
	}

	struct lookups lookups[2] = {{.ranges = ranges, .reader = 0}, {.ranges = ranges, .reader = 1}};
	pthread_t threads[2];
	assert_int_equal(mprotect(arena, ARENA_SIZE, PROT_READ), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up_all, &lookups[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(lookups[i].wrong, 0);
	}
	assert_int_equal(mprotect(arena, ARENA_SIZE, PROT_READ | PROT_WRITE), 0);
	ranges_fini(ranges);
	munmap(arena, ARENA_SIZE);
	arena = NULL;
}

/* ---- Readers and a writer ---- */

#define READERS 3

struct reader {
	struct ranges *ranges;
	uint32_t number;
	_Atomic bool *stop;
	unsigned long found, wrong;
};

static void *read_ranges(void *argument)
{
	struct reader *reader = argument;
	unsigned int seed = reader->number + 1;
	while (!atomic_load(reader->stop)) {
		struct range found;
		uint64_t address = (uint64_t)rand_r(&seed) % 64 * 16 + 5;
		/* Every range begins at a multiple of 16 and has 8 addresses; 0x8000 is always there. */
		if (ranges_find(reader->ranges, reader->number, MMIO, address, 1, &found)) {
			reader->found++;
			reader->wrong += found.start != address - 5 || found.last != found.start + 7;
		}
		reader->wrong += !ranges_find(reader->ranges, reader->number, PORT, 0x8000, 1, &found);
	}
	return NULL;
}

static void test_concurrency(void **state)
{
	(void)state;
	struct ranges ranges;
	assert_int_equal(ranges_init(&ranges, READERS), 0);
	uint32_t id;
	assert_int_equal(ranges_reserve(&ranges, PORT, 0x8000, 1, false, &id), 0);
	_Atomic bool stop = false;
	struct reader readers[READERS];
	pthread_t threads[READERS];
	for (uint32_t i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.ranges = &ranges, .number = i, .stop = &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, read_ranges, &readers[i]), 0);
	}
	size_t kept = 0;
	unsigned int seed = 99;
	for (int step = 0; step < 30000; step++) {
		uint64_t start = (uint64_t)rand_r(&seed) % 64 * 16;
		if (ranges_reserve(&ranges, MMIO, start, 8, false, &id) == -EPERM)
			ranges_release(&ranges, MMIO, start);
		if (ranges.tables[MMIO].retired_count > kept)
			kept = ranges.tables[MMIO].retired_count;
	}
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(readers[i].wrong, 0);
	/* One that each reader may hold; with the current one, readers + 1 tables. */
	assert_in_range(kept, 0, READERS);
	ranges_fini(&ranges);
}

/* A reader that never comes back holds one table, whatever the writer does. */
static void test_stuck_reader(void **state)
{
	struct ranges *ranges = *state;
	struct published *table = &ranges->tables[MMIO];
	uint32_t id;
	assert_int_equal(ranges_reserve(ranges, MMIO, 1000, 1, false, &id), 0);
	for (uint32_t reader = 0; reader < 4; reader++) {
		atomic_store(&table->readers[reader].in_use, atomic_load(&table->current));
		for (uint64_t i = 0; i < 10; i++)
			assert_int_equal(ranges_reserve(ranges, MMIO, reader * 100 + i, 1, false, &id), 0);
		assert_int_equal(table->retired_count, reader + 1);
	}
	for (uint32_t reader = 0; reader < 4; reader++)
		atomic_store(&table->readers[reader].in_use, NULL);
	assert_int_equal(ranges_release(ranges, MMIO, 1000), 0);
	assert_int_equal(table->retired_count, 0);
}

/* ---- What a reader keeps ---- */

static uint32_t id_of(struct ranges *ranges, enum address_space space, uint64_t address)
{
	struct range found = {.id = UINT32_MAX};
	return ranges_find(ranges, 0, space, address, 1, &found) ? found.id : UINT32_MAX;
}

/* Each lookup comes twice: what the first one found answers the second, and must not when it is wrong by then. */
static void test_found_before(void **state)
{
	struct ranges *ranges = *state;
	uint32_t first, second, third;
	/* Nothing was found yet, and nothing is at 0. */
	assert_int_equal(id_of(ranges, PORT, 0), UINT32_MAX);
	assert_int_equal(ranges_reserve(ranges, PORT, 0x10, 4, false, &first), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(id_of(ranges, PORT, 0x10), first);
		assert_int_equal(id_of(ranges, PORT, 0x13), first);
		/* Beside it, and in the other space. */
		assert_int_equal(id_of(ranges, PORT, 0xf), UINT32_MAX);
		assert_int_equal(id_of(ranges, PORT, 0x14), UINT32_MAX);
		assert_int_equal(id_of(ranges, MMIO, 0x10), UINT32_MAX);
	}

	/* An access that only reaches into it is not in it. */
	assert_true(finds(ranges, PORT, 0xe, 4, 0x10));
	assert_int_equal(ranges_reserve(ranges, PORT, 0xc, 3, true, &second), 0);
	assert_true(finds(ranges, PORT, 0xe, 4, 0xc));
	assert_int_equal(id_of(ranges, PORT, 0x10), first);

	/* The same addresses, a new reservation of another kind. */
	assert_int_equal(ranges_release(ranges, PORT, 0x10), 0);
	assert_int_equal(id_of(ranges, PORT, 0x10), UINT32_MAX);
	assert_int_equal(ranges_reserve(ranges, PORT, 0x10, 2, true, &third), 0);
	struct range found;
	for (int i = 0; i < 2; i++) {
		assert_true(ranges_find(ranges, 0, PORT, 0x11, 1, &found));
		assert_int_equal(found.id, third);
		assert_true(found.async_write);
		assert_int_equal(id_of(ranges, PORT, 0x12), UINT32_MAX);
	}

	/* The other space's table changes: its own number does, and this one's range stays right. */
	assert_int_equal(ranges_reserve(ranges, MMIO, 0x11, 1, false, &second), 0);
	assert_int_equal(id_of(ranges, PORT, 0x11), third);
	assert_int_equal(id_of(ranges, MMIO, 0x11), second);
	assert_int_equal(id_of(ranges, PORT, 0x11), third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_edges),
	    TEST(test_overlap),
	    TEST(test_straddling_access),
	    TEST(test_ids),
	    TEST(test_found_before),
	    TEST(test_limit),
	    TEST(test_model),
	    TEST(test_many),
	    TEST(test_in_order),
	    TEST(test_no_memory),
	    TEST(test_stuck_reader),
	    cmocka_unit_test(test_lookups_write_nothing_shared),
	    cmocka_unit_test(test_concurrency),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
