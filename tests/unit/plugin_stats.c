/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the account of calls: that it is printed at exit if CROSVM_STATS is set, counts every call of every thread, and
 * that nothing is printed without. The program starts itself again with something to count.
 */
#include "plugin_fake_host.c"

#include <sys/wait.h>

#define THREADS 4
#define CALLS   1000

static char own_path[4096];

static void *make_calls(void *argument)
{
	(void)argument;
	for (int i = 0; i < CALLS; i++)
		crosvm_start(NULL);
	return NULL;
}

static void count_something(void)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, make_calls, NULL) != 0)
			exit(1);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	crosvm_vcpu_resume(NULL);
	crosvm_get_shutdown_eventfd(NULL);
	crosvm_get_shutdown_eventfd(NULL);
}

/* Run this program with something to count, and return what it writes to its stderr. */
static void run(const char *argument, bool with_stats, char *out_text, size_t size)
{
	int pipe_fds[2], status;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(pipe_fds[1], STDERR_FILENO);
		if (with_stats)
			setenv("CROSVM_STATS", "", 1);
		else
			unsetenv("CROSVM_STATS");
		execl(own_path, own_path, argument, (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	size_t used = 0;
	for (ssize_t got; (got = read(pipe_fds[0], out_text + used, size - 1 - used)) > 0;)
		used += (size_t)got;
	out_text[used] = '\0';
	close(pipe_fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_printed(void **state)
{
	(void)state;
	static char text[65536];
	run("--count", true, text, sizeof(text));
	/* In the order of their names, only those that were called. */
	static const struct {
		const char *function;
		unsigned long long calls;
	} expected[] = {
	    {"crosvm_get_shutdown_eventfd", 2}, {"crosvm_start", THREADS * CALLS}, {"crosvm_vcpu_resume", 1}};
	size_t found = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;) {
		char function[64];
		unsigned long long calls, average, max;
		assert_true(found < 3);
		assert_int_equal(sscanf(line, "stats: %63s calls %llu avg %llu ns max %llu ns", function, &calls,
		                        &average, &max),
		                 4);
		assert_string_equal(function, expected[found].function);
		assert_int_equal(calls, expected[found].calls);
		assert_true(average <= max);
		found++;
	}
	assert_int_equal(found, 3);
}

static void test_not_printed(void **state)
{
	(void)state;
	static char text[4096];
	run("--count", false, text, sizeof(text));
	assert_string_equal(text, "");
	run("--nothing", true, text, sizeof(text));
	assert_string_equal(text, "");
}

int main(int argc, char **argv)
{
	if (argc == 2) {
		if (strcmp(argv[1], "--count") == 0)
			count_something();
		return 0;
	}
	ssize_t size = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
	if (size <= 0)
		return 1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_printed),
	    cmocka_unit_test(test_not_printed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
