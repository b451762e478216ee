/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the verbs around the jail: `plugvm policy` and `plugvm jail-check`, which must also be able to say no.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define ORDINARY_ID 12345

static void expect_text(const struct run *run, const char *text)
{
	if (!strstr(run->out.text, text))
		fail_msg("there is no '%s' in\n%s%s", text, run->out.text, run->err.text);
}

static void expect_no_text(const struct run *run, const char *text)
{
	const char *at = strstr(run->out.text, text);
	if (at)
		fail_msg("there is '%s': %.200s", text, at);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* ---- plugvm policy ---- */

static void test_policy_usage(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "policy"), 2, "`plugvm policy` takes check, show or learn");
	run_check(WORDS(PLUGVM, "policy", "guess"), 2, "`plugvm policy` takes check, show or learn");
	run_check(WORDS(PLUGVM, "policy", "check"), 2, "`plugvm policy check` takes one file");
	run_check(WORDS(PLUGVM, "policy", "check", "a", "b"), 2, "`plugvm policy check` takes one file");
	run_check(WORDS(PLUGVM, "policy", "check", "/nonexistent"), 2, "policy /nonexistent: No such file");
	run_check(WORDS(PLUGVM, "policy", "show", "none"), 2, "`plugvm policy show` takes default or strict");
}

static void test_policy_check(void **state)
{
	(void)state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", path[64], included[64], line[256];
	struct run run;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/policy", directory);
	snprintf(included, sizeof(included), "%s/./common", directory);
	write_text(path, "@include ./common\nread: 1\n");
	write_text(included, "\nmmap: 1\n");
	run_words(&run, WORDS(PLUGVM, "policy", "check", path));
	run_expect_status(&run, 0);
	snprintf(line, sizeof(line), "%s:2: read (0): allowed\n", path);
	expect_text(&run, line);
	snprintf(line, sizeof(line), "%s:2: warning: mmap: memory can be writable and executable at once\n",
	         included);
	expect_text(&run, line);
	run_fini(&run);

	write_text(included, "write: 1\nread: arg0 = 1\n");
	snprintf(line, sizeof(line), "plugvm: %s:2:12: ", included);
	run_check(WORDS(PLUGVM, "policy", "check", path), 2, line);
	unlink(included);
	unlink(path);
	rmdir(directory);
}

/* What is shown is a policy. */
static void test_policy_show(void **state)
{
	(void)state;
	static const char *const names[] = {"default", "strict"};
	char path[] = "/tmp/plugvm-test-XXXXXX";
	close(mkstemp(path));
	for (size_t i = 0; i < 2; i++) {
		struct run run;
		run_words(&run, WORDS(PLUGVM, "policy", "show", names[i]));
		run_expect_status(&run, 0);
		write_text(path, run.out.text);
		run_fini(&run);
		run_words(&run, WORDS(PLUGVM, "policy", "check", path));
		run_expect_status(&run, 0);
		expect_text(&run, "socket (41): fails with EACCES\n");
		run_fini(&run);
	}
	unlink(path);
}

/* ---- plugvm policy learn ---- */

static const char *example(const char *name)
{
	static char path[2][256];
	static int next;
	next = !next;
	snprintf(path[next], sizeof(path[next]), "%s", built("src/plugvm"));
	snprintf(strrchr(path[next], '/'), 64, "/../examples/%s/%s", name, name);
	return path[next];
}

static char *read_policy(const char *path)
{
	char *text = calloc(1, 65536);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && text && read(fd, text, 65535) > 0);
	close(fd);
	return text;
}

/* A plugin runs with what was learned of it, and no other with more. */
static void test_learn(void **state)
{
	(void)state;
	char path[] = "/tmp/plugvm-test-XXXXXX";
	struct run run;
	close(mkstemp(path));
	run_check(WORDS(PLUGVM, "policy", "learn", "--output", path, "--kvm-device", kvm_device(), "--",
	                example("hello")),
	          0, "the plugin exited\n");
	char *text = read_policy(path);
	assert_non_null(strstr(text, "\nread: 1 # "));
	assert_non_null(strstr(text, "\nmmap: arg2 == PROT_READ"));
	assert_null(strstr(text, "clone"));
	free(text);
	run_words(&run, WORDS(PLUGVM, "policy", "check", path));
	run_expect_status(&run, 0);
	expect_no_text(&run, "warning");
	run_fini(&run);
	run_check(WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "default", "--seccomp-policy", path,
	                "--", example("hello")),
	          0, "the plugin exited\n");
	run_check(WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "default", "--cpus", "2",
	                "--seccomp-policy", path, "--", example("two_vcpus")),
	          4, "is not allowed by its policy");

	/* Both, when the second is added; and again, because threads do not do the same in each run. */
	run_check(WORDS(PLUGVM, "policy", "learn", "--merge", "--output", path, "--kvm-device", kvm_device(),
	                "--jail", "default", "--cpus", "2", "--", example("two_vcpus")),
	          0, "the plugin exited\n");
	run_check(WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "default", "--seccomp-policy", path,
	                "--", example("hello")),
	          0, "the plugin exited\n");
	for (int i = 0; i < 5; i++)
		run_check(WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "default", "--cpus", "2",
		                "--seccomp-policy", path, "--", example("two_vcpus")),
		          0, "the plugin exited\n");
	unlink(path);
}

