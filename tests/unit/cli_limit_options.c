/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the option --limit: what it takes, its edges, and that what it refuses names the option and the word.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "cli/limit_options.h"

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t memory, pids, fds, cpu;
	} cases[] = {
	    {"memory=1", 1, 0, 0, 0},
	    {"memory=64K", 64 << 10, 0, 0, 0},
	    {"memory=64k", 64 << 10, 0, 0, 0},
	    {"memory=3M,pids=40", 3 << 20, 40, 0, 0},
	    {"cpu=0.5,fds=100,pids=1,memory=2g", UINT64_C(2) << 30, 1, 100, 50},
	    {"memory=16777215T", UINT64_C(16777215) << 40, 0, 0, 0},
	    {"memory=18446744073709551615", UINT64_MAX, 0, 0, 0},
	    {"pids=3,pids=4", 0, 4, 0, 0},
	    {"cpu=1", 0, 0, 0, 100},
	    {"cpu=1.5", 0, 0, 0, 150},
	    {"cpu=0.05", 0, 0, 0, 5},
	    {"cpu=2.25", 0, 0, 0, 225},
	    {"cpu=1%", 0, 0, 0, 1},
	    {"cpu=250%", 0, 0, 0, 250},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct limit_options limits = {.values = {0}};
		struct plugvm_error error;
		if (limit_options_add(&limits, cases[i].text, &error) < 0)
			fail_msg("%s", error.text);
		assert_int_equal(limits.values[PLUGVM_LIMIT_MEMORY], cases[i].memory);
		assert_int_equal(limits.values[PLUGVM_LIMIT_PIDS], cases[i].pids);
		assert_int_equal(limits.values[PLUGVM_LIMIT_FDS], cases[i].fds);
		assert_int_equal(limits.values[PLUGVM_LIMIT_CPU], cases[i].cpu);
	}
}

static void test_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *word;
	} cases[] = {
	    {"", ""},
	    {",", ""},
	    {"memory", "memory"},
	    {"memory=", "memory="},
	    {"memory=1Q", "memory=1Q"},
	    {"memory=1MB", "memory=1MB"},
	    {"memory=1 ", "memory=1 "},
	    {"memory=-1", "memory=-1"},
	    {"memory= 1", "memory= 1"},
	    {"memory=M", "memory=M"},
	    {"memory=16777216T", "memory=16777216T"},
	    {"memory=18446744073709551616", "memory=18446744073709551616"},
	    {"memory=0", "memory=0"},
	    {"Memory=1M", "Memory=1M"},
	    {"mem=1M", "mem=1M"},
	    {"pids=1,", ""},
	    {"pids=1K", "pids=1K"},
	    {"pids=0", "pids=0"},
	    {"fds=0x10", "fds=0x10"},
	    {"fds=1,fds=a", "fds=a"},
	    {"cpu=", "cpu="},
	    {"cpu=.5", "cpu=.5"},
	    {"cpu=1.", "cpu=1."},
	    {"cpu=0.125", "cpu=0.125"},
	    {"cpu=0.5%", "cpu=0.5%"},
	    {"cpu=5%%", "cpu=5%%"},
	    {"cpu=0", "cpu=0"},
	    {"cpu=0.00", "cpu=0.00"},
	    {"cpu=0.+5", "cpu=0.+5"},
	    {"cpu=9999999999", "cpu=9999999999"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct limit_options limits = {.values = {0}};
		struct plugvm_error error = {.text = ""};
		char begin[64] = "--limit ";
		strcat(strcat(begin, cases[i].word), ": it ");
		if (limit_options_add(&limits, cases[i].text, &error) != -EINVAL ||
		    strncmp(error.text, begin, strlen(begin)) != 0)
			fail_msg("'%s': '%s'", cases[i].text, error.text);
	}
}

static void test_apply(void **state)
{
	(void)state;
	struct limit_options limits = {.values = {0}};
	struct plugvm_error error;
	struct plugvm_jail *jail;
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_STRICT, &jail, NULL), 0);
	assert_int_equal(limit_options_apply(&limits, NULL, &error), 0);
	assert_int_equal(limit_options_apply(&limits, jail, &error), 0);
	assert_int_equal(limit_options_add(&limits, "memory=64M", &error), 0);
	assert_int_equal(limit_options_apply(&limits, NULL, &error), -EINVAL);
	assert_string_equal(error.text, "--limit memory: it limits a jailed plugin, and there is no jail");
	assert_int_equal(limit_options_apply(&limits, jail, &error), 0);
	assert_int_equal(limit_options_add(&limits, "fds=3", &error), 0);
	assert_int_equal(limit_options_apply(&limits, jail, &error), -EINVAL);
	assert_non_null(strstr(error.text, "--limit fds: a limit of 3 is out of range: fds can be 16 to "));
	plugvm_jail_free(&jail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_apply),
	};
	return cmocka_run_group_tests_name("cli_limit_options", tests, NULL, NULL);
}
