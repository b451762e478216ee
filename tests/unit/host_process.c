/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the plugin as a process: what is said when it cannot be executed, what it inherits (fds, environment,
 * signals, session) and what not, that it ends with its host's thread, and how it is watched, killed and reaped.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "host/process.h"

#define SHELL_SCRIPT(text) ((const char *const[]){"sh", "-c", text, NULL})

struct rig {
	int fds_before;
	struct sys real;
	int socket;
	int output[2];
	struct plugvm_plugin_config config;
	struct process process;
	struct plugvm_error error;
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.real = sys;
	rig.socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(rig.output, O_CLOEXEC), 0);
	rig.config = (struct plugvm_plugin_config){.size = sizeof(rig.config),
	                                           .path = "/bin/sh",
	                                           .vcpu_count = 1,
	                                           .stdin_fd = -1,
	                                           .stdout_fd = rig.output[1],
	                                           .stderr_fd = -1};
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	sys = rig->real;
	fd_close(&rig->socket);
	fd_close_pair(rig->output);
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static void spawn(struct rig *rig, const char *const *argv)
{
	rig->config.argv = argv;
	int result = process_spawn(&rig->process, &rig->config, rig->socket, &rig->error);
	if (result < 0)
		print_message("# %s\n", rig->error.text);
	assert_int_equal(result, 0);
}

static void expect_exit(struct rig *rig, enum plugvm_plugin_state state, int value)
{
	struct plugvm_plugin_status status;
	assert_int_equal(process_wait(&rig->process, 30000, &status), 0);
	assert_int_equal(status.state, state);
	assert_int_equal(status.value, value);
	/* It stays known. */
	assert_int_equal(process_try_wait(&rig->process, &status), 0);
	assert_int_equal(status.state, state);
	assert_int_equal(status.value, value);
}