/* In the strict jail, with nothing in its root. */
static void test_learn_strict(void **state)
{
	(void)state;
	char path[] = "/tmp/plugvm-test-XXXXXX";
	const char *const probe = built("plugins/jailprobe/jailprobe-static");
	struct run run;
	close(mkstemp(path));
	run_words(&run, WORDS(PLUGVM, "policy", "learn", "--output", path, "--kvm-device", kvm_device(), "--jail",
	                      "strict", "--", probe, "--item", "uts namespace"));
	run_expect_status(&run, 0);
	run_fini(&run);
	run_words(&run, WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "strict", "--cpus", "2",
	                      "--seccomp-policy", path, "--", probe, "--item", "uts namespace"));
	run_expect_status(&run, 0);
	expect_text(&run, "ok uts namespace\n");
	run_fini(&run);
	run_check(WORDS(PLUGVM, "run", "--kvm-device", kvm_device(), "--jail", "strict", "--cpus", "2",
	                "--seccomp-policy", path, "--", probe, "--item", "umask"),
	          4, "umask");
	unlink(path);
}

static void test_learn_usage(void **state)
{
	(void)state;
	char path[] = "/tmp/plugvm-test-XXXXXX";
	run_check(WORDS(PLUGVM, "policy", "learn"), 2, "no plugin was named");
	run_check(WORDS(PLUGVM, "policy", "learn", "--output"), 2, "option '--output' needs a value");
	run_check(WORDS(PLUGVM, "policy", "learn", "--merge", "--", "/bin/true"), 2,
	          "--merge takes the file of --output");
	run_check(WORDS(PLUGVM, "policy", "learn", "--disable-sandbox", "--", "/bin/true"), 2,
	          "a policy is learned in a jail");
	/* A mistake in the file that is added to, and a place that is none: nothing runs, or nothing stays. */
	close(mkstemp(path));
	write_text(path, "read 1\n");
	run_check(WORDS(PLUGVM, "policy", "learn", "--merge", "--output", path, "--kvm-device", kvm_device(), "--",
	                example("hello")),
	          2, ":1:6: ");
	unlink(path);
	run_check(WORDS(PLUGVM, "policy", "learn", "--output", "/nonexistent/x", "--kvm-device", kvm_device(),
	                "--", example("hello")),
	          3, "writing the policy /nonexistent/x: No such file or directory");
}

/* ---- plugvm jail-check ---- */

static void become_ordinary(void *context)
{
	(void)context;
	if (geteuid() == 0 && (setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 ||
	                       setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0))
		_exit(99);
}

static void check_jail(struct run *run, bool as_ordinary, const char *const *words)
{
	const struct setup setup = {.in_child = as_ordinary ? become_ordinary : NULL};
	run_start(run, &setup, words);
	run_finish(run);
}

static void test_jail_holds(void **state)
{
	(void)state;
	static const char *const jails[] = {"default", "strict"};
	for (int i = 0; i < 4; i++) {
		struct run run;
		check_jail(&run, i >= 2, WORDS(PLUGVM, "jail-check", "--jail", jails[i % 2]));
		/* An ordinary user may be unable to reach a build tree. */
		if (i >= 2 && (run.status == 99 || run.status == 127 || strstr(run.err.text, "is not installed")))
			test_skip("an ordinary user cannot reach the build directory");
		run_expect_status(&run, 0);
		expect_no_text(&run, "not ok");
		expect_text(&run, "ok user namespace from outside: ");
		expect_text(&run, "ok mounts from outside: ");
		expect_text(&run, "ok CapBnd from outside: 0000000000000000\n");
		expect_text(&run, "ok ptrace: ends the plugin\n");
		expect_text(&run, "ok second thread: ends the plugin\n");
		expect_text(&run, "ok an x32 call: ends the plugin\n");
		expect_text(&run, "ok TIOCSTI with high bits: ");
		expect_text(&run, "ok fds\n");
		assert_true(count_text(&run.out, "\n") > 90);
		run_fini(&run);
	}
}

