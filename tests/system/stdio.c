/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the plugin is given as a process (stdio, fds, environment, signals), and what becomes of its output.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define RUN        PLUGVM, "run"
#define SAMPLE_KIB 300

/* ---- The plugin's stderr ---- */

static void expect_err_lines(const char *text, const char *lines)
{
	struct run run;
	run_words(&run, WORDS(RUN, "--", ACTOR, "stderr", text));
	run_expect_status(&run, 0);
	run_expect_err(&run, lines);
	assert_ptr_equal(strstr(run.err.text, lines), run.err.text);
	assert_string_equal(run.err.text + strlen(lines), "plugvm: the plugin exited\n");
	run_fini(&run);
}

static void test_stderr_lines(void **state)
{
	(void)state;
	expect_err_lines("one\\ntwo\\n", "plugin: one\nplugin: two\n");
	expect_err_lines("", "");
	expect_err_lines("\\n", "plugin: \n");
	expect_err_lines("no newline", "plugin: no newline\n");
}

static void test_stderr_is_escaped(void **state)
{
	(void)state;
	expect_err_lines("\\x1b[31mred\\x07\\x00\\r\\n", "plugin: \\x1b[31mred\\x07\\x00\\r\n");
	expect_err_lines("\\x0d\\x7f\ttab\\n", "plugin: \\x0d\\x7f\ttab\n");
	/* UTF-8: printable, cut short, overlong, a surrogate, a C1 control, a mark that reverses the text */
	expect_err_lines("\\xc3\\xa4\\n", "plugin: \xc3\xa4\n");
	expect_err_lines("\\xc3\\n\\xc0\\xaf\\n", "plugin: \\xc3\nplugin: \\xc0\\xaf\n");
	expect_err_lines("\\xed\\xa0\\x80\\n\\xc2\\x9b\\n", "plugin: \\xed\\xa0\\x80\nplugin: \\xc2\\x9b\n");
	expect_err_lines("\\xe2\\x80\\xae\\n", "plugin: \\xe2\\x80\\xae\n");
}

static void test_stderr_long_lines_are_cut(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, WORDS(RUN, "--", ACTOR, "long-line", "10000"));
	run_expect_status(&run, 0);
	assert_int_equal(count_text(&run.err, "plugin: x"), 10);
	assert_int_equal(count_text(&run.err, "x"), 10000 + 1); /* and that of "exited" */
	run_fini(&run);
}

static void test_stderr_flood_is_limited(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, WORDS(RUN, "--", ACTOR, "many-lines", "100000"));
	run_expect_status(&run, 0);
	run_expect_err(&run, " lines of the plugin were left out\n");
	run_expect_err(&run, "plugvm: the plugin exited\n");
	unsigned long passed = count_text(&run.err, "plugin: line "), left_out = 0;
	for (const char *at = run.err.text; (at = strstr(at, "plugvm: warning: ")); at++)
		left_out += strtoul(at + strlen("plugvm: warning: "), NULL, 10);
	print_message("# %lu lines passed and %lu were left out in %u ms\n", passed, left_out, run.wall_ms);
	assert_in_range(passed, 1000, 2000 + 200 * (run.wall_ms / 1000 + 1));
	/* Of the first ones, some may be given up where the reader is slow. */
	assert_in_range(passed + left_out, 100000 - 2000, 100000);
	assert_in_range(run.wall_ms, 0, 2 * PROMPT_MS);
	run_fini(&run);
}

/* ---- stdin and stdout ---- */

/* Bytes of every value, in an order that has no short period. */
static uint8_t *sample(size_t *out_size)
{
	size_t size = SAMPLE_KIB * 1024;
	uint8_t *bytes = malloc(size);
	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((i * i + (i >> 8)) % 257);
	*out_size = size;
	return bytes;
}

static void test_stdio_inherit(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = sample(&size);
	struct run run;
	struct setup setup = {.stdin_fd = file_with(bytes, size)};
	run_start(&run, &setup, WORDS(RUN, "--stdin", "inherit", "--stdout", "inherit", "--", ACTOR, "copy"));
	run_finish(&run);
	run_expect_status(&run, 0);
	assert_int_equal(run.out.size, size);
	assert_memory_equal(run.out.text, bytes, size);
	run_fini(&run);
	close(setup.stdin_fd);
	free(bytes);
}

