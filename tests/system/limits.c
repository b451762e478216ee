/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that a plugin gets what its limits say and no more, by whichever means the machine has, and that its cgroup goes
 * with it. Needs no KVM.
 */
#include "jail_rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACTOR BUILD_ROOT "/tests/system/limits_actor"

/* A build tree below a directory of root's is for root. */
static void need_actor(void)
{
	if (access(ACTOR, X_OK) < 0)
		test_skip("this user cannot reach the build directory");
}

/* Play an act to its end, and take the number that it prints, and the word. Returns false if it was killed. */
static bool play(struct jail_rig *rig, const char *act, unsigned long *out_count, char out_word[32])
{
	/* The configuration keeps it. */
	static const char *argv[] = {"actor", NULL, NULL};
	argv[1] = act;
	struct plugvm_plugin_status status;
	char text[256];
	need_actor();
	rig->config.path = ACTOR;
	jail_rig_spawn(rig, argv);
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
	if (status.state == PLUGVM_PLUGIN_SIGNALED) {
		assert_int_equal(status.value, SIGKILL);
		return false;
	}
	assert_int_equal(status.value, 0);
	if (sscanf(text, "%lu %31s", out_count, out_word) != 2)
		fail_msg("it printed '%s'", text);
	return true;
}

static void set_limit(struct jail_rig *rig, enum plugvm_jail_limit limit, uint64_t value)
{
	assert_int_equal(plugvm_jail_set_limit(rig->jail, limit, value, NULL), 0);
}

/* Tell whether the log says so. */
static bool is_said(const struct jail_rig *rig, const char *text)
{
	return strstr(rig->log, text) != NULL;
}

/* Everything that was made is gone: the log has the paths. */
static void expect_no_cgroup(const struct jail_rig *rig)
{
	unsigned count = 0;
	for (const char *line = strstr(rig->log, "cgroup version "); line;
	     line = strstr(line, "cgroup version ")) {
		char path[512] = "";
		line = strchr(line, '/');
		assert_non_null(line);
		size_t length = strcspn(line, "\n");
		assert_true(length < sizeof(path));
		memcpy(path, line, length);
		if (access(path, F_OK) == 0)
			fail_msg("%s is left", path);
		count++;
	}
	print_message("# %u cgroups, none left\n", count);
}

static void test_memory(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	set_limit(rig, PLUGVM_LIMIT_MEMORY, 48 << 20);
	bool ended = play(rig, "memory", &count, word);
	uint64_t over = jail_process_over_memory(&rig->process.jail);
	process_fini(&rig->process);
	if (is_said(rig, "48 MiB by cgroup")) {
		assert_false(ended);
		assert_int_equal(over, 48 << 20);
		expect_no_cgroup(rig);
	} else {
		/* The weaker form, which is not silent. */
		assert_true(is_said(rig, "limit memory: no cgroup ("));
		assert_true(is_said(rig, "48 MiB by RLIMIT_AS and RLIMIT_FSIZE"));
		assert_true(ended && count > 8 && count < 48);
		assert_string_equal(word, "ENOMEM");
		assert_int_equal(over, 0);
	}
}

static void test_memory_of_files(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	set_limit(rig, PLUGVM_LIMIT_MEMORY, 32 << 20);
	bool ended = play(rig, "file", &count, word);
	process_fini(&rig->process);
	if (is_said(rig, "32 MiB by cgroup")) {
		assert_true(!ended || count < 32);
		expect_no_cgroup(rig);
	} else {
		assert_true(ended);
		assert_int_equal(count, 32);
		assert_string_equal(word, "EFBIG");
	}
}

static void test_enough_memory(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	set_limit(rig, PLUGVM_LIMIT_MEMORY, UINT64_C(1) << 30);
	assert_true(play(rig, "memory", &count, word));
	assert_string_equal(word, "no");
	assert_int_equal(jail_process_over_memory(&rig->process.jail), 0);
	process_fini(&rig->process);
	expect_no_cgroup(rig);
}

static void test_processes(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	/* By default, then by a limit: init and the actor are two of them. */
	for (int limit = 36; limit; limit = limit == 36 ? 20 : 0) {
		if (limit == 20)
			set_limit(rig, PLUGVM_LIMIT_PIDS, 20);
		assert_true(play(rig, "pids", &count, word));
		process_fini(&rig->process);
		assert_int_equal(count, limit - 2);
		assert_string_equal(word, "EAGAIN");
		jail_rig_renew_output(rig);
	}
	assert_true(is_said(rig, "pids 36 by RLIMIT_NPROC\n"));
	assert_true(is_said(rig, "pids 20 by RLIMIT_NPROC"));
	expect_no_cgroup(rig);
}

static void test_fds(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	for (unsigned long limit = 2116; limit; limit = limit == 2116 ? 50 : 0) {
		if (limit == 50)
			set_limit(rig, PLUGVM_LIMIT_FDS, limit);
		assert_true(play(rig, "fds", &count, word));
		process_fini(&rig->process);
		assert_int_equal(count, limit);
		assert_string_equal(word, "EMFILE");
		jail_rig_renew_output(rig);
	}
	/* What a resource limit holds is not worth a cgroup. */
	assert_false(is_said(rig, "cgroup version"));
}

static void test_cpu(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long percent = 0;
	char word[32];
	set_limit(rig, PLUGVM_LIMIT_CPU, 20);
	need_actor();
	/* Where there is no such cgroup it is an error, which names the limit. */
	rig->config.path = ACTOR;
	rig->config.argv = (const char *const[]){"actor", "wait", NULL};
	if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) < 0) {
		print_message("# %s\n", rig->error.text);
		assert_int_equal(rig->error.kind, PLUGVM_ERROR_ENVIRONMENT);
		assert_non_null(strstr(rig->error.text, "limit cpu: it needs a cgroup"));
		return;
	}
	process_fini(&rig->process);
	jail_rig_renew_output(rig);
	assert_true(play(rig, "cpu", &percent, word));
	process_fini(&rig->process);
	print_message("# 20 %% of a CPU were %lu %%\n", percent);
	/* A loaded machine gives less, and the kernel counts in slices. */
	assert_true(percent <= 40);
	expect_no_cgroup(rig);
}

/* This process may have fewer fds than a VM of the largest size needs. */
static void test_hard_limit(void **state)
{
	struct jail_rig *rig = *state;
	unsigned long count = 0;
	char word[32];
	const struct rlimit low = {.rlim_cur = 1000, .rlim_max = 1000};
	need_actor();
	pid_t pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_NOFILE, &low);
		jail_rig_renew_output(rig);
		rig->config.vcpu_count = 1024;
		bool ended = play(rig, "fds", &count, word);
		process_fini(&rig->process);
		if (!ended || count != 1000 || !is_said(rig, "can need 6208"))
			_exit(1);
		set_limit(rig, PLUGVM_LIMIT_FDS, 1001);
		if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) != -EINVAL ||
		    !strstr(rig->error.text, "limit fds=1001: this process may itself have only 1000"))
			_exit(2);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JAIL_TEST(test_memory),        JAIL_TEST(test_memory_of_files),
	    JAIL_TEST(test_enough_memory), JAIL_TEST(test_processes),
	    JAIL_TEST(test_fds),           JAIL_TEST(test_cpu),
	    JAIL_TEST(test_hard_limit),
	};
	return cmocka_run_group_tests_name(AS_USER ? "limits_user" : "limits", tests, become_ordinary, NULL);
}
