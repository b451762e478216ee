/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how a jail fails and ends: each step that fails is named and nothing runs then, the plugin's status arrives, whoever
 * is killed, and nothing stays; what becomes of calls that a policy does not allow. Needs no KVM.
 */
#include "jail_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* ---- Failures ---- */

static void test_each_step(void **state)
{
	struct jail_rig *rig = *state;
	static const char *const names[] = {
#define STEP_TEXT(name, text) [STEP_##name] = text,
	    PLAN_STEPS(STEP_TEXT)
#undef STEP_TEXT
	};
	bool is_root = geteuid() == 0;
	rig->config.argv = SHELL("echo it ran");
	rig->config.die_with_thread = true;
	for (enum plan_step step = STEP_NONE + 1; step < STEP_COUNT; step++) {
		if (is_root ? step == STEP_BUILDER_USER_NS || step == STEP_BUILDER_MAPS : step == STEP_GROUPS)
			continue;
		rig->jail->fail_step = step;
		if (step == STEP_EXEC)
			jail_rig_expect_refusal(rig, PLUGVM_ERROR_PLUGIN_FILE, EIO, "cannot execute /bin/sh");
		else
			jail_rig_expect_refusal(rig, PLUGVM_ERROR_JAIL, EIO, names[step]);
	}
}

