/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of the built programs.
 *
 * The test is the subreaper of all that it starts: whatever outlives the program becomes its child, where it can
 * be seen and ended.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CAPTURE_BYTES (4u << 20)
#define PROGRAMS_MAX  16
#define NS_PER_MS     1000000u

#define WORDS_MAX 64

/* Who runs the tests instead of root, and where that user has KVM open: above what tests expect to be free. */
#define ORDINARY_ID 54321
#define KVM_FD      60
#define KVM_DEVICE  "fd:60"

static char kvm_refusal[128];

/* Is this an ordinary user's run, of tests that root started? */
static bool is_lent_kvm;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *built(const char *relative)
{
	static struct {
		char relative[64];
		char path[PATH_MAX];
	} programs[PROGRAMS_MAX];

	size_t i = 0;
	while (programs[i].relative[0] && strcmp(programs[i].relative, relative) != 0)
		assert_true(++i < PROGRAMS_MAX);
	if (!programs[i].relative[0]) {
		const char *root = getenv("PLUGVM_BUILD_ROOT");
		snprintf(programs[i].relative, sizeof(programs[i].relative), "%s", relative);
		snprintf(programs[i].path, sizeof(programs[i].path), "%s/%s", root ? root : BUILD_ROOT, relative);
	}
	return programs[i].path;
}

/* ---- Processes ---- */

/* Store the children of this process, and return how many there are. */
static size_t list_children(pid_t *pids, size_t capacity)
{
	size_t count = 0;
	DIR *proc = opendir("/proc");
	assert_non_null(proc);
	for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
		char path[64], line[512];
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
		FILE *file = fopen(path, "re");
		if (!file)
			continue;
		char *read = fgets(line, sizeof(line), file);
		fclose(file);
		/* The name in parentheses may hold anything. */
		const char *rest = read ? strrchr(line, ')') : NULL;
		int parent;
		if (rest && sscanf(rest, ") %*c %d", &parent) == 1 && parent == getpid() && count < capacity)
			pids[count++] = (pid_t)pid;
	}
	closedir(proc);
	return count;
}

/* Reap for at most `patience_ms`; returns whether no child is left then. */
static bool reap_all(unsigned patience_ms)
{
	uint64_t deadline = now_ns() + (uint64_t)patience_ms * NS_PER_MS;
	const struct timespec turn = {.tv_nsec = 2 * NS_PER_MS};
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid <= 0) {
			if (now_ns() >= deadline)
				return false;
			nanosleep(&turn, NULL);
		}
	}
}

static void kill_all(void)
{
	/* Killing one may bring its children here. */
	while (!reap_all(0)) {
		pid_t pids[64];
		size_t count = list_children(pids, sizeof(pids) / sizeof(pids[0]));
		for (size_t i = 0; i < count; i++)
			kill(pids[i], SIGKILL);
		reap_all(20);
	}
}

/* ---- Runs ---- */

static int move_high(int fd)
{
	return fcntl(fd, F_DUPFD, 100);
}

/* Store the words, with those between that an ordinary user needs. */
static void adapt_words(const char *const *words, const char *out_words[WORDS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; words[i]; i++) {
		assert_true(count + 4 < WORDS_MAX);
		out_words[count++] = words[i];
		if (is_lent_kvm && i == 1 && strcmp(words[i], "run") == 0) {
			out_words[count++] = "--kvm-device";
			out_words[count++] = KVM_DEVICE;
		}
	}
	out_words[count] = NULL;
}

static void child_main(const struct setup *setup, const char *const *words, int out, int err)
{
	int null = open("/dev/null", O_RDWR);
	int sources[] = {move_high(setup->stdin_fd ? setup->stdin_fd : null),
	                 move_high(setup->stdout_fd ? setup->stdout_fd : out), move_high(err)};
	for (int i = 0; i < 3; i++)
		dup2(sources[i], i);
	if (is_lent_kvm) {
		syscall(SYS_close_range, 3u, KVM_FD - 1u, 0u);
		syscall(SYS_close_range, KVM_FD + 1u, ~0u, 0u);
		fcntl(KVM_FD, F_SETFD, 0);
	} else {
		syscall(SYS_close_range, 3u, ~0u, 0u);
	}
	setpgid(0, 0);
	/* Whoever runs the tests may ignore it, under nohup say, and then the program does. */
	signal(SIGHUP, SIG_DFL);
	if (setup->in_child)
		setup->in_child(setup->context);
	execve(words[0], (char *const *)words, setup->env ? (char *const *)setup->env : environ);
	_exit(127);
}

