/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the published pointer: what a reader gets, that a value stays while it is read, that the rest is freed at
 * once, and readers beside a writer.
 */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>

#include "host/published.h"

#define READERS 3

static unsigned long freed;

static void count_and_free(void *value)
{
	assert_non_null(value);
	freed++;
	free(value);
}

static int setup(void **state)
{
	static struct published published;
	assert_int_equal(published_init(&published, READERS, count_and_free), 0);
	*state = &published;
	return 0;
}

static int teardown(void **state)
{
	published_fini(*state);
	return 0;
}

/* Two words, so that a value that is freed or half made shows. */
struct pair {
	uint64_t first, second;
};

static struct pair *pair_new(uint64_t number)
{
	struct pair *pair = malloc(sizeof(*pair));
	assert_non_null(pair);
	*pair = (struct pair){number, ~number};
	return pair;
}

static void test_nothing(void **state)
{
	struct published *published = *state;
	assert_null(published_current(published));
	assert_null(published_read(published, 0));
	published_replace(published, NULL);
	assert_null(published_read(published, READERS - 1));
	assert_int_equal(published->retired_count, 0);
}

static void test_value(void **state)
{
	struct published *published = *state;
	struct pair *pair = pair_new(1);
	published_replace(published, pair);
	assert_ptr_equal(published_current(published), pair);
	for (uint32_t reader = 0; reader < READERS; reader++) {
		assert_ptr_equal(published_read(published, reader), pair);
		published_done(published, reader);
	}
	unsigned long freed_before = freed;
	published_replace(published, NULL);
	assert_int_equal(published->retired_count, 0);
	assert_int_equal(freed, freed_before + 1);
	assert_null(published_read(published, 0));
	/* Nothing is announced by a read of nothing. */
	assert_null(atomic_load(&published->readers[0].in_use));
}

/* A reader that never comes back holds one value, whatever the writer does. */
static void test_stuck_readers(void **state)
{
	struct published *published = *state;
	const struct pair *held[READERS];
	published_replace(published, pair_new(100));
	for (uint32_t reader = 0; reader < READERS; reader++) {
		held[reader] = published_read(published, reader);
		assert_int_equal(held[reader]->first, 100 + 10 * reader);
		for (uint64_t i = 1; i <= 10; i++)
			published_replace(published, pair_new(100 + 10 * reader + i));
		assert_int_equal(published->retired_count, reader + 1);
	}
	for (uint32_t reader = 0; reader < READERS; reader++) {
		assert_int_equal(held[reader]->first, ~held[reader]->second);
		published_done(published, reader);
	}
	published_replace(published, NULL);
	assert_int_equal(published->retired_count, 0);
}

/* Two that look at the same value: it goes with the last. */
static void test_shared(void **state)
{
	struct published *published = *state;
	published_replace(published, pair_new(1));
	const struct pair *pair = published_read(published, 0);
	assert_ptr_equal(published_read(published, 1), pair);
	published_replace(published, pair_new(2));
	published_done(published, 0);
	published_replace(published, pair_new(3));
	assert_int_equal(published->retired_count, 1);
	assert_int_equal(pair->first, 1);
	published_done(published, 1);
	published_replace(published, pair_new(4));
	assert_int_equal(published->retired_count, 0);
}

/* ---- Readers and a writer ---- */

struct reader {
	struct published *published;
	uint32_t number;
	_Atomic bool *stop;
	unsigned long found, wrong;
};

static void *read_pairs(void *argument)
{
	struct reader *reader = argument;
	uint64_t last = 0;
	while (!atomic_load(reader->stop)) {
		const struct pair *pair = published_read(reader->published, reader->number);
		if (!pair)
			continue;
		reader->found++;
		/* Whole, and never an older one than before. */
		reader->wrong += pair->first != ~pair->second || pair->first < last;
		last = pair->first;
		published_done(reader->published, reader->number);
	}
	return NULL;
}

static void test_concurrency(void **state)
{
	struct published *published = *state;
	_Atomic bool stop = false;
	struct reader readers[READERS];
	pthread_t threads[READERS];
	for (uint32_t i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.published = published, .number = i, .stop = &stop};
		assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, &readers[i]), 0);
	}
	size_t kept = 0;
	for (uint64_t number = 1; number <= 100000; number++) {
		published_replace(published, number % 5 ? pair_new(number) : NULL);
		if (published->retired_count > kept)
			kept = published->retired_count;
	}
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].wrong, 0);
	}
	assert_in_range(kept, 0, READERS);
}

/* ---- A reader that moves on while the writer looks for what can be freed ---- */

static struct published moving;
static const void *moves_to; /* reader 0, as soon as something is freed */

static void free_and_move(void *value)
{
	free(value);
	if (moves_to)
		atomic_store(&moving.readers[0].in_use, moves_to);
	moves_to = NULL;
}

static void test_reader_moves(void **state)
{
	(void)state;
	assert_int_equal(published_init(&moving, 2, free_and_move), 0);
	const struct pair *first = pair_new(1), *second = pair_new(2), *third = pair_new(3);
	published_replace(&moving, first);
	assert_ptr_equal(published_read(&moving, 0), first);
	published_replace(&moving, second);
	assert_ptr_equal(published_read(&moving, 1), second);
	published_replace(&moving, third);
	assert_int_equal(moving.retired_count, 2);
	/* The second is freed between the first and the third: one reader is left, and keeps one. */
	published_done(&moving, 1);
	moves_to = third;
	published_replace(&moving, NULL);
	assert_int_equal(moving.retired_count, 1);
	published_done(&moving, 0);
	published_fini(&moving);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing), TEST(test_value),       TEST(test_stuck_readers),
	    TEST(test_shared),  TEST(test_concurrency), TEST(test_reader_moves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
