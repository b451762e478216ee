/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what plugvm says to the person at the command line: usage, exit statuses, the reasons it gives and the
 * advice.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "harness.h"

#define RUN   PLUGVM, "run"
#define HELLO built("examples/hello/hello")

#define NOBODY    65534
#define KVM_MAJOR 10
#define KVM_MINOR 232

/* ---- Usage ---- */

static void test_usage_errors(void **state)
{
	(void)state;
	static const struct {
		const char *words[4];
		const char *text;
	} cases[] = {
	    {{NULL}, "plugvm: no plugin was named\nplugvm: try `plugvm run --help`\n"},
	    {{"--"}, "no plugin was named"},
	    {{"--", ""}, "no plugin was named"},
	    {{"--cpus", "0"}, "--cpus takes a number from 1 to 1024, not '0'"},
	    {{"--cpus", "1025"}, "--cpus takes a number from 1 to 1024, not '1025'"},
	    {{"--cpus", "two"}, "--cpus takes a number from 1 to 1024, not 'two'"},
	    {{"--cpus", "+1"}, "not '+1'"},
	    {{"--cpus", " 1"}, "not ' 1'"},
	    {{"--cpus", "1x"}, "not '1x'"},
	    {{"--cpus", ""}, "not ''"},
	    {{"--cpus", "18446744073709551617"}, "not '18446744073709551617'"},
	    {{"--cpus"}, "option '--cpus' needs a value"},
	    {{"--grace", "-1"}, "--grace takes a number from 0 to 2147483647, not '-1'"},
	    {{"--start-timeout", "x"}, "--start-timeout takes a number"},
	    {{"--answer-timeout", "2147483648"}, "--answer-timeout takes a number"},
	    {{"--kvm-device", "fd:"}, "--kvm-device fd:N takes a file descriptor number, not ''"},
	    {{"--kvm-device", "fd:x"}, "--kvm-device fd:N takes a file descriptor number, not 'x'"},
	    {{"--env", ""}, "--env takes NAME or NAME=VALUE, not ''"},
	    {{"--env", "=x"}, "--env takes NAME or NAME=VALUE, not '=x'"},
	    {{"--env", "CROSVM_SOCKET=7"}, "CROSVM_SOCKET is for this program to set"},
	    {{"--env", "CROSVM_SOCKET"}, "CROSVM_SOCKET is for this program to set"},
	    {{"--stdin", "/nonexistent", "/bin/true"}, "--stdin /nonexistent: No such file or directory"},
	    {{"--stdout", "/nonexistent/x", "/bin/true"}, "--stdout /nonexistent/x: No such file or directory"},
	    {{"--frobnicate"}, "there is no option '--frobnicate', or it takes no value"},
	    {{"-x"}, "there is no option '-x'"},
	    {{"--disable-sandbox=no"}, "there is no option '--disable-sandbox=no', or it takes no value"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const *words = cases[i].words;
		run_check(WORDS(PLUGVM, "run", words[0], words[1], words[2]), 2, cases[i].text);
	}
}

static void test_verbs(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM), 2, "plugvm: what shall I do? Try `plugvm help`\n");
	run_check(WORDS(PLUGVM, "walk"), 2, "plugvm: there is no verb 'walk'; try `plugvm help`\n");
	run_check(WORDS(PLUGVM, "limits", "all"), 2, "plugvm: `plugvm limits` takes nothing more\n");
	run_check(WORDS(PLUGVM, "--help-me"), 2, "there is no verb '--help-me'");
}

static void test_help_and_version(void **state)
{
	(void)state;
	static const char *const helps[][2] = {
	    {"help", NULL}, {"--help", NULL}, {"-h", NULL}, {"run", "--help"}, {"run", "-h"}};
	struct run run;
	for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
		run_words(&run, WORDS(PLUGVM, helps[i][0], helps[i][1]));
		run_expect_status(&run, 0);
		assert_ptr_equal(strstr(run.out.text, "usage: plugvm run [OPTION...] -- PLUGIN [ARGUMENT...]\n"),
		                 run.out.text);
		assert_int_equal(run.err.size, 0);
		run_fini(&run);
	}
	run_words(&run, WORDS(PLUGVM, "--version"));
	run_expect_status(&run, 0);
	run_expect_out(&run, "plugvm " PLUGVM_VERSION "\n");
	run_fini(&run);
}