static int capture_init(struct capture *capture)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	*capture = (struct capture){.fd = ends[0], .text = calloc(1, CAPTURE_BYTES + 1)};
	assert_non_null(capture->text);
	return ends[1];
}

static void capture_drain(struct capture *capture)
{
	char surplus[4096];
	while (capture->fd >= 0) {
		size_t room = CAPTURE_BYTES - capture->size;
		ssize_t size = room ? read(capture->fd, capture->text + capture->size, room)
		                    : read(capture->fd, surplus, sizeof(surplus));
		if (size < 0 && errno == EAGAIN)
			return;
		if (size <= 0) {
			close(capture->fd);
			capture->fd = -1;
		} else if (room) {
			capture->size += (size_t)size;
		}
	}
}

void run_start(struct run *run, const struct setup *setup, const char *const *words)
{
	static const struct setup ordinary;
	*run = (struct run){.begin_ns = now_ns()};
	int out = capture_init(&run->out);
	int err = capture_init(&run->err);
	const char *adapted[WORDS_MAX];
	adapt_words(words, adapted);
	run->pid = fork();
	assert_true(run->pid >= 0);
	if (run->pid == 0)
		child_main(setup ? setup : &ordinary, adapted, out, err);
	close(out);
	close(err);
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	assert_true(run->pidfd >= 0);
}

static void print_captured(const struct run *run)
{
	print_error("stdout: %.4000s\nstderr: %.8000s\n", run->out.text, run->err.text);
}

/* Take what comes until the program has ended (returns true) or `text` is there. */
static bool run_pump(struct run *run, const char *text)
{
	uint64_t deadline = now_ns() + (uint64_t)DEADLINE_MS * NS_PER_MS;
	for (;;) {
		struct pollfd fds[] = {{.fd = run->out.fd, .events = POLLIN},
		                       {.fd = run->err.fd, .events = POLLIN},
		                       {.fd = run->pidfd, .events = POLLIN}};
		uint64_t now = now_ns();
		if (now >= deadline || poll(fds, 3, (int)((deadline - now) / NS_PER_MS) + 1) == 0) {
			kill(-run->pid, SIGKILL);
			print_captured(run);
			fail_msg("the run did not end, or not say '%s', within %d ms", text ? text : "",
			         DEADLINE_MS);
		}
		capture_drain(&run->out);
		capture_drain(&run->err);
		if (text && (strstr(run->out.text, text) || strstr(run->err.text, text)))
			return false;
		if (fds[2].revents)
			return true;
	}
}

void run_await(struct run *run, const char *text)
{
	if (run_pump(run, text)) {
		print_captured(run);
		fail_msg("the run ended before it said '%s'", text);
	}
}

void run_signal(struct run *run, int signal)
{
	run->signal_ns = now_ns();
	assert_int_equal(kill(run->pid, signal), 0);
}

void run_finish(struct run *run)
{
	run_pump(run, NULL);
	uint64_t end_ns = now_ns();
	run->wall_ms = (unsigned)((end_ns - run->begin_ns) / NS_PER_MS);
	run->stop_ms = run->signal_ns ? (unsigned)((end_ns - run->signal_ns) / NS_PER_MS) : 0;

	int status;
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	run->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	/* What it printed last may have come after the last look. */
	capture_drain(&run->out);
	capture_drain(&run->err);
	if (!reap_all(PROMPT_MS)) {
		print_captured(run);
		fail_msg("the run left a process behind");
	}
}

void run_expect_status(const struct run *run, int status)
{
	if (run->status == status)
		return;
	print_captured(run);
	fail_msg("exit status is %d, not %d", run->status, status);
}