static void test_stdio_files(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = sample(&size);
	int in = file_with(bytes, size), out = file_with("old", 3);
	char in_path[64], out_path[64];
	snprintf(in_path, sizeof(in_path), "/proc/%d/fd/%d", getpid(), in);
	snprintf(out_path, sizeof(out_path), "/proc/%d/fd/%d", getpid(), out);
	struct run run;
	run_words(&run, WORDS(RUN, "--stdin", in_path, "--stdout", out_path, "--", ACTOR, "copy"));
	run_expect_status(&run, 0);
	run_expect_out(&run, "");
	struct stat file;
	assert_int_equal(fstat(out, &file), 0);
	assert_int_equal(file.st_size, size);
	void *copy = mmap(NULL, size, PROT_READ, MAP_SHARED, out, 0);
	assert_true(copy != MAP_FAILED);
	assert_memory_equal(copy, bytes, size);
	munmap(copy, size);
	run_fini(&run);
	close(in);
	close(out);
	free(bytes);
}

/* Without an option the plugin reads nothing, even if there is something. */
static void test_stdio_null(void **state)
{
	(void)state;
	struct run run;
	struct setup setup = {.stdin_fd = file_with("text", 4)};
	run_start(&run, &setup, WORDS(RUN, "--", ACTOR, "copy"));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, "");
	run_fini(&run);
	run_words(&run, WORDS(RUN, "--stdout", "null", "--", ACTOR, "stdout", "text"));
	run_expect_status(&run, 0);
	run_expect_out(&run, "");
	run_fini(&run);
	close(setup.stdin_fd);
}

/* Input that never comes does not hold up the end. */
static void test_stdin_that_is_silent(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct run run;
	run_start(&run, &(struct setup){.stdin_fd = ends[0]},
	          WORDS(RUN, "--stdin", "inherit", "--", ACTOR, "stdout", "text"));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, "text");
	assert_in_range(run.wall_ms, 0, PROMPT_MS);
	run_fini(&run);
	close(ends[0]);
	close(ends[1]);
}

/* The plugin learns that nobody reads its output as from any pipe, and plugvm itself lives to say so. */
static void test_stdout_that_is_gone(void **state)
{
	(void)state;
	size_t size;
	uint8_t *bytes = sample(&size);
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	struct setup setup = {.stdin_fd = file_with(bytes, size), .stdout_fd = ends[1]};
	struct run run;
	run_start(&run, &setup, WORDS(RUN, "--stdin", "inherit", "--", ACTOR, "copy"));
	run_finish(&run);
	run_expect_status(&run, 4);
	run_expect_err(&run, "plugvm: the plugin was killed by signal 13 (SIGPIPE)\n");
	run_fini(&run);
	close(setup.stdin_fd);
	close(ends[1]);
	free(bytes);
}

/* Read from a terminal's other end until it has said `text`. */
static void expect_on_terminal(int terminal, const char *text)
{
	char seen[512] = "";
	size_t size = 0;
	while (!strstr(seen, text)) {
		struct pollfd poll_fd = {.fd = terminal, .events = POLLIN};
		if (poll(&poll_fd, 1, DEADLINE_MS) != 1 || !(poll_fd.revents & POLLIN))
			fail_msg("the terminal has only: %s", seen);
		ssize_t got = read(terminal, seen + size, sizeof(seen) - 1 - size);
		assert_true(got > 0);
		size += (size_t)got;
		seen[size] = '\0';
	}
}

static void test_stdout_on_a_terminal_is_escaped(void **state)
{
	(void)state;
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
		test_skip("this machine has no pseudo-terminals");
	char path[64];
	assert_int_equal(ptsname_r(terminal, path, sizeof(path)), 0);
	struct setup setup = {.stdout_fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)};
	assert_true(setup.stdout_fd >= 0);
	struct run run;
	run_start(&run, &setup,
	          WORDS(RUN, "--", ACTOR, "stdout", "\\x1b[2Jcl\\xc3\\xa4r\\x07\\nnext\\x9b\\xff", "line\\n"));
	/* The terminal puts a carriage return before each newline. */
	expect_on_terminal(terminal, "\\x1b[2Jcl\xc3\xa4r\\x07\r\nnext\\x9b\\xffline\r\n");
	run_finish(&run);
	run_expect_status(&run, 0);
	run_fini(&run);
	close(setup.stdout_fd);
	close(terminal);
}

/* ---- The environment ---- */

static void expect_environment(const char *const *words, const char *expected)
{
	static const char *const own[] = {
	    "HOME=/h",         "PLUGVM_SWITCH=on", "CROSVM_STATS=1", "CROSVM_OTHER=1",
	    "CROSVM_SOCKET=9", "LD_LIBRARY_PATH=", "EMPTY=",         NULL};
	struct run run;
	run_start(&run, &(struct setup){.env = own}, words);
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, expected);
	run_fini(&run);
}

