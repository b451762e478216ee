/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the checked arithmetic at its edges.
 */
#include "test.h"

#include "base/checked.h"

static void test_add(void **state)
{
	static const struct {
		uint64_t a, b, sum;
		bool fits;
	} cases[] = {
	    {0, 0, 0, true},
	    {UINT64_MAX, 0, UINT64_MAX, true},
	    {UINT64_MAX, 1, 0, false},
	    {1, UINT64_MAX, 0, false},
	    {UINT64_MAX - 1, 1, UINT64_MAX, true},
	    {UINT64_MAX, UINT64_MAX, 0, false},
	    {UINT64_C(1) << 63, UINT64_C(1) << 63, 0, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t sum = 42;
		assert_int_equal(checked_add_u64(cases[i].a, cases[i].b, &sum), cases[i].fits);
		assert_int_equal(sum, cases[i].fits ? cases[i].sum : 42);
	}
}

static void test_last(void **state)
{
	static const struct {
		uint64_t start, length, last;
		bool fits;
	} cases[] = {
	    {0, 0, 0, false},
	    {UINT64_MAX, 0, 0, false},
	    {0, 1, 0, true},
	    {UINT64_MAX, 1, UINT64_MAX, true},
	    {UINT64_MAX, 2, 0, false},
	    {0, UINT64_MAX, UINT64_MAX - 1, true},
	    {1, UINT64_MAX, UINT64_MAX, true},
	    {2, UINT64_MAX, 0, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t last = 42;
		assert_int_equal(checked_last_u64(cases[i].start, cases[i].length, &last), cases[i].fits);
		assert_int_equal(last, cases[i].fits ? cases[i].last : 42);
	}
}

static void test_aligned(void **state)
{
	(void)state;
	assert_true(is_aligned_u64(0, 4096));
	assert_true(is_aligned_u64(4096, 4096));
	assert_true(is_aligned_u64(UINT64_MAX - 4095, 4096));
	assert_false(is_aligned_u64(1, 4096));
	assert_false(is_aligned_u64(4095, 4096));
	assert_false(is_aligned_u64(UINT64_MAX, 4096));
	assert_true(is_aligned_u64(UINT64_MAX, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_last),
	    cmocka_unit_test(test_aligned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