static void expect_err(const struct run *run, const char *text, bool wanted)
{
	if ((strstr(run->err.text, text) != NULL) == wanted)
		return;
	print_captured(run);
	fail_msg("stderr %s '%s'", wanted ? "lacks" : "has", text);
}

void run_expect_err(const struct run *run, const char *text)
{
	expect_err(run, text, true);
}

void run_expect_no_err(const struct run *run, const char *text)
{
	expect_err(run, text, false);
}

void run_expect_out(const struct run *run, const char *expected)
{
	if (run->out.size == strlen(expected) && strcmp(run->out.text, expected) == 0)
		return;
	print_captured(run);
	fail_msg("stdout is not '%s'", expected);
}

void run_fini(struct run *run)
{
	for (struct capture *capture = &run->out; capture <= &run->err; capture++) {
		if (capture->fd >= 0)
			close(capture->fd);
		free(capture->text);
	}
	close(run->pidfd);
}

void run_words(struct run *run, const char *const *words)
{
	run_start(run, NULL, words);
	run_finish(run);
}

void run_check(const char *const *words, int status, const char *text)
{
	struct run run;
	run_words(&run, words);
	run_expect_status(&run, status);
	run_expect_err(&run, text);
	run_fini(&run);
}

unsigned count_text(const struct capture *capture, const char *text)
{
	unsigned count = 0;
	for (const char *at = strstr(capture->text, text); at; at = strstr(at + 1, text))
		count++;
	return count;
}

int file_with(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* ---- Tests ---- */

static void skip_without_kvm(void **state)
{
	(void)state;
	test_skip(kvm_refusal);
}

static int end_test(void **state)
{
	(void)state;
	kill_all();
	return 0;
}

/* Copy the TAP of `fd` to stdout. A skipped test is "not ok" to this cmocka; in TAP it is "ok". */
static void correct_tap(int fd)
{
	FILE *tap = fdopen(fd, "r");
	char line[4096];
	while (tap && fgets(line, sizeof(line), tap)) {
		int skip_begin = 0;
		sscanf(line, "not ok %*u # SKIP%n", &skip_begin);
		fputs(skip_begin ? line + strlen("not ") : line, stdout);
		fflush(stdout);
	}
}

/* Go on in a child, whose output this process corrects; returns in the child only. */
static void go_on_behind_tap(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid < 0)
		exit(1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		return;
	}
	close(ends[1]);
	correct_tap(ends[0]);
	int status;
	waitpid(pid, &status, 0);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

const char *kvm_device(void)
{
	return is_lent_kvm ? KVM_DEVICE : "/dev/kvm";
}

/* Returns an fd of KVM, or says why there is none. */
static int open_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		snprintf(kvm_refusal, sizeof(kvm_refusal), "/dev/kvm: %s", strerror(errno));
	return kvm;
}

/* Become a user who has nothing but an fd of KVM. Only root can do that. */
static void become_ordinary(int kvm)
{
	if (geteuid() != 0 || kvm < 0) {
		if (kvm >= 0)
			snprintf(kvm_refusal, sizeof(kvm_refusal), "this is not root, whose tests run twice");
		return;
	}
	if (dup3(kvm, KVM_FD, O_CLOEXEC) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 ||
	    setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0) {
		perror("becoming an ordinary user");
		exit(1);
	}
	is_lent_kvm = true;
	if (access(PLUGVM, X_OK) < 0)
		snprintf(kvm_refusal, sizeof(kvm_refusal), "the build directory is not open to other users");
}

int system_main(const char *name, struct CMUnitTest *tests, size_t count)
{
	go_on_behind_tap();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		perror("prctl(PR_SET_CHILD_SUBREAPER)");
		return 1;
	}
	int kvm = open_kvm();
	if (getenv("AS_USER"))
		become_ordinary(kvm);
	if (kvm >= 0)
		close(kvm);
	for (size_t i = 0; i < count; i++) {
		tests[i].teardown_func = end_test;
		if (kvm_refusal[0])
			tests[i].test_func = skip_without_kvm;
	}
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}
