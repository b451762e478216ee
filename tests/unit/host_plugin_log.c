/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the plugin's stderr as log lines: pieces, lengths at the limit, bytes that are no text, a flood, a last
 * line without an end, and that reading never waits.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "host/plugin_log.h"

struct seen {
	int count, warnings;
	char lines[4][LIMIT_LOG_LINE_BYTES * 4 + 64]; /* the first ones */
	char warning[256];
};

struct rig {
	int fds_before;
	struct seen seen;
	struct log log;
	struct plugin_log plugin_log;
	int write_end;
};

static void sink(void *context, enum plugvm_log_level level, const char *line)
{
	struct seen *seen = context;
	if (level != PLUGVM_LOG_PLUGIN) {
		seen->warnings++;
		snprintf(seen->warning, sizeof(seen->warning), "%s", line);
		return;
	}
	if (seen->count < 4)
		snprintf(seen->lines[seen->count], sizeof(seen->lines[0]), "%s", line);
	seen->count++;
}

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.log = (struct log){.sink = sink, .context = &rig.seen};
	assert_int_equal(plugin_log_init(&rig.plugin_log, &rig.log, &rig.write_end), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	plugin_log_fini(&rig->plugin_log);
	fd_close(&rig->write_end);
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static void put(struct rig *rig, const char *text, size_t size)
{
	assert_int_equal(write(rig->write_end, text, size), size);
	plugin_log_drain(&rig->plugin_log);
}

static void test_lines(void **state)
{
	struct rig *rig = *state;
	/* The plugin's end is an ordinary, blocking pipe. */
	assert_false(fcntl(rig->write_end, F_GETFL) & O_NONBLOCK);
	plugin_log_drain(&rig->plugin_log);
	put(rig, "one\ntw", 6);
	assert_int_equal(rig->seen.count, 1);
	assert_string_equal(rig->seen.lines[0], "one");
	put(rig, "o\n\n", 3);
	assert_int_equal(rig->seen.count, 3);
	assert_string_equal(rig->seen.lines[1], "two");
	assert_string_equal(rig->seen.lines[2], "");
	put(rig, "\x1b]0;title\x07\n", 11);
	assert_string_equal(rig->seen.lines[3], "\\x1b]0;title\\x07");
}

static void test_last_line(void **state)
{
	struct rig *rig = *state;
	put(rig, "no end", 6);
	fd_close(&rig->write_end);
	plugin_log_drain(&rig->plugin_log);
	assert_int_equal(rig->plugin_log.fd, -1);
	assert_int_equal(rig->seen.count, 0);
	plugin_log_drain(&rig->plugin_log);
	plugin_log_fini(&rig->plugin_log);
	assert_int_equal(rig->seen.count, 1);
	assert_string_equal(rig->seen.lines[0], "no end");
}

static void check_length(struct rig *rig, size_t length, int lines)
{
	char text[3 * LIMIT_LOG_LINE_BYTES + 1];
	memset(text, 'x', length);
	text[length] = '\n';
	rig->seen.count = 0;
	put(rig, text, length + 1);
	assert_int_equal(rig->seen.count, lines);
	assert_int_equal(strlen(rig->seen.lines[0]),
	                 length < LIMIT_LOG_LINE_BYTES ? length : LIMIT_LOG_LINE_BYTES);
}

static void test_long_lines(void **state)
{
	struct rig *rig = *state;
	check_length(rig, LIMIT_LOG_LINE_BYTES - 1, 1);
	check_length(rig, LIMIT_LOG_LINE_BYTES + 1, 2);
	assert_string_equal(rig->seen.lines[1], "x");
	check_length(rig, 2 * LIMIT_LOG_LINE_BYTES + 1, 3);
}

/* A line of just the limit is not longer than it: it is one line. */
static void test_line_of_the_limit(void **state)
{
	struct rig *rig = *state;
	check_length(rig, LIMIT_LOG_LINE_BYTES, 1);
	check_length(rig, 2 * LIMIT_LOG_LINE_BYTES, 2);
}

static void test_longest_escaped(void **state)
{
	struct rig *rig = *state;
	char text[LIMIT_LOG_LINE_BYTES];
	memset(text, 0xff, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\n';
	put(rig, text, sizeof(text));
	assert_int_equal(strlen(rig->seen.lines[0]), 4 * (sizeof(text) - 1));
}

static void test_flood(void **state)
{
	struct rig *rig = *state;
	char newlines[1000];
	memset(newlines, '\n', sizeof(newlines));
	for (int i = 0; i < 20; i++)
		put(rig, newlines, sizeof(newlines));
	/* The burst, and what the clock adds meanwhile: a loaded machine may take a while. */
	assert_in_range(rig->seen.count, LIMIT_LOG_LINES_BURST, 19999);
	plugin_log_fini(&rig->plugin_log);
	assert_true(rig->seen.warnings > 0);
	assert_non_null(strstr(rig->seen.warning, "left out"));
}

/* What was left out is told with the next line that is not. */
static void test_after_flood(void **state)
{
	struct rig *rig = *state;
	uint64_t end_ns = clock_ns() + UINT64_C(60000000000);
	while (rig->seen.warnings == 0 && clock_ns() < end_ns)
		put(rig, "x\n", 2);
	assert_int_equal(rig->seen.warnings, 1);
	assert_non_null(strstr(rig->seen.warning, "lines of the plugin were left out"));
}

/* A writer that is always there first cannot keep the reader for ever. */
static void test_bounded_turn(void **state)
{
	struct rig *rig = *state;
	assert_true(fcntl(rig->write_end, F_SETPIPE_SZ, 1 << 20) >= 1 << 17);
	static char text[1 << 17];
	memset(text, 'x', sizeof(text));
	put(rig, text, sizeof(text));
	int seen = rig->seen.count;
	assert_in_range(seen, 1, (1 << 17) / LIMIT_LOG_LINE_BYTES - 1);
	plugin_log_drain(&rig->plugin_log);
	assert_true(rig->seen.count > seen);
}

static int no_pipe(int fds[2], int flags)
{
	(void)fds;
	(void)flags;
	errno = EMFILE;
	return -1;
}

static void test_no_pipe(void **state)
{
	struct rig *rig = *state;
	struct sys real = sys;
	struct plugin_log plugin_log;
	int end = -1;
	sys.pipe2 = no_pipe;
	assert_int_equal(plugin_log_init(&plugin_log, &rig->log, &end), -EMFILE);
	sys = real;
	assert_int_equal(plugin_log.fd, -1);
	plugin_log_drain(&plugin_log);
	plugin_log_fini(&plugin_log);
	assert_int_equal(rig->seen.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_lines),           TEST(test_last_line),
	    TEST(test_long_lines),      TEST(test_line_of_the_limit),
	    TEST(test_longest_escaped), TEST(test_flood),
	    TEST(test_bounded_turn),    TEST(test_no_pipe),
	    TEST(test_after_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