/* Every option that the usage names is one. */
static void test_every_option(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "run", "-c", "1", "--cpus=1", "--kvm-device", kvm_device(), "--disable-sandbox",
	                "--env", "A=1", "--stdin", "null", "--stdout=null", "--grace", "5", "--start-timeout",
	                "50000", "--answer-timeout", "50000", "-v", "--verbose", "-q", "--quiet", "-v", "--",
	                HELLO),
	          0, "all port writes");
	/* The first word that is no option is the plugin; what follows is the plugin's. */
	run_check(WORDS(RUN, ACTOR, "stderr", "--cpus\\n"), 0, "plugin: --cpus\n");
}

static void test_how_much_is_said(void **state)
{
	(void)state;
	const char *const warning = "warning: --disable-sandbox: ";
	struct run run;
	run_words(&run, WORDS(RUN, "--disable-sandbox", "--", HELLO));
	run_expect_status(&run, 0);
	assert_int_equal(count_text(&run.err, warning), 1);
	run_expect_no_err(&run, "all port writes");
	run_fini(&run);

	run_words(&run, WORDS(RUN, "--", HELLO));
	run_expect_status(&run, 0);
	assert_string_equal(run.err.text, "plugvm: the plugin exited\n");
	run_fini(&run);

	run_words(&run, WORDS(RUN, "-q", "--disable-sandbox", "--", HELLO));
	run_expect_status(&run, 0);
	assert_string_equal(run.err.text, "");
	run_fini(&run);

	/* What failed is said even so. */
	run_words(&run, WORDS(PLUGVM, "run", "-q", "--", ACTOR, "life", "begin", "exit-3"));
	run_expect_status(&run, 1);
	assert_string_equal(run.err.text, "plugvm: the plugin exited with status 3\n");
	run_fini(&run);
}

static void test_jail(void **state)
{
	(void)state;
	for (int is_said = 0; is_said < 2; is_said++) {
		struct run run;
		run_words(&run, is_said ? WORDS(RUN, "--jail", "default", "--", HELLO) : WORDS(RUN, "--", HELLO));
		run_expect_status(&run, 0);
		run_expect_no_err(&run, "warning");
		run_fini(&run);
	}
	run_check(WORDS(RUN, "--jail", "strict", "--", built("plugins/jailprobe/jailprobe-static")), 4,
	          "plugvm: the plugin was killed by signal 31 (SIGSYS): system call 'getresuid' (118) is not "
	          "allowed by its policy\n");
	run_check(WORDS(RUN, "--", "/etc/passwd"), 9, "/etc/passwd");
	/* A dynamic plugin has no loader there, wherever in the line it is said. */
	run_check(WORDS(RUN, "--plugin-mount", "/etc/passwd", "--jail", "strict", "--", HELLO), 9,
	          "is dynamically linked: the strict jail is for static executables");
	run_check(WORDS(RUN, "--plugin-mount", "/etc/passwd:/usr/lib/none", "--", HELLO), 8,
	          "the jail: mounting: /etc/passwd");

	run_check(WORDS(RUN, "--jail", "some", "--", HELLO), 2, "--jail takes default or strict, not 'some'");
	run_check(WORDS(RUN, "--jail", "none", "--", HELLO), 2, "none is --disable-sandbox");
	run_check(WORDS(RUN, "--disable-sandbox", "--jail", "default", "--", HELLO), 2, "contradict");
	run_check(WORDS(RUN, "--plugin-mount", "etc", "--", HELLO), 2, "--plugin-mount: 'etc'");
	run_check(WORDS(RUN, "--plugin-mount-file", "/nonexistent", "--", HELLO), 2, "/nonexistent");
	run_check(WORDS(RUN, "--plugin-gid-map", "x", "--", HELLO), 2, "--plugin-gid-map: 'x'");
	run_check(WORDS(RUN, "--plugin-gid-map-file", "/nonexistent", "--", HELLO), 2, "/nonexistent");
	run_check(WORDS(RUN, "--plugin-root", "tmp", "--", HELLO), 2, "'tmp'");
	run_check(WORDS(RUN, "--jail-uid", "0", "--", HELLO), 2, "--jail-uid");
	/* The original's command lines have them together; they are checked all the same. */
	run_check(WORDS(RUN, "--disable-sandbox", "--plugin-mount", "etc", "--", HELLO), 2, "'etc'");
	run_check(WORDS(RUN, "--disable-sandbox", "--plugin-mount", "/etc", "--", HELLO), 0, "warning");
}

