/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what `plugvm policy learn` does when its policy cannot be written: the process that writes it has no room, no
 * rights, or is killed; or the host is. It says so, no part of a policy stays, what was there before does, and no process
 * is left, which the harness looks at.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define LEARN(output, ...) \
	WORDS(PLUGVM, "policy", "learn", "--output", output, "--kvm-device", kvm_device(), "--", __VA_ARGS__)
#define SHORT_LIFE built("tests/system/limits_actor"), "fds"
#define LONG_LIFE  built("tests/system/limits_actor"), "wait"

/* A directory that each test has for itself, and the place of the policy in it. */
struct place {
	char directory[64];
	char policy[80], beside[96];
};

static void place_init(struct place *place)
{
	strcpy(place->directory, "/tmp/plugvm-test-XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	snprintf(place->policy, sizeof(place->policy), "%s/policy", place->directory);
	snprintf(place->beside, sizeof(place->beside), "%s.new", place->policy);
}

/* Fails unless the directory is empty by now. */
static void place_fini(const struct place *place)
{
	if (rmdir(place->directory) < 0)
		fail_msg("%s: %s", place->directory, strerror(errno));
}

static void expect_nothing(const struct place *place)
{
	assert_int_equal(access(place->policy, F_OK), -1);
	assert_int_equal(access(place->beside, F_OK), -1);
}

static void expect_failure(struct run *run, const struct place *place, const char *reason)
{
	char line[256];
	snprintf(line, sizeof(line), "plugvm: writing the policy %s: %s\n", place->policy, reason);
	run_expect_status(run, 3);
	run_expect_err(run, line);
	run_fini(run);
}

/* Read a file into `text`; returns how much was read, or -1. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t result = fd < 0 ? -1 : read(fd, text, size - 1);
	text[result > 0 ? result : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return result;
}

/* ---- No room, no rights ---- */

/* What is no plain file is written to, and not replaced: as root that would be the node itself. */
static void test_full_device(void **state)
{
	(void)state;
	struct place place;
	struct run run;
	char target[64] = "";
	place_init(&place);
	assert_int_equal(symlink("/dev/full", place.policy), 0);
	run_words(&run, LEARN(place.policy, SHORT_LIFE));
	expect_failure(&run, &place, "No space left on device");
	assert_int_equal(readlink(place.policy, target, sizeof(target) - 1), strlen("/dev/full"));
	assert_int_equal(access(place.beside, F_OK), -1);
	unlink(place.policy);
	place_fini(&place);
}

/* A link stays, and the file that it leads to is replaced. */
static void test_link(void **state)
{
	(void)state;
	struct place place;
	struct stat status;
	char target[80], text[65536];
	place_init(&place);
	snprintf(target, sizeof(target), "%s/target", place.directory);
	close(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(symlink("target", place.policy), 0);
	run_check(LEARN(place.policy, SHORT_LIFE), 0, "the plugin exited\n");
	assert_int_equal(lstat(place.policy, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_true(read_file(target, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "exit_group: 1"));
	unlink(target);
	unlink(place.policy);
	place_fini(&place);
}

/* The file system is full: the policy of before is whole. */
static void test_full_disk(void **state)
{
	(void)state;
	static char old[8192], text[2 * sizeof(old)];
	struct place place;
	struct run run;
	if (geteuid() != 0)
		test_skip("a small file system is root's to mount");
	place_init(&place);
	/* A mount of this process's own, so that nothing stays whatever happens. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", place.directory, "tmpfs", MS_NODEV | MS_NOEXEC, "size=8192") < 0) {
		place_fini(&place);
		test_skip("no file system can be mounted here");
	}
	memset(old, '#', sizeof(old));
	int fd = open(place.policy, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, old, sizeof(old)), sizeof(old));
	assert_int_equal(write(fd, old, 1), -1);
	close(fd);
	run_words(&run, LEARN(place.policy, SHORT_LIFE));
	expect_failure(&run, &place, "No space left on device");
	assert_int_equal(read_file(place.policy, text, sizeof(text)), sizeof(old));
	assert_memory_equal(text, old, sizeof(old));
	assert_int_equal(access(place.beside, F_OK), -1);
	assert_int_equal(umount2(place.directory, MNT_DETACH), 0);
	place_fini(&place);
}

/* A directory is where the policy would be, or where it is written first. */
static void test_directory(void **state)
{
	(void)state;
	struct place place;
	struct run run;
	place_init(&place);
	const char *const obstacles[] = {place.policy, place.beside};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(obstacles[i], 0700), 0);
		run_words(&run, LEARN(place.policy, SHORT_LIFE));
		expect_failure(&run, &place, "Is a directory");
		/* Nothing is in it, and nothing beside it. */
		assert_int_equal(rmdir(obstacles[i]), 0);
		expect_nothing(&place);
	}
	place_fini(&place);
}

/* ---- Killed ---- */

/* Return the process that will write: the host's child of the host's own program. The other is the jail's init. */
static pid_t find_writer(pid_t host)
{
	char path[64], children[256], name[32];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)host, (int)host);
	assert_true(read_file(path, children, sizeof(children)) > 0);
	for (char *word = strtok(children, " "); word; word = strtok(NULL, " ")) {
		snprintf(path, sizeof(path), "/proc/%s/comm", word);
		if (read_file(path, name, sizeof(name)) > 0 && strcmp(name, "plugvm\n") == 0)
			return (pid_t)atoi(word);
	}
	fail_msg("there is no writer among the children of %d", (int)host);
	return -1;
}

static void test_killed_writer(void **state)
{
	(void)state;
	struct place place;
	struct run run;
	place_init(&place);
	run_start(&run, NULL, LEARN(place.policy, LONG_LIFE));
	run_await(&run, "up");
	assert_int_equal(kill(find_writer(run.pid), SIGKILL), 0);
	run_signal(&run, SIGTERM);
	run_finish(&run);
	expect_failure(&run, &place, "Broken pipe");
	expect_nothing(&place);
	place_fini(&place);
}

static void test_killed_host(void **state)
{
	(void)state;
	struct place place;
	struct run run;
	place_init(&place);
	run_start(&run, NULL, LEARN(place.policy, LONG_LIFE));
	run_await(&run, "up");
	find_writer(run.pid);
	run_signal(&run, SIGKILL);
	/* The writer has gone then too. */
	run_finish(&run);
	run_expect_status(&run, -SIGKILL);
	run_fini(&run);
	expect_nothing(&place);
	place_fini(&place);
}

/* A stop of the terminal's counts as an end: what was learned until then is written. */
static void test_stopped_host(void **state)
{
	(void)state;
	struct place place;
	struct run run;
	char text[65536];
	place_init(&place);
	run_start(&run, NULL, LEARN(place.policy, LONG_LIFE));
	run_await(&run, "up");
	/* As a terminal does: to all of the group. */
	assert_int_equal(kill(-run.pid, SIGINT), 0);
	run_finish(&run);
	run_expect_status(&run, 128 + SIGINT);
	run_fini(&run);
	assert_true(read_file(place.policy, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "pause: 1"));
	assert_int_equal(unlink(place.policy), 0);
	expect_nothing(&place);
	place_fini(&place);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_device),   cmocka_unit_test(test_link),
	    cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_directory),
	    cmocka_unit_test(test_killed_writer), cmocka_unit_test(test_killed_host),
	    cmocka_unit_test(test_stopped_host),
	};
	return SYSTEM_MAIN("learn_faults", tests);
}