/* What the default filter does not let a plugin look at holds too. */
static void test_jail_behind_filter(void **state)
{
	(void)state;
	static const char *const lines[] = {"ok user\n",
	                                    "ok no_new_privs\n",
	                                    "ok capabilities\n",
	                                    "ok securebits\n",
	                                    "ok session\n",
	                                    "ok umask\n",
	                                    "ok filter\n",
	                                    "ok Landlock\n",
	                                    "ok signals and timers\n",
	                                    "ok root\n",
	                                    "ok ptrace: ends the plugin\n"};
	struct run run;
	check_jail(&run, false, WORDS(PLUGVM, "jail-check", "--jail", "strict", "--seccomp-log-failures"));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		/* A kernel may have none. */
		if (strstr(lines[i], "Landlock") && strstr(run.out.text, "skip Landlock"))
			continue;
		expect_text(&run, lines[i]);
	}
	/* Not even here is a call let through that makes a namespace. */
	assert_int_equal(count_text(&run.out, "not ok"), 0);
	expect_text(&run, "ok clone with a namespace: ");
	run_fini(&run);
}

static void test_no_jail_fails(void **state)
{
	(void)state;
	static const char *const lines[] = {
	    "not ok pid namespace from outside",
	    "not ok pid namespace:",
	    "not ok no_new_privs: ",
	    "not ok root: ",
	    "not ok what is absent: there is",
	    "not ok rlimits: ",
	    "not ok umask: ",
	    "not ok ptrace: ",
	    "not ok abstract sockets: ",
	    "not ok second thread: ",
	    "not ok setgroups from outside: allow",
	};
	struct run run;
	check_jail(&run, false, WORDS(PLUGVM, "jail-check", "--disable-sandbox"));
	run_expect_status(&run, 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_text(&run, lines[i]);
	run_expect_err(&run, " items of the jail do not hold\n");
	run_fini(&run);
}

/* What an operator shows is no mistake, and a file that changes the user does not. */
static void test_jail_options(void **state)
{
	(void)state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", command[256], mount[64], text[64];
	struct run run;
	assert_non_null(mkdtemp(directory));
	snprintf(command, sizeof(command), "cp %s %s/probe && chmod 4755 %s/probe && chmod 755 %s",
	         built("plugins/jailprobe/jailprobe-static"), directory, directory, directory);
	assert_int_equal(system(command), 0);
	snprintf(mount, sizeof(mount), "%s:/data", directory);
	check_jail(&run, false,
	           WORDS(PLUGVM, "jail-check", "--plugin-mount", mount, "--plugin-mount", "/etc/passwd", "--",
	                 "setuid=/data/probe"));
	run_expect_status(&run, 0);
	expect_text(&run, "beside those of the profile\n");
	expect_text(&run, "ok what is absent: but for what the operator shows\n");
	expect_text(&run, "ok setuid files: executed as 1000\n");
	run_fini(&run);
	if (geteuid() == 0) {
		snprintf(text, sizeof(text), "setuid=%s/probe", directory);
		check_jail(&run, true, WORDS(PLUGVM, "jail-check", "--disable-sandbox", "--", text));
		if (run.status == 1)
			expect_text(&run, "not ok setuid files: executed as 0\n");
		run_fini(&run);
	}
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

static void test_jail_check_usage(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "jail-check", "--jail", "loose"), 2, "--jail takes default or strict");
	run_check(WORDS(PLUGVM, "jail-check", "/bin/true"), 2,
	          "jail-check takes the options of `run`, and no plugin");
	run_check(WORDS(PLUGVM, "jail-check", "--", "bogus=1"), 2,
	          "'bogus=1' is no expectation of jail-check: it knows setuid=PATH");
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_policy_usage),       cmocka_unit_test(test_policy_check),
	    cmocka_unit_test(test_policy_show),        cmocka_unit_test(test_learn),
	    cmocka_unit_test(test_learn_strict),       cmocka_unit_test(test_learn_usage),
	    cmocka_unit_test(test_jail_holds),         cmocka_unit_test(test_no_jail_fails),
	    cmocka_unit_test(test_jail_behind_filter), cmocka_unit_test(test_jail_options),
	    cmocka_unit_test(test_jail_check_usage),
	};
	return SYSTEM_MAIN("policy_verbs", tests);
}