static void write_policy(const char *directory, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_policies(void **state)
{
	(void)state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", policy[64], wrong[64], place[96];
	assert_non_null(mkdtemp(directory));
	snprintf(policy, sizeof(policy), "%s/plugin.policy", directory);
	snprintf(wrong, sizeof(wrong), "%s/wrong.policy", directory);
	snprintf(place, sizeof(place), "plugvm: %s:2:10: ", wrong);
	write_policy(directory, "plugin.policy",
	             "# All but the first call of a C library.\nwrite: 1\nexit_group: 1\n");
	write_policy(directory, "wrong.policy", "read: 1\nwrite: 1 || 2\n");
	const char *const killed = "(SIGSYS): system call 'brk' (12) is not allowed by its policy\n";

	run_check(WORDS(RUN, "--seccomp-policy", policy, "--", HELLO), 4, killed);
	run_check(WORDS(RUN, "--seccomp-policy-dir", directory, "--", HELLO), 4, killed);
	run_check(
	    WORDS(RUN, "--seccomp-policy-dir", directory, "--seccomp-log-failures", "--", HELLO), 0,
	    "plugvm: warning: system call 'brk' (12) is not allowed by the plugin's policy: it was made all the "
	    "same\n");
	run_check(WORDS(RUN, "--seccomp-policy", wrong, "--", HELLO), 2, place);
	run_check(WORDS(RUN, "--seccomp-policy-dir", "/nonexistent", "--", HELLO), 2,
	          "policy /nonexistent/plugin.policy: No such file or directory");
	run_check(WORDS(RUN, "--allow-jit", "--", HELLO), 0, "plugin exited");
	run_check(WORDS(RUN, "--jail", "strict", "--allow-jit", "--", HELLO), 2, "the strict jail");
	run_check(WORDS(RUN, "--seccomp-policy", policy, "--allow-jit", "--", HELLO), 2,
	          "--allow-jit is for the built-in policy");
	unlink(policy);
	unlink(wrong);
	rmdir(directory);
}

static void test_account_of_exits(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, WORDS(RUN, "-v", "--", ACTOR, "unclaimed"));
	run_expect_status(&run, 0);
	static const char *const lines[] = {
	    "plugvm: exits, and how long each took to be answered:\n",
	    "  kind                     range                                  count      mean us   longest us\n",
	    "  port write               0510-0513                                  4 ",
	    "  all port writes                                                     4 ", /* the last is never
	                                                                                   answered */
	    "  unclaimed port reads                                                3 ",
	    "  unclaimed port writes                                               2 ",
	    "  unclaimed MMIO reads                                                1 ",
	    "  unclaimed MMIO writes                                               1 ",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		run_expect_err(&run, lines[i]);
	run_fini(&run);
}

/* ---- The KVM device ---- */

static void test_no_kvm_device(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, WORDS(RUN, "--kvm-device", "/nonexistent/kvm", "--", HELLO));
	run_expect_status(&run, 3);
	run_expect_err(&run, "plugvm: /nonexistent/kvm: ");
	run_expect_err(&run, "this machine offers no KVM there");
	run_expect_out(&run, "");
	run_fini(&run);
}

