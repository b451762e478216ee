/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks --limit of the program: what is said when the plugin was over its memory, who is in the VM's cgroup, that nothing of
 * it stays, and that a host which was killed leaves only what the next start removes.
 */
#include "harness.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMITS_ACTOR        built("tests/system/limits_actor")
#define LIMITED(limit, act) WORDS(PLUGVM, "run", "-v", "--limit", limit, "--", LIMITS_ACTOR, act)

#define PATHS_MAX 8

/* The directories that a run has said it made. */
struct paths {
	char text[PATHS_MAX][512];
	unsigned count;
};

static struct paths paths_of(const struct run *run)
{
	static const char mark[] = "cgroup version ";
	struct paths paths = {.count = 0};
	for (const char *line = strstr(run->err.text, mark); line && paths.count < PATHS_MAX;
	     line = strstr(line, mark)) {
		line = strchr(line, '/');
		assert_non_null(line);
		size_t length = strcspn(line, "\n");
		assert_true(length < sizeof(paths.text[0]));
		memcpy(paths.text[paths.count++], line, length);
	}
	return paths;
}

/* Fail unless they are all there, or all gone. */
static void expect_paths(const struct paths *paths, bool are_there)
{
	for (unsigned i = 0; i < paths->count; i++) {
		if ((access(paths->text[i], F_OK) == 0) != are_there)
			fail_msg("%s is %s", paths->text[i], are_there ? "gone" : "left");
	}
}

/* Start a plugin that waits, limited; false if this machine has no cgroup for it. */
static bool start_limited(struct run *run, struct paths *out_paths)
{
	run_start(run, &(struct setup){.env = NULL}, LIMITED("memory=64M,pids=30", "wait"));
	run_await(run, "up");
	run_await(run, "memory 64 MiB by");
	*out_paths = paths_of(run);
	if (strstr(run->err.text, "memory 64 MiB by cgroup")) {
		assert_true(out_paths->count > 0);
		return true;
	}
	run_signal(run, SIGTERM);
	run_finish(run);
	run_fini(run);
	return false;
}

#define NO_CGROUP "no cgroup for memory can be made here"

static void test_said(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, LIMITED("memory=48M", "memory"));
	struct paths paths = paths_of(&run);
	expect_paths(&paths, false);
	bool is_cgroup = strstr(run.err.text, "memory 48 MiB by cgroup") != NULL;
	if (is_cgroup) {
		run_expect_status(&run, 4);
		run_expect_err(&run, "(SIGKILL): over its memory limit of 48 MiB");
	} else {
		run_expect_err(&run, "limit memory: no cgroup (");
		run_expect_status(&run, 0);
	}
	run_fini(&run);
}

/* Without a limit that needs one, there is none, since joining costs milliseconds. */
static void test_none(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, LIMITED("fds=100", "fds"));
	run_expect_status(&run, 0);
	run_expect_out(&run, "100 EMFILE\n");
	run_expect_no_err(&run, "cgroup");
	run_fini(&run);
}

/* What the guest's memory is charged to is limited, whoever touches it: the host is beside its plugin. */
static void test_host_is_in_it(void **state)
{
	(void)state;
	struct run run;
	struct paths paths;
	char path[64], text[4096] = "";
	if (!start_limited(&run, &paths))
		test_skip(NO_CGROUP);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)run.pid);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	size_t size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = '\0';
	const char *name = strrchr(paths.text[0], '/');
	char wanted[128];
	snprintf(wanted, sizeof(wanted), "%s/host\n", name);
	if (!strstr(text, wanted))
		fail_msg("no %s in %s", wanted, text);
	run_signal(&run, SIGTERM);
	run_finish(&run);
	run_expect_status(&run, 128 + SIGTERM);
	expect_paths(&paths, false);
	run_fini(&run);
}

static void test_killed_host(void **state)
{
	(void)state;
	struct run killed, next;
	struct paths killed_paths, next_paths;
	if (!start_limited(&killed, &killed_paths))
		test_skip(NO_CGROUP);
	run_signal(&killed, SIGKILL);
	run_finish(&killed);
	expect_paths(&killed_paths, true);
	assert_true(start_limited(&next, &next_paths));
	expect_paths(&killed_paths, false);
	expect_paths(&next_paths, true);
	run_signal(&next, SIGTERM);
	run_finish(&next);
	expect_paths(&next_paths, false);
	run_fini(&killed);
	run_fini(&next);
}

/* May this process take itself out of the kernel's choice of whom to end? */
static bool can_spare_itself(void)
{
	char line[256];
	unsigned long long capabilities = 0;
	FILE *file = fopen("/proc/self/status", "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "CapEff: %llx", &capabilities) != 1)
		;
	fclose(file);
	return capabilities >> CAP_SYS_RESOURCE & 1;
}

/*
 * The guest touches more than there may be. The host does, that is: its vCPU's thread is charged. It ends at once, however it
 * does; with the right to it, by what it says itself.
 */
static void test_guest(void **state)
{
	(void)state;
	struct run run, next;
	struct paths next_paths;
	run_words(&run, WORDS(PLUGVM, "run", "-v", "--limit", "memory=64M", "--", ACTOR, "fill"));
	struct paths paths = paths_of(&run);
	if (!strstr(run.err.text, "memory 64 MiB by cgroup")) {
		run_fini(&run);
		test_skip(NO_CGROUP);
	}
	run_expect_err(&run, "plugin: fills\n");
	print_message("# %s: status %d\n", can_spare_itself() ? "spared" : "not spared", run.status);
	if (run.status != -SIGKILL || can_spare_itself()) {
		if (run.status != 6)
			run_expect_status(&run, 4);
		run_expect_err(&run, run.status == 4 ? "(SIGKILL): over its memory limit of 64 MiB"
		                                     : "plugvm: the VM failed on vCPU 0: ");
	} else {
		/* What it left, the next start removes. */
		assert_true(start_limited(&next, &next_paths));
		run_signal(&next, SIGTERM);
		run_finish(&next);
		expect_paths(&next_paths, false);
		run_fini(&next);
	}
	expect_paths(&paths, false);
	run_fini(&run);

	/* And what is just enough is enough. */
	run_check(WORDS(PLUGVM, "run", "--limit", "memory=320M", "--", ACTOR, "fill"), 0, "the plugin exited\n");
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_said),        cmocka_unit_test(test_none),  cmocka_unit_test(test_host_is_in_it),
	    cmocka_unit_test(test_killed_host), cmocka_unit_test(test_guest),
	};
	return SYSTEM_MAIN("limits_run", tests);
}