static void test_executables_that_are_none(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", no_format[64], no_loader[64];
	assert_non_null(mkdtemp(directory));
	snprintf(no_format, sizeof(no_format), "%s/no-format", directory);
	snprintf(no_loader, sizeof(no_loader), "%s/no-loader", directory);
	for (int i = 0; i < 2; i++) {
		int fd = open(i ? no_loader : no_format, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
		const char *text = i ? "#!/bin/sh\necho it ran\n" : "no program";
		assert_true(write(fd, text, strlen(text)) > 0);
		fd_close(&fd);
	}
	const struct {
		const char *path;
		int code;
	} cases[] = {{"/nonexistent/plugin", ENOENT}, {"/etc/passwd/x", ENOTDIR}, {directory, EACCES},
	             {"/etc/passwd", EACCES},         {no_format, ENOEXEC},       {no_loader, ENOENT}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->config.path = cases[i].path;
		jail_rig_expect_refusal(rig, PLUGVM_ERROR_PLUGIN_FILE, cases[i].code, cases[i].path);
	}
	/* A mount that is gone by now, or has no place: the step and the path. */
	rig->config.path = "/bin/sh";
	assert_int_equal(plugvm_jail_mount(rig->jail, no_format, "/file", false, NULL), 0);
	unlink(no_format);
	jail_rig_expect_refusal(rig, PLUGVM_ERROR_JAIL, ENOENT, no_format);
	unlink(no_loader);
	rmdir(directory);
}

/* ---- Ends ---- */

static void test_statuses(void **state)
{
	struct jail_rig *rig = *state;
	static const struct {
		const char *script;
		enum plugvm_plugin_state state;
		int value;
	} cases[] = {
	    {"exit 0", PLUGVM_PLUGIN_EXITED, 0},
	    {"exit 7", PLUGVM_PLUGIN_EXITED, 7},
	    {"exit 255", PLUGVM_PLUGIN_EXITED, 255},
	    {"kill -9 $$", PLUGVM_PLUGIN_SIGNALED, SIGKILL},
	    {"kill -TERM $$", PLUGVM_PLUGIN_SIGNALED, SIGTERM},
	    {"kill -SEGV $$", PLUGVM_PLUGIN_SIGNALED, SIGSEGV},
	    /* What it leaves behind ends with it; init itself cannot be ended from inside. */
	    {"(while :; do :; done) & exit 3", PLUGVM_PLUGIN_EXITED, 3},
	    {"kill -9 1; kill -STOP 1; exit 4", PLUGVM_PLUGIN_EXITED, 4},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		jail_rig_spawn(rig, SHELL(cases[i].script));
		jail_rig_expect_end(rig, cases[i].state, cases[i].value);
		assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
		jail_rig_renew_output(rig);
	}
}

static void test_killed_from_outside(void **state)
{
	struct jail_rig *rig = *state;
	char text[64];
	jail_rig_spawn(rig, SHELL("(while :; do :; done) & echo up; while :; do :; done"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	assert_int_equal(kill(rig->process.plugin_pid, SIGUSR1), 0);
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGUSR1);
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
}

/* The host, killed: its init and all of the plugin end. */
static void test_host_killed(void **state)
{
	struct jail_rig *rig = *state;
	char text[64];
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t host = fork();
	if (host == 0) {
		rig->config.argv = SHELL("(trap '' TERM HUP; while :; do :; done) & echo up; while :; do :; done");
		if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	fd_close(&rig->output[1]);
	assert_true(jail_rig_await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	kill(host, SIGKILL);
	uint64_t begin = clock_ns();
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
	/* The orphans are this process's: the host, init with everything in it, perhaps the builder. */
	pid_t pid = 0;
	while (pid >= 0 && clock_ns() - begin < PROMPT_MS * UINT64_C(1000000)) {
		pid = waitpid(-1, NULL, WNOHANG);
		if (pid == 0)
			poll(NULL, 0, 2);
	}
	print_message("# all gone after %u ms\n", (unsigned)((clock_ns() - begin) / 1000000));
	assert_int_equal(pid, -1);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void *spawn_and_end(void *context)
{
	struct jail_rig *rig = context;
	return (void *)(intptr_t)process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
}

static void test_thread_ends(void **state)
{
	struct jail_rig *rig = *state;
	pthread_t thread;
	void *result;
	rig->config.die_with_thread = true;
	rig->config.argv = SHELL("while :; do :; done");
	assert_int_equal(pthread_create(&thread, NULL, spawn_and_end, rig), 0);
	pthread_join(thread, &result);
	assert_null(result);
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
}

/* ---- The filter ---- */

/* The plugin of these tests makes calls by their numbers. */
#define CALLS_PROGRAM BUILD_ROOT "/tests/system/jail_calls"

static void spawn_calls(struct jail_rig *rig, const char *const *argv)
{
	if (access(CALLS_PROGRAM, X_OK) < 0)
		test_skip("this user cannot reach the build directory");
	rig->config.path = CALLS_PROGRAM;
	rig->log[0] = '\0';
	jail_rig_spawn(rig, argv);
}

/* A call for which the plugin must have been killed; -1: for none, by the kernel itself. */
static void expect_refused(struct jail_rig *rig, int number)
{
	struct plugvm_plugin_status status;
	char why[JAIL_WHY_BYTES], shown[32];
	assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
	if (status.state != PLUGVM_PLUGIN_SIGNALED || status.value != SIGSYS ||
	    status.is_refused != (number >= 0) || (number >= 0 && status.system_call != number))
		fail_msg("state %d, value %d, call %d instead of %d", (int)status.state, status.value,
		         status.system_call, number);
	snprintf(shown, sizeof(shown), "(%d) is not allowed", number);
	assert_non_null(strstr(jail_process_explain(&rig->process.jail, why),
	                       number >= 0 ? shown : "of another architecture"));
	process_fini(&rig->process);
	jail_rig_renew_output(rig);
}

#define CALLS(...) ((const char *const[]){"calls", __VA_ARGS__, NULL})

static unsigned count_lines(const struct jail_rig *rig, const char *line)
{
	unsigned count = 0;
	for (const char *at = strstr(rig->log, line); at; at = strstr(at + 1, line))
		count++;
	return count;
}

static void test_default_policy(void **state)
{
	struct jail_rig *rig = *state;
	jail_rig_renew_jail(rig, PLUGVM_JAIL_DEFAULT);
	spawn_calls(rig, CALLS("139"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, ENOSYS);
	const char *line =
	    "system call 'sysfs' (139) is not allowed by the plugin's policy: it failed with ENOSYS\n";
	assert_int_equal(count_lines(rig, line), 1);
	/* What no policy can allow, and what is none of ours. */
	jail_rig_renew_output(rig);
	spawn_calls(rig, CALLS("101"));
	expect_refused(rig, SYS_ptrace);
	spawn_calls(rig, CALLS("0x40000027"));
	expect_refused(rig, -1);
	/* Init's own words mean nothing from a plugin. */
	spawn_calls(rig, CALLS("0x100000", "0x100001"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, ENOSYS);
}

/* Told a few times, not two hundred. */
static void test_rate(void **state)
{
	struct jail_rig *rig = *state;
	const char *words[202] = {"calls"};
	for (size_t i = 1; i <= 200; i++)
		words[i] = "139";
	jail_rig_renew_jail(rig, PLUGVM_JAIL_DEFAULT);
	spawn_calls(rig, words);
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, ENOSYS);
	assert_in_range(count_lines(rig, "'sysfs' (139)"), 1, 60);
}

static void test_policy_of_a_file(void **state)
{
	struct jail_rig *rig = *state;
	jail_rig_set_wide_policy(rig, SYS_getppid, "");
	spawn_calls(rig, CALLS("39", "110"));
	expect_refused(rig, SYS_getppid);
	/* A process of the plugin's, which goes on. */
	spawn_calls(rig, CALLS("fork", "110"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, SIGKILL);
	assert_int_equal(count_lines(rig, "'getppid' (110) is not allowed by the plugin's policy: it ended the"),
	                 1);
	/* The plugin is executed in any case, and then never by a call that the policy does not allow. */
	jail_rig_renew_output(rig);
	jail_rig_set_wide_policy(rig, SYS_execveat, "");
	spawn_calls(rig, CALLS("322"));
	expect_refused(rig, SYS_execveat);
	jail_rig_set_wide_policy(rig, SYS_execveat, "execveat: return EDOM\n");
	spawn_calls(rig, CALLS("322"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, EDOM);
}

static void test_log_failures(void **state)
{
	struct jail_rig *rig = *state;
	jail_rig_set_wide_policy(rig, SYS_getppid, "");
	plugvm_jail_log_failures(rig->jail);
	spawn_calls(rig, CALLS("110"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	assert_int_equal(count_lines(rig, "'getppid' (110) is not allowed by the plugin's policy: it was made"),
	                 1);
	jail_rig_renew_output(rig);
	spawn_calls(rig, CALLS("101"));
	expect_refused(rig, SYS_ptrace);
}

/* A policy that allows clone and clone3 without a look at their flags allows no namespaces by that. */
static void test_no_namespaces(void **state)
{
	struct jail_rig *rig = *state;
	static const char *const words[] = {"namespace", "namespace3"};
	if (access("/proc/sys/user/max_user_namespaces", F_OK) < 0)
		test_skip("this kernel has no limit of user namespaces");
	for (size_t i = 0; i < 2; i++) {
		jail_rig_set_wide_policy(rig, i ? SYS_clone3 : SYS_clone, i ? "clone3: 1\n" : "clone: 1\n");
		spawn_calls(rig, CALLS(words[i]));
		jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, ENOSPC);
		jail_rig_renew_output(rig);
		/* Nor does one that only logs, wherever that limit is not. */
		jail_rig_set_wide_policy(rig, i ? SYS_clone3 : SYS_clone, "");
		plugvm_jail_log_failures(rig->jail);
		spawn_calls(rig, CALLS(words[i]));
		jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, ENOSYS);
		jail_rig_renew_jail(rig, PLUGVM_JAIL_DEFAULT);
		jail_rig_renew_output(rig);
	}
}

struct observed {
	unsigned count, executions, wanted;
};

static void note_call(void *context, const struct plugvm_jail_call *call)
{
	struct observed *observed = context;
	observed->count++;
	observed->executions += call->number == SYS_execve || call->number == SYS_execveat;
	observed->wanted += call->number == SYS_getppid && call->arguments[0] == 11 && call->arguments[5] == 66;
}

static void test_observation(void **state)
{
	struct jail_rig *rig = *state;
	struct observed observed = {.count = 0};
	struct plugvm_plugin_status status = {.state = PLUGVM_PLUGIN_RUNNING};
	plugvm_jail_observe(rig->jail, note_call, &observed);
	/* More than fit into the lifeline at once. */
	const char *words[2000] = {"calls"};
	for (size_t i = 1; i < 1999; i++)
		words[i] = "110";
	spawn_calls(rig, words);
	while (status.state == PLUGVM_PLUGIN_RUNNING) {
		struct pollfd fds[] = {{.fd = rig->process.jail.lifeline, .events = POLLIN},
		                       {.fd = rig->process.pidfd, .events = POLLIN}};
		assert_true(poll(fds, 2, DEADLINE_MS) > 0);
		assert_int_equal(process_try_wait(&rig->process, &status), 0);
	}
	process_fini(&rig->process);
	assert_int_equal(status.state, PLUGVM_PLUGIN_EXITED);
	assert_int_equal(status.value, 0);
	assert_int_equal(observed.wanted, 1998);
	/* The plugin's own start is not its doing, but all that follows is. */
	assert_int_equal(observed.executions, 0);
	assert_true(observed.count > observed.wanted + 10);
}

static void test_strict(void **state)
{
	struct jail_rig *rig = *state;
	jail_rig_renew_jail(rig, PLUGVM_JAIL_STRICT);
	rig->config.argv = SHELL("echo it ran");
	jail_rig_expect_refusal(rig, PLUGVM_ERROR_PLUGIN_FILE, EINVAL, "/bin/sh is dynamically linked");
	rig->config.path = STATIC_PROBE;
	if (access(STATIC_PROBE, X_OK) < 0)
		test_skip("this user cannot reach the build directory");
	jail_rig_spawn(rig, CALLS(NULL));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	jail_rig_renew_output(rig);
	/* Its first question is not what a static plugin asks. */
	rig->config.path = BUILD_ROOT "/plugins/jailprobe/jailprobe-static";
	jail_rig_spawn(rig, CALLS(NULL));
	expect_refused(rig, SYS_getresuid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JAIL_TEST(test_each_step),        JAIL_TEST(test_executables_that_are_none),
	    JAIL_TEST(test_statuses),         JAIL_TEST(test_killed_from_outside),
	    JAIL_TEST(test_host_killed),      JAIL_TEST(test_thread_ends),
	    JAIL_TEST(test_default_policy),   JAIL_TEST(test_rate),
	    JAIL_TEST(test_policy_of_a_file), JAIL_TEST(test_log_failures),
	    JAIL_TEST(test_no_namespaces),    JAIL_TEST(test_observation),
	    JAIL_TEST(test_strict),
	};
	return cmocka_run_group_tests_name(AS_USER ? "jail_user" : "jail", tests, become_ordinary, NULL);
}