static void test_device_is_not_kvm(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--kvm-device", "/dev/null", "--", HELLO), 3, "/dev/null is not a KVM device");
	run_check(WORDS(RUN, "--kvm-device", "fd:0", "--", HELLO), 3, "is not a KVM device");
	run_check(WORDS(RUN, "--kvm-device", "fd:77", "--", HELLO), 2, "KVM device fd 77");
}

static void open_kvm_as_9(void *context)
{
	(void)context;
	const char *device = kvm_device();
	dup2(device[0] == '/' ? open(device, O_RDWR) : atoi(device + strlen("fd:")), 9);
}

static void test_device_by_fd(void **state)
{
	(void)state;
	struct run run;
	run_start(&run, &(struct setup){.in_child = open_kvm_as_9},
	          WORDS(RUN, "--kvm-device", "fd:9", "--", HELLO));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, "hello from the guest\n");
	run_fini(&run);
}

static void limit_fds(void *context)
{
	const struct rlimit limit = {*(const rlim_t *)context, *(const rlim_t *)context};
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What to do about it is said wherever the limit is met: by the host, and by the helper, whose fds have high numbers. */
static void test_few_fds(void **state)
{
	(void)state;
	static const struct {
		rlim_t limit;
		int status;
	} cases[] = {{20, 3}, {64, 8}};
	for (size_t i = 0; i < 2; i++) {
		rlim_t limit = cases[i].limit;
		struct run run;
		run_start(&run, &(struct setup){.in_child = limit_fds, .context = &limit},
		          WORDS(RUN, "--", HELLO));
		run_finish(&run);
		run_expect_status(&run, cases[i].status);
		run_expect_err(&run, limit == 20
		                         ? "this process may have 20 file descriptors, and a machine of this "
		                           "size can need 1285: raise the hard limit"
		                         : "this process may have 64 file descriptors");
		run_fini(&run);
	}
}

static void become_nobody(void *context)
{
	(void)context;
	if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		_exit(126);
}

/* A node of KVM's own, in a directory that everybody may enter, and a path of plugvm that nobody can take away. */
struct node {
	char directory[32];
	char path[64];
};

static void make_node(struct node *node, mode_t mode, gid_t group)
{
	snprintf(node->directory, sizeof(node->directory), "/tmp/plugvm-XXXXXX");
	assert_non_null(mkdtemp(node->directory));
	assert_int_equal(chmod(node->directory, 0755), 0);
	snprintf(node->path, sizeof(node->path), "%s/kvm", node->directory);
	assert_int_equal(mknod(node->path, S_IFCHR | 0600, makedev(KVM_MAJOR, KVM_MINOR)), 0);
	assert_int_equal(chown(node->path, 0, group), 0);
	assert_int_equal(chmod(node->path, mode), 0);
}

static void remove_node(const struct node *node)
{
	unlink(node->path);
	rmdir(node->directory);
}

/* Run hello as nobody with such a node. */
static void run_as_nobody(struct run *run, mode_t mode, gid_t group)
{
	struct node node;
	make_node(&node, mode, group);
	run_start(run, &(struct setup){.in_child = become_nobody},
	          WORDS(RUN, "--kvm-device", node.path, "--", HELLO));
	run_finish(run);
	remove_node(&node);
}

static void test_no_permission(void **state)
{
	(void)state;
	if (geteuid() != 0)
		test_skip("only root can make device nodes and become somebody else");
	struct run run;
	run_as_nobody(&run, 0600, 0);
	if (run.status == 127)
		test_skip("the build directory is not open to other users");
	run_expect_status(&run, 3);
	run_expect_err(&run, "Permission denied");
	run_expect_err(&run, "only its owner may use it (mode 0600, group ");
	run_expect_err(&run, "); usual is mode 0660 and group kvm\n");
	run_fini(&run);

	run_as_nobody(&run, 0660, 1);
	const struct group *group = getgrgid(1);
	char advice[128];
	char number[] = "1";
	snprintf(advice, sizeof(advice), "join the group that may use it: sudo usermod -aG %s \"$USER\"",
	         group ? group->gr_name : number);
	run_expect_status(&run, 3);
	run_expect_err(&run, advice);
	run_fini(&run);
}

/* With a node that is open to all, an ordinary user needs nothing else. */
static void test_ordinary_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		test_skip("only root can make device nodes and become somebody else");
	struct run run;
	run_as_nobody(&run, 0666, 0);
	if (run.status == 127)
		test_skip("the build directory is not open to other users");
	run_expect_status(&run, 0);
	run_expect_out(&run, "hello from the guest\n");
	run_fini(&run);
}