static void test_environment(void **state)
{
	(void)state;
	static const char own[] = "PLUGVM_SWITCH=on\nCROSVM_STATS=1\n", last[] = "CROSVM_SOCKET=3\n";
	char directory[PATH_MAX], libraries[PATH_MAX + 32], expected[PATH_MAX + 256];
	/* In a jail an executable lies elsewhere, and finds by this what its run path named. */
	assert_non_null(realpath(built("src"), directory));
	snprintf(libraries, sizeof(libraries), "LD_LIBRARY_PATH=%s\n", directory);
	for (int is_jailed = 0; is_jailed < 2; is_jailed++) {
		const char *first = is_jailed ? libraries : "";
		snprintf(expected, sizeof(expected), "%s%s%s", first, own, last);
		expect_environment(is_jailed ? WORDS(RUN, "--", ACTOR, "environment")
		                             : WORDS(RUN, "--disable-sandbox", "--", ACTOR, "environment"),
		                   expected);
	}
	snprintf(expected, sizeof(expected), "%s%sHOME=/h\nEMPTY=\nA=b=c\nB=\n%s", libraries, own, last);
	expect_environment(WORDS(RUN, "--env", "HOME", "--env", "EMPTY", "--env", "NOT_THERE", "--env", "A=b=c",
	                         "--env", "B=", "--", ACTOR, "environment"),
	                   expected);
}

/* From the operator's environment through the plugin's exit to the operator's stderr. */
static void test_stats(void **state)
{
	(void)state;
	static const char *const asked[] = {"CROSVM_STATS=", NULL}, *const unasked[] = {NULL};
	static const char *const calls[] = {"crosvm_connect ", "crosvm_create_memory ", "crosvm_start ",
	                                    "crosvm_vcpu_wait ", "crosvm_vcpu_resume "};
	struct run run;
	run_start(&run, &(struct setup){.env = asked}, WORDS(RUN, "--", built("examples/hello/hello")));
	run_finish(&run);
	run_expect_status(&run, 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		char line[64];
		snprintf(line, sizeof(line), "plugin: stats: %s", calls[i]);
		run_expect_err(&run, line);
	}
	run_fini(&run);
	run_start(&run, &(struct setup){.env = unasked}, WORDS(RUN, "--", built("examples/hello/hello")));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_no_err(&run, "stats");
	run_fini(&run);
}

/* ---- The rest of the process ---- */

static void close_stdio(void *context)
{
	(void)context;
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
}

static void open_many(void *context)
{
	(void)context;
	for (int i = 0; i < 200; i++)
		dup(STDIN_FILENO);
}

static void spoil_signals(void *context)
{
	(void)context;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

static void expect_in_child(void (*in_child)(void *), const char *act, const char *expected)
{
	struct run run;
	run_start(&run, &(struct setup){.in_child = in_child}, WORDS(RUN, "--", ACTOR, act));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, expected);
	run_fini(&run);
}

static void test_fds(void **state)
{
	(void)state;
	expect_in_child(NULL, "fds", "0\n1\n2\n3\n");
	expect_in_child(open_many, "fds", "0\n1\n2\n3\n");
}

/* What plugvm opens must not become its stdio, nor the plugin's. */
static void test_without_stdio(void **state)
{
	(void)state;
	int out = file_with("", 0);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), out);
	struct run run;
	run_start(&run, &(struct setup){.in_child = close_stdio},
	          WORDS(RUN, "--stdout", path, "--", ACTOR, "fds"));
	run_finish(&run);
	run_expect_status(&run, 0);
	char text[64] = "";
	assert_true(pread(out, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "0\n1\n2\n3\n");
	run_fini(&run);
	close(out);
	expect_in_child(close_stdio, "stderr", "");
}

static void test_signals(void **state)
{
	(void)state;
	expect_in_child(NULL, "signals", "");
	expect_in_child(spoil_signals, "signals", "");
}

static void test_session(void **state)
{
	(void)state;
	expect_in_child(NULL, "session", "");
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stderr_lines),
	    cmocka_unit_test(test_stderr_is_escaped),
	    cmocka_unit_test(test_stderr_long_lines_are_cut),
	    cmocka_unit_test(test_stderr_flood_is_limited),
	    cmocka_unit_test(test_stdio_inherit),
	    cmocka_unit_test(test_stdio_files),
	    cmocka_unit_test(test_stdio_null),
	    cmocka_unit_test(test_stdin_that_is_silent),
	    cmocka_unit_test(test_stdout_that_is_gone),
	    cmocka_unit_test(test_stdout_on_a_terminal_is_escaped),
	    cmocka_unit_test(test_environment),
	    cmocka_unit_test(test_stats),
	    cmocka_unit_test(test_fds),
	    cmocka_unit_test(test_without_stdio),
	    cmocka_unit_test(test_signals),
	    cmocka_unit_test(test_session),
	};
	return SYSTEM_MAIN("stdio", tests);
}
