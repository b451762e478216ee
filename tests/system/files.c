/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks --file: a plugin, in a jail and without one, finds the operator's files under the numbers that it was told.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static const char *const sandboxes[] = {"--disable-sandbox", "--jail=default"};
#define SANDBOXES (sizeof(sandboxes) / sizeof(sandboxes[0]))

/* Make a file with a line in it. */
static void make_file(char *path, const char *line)
{
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	close(fd);
}

/* Run the script with both files, in each sandbox. */
static void test_numbers(void **state)
{
	(void)state;
	static const char script[] =
	    "echo $PLUGVM_FD_DATA $PLUGVM_FD_LOG_2; read line <&$PLUGVM_FD_DATA; echo $line; "
	    "echo more >&$PLUGVM_FD_LOG_2; echo no >&$PLUGVM_FD_DATA; true";
	for (size_t i = 0; i < SANDBOXES; i++) {
		char data[] = "/tmp/plugvm-data-XXXXXX", log[] = "/tmp/plugvm-log-XXXXXX";
		char data_option[64], log_option[64], text[16] = "";
		make_file(data, "secret\n");
		make_file(log, "");
		snprintf(data_option, sizeof(data_option), "DATA=%s", data);
		snprintf(log_option, sizeof(log_option), "LOG_2=%s:rw", log);
		struct run run;
		run_words(&run, WORDS(PLUGVM, "run", sandboxes[i], "--file", data_option, "--file", log_option,
		                      "--", "/bin/sh", "-c", script));
		FILE *written = fopen(log, "r");
		assert_non_null(written);
		assert_non_null(fgets(text, sizeof(text), written));
		fclose(written);
		written = fopen(data, "r");
		assert_non_null(written);
		assert_non_null(fgets(data_option, sizeof(data_option), written));
		assert_null(fgets(log_option, sizeof(log_option), written));
		fclose(written);
		unlink(data);
		unlink(log);
		run_expect_status(&run, 0);
		run_expect_out(&run, "4 5\nsecret\n");
		assert_string_equal(text, "more\n");
		assert_string_equal(data_option, "secret\n");
		run_fini(&run);
	}
}

static void test_errors(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "run", "--file", "DATA=/nowhere", "--", "/bin/true"), 2,
	          "--file DATA=/nowhere: No such file or directory");
	run_check(WORDS(PLUGVM, "run", "--file", "DIR=/tmp", "--", "/bin/true"), 2, "it is a directory");
}

int main(void)
{
	struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_errors)};
	return SYSTEM_MAIN("files", tests);
}
