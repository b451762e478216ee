/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how a jail fails and ends: each step that fails is named and nothing runs then, the plugin's status arrives, whoever
 * is killed, and nothing stays; what the filter refuses is told. Needs no KVM.
 */
#include "jail_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
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

static void test_notification(void **state)
{
	struct jail_rig *rig = *state;
	const struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_times, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	char text[16384], line[64];
	assert_int_equal(plugvm_jail_set_filter(rig->jail, filter, 4, true, NULL), 0);
	jail_rig_spawn(rig,
	               SHELL("i=0; while [ $i -lt 200 ]; do times; i=$((i+1)); done > /dev/null 2>&1; echo done"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "done\n");
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	/* Told a few times, not two hundred. */
	unsigned told = 0;
	snprintf(line, sizeof(line), "system call %d with ENOSYS", SYS_times);
	for (const char *at = strstr(rig->log, line); at; at = strstr(at + 1, line))
		told++;
	if (told == 0 || told > 60)
		fail_msg("%u times: %s", told, rig->log);
}

/* A filter that kills its own set-up: nothing runs, and the host knows. */
static void test_filter_that_kills(void **state)
{
	struct jail_rig *rig = *state;
	struct plugvm_plugin_status status;
	const struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
	char text[64] = "";
	assert_int_equal(plugvm_jail_set_filter(rig->jail, filter, 1, false, NULL), 0);
	rig->config.argv = SHELL("echo it ran");
	if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) == 0) {
		assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
		assert_int_equal(status.state, PLUGVM_PLUGIN_SIGNALED);
		assert_int_equal(status.value, SIGSYS);
		process_fini(&rig->process);
	}
	fd_close(&rig->output[1]);
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JAIL_TEST(test_each_step),    JAIL_TEST(test_executables_that_are_none),
	    JAIL_TEST(test_statuses),     JAIL_TEST(test_killed_from_outside),
	    JAIL_TEST(test_host_killed),  JAIL_TEST(test_thread_ends),
	    JAIL_TEST(test_notification), JAIL_TEST(test_filter_that_kills),
	};
	return cmocka_run_group_tests_name(AS_USER ? "jail_user" : "jail", tests, become_ordinary, NULL);
}