/* ---- The plugin's file ---- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void test_plugin_file(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		const char *content; /* NULL: there is no such file */
		mode_t mode;
		const char *text;
	} cases[] = {
	    {"absent", NULL, 0, "plugvm: cannot execute "},
	    {"plain", "#!/bin/sh\n", 0644, "plugvm: it is not executable: chmod +x\n"},
	    {"orphan", "#!/nonexistent/interpreter\n", 0755,
	     "plugvm: the file is there, but not the interpreter or dynamic loader that it names\n"},
	    {"noise", "\x01\x02\x03 noise", 0755,
	     "plugvm: it is neither an ELF program of this architecture nor a script with #!\n"},
	};
	char directory[] = "/tmp/plugvm-XXXXXX";
	assert_non_null(mkdtemp(directory));
	run_check(WORDS(RUN, "--", directory), 9, "plugvm: it is a directory\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%s", directory, cases[i].name);
		if (cases[i].content)
			write_file(path, cases[i].content, cases[i].mode);
		run_check(WORDS(RUN, "--", path), 9, cases[i].text);
		unlink(path);
	}
	rmdir(directory);
}

static void test_plugin_in_path(void **state)
{
	(void)state;
	char path[4200];
	snprintf(path, sizeof(path), "PATH=/nonexistent:%s", built("examples/hello"));
	const char *const env[] = {path, NULL};
	struct run run;
	run_start(&run, &(struct setup){.env = env}, WORDS(RUN, "--", "hello"));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, "hello from the guest\n");
	run_fini(&run);

	run_start(&run, &(struct setup){.env = env}, WORDS(RUN, "--", "no-such-plugin"));
	run_finish(&run);
	run_expect_status(&run, 9);
	run_expect_err(&run, "plugvm: plugin 'no-such-plugin' was not found in PATH\n");
	run_fini(&run);
}

/* A directory of that name in PATH is no program, as for a shell. */
static void test_directory_in_path(void **state)
{
	(void)state;
	char path[4200];
	snprintf(path, sizeof(path), "PATH=%s:%s", built("examples"), built("examples/hello"));
	const char *const env[] = {path, NULL};
	struct run run;
	run_start(&run, &(struct setup){.env = env}, WORDS(RUN, "--", "hello"));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_fini(&run);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_usage_errors),      cmocka_unit_test(test_verbs),
	    cmocka_unit_test(test_help_and_version),  cmocka_unit_test(test_every_option),
	    cmocka_unit_test(test_how_much_is_said),  cmocka_unit_test(test_jail),
	    cmocka_unit_test(test_policies),          cmocka_unit_test(test_account_of_exits),
	    cmocka_unit_test(test_no_kvm_device),     cmocka_unit_test(test_device_is_not_kvm),
	    cmocka_unit_test(test_device_by_fd),      cmocka_unit_test(test_few_fds),
	    cmocka_unit_test(test_no_permission),     cmocka_unit_test(test_ordinary_user),
	    cmocka_unit_test(test_plugin_file),       cmocka_unit_test(test_plugin_in_path),
	    cmocka_unit_test(test_directory_in_path),
	};
	return SYSTEM_MAIN("cli", tests);
}