/* Run the script to its end and compare what it wrote. */
static void expect_output(struct rig *rig, const char *const *argv, const char *expected)
{
	spawn(rig, argv);
	fd_close(&rig->output[1]);
	char text[4096];
	size_t used = 0;
	ssize_t size;
	while ((size = read(rig->output[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)size;
	text[used] = '\0';
	assert_string_equal(text, expected);
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 0);
	process_fini(&rig->process);
}

static void expect_refusal(struct rig *rig, int code, enum plugvm_error_kind kind, const char *text)
{
	int before = count_open_fds();
	assert_int_equal(process_spawn(&rig->process, &rig->config, rig->socket, &rig->error), -code);
	assert_int_equal(rig->error.code, code);
	assert_int_equal(rig->error.kind, kind);
	assert_non_null(strstr(rig->error.text, text));
	assert_int_equal(count_open_fds(), before);
	/* No zombie either. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_cannot_execute(void **state)
{
	struct rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX";
	assert_non_null(mkdtemp(directory));
	char not_executable[64], no_format[64];
	snprintf(not_executable, sizeof(not_executable), "%s/not-executable", directory);
	snprintf(no_format, sizeof(no_format), "%s/no-format", directory);
	const char *const files[] = {not_executable, no_format};
	for (int i = 0; i < 2; i++) {
		int fd = open(files[i], O_WRONLY | O_CREAT | O_CLOEXEC, i ? 0755 : 0644);
		assert_int_equal(write(fd, "no program", 10), 10);
		fd_close(&fd);
	}
	const struct {
		const char *path;
		int code;
	} cases[] = {
	    {"/nonexistent/plugin", ENOENT}, {"/etc/passwd/x", ENOTDIR}, {directory, EACCES},
	    {not_executable, EACCES},        {no_format, ENOEXEC},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->config.path = cases[i].path;
		expect_refusal(rig, cases[i].code, PLUGVM_ERROR_PLUGIN_FILE, cases[i].path);
	}
	unlink(not_executable);
	unlink(no_format);
	rmdir(directory);
}

static void test_bad_fd_maps(void **state)
{
	struct rig *rig = *state;
	static const struct {
		struct plugvm_fd_map fds[2];
		int code;
		const char *text;
	} cases[] = {
	    {{{0, 3}, {0, 10}}, EINVAL, "fd number 3"},      {{{0, -1}, {0, 10}}, EINVAL, "fd number -1"},
	    {{{0, 10}, {0, 256}}, EINVAL, "fd number 256"},  {{{0, 10}, {0, 10}}, EINVAL, "twice"},
	    {{{0, 10}, {1000000, 11}}, EBADF, "fd 1000000"}, {{{0, 10}, {-1, 11}}, EBADF, "fd -1"},
	};
	rig->config.fd_count = 2;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->config.fds = cases[i].fds;
		expect_refusal(rig, cases[i].code, PLUGVM_ERROR_CONFIG, cases[i].text);
	}
}

static void test_environment(void **state)
{
	struct rig *rig = *state;
	rig->config.path = "/usr/bin/env";
	rig->config.env = (const char *const[]){"A=1", "EMPTY=", NULL};
	expect_output(rig, NULL, "A=1\nEMPTY=\nCROSVM_SOCKET=3\n");
}

static void test_no_environment(void **state)
{
	struct rig *rig = *state;
	rig->config.path = "/usr/bin/env";
	expect_output(rig, NULL, "CROSVM_SOCKET=3\n");
}

/* Just the documented fds, each what it should be, though all the caller's are on numbers in between. */
static void test_fds(void **state)
{
	struct rig *rig = *state;
	int inherited = dup(rig->socket); /* not close-on-exec: it must not get through all the same */
	int files[3];
	static const char *const names[] = {"/dev/zero", "/dev/full", "/dev/random"};
	for (int i = 0; i < 3; i++)
		files[i] = open(names[i], O_RDONLY | O_CLOEXEC);
	/* Each one's number is another's source. */
	const struct plugvm_fd_map fds[] = {{files[0], files[1]},
	                                    {files[1], files[2]},
	                                    {files[2], files[0]},
	                                    {files[0], 255},
	                                    {files[0], 4 + 200}};
	rig->config.fds = fds;
	rig->config.fd_count = 5;
	char script[512], expected[512];
	snprintf(script, sizeof(script),
	         "n=0; while [ $n -lt 300 ]; do if [ -e /proc/self/fd/$n ]; then case $n in 1) echo 1;; "
	         "*) echo $n $(readlink /proc/$$/fd/$n);; esac; fi; n=$((n+1)); done");
	snprintf(expected, sizeof(expected),
	         "0 /dev/null\n1\n2 /dev/null\n3 /dev/null\n%d /dev/random\n%d /dev/zero\n%d /dev/full\n"
	         "204 /dev/zero\n255 /dev/zero\n",
	         files[0], files[1], files[2]);
	expect_output(rig, SHELL_SCRIPT(script), expected);
	fd_close(&inherited);
	for (int i = 0; i < 3; i++)
		fd_close(&files[i]);
}

/* With stdio closed in the host, its new fds have the lowest numbers: those that the plugin wants. */
static void test_stdio_swapped(void **state)
{
	struct rig *rig = *state;
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	assert_int_equal(dup2(rig->output[1], STDIN_FILENO), STDIN_FILENO);
	rig->config.stdout_fd = STDIN_FILENO;
	rig->config.stdin_fd = rig->socket;
	spawn(rig, SHELL_SCRIPT("read line; echo end"));
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	fd_close(&saved);
	char text[8] = "";
	assert_int_equal(read(rig->output[0], text, sizeof(text)), 4);
	assert_string_equal(text, "end\n");
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 0);
	process_fini(&rig->process);
}

static void test_signal_state(void **state)
{
	struct rig *rig = *state;
	struct sigaction old, ignore = {.sa_handler = SIG_IGN};
	sigset_t mask, old_mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGTERM);
	sigaction(SIGPIPE, &ignore, &old);
	pthread_sigmask(SIG_BLOCK, &mask, &old_mask);
	expect_output(rig, SHELL_SCRIPT("exec grep -E '^Sig(Blk|Ign)' /proc/self/status"),
	              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, &old_mask, &now);
	assert_int_equal(sigismember(&now, SIGUSR1), 1);
	assert_int_equal(sigismember(&now, SIGINT), 0);
	sigaction(SIGPIPE, &old, NULL);
}

static void test_session(void **state)
{
	struct rig *rig = *state;
	spawn(rig, SHELL_SCRIPT("read line"));
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 1); /* stdin is /dev/null */
	process_fini(&rig->process);

	spawn(rig, ((const char *const[]){"sh", "-c", "kill -STOP $$", NULL}));
	assert_int_equal(getsid(rig->process.pid), rig->process.pid);
	assert_int_equal(getpgid(rig->process.pid), rig->process.pid);
	process_fini(&rig->process); /* a stopped process too */
}

