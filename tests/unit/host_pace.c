/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how much a main thread works for a plugin whose share is limited: that share, whatever the pieces are.
 */
#include "test.h"

#include "host/pace.h"

#define MS UINT64_C(1000000)

/* Work in pieces as soon as it may, for `length_ns`. Returns how long it worked. */
static uint64_t work(struct pace *pace, uint64_t from_ns, uint64_t length_ns, uint64_t piece_ns)
{
	uint64_t worked = 0;
	for (uint64_t now = from_ns; now < from_ns + length_ns;) {
		if (pace_next_ns(pace) > now)
			now = pace_next_ns(pace);
		pace_spend(pace, now, now + piece_ns);
		now += piece_ns;
		worked += piece_ns;
	}
	return worked;
}

static void test_share(void **state)
{
	(void)state;
	static const uint64_t percents[] = {1, 20, 50, 99};
	static const uint64_t pieces[] = {1000, 100000, MS};
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct pace pace = {.percent = percents[i]};
			uint64_t worked = work(&pace, 77 * MS, 1000 * MS, pieces[k]);
			assert_in_range(worked, 10 * MS * percents[i] - pieces[k],
			                10 * MS * percents[i] + 2 * pieces[k] + MS);
		}
	}
}

static void test_unlimited(void **state)
{
	(void)state;
	struct pace none = {.percent = 0};
	assert_int_equal(work(&none, MS, 100 * MS, 1000), 100 * MS);
	struct pace two = {.percent = 200};
	assert_int_equal(work(&two, MS, 100 * MS, 1000), 100 * MS);
}

/* Who was idle may do a little at once, and not what it saved up. */
static void test_idle_saves_nothing(void **state)
{
	(void)state;
	struct pace pace = {.percent = 10};
	pace_spend(&pace, MS, 2 * MS);
	assert_true(pace_next_ns(&pace) > 2 * MS);
	uint64_t late = 100000 * MS;
	assert_true(pace_next_ns(&pace) <= late);
	assert_true(work(&pace, late, 100 * MS, 10000) <= 11 * MS);
}

/* A slow request delays the next by the cgroup's period at most, and no number wraps. */
static void test_longest_rest(void **state)
{
	(void)state;
	static const uint64_t works[] = {3000 * MS, UINT64_MAX / 150};
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		struct pace pace = {.percent = 1};
		pace_spend(&pace, MS, MS + works[i]);
		assert_in_range(pace_next_ns(&pace), MS + works[i] + 99 * MS, MS + works[i] + 100 * MS);
	}
	/* A clock that stands still is no work. */
	struct pace pace = {.percent = 1};
	pace_spend(&pace, MS, MS);
	assert_int_equal(pace_next_ns(&pace), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_unlimited),
	    cmocka_unit_test(test_idle_saves_nothing),
	    cmocka_unit_test(test_longest_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
