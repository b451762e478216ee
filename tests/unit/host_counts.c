/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the account of exits: with and without times, per range up to the limit, and its lines for several vCPUs.
 */
#include "test.h"

#include <string.h>

#include "base/log.h"
#include "host/counts.h"

#define PORT ADDRESS_SPACE_PORT
#define MMIO ADDRESS_SPACE_MMIO

static const struct plugvm_exit_count *find_line(const struct plugvm_exit_count *lines, size_t count,
                                                 const char *kind)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(lines[i].kind, kind) == 0)
			return &lines[i];
	}
	return NULL;
}

static void test_without_times(void **state)
{
	(void)state;
	static struct range_names names;
	struct counts counts;
	assert_int_equal(counts_init(&counts, false), 0);
	assert_int_equal(counts_now(&counts), 0);
	struct range range = {.start = 1, .last = 2, .id = 0};
	const struct counts *const all[] = {&counts};
	assert_int_equal(counts_report(all, 1, &names, NULL, 0), 0);
	counts_note(&counts, PORT, true, &range, 0);
	counts_note(&counts, PORT, true, &range, 0);
	counts_note(&counts, MMIO, false, NULL, 0);
	struct plugvm_exit_count lines[8];
	assert_int_equal(counts_report(all, 1, &names, lines, 8), 2);
	assert_int_equal(find_line(lines, 2, "all port writes")->count, 2);
	assert_false(find_line(lines, 2, "all port writes")->has_range);
	assert_int_equal(find_line(lines, 2, "unclaimed MMIO reads")->count, 1);
	assert_int_equal(lines[0].total_ns, 0);
	counts_fini(&counts);
	counts_fini(&counts);
}

static void test_ranges_and_vcpus(void **state)
{
	(void)state;
	static struct range_names names;
	memset(&names, 0, sizeof(names));
	struct counts counts[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(counts_init(&counts[i], true), 0);
	const struct counts *const all[] = {&counts[0], &counts[1]};
	range_names_note(&names, 0, PORT, 0x3f8, 8);
	range_names_note(&names, 1, MMIO, UINT64_MAX, 1);
	struct range serial = {.start = 0x3f8, .last = 0x3ff, .id = 0};
	struct range top = {.start = UINT64_MAX, .last = UINT64_MAX, .id = 1};
	counts_note(&counts[0], PORT, true, &serial, counts_now(&counts[0]) - 1000000);
	counts_note(&counts[1], PORT, true, &serial, counts_now(&counts[1]) - 5000000);
	counts_note(&counts[1], MMIO, false, &top, counts_now(&counts[1]));

	struct plugvm_exit_count lines[8];
	size_t count = counts_report(all, 2, &names, lines, 8);
	assert_int_equal(count, 4);
	assert_string_equal(lines[0].kind, "port write");
	assert_true(lines[0].has_range && lines[0].is_port);
	assert_int_equal(lines[0].start, 0x3f8);
	assert_int_equal(lines[0].last, 0x3ff);
	assert_int_equal(lines[0].count, 2);
	assert_true(lines[0].total_ns >= 6000000);
	assert_true(lines[0].max_ns >= 5000000 && lines[0].max_ns < lines[0].total_ns);
	assert_string_equal(lines[1].kind, "MMIO read");
	assert_int_equal(lines[1].last, UINT64_MAX);
	assert_false(lines[1].is_port);
	/* Fewer lines than there are: the number is still right, and nothing beyond is written. */
	memset(lines, 0xaa, sizeof(lines));
	assert_int_equal(counts_report(all, 2, &names, lines, 1), count);
	assert_int_equal(lines[1].count, 0xaaaaaaaaaaaaaaaa);
	for (int i = 0; i < 2; i++)
		counts_fini(&counts[i]);
}

static void test_more_ranges_than_counted(void **state)
{
	(void)state;
	static struct range_names names;
	memset(&names, 0, sizeof(names));
	struct counts counts;
	assert_int_equal(counts_init(&counts, true), 0);
	const struct counts *const all[] = {&counts};
	for (uint32_t id = 0; id < COUNTED_RANGES + 3; id++) {
		range_names_note(&names, id, PORT, id, 1);
		struct range range = {.start = id, .last = id, .id = id};
		counts_note(&counts, PORT, false, &range, counts_now(&counts));
	}
	assert_int_equal(names.count, COUNTED_RANGES);
	static struct plugvm_exit_count lines[COUNTED_RANGES + 8];
	size_t count = counts_report(all, 1, &names, lines, sizeof(lines) / sizeof(lines[0]));
	assert_int_equal(count, COUNTED_RANGES + 2);
	assert_int_equal(find_line(lines, count, "accesses to later ranges")->count, 3);
	assert_int_equal(find_line(lines, count, "all port reads")->count, COUNTED_RANGES + 3);
	counts_fini(&counts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_without_times),
	    cmocka_unit_test(test_ranges_and_vcpus),
	    cmocka_unit_test(test_more_ranges_than_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