static void test_wait_and_kill(void **state)
{
	struct rig *rig = *state;
	struct plugvm_plugin_status status;
	rig->config.path = "/bin/sleep";
	spawn(rig, ((const char *const[]){"sleep", "1000", NULL}));
	assert_int_equal(process_try_wait(&rig->process, &status), 0);
	assert_int_equal(status.state, PLUGVM_PLUGIN_RUNNING);
	assert_int_equal(process_wait(&rig->process, 0, &status), -ETIMEDOUT);
	uint64_t begin = clock_ns();
	assert_int_equal(process_wait(&rig->process, 50, &status), -ETIMEDOUT);
	assert_true(clock_ns() - begin >= 50000000);
	assert_int_equal(status.state, PLUGVM_PLUGIN_RUNNING);
	struct pollfd poller = {.fd = rig->process.pidfd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
	process_kill(&rig->process);
	process_kill(&rig->process);
	assert_int_equal(poll(&poller, 1, 30000), 1);
	expect_exit(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
	process_kill(&rig->process);
	assert_int_equal(process_wait(&rig->process, -1, &status), 0);
	process_fini(&rig->process);
}

static void test_ends(void **state)
{
	struct rig *rig = *state;
	spawn(rig, SHELL_SCRIPT("exit 42"));
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 42);
	process_fini(&rig->process);
	spawn(rig, SHELL_SCRIPT("kill -USR1 $$"));
	expect_exit(rig, PLUGVM_PLUGIN_SIGNALED, SIGUSR1);
	process_fini(&rig->process);
}

static bool wait_for_end_of_file(int fd)
{
	char byte;
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	while (poll(&poller, 1, 30000) == 1) {
		if (read(fd, &byte, 1) <= 0)
			return true;
	}
	return false;
}

/* What the plugin leaves behind in its group goes with it. Both hold the pipe open. */
static void test_group(void **state)
{
	struct rig *rig = *state;
	spawn(rig, SHELL_SCRIPT("sleep 1000 & exit 3"));
	fd_close(&rig->output[1]);
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 3);
	assert_true(wait_for_end_of_file(rig->output[0]));
	process_fini(&rig->process);
}

static void test_group_of_killed(void **state)
{
	struct rig *rig = *state;
	spawn(rig, SHELL_SCRIPT("sleep 1000 & sleep 1000"));
	fd_close(&rig->output[1]);
	process_fini(&rig->process);
	assert_true(wait_for_end_of_file(rig->output[0]));
}

static void *spawn_and_leave(void *argument)
{
	struct rig *rig = argument;
	rig->config.path = "/bin/sleep";
	rig->config.argv = (const char *const[]){"sleep", "1000", NULL};
	return (void *)(intptr_t)process_spawn(&rig->process, &rig->config, rig->socket, &rig->error);
}

static void test_die_with_thread(void **state)
{
	struct rig *rig = *state;
	rig->config.die_with_thread = true;
	pthread_t thread;
	void *result;
	assert_int_equal(pthread_create(&thread, NULL, spawn_and_leave, rig), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	expect_exit(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
	process_fini(&rig->process);
}

static void test_live_without_thread(void **state)
{
	struct rig *rig = *state;
	struct plugvm_plugin_status status;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, spawn_and_leave, rig), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(process_wait(&rig->process, 50, &status), -ETIMEDOUT);
	process_fini(&rig->process);
}

static int no_pipe(int fds[2], int flags)
{
	(void)fds;
	(void)flags;
	errno = ENFILE;
	return -1;
}

static pid_t no_fork(int *out_pidfd)
{
	(void)out_pidfd;
	errno = EAGAIN;
	return -1;
}

static void test_system_refuses(void **state)
{
	struct rig *rig = *state;
	sys.pipe2 = no_pipe;
	expect_refusal(rig, ENFILE, PLUGVM_ERROR_ENVIRONMENT, "pipe");
	sys = rig->real;
	sys.fork_pidfd = no_fork;
	expect_refusal(rig, EAGAIN, PLUGVM_ERROR_ENVIRONMENT, "clone3");
	sys = rig->real;
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGINT), 0);
}

static int interruptions;

static int interrupted_waitid(idtype_t type, id_t id, siginfo_t *out_info, int options)
{
	if (interruptions-- > 0) {
		errno = EINTR;
		return -1;
	}
	return waitid(type, id, out_info, options);
}

/* An interrupted look says that the process runs, rather than nothing. */
static void test_interrupted_wait(void **state)
{
	struct rig *rig = *state;
	spawn(rig, SHELL_SCRIPT("exit 5"));
	struct plugvm_plugin_status status;
	memset(&status, 0xaa, sizeof(status));
	sys.waitid = interrupted_waitid;
	interruptions = 1;
	assert_int_equal(process_try_wait(&rig->process, &status), 0);
	enum plugvm_plugin_state seen = status.state;
	interruptions = 0;
	expect_exit(rig, PLUGVM_PLUGIN_EXITED, 5);
	process_fini(&rig->process);
	assert_int_equal(seen, PLUGVM_PLUGIN_RUNNING);
}

/* Somebody else in the process takes the status: before our look it is lost, after it not any more. */
static int thefts_after;

static int stolen_waitid(idtype_t type, id_t id, siginfo_t *out_info, int options)
{
	if (thefts_after-- == 0)
		waitpid((pid_t)id, NULL, 0);
	return waitid(type, id, out_info, options);
}

static void test_stolen_status(void **state)
{
	struct rig *rig = *state;
	struct plugvm_plugin_status status;
	bool lost[2];
	for (int after = 0; after < 2; after++) {
		spawn(rig, SHELL_SCRIPT("exit 5"));
		struct pollfd poller = {.fd = rig->process.pidfd, .events = POLLIN};
		assert_int_equal(poll(&poller, 1, 30000), 1);
		sys.waitid = stolen_waitid;
		thefts_after = after;
		for (int look = 0; look < 3; look++)
			process_try_wait(&rig->process, &status);
		sys = rig->real;
		process_fini(&rig->process);
		lost[after] = status.state == PLUGVM_PLUGIN_EXITED && status.value == PLUGVM_PLUGIN_STATUS_LOST;
	}
	assert_true(lost[0]);
	assert_false(lost[1]);
}

/* Started for sure, or an error: also where there are few fd numbers. */
static void test_low_fd_limit(void **state)
{
	struct rig *rig = *state;
	struct rlimit old, limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 64, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig->config.argv = SHELL_SCRIPT("exit 5");
	int result = process_spawn(&rig->process, &rig->config, rig->socket, &rig->error);
	struct plugvm_plugin_status status = {.value = -1};
	if (result == 0) {
		process_wait(&rig->process, 30000, &status);
		process_fini(&rig->process);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (result == 0)
		assert_int_equal(status.value, 5);
	else
		assert_int_equal(rig->error.kind, PLUGVM_ERROR_ENVIRONMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_cannot_execute),
	    TEST(test_bad_fd_maps),
	    TEST(test_environment),
	    TEST(test_no_environment),
	    TEST(test_fds),
	    TEST(test_stdio_swapped),
	    TEST(test_signal_state),
	    TEST(test_session),
	    TEST(test_wait_and_kill),
	    TEST(test_ends),
	    TEST(test_group),
	    TEST(test_group_of_killed),
	    TEST(test_die_with_thread),
	    TEST(test_system_refuses),
	    TEST(test_interrupted_wait),
	    TEST(test_live_without_thread),
	    TEST(test_low_fd_limit),
	    TEST(test_stolen_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
