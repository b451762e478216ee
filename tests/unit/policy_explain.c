/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what is said of a policy: each rule in words, the warnings and that there are no false ones, and that names
 * of values mean what they stand for.
 */
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/constants.h"
#include "policy/decode.h"
#include "policy/explain.h"

static struct policy policy;
static struct plugvm_error error;
static char said[65536];

static void keep_line(void *context, const char *line)
{
	(void)context;
	size_t used = strlen(said);
	snprintf(said + used, sizeof(said) - used, "%s\n", line);
}

/* Explain a policy, and return the number of warnings. */
static int explain(const char *text)
{
	said[0] = '\0';
	if (policy_parse("test", text, strlen(text), &policy, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	int warnings = explain_policy(&policy, keep_line, NULL, &error);
	if (warnings < 0)
		fail_msg("%s: %s", text, error.text);
	return warnings;
}

static void says(const char *text, const char *line)
{
	char wanted[1024];
	explain(text);
	snprintf(wanted, sizeof(wanted), "%s\n", line);
	if (!strstr(said, wanted))
		fail_msg("%s: there is no '%s' in\n%s", text, line, said);
}

static void warns(const char *text, int warnings, const char *line)
{
	int count = explain(text);
	if (count != warnings || !strstr(said, line))
		fail_msg("%s: %d warnings in\n%s", text, count, said);
}

static void test_rules(void **state)
{
	(void)state;
	says("\nread: 1", "test:2: read (0): allowed");
	says("444: 1", "test:1: landlock_create_ruleset (444): allowed");
	says("ptrace: return EPERM", "test:1: ptrace (101): fails with EPERM");
	says(
	    "ptrace: return EPERM",
	    "55 calls can be allowed by no policy and end the plugin; 1 of them fail here instead. So do calls of "
	    "other architectures.");
	says("mmap: arg2 in PROT_READ|PROT_WRITE && arg3 == MAP_PRIVATE|MAP_ANONYMOUS; return EACCES",
	     "test:1: mmap (9): allowed if prot (arg2) has nothing but PROT_READ|PROT_WRITE and flags (arg3) is "
	     "MAP_PRIVATE|MAP_ANONYMOUS; else fails with EACCES");
	says("fcntl: arg1 == F_GETFD || arg1 == F_GETFL || arg1 == F_SETFL && arg2 < 7",
	     "test:1: fcntl (72): allowed if op (arg1) is F_GETFD or F_GETFL; or if op (arg1) is F_SETFL and arg2 "
	     "is "
	     "below 7; else as without a rule");
	says("mprotect: arg2 in ~PROT_EXEC",
	     "test:1: mprotect (10): allowed if prot (arg2) has none of PROT_EXEC; else as without a rule");
	says(
	    "close: arg0 != 3 && arg0 <= 0x20 && arg0 >= 1",
	    "test:1: close (3): allowed if arg0 is not 3 and arg0 is at most 0x20 and arg0 is at least 1; else as "
	    "without a rule");
	says("futex: arg1 & 8 || arg1 & ~8",
	     "test:1: futex (202): allowed if op (arg1) has any of 8; or if op (arg1) has any bit but 8; else as "
	     "without a rule");
	says("read: 1", "The filter has 8 instructions; the kernel takes 4096.");
}

static void test_never_and_always(void **state)
{
	(void)state;
	static const char *const impossible[] = {
	    "arg0 == 1 && arg0 == 2", "arg0 == 1 && arg0 != 1",
	    "arg0 < 5 && arg0 > 9",   "arg0 < 5 && arg0 >= 5",
	    "arg0 in 3 && arg0 & 4",  "arg0 in 3 && arg0 > 3",
	    "arg0 in 0 && arg0 != 0", "arg0 <= 5 && arg0 >= 5 && arg0 & 2",
	};
	static const char *const always[] = {
	    "arg0 == 1 || arg0 != 1", "arg0 != 1 || arg0 != 2", "arg0 < 5 || arg0 >= 5",
	    "arg0 > 4 || arg0 <= 6",  "arg0 & 4 || arg0 in ~4", "arg0 != 3 || arg0 & 1",
	};
	static const char *const neither[] = {
	    "arg0 == 1 && arg1 == 2", "arg0 < 5 && arg0 > 3",   "arg0 in 7 && arg0 & 4", "arg0 != 1 && arg0 != 2",
	    "arg0 != 1 || arg1 == 1", "arg0 < 5 || arg0 > 5",   "arg0 & 4 || arg0 in 3", "arg0 != 3 || arg0 & 4",
	    "arg0 == 1 || arg0 == 2", "arg0 <= 5 && arg0 >= 5", "arg0 in 3 && arg0 > 2",
	};
	char text[128];
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		snprintf(text, sizeof(text), "dup2: %s", impossible[i]);
		warns(text, 2, "test:1: warning: dup2: alternative 1 can never be true\n");
		warns(text, 2, "test:1: warning: dup2: so it is never allowed\n");
		snprintf(text, sizeof(text), "dup2: arg1 == 9 || %s", impossible[i]);
		warns(text, 1, "test:1: warning: dup2: alternative 2 can never be true\n");
	}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		snprintf(text, sizeof(text), "dup2: %s", always[i]);
		warns(text, 1, "test:1: warning: dup2: this is always true, as '1' is\n");
	}
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
		snprintf(text, sizeof(text), "dup2: %s", neither[i]);
		warns(text, 0, "dup2");
	}
}

static void test_dangers(void **state)
{
	(void)state;
	warns("mmap: 1", 1, "test:1: warning: mmap: memory can be writable and executable at once\n");
	warns("mmap: arg3 == MAP_PRIVATE", 1, "writable and executable at once");
	warns("mmap: arg2 in PROT_READ|PROT_WRITE || arg2 in PROT_READ|PROT_EXEC", 0, "");
	warns("mprotect: arg2 & PROT_READ", 1, "writable and executable at once");
	warns("read: 1\nclone: 1", 2,
	      "test:2: warning: clone: it can make namespaces, and has all rights in them\n");
	warns("clone: arg0 & CLONE_THREAD", 0, "");
	warns("clone: arg0 in CLONE_VM|0xff", 1, "it can make processes");
	warns("ioctl: 1", 2, "TIOCSTI");
	warns("ioctl: arg1 == TIOCSTI", 1, "it can type into a terminal");
	warns("ioctl: arg1 == FIONREAD", 0, "");
	warns("execve: 1", 1, "it can execute whatever its root has; the jail stays");
	warns("execveat: arg0 == 8191 && arg4 == AT_EMPTY_PATH", 0, "");
	warns("execveat: arg4 == AT_EMPTY_PATH", 1, "it can execute");
	warns("prctl: 1", 1, "it can do whatever prctl does");
	warns("prlimit64: arg0 == 0 && arg2 == 0", 0, "");
	warns("clone3: return ENOSYS", 0, "");
	/* What can never be true allows nothing. */
	warns("mmap: arg2 == PROT_READ && arg2 == PROT_EXEC", 2, "so it is never allowed");
}

/* What a value is called can be written in a policy and means the same. */
static void test_names(void **state)
{
	(void)state;
	static const struct {
		int number;
		unsigned int argument;
		uint64_t value;
		const char *text;
	} cases[] = {
	    {SYS_mmap, 2, 0, "PROT_NONE"},
	    {SYS_mmap, 2, 7, "PROT_READ|PROT_WRITE|PROT_EXEC"},
	    {SYS_mmap, 3, MAP_PRIVATE | MAP_ANONYMOUS | 1ull << 40, "MAP_PRIVATE|MAP_ANONYMOUS"},
	    {SYS_mmap, 3, 3, "MAP_SHARED|MAP_PRIVATE"},
	    {SYS_mmap, 2, 0x50, "0x50"},
	    {SYS_mprotect, 2, 0x51, "PROT_READ|0x50"},
	    {SYS_futex, 1, 0, "FUTEX_WAIT"},
	    {SYS_futex, 1, 128 | 9, "FUTEX_PRIVATE_FLAG|FUTEX_WAIT_BITSET"},
	    {SYS_futex, 1, 128, "FUTEX_PRIVATE_FLAG"},
	    {SYS_clone, 0, CLONE_VM | 17, "CLONE_VM|SIGCHLD"},
	    {SYS_openat, 2, 02000000, "O_CLOEXEC"},
	    {SYS_execveat, 0, (uint32_t)-100, "AT_FDCWD"},
	    {SYS_read, 0, 9, "9"},
	    {SYS_read, 0, 10, "0xa"},
	    {SYS_memfd_create, 1, 11, "MFD_CLOEXEC|MFD_ALLOW_SEALING|MFD_NOEXEC_SEAL"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[DECODE_TEXT_MAX], rule[2 * DECODE_TEXT_MAX + 16], call[DECODE_TEXT_MAX];
		decode_value(cases[i].number, cases[i].argument, cases[i].value, text);
		assert_string_equal(text, cases[i].text);
		decode_call(cases[i].number, call);
		snprintf(rule, sizeof(rule), "%s: arg%u == %s", call, cases[i].argument, text);
		explain(rule);
		uint64_t top = UINT64_MAX >> (64 - policy.comparisons[0].bits);
		assert_true(policy.comparisons[0].value == (cases[i].value & top));
	}
}

/* The built-in policies have no rule that is always true or never, and allow nothing wide but execution. */
static void test_built_in(void **state)
{
	(void)state;
	assert_int_equal(explain(plugvm_policy_text("default")), 2);
	assert_non_null(strstr(said, "warning: execve:"));
	assert_non_null(strstr(said, "warning: execveat:"));
	assert_int_equal(explain(plugvm_policy_text("strict")), 0);
	assert_null(plugvm_policy_text("none"));
}

static void test_file(void **state)
{
	(void)state;
	char name[] = "/tmp/plugvm-test-XXXXXX";
	int fd = mkstemp(name);
	assert_true(write(fd, "read: 1\nioctl: 1\n", 17) == 17);
	said[0] = '\0';
	assert_int_equal(plugvm_policy_explain(name, keep_line, NULL, &error), 2);
	char line[64];
	snprintf(line, sizeof(line), "%s:2: ioctl (16): allowed\n", name);
	assert_non_null(strstr(said, line));
	assert_true(write(fd, "write: what\n", 12) == 12);
	assert_int_equal(plugvm_policy_explain(name, keep_line, NULL, &error), -EINVAL);
	snprintf(line, sizeof(line), "%s:3:8: ", name);
	assert_ptr_equal(strstr(error.text, line), error.text);
	close(fd);
	unlink(name);
	assert_int_equal(plugvm_policy_explain(name, keep_line, NULL, &error), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules), cmocka_unit_test(test_never_and_always), cmocka_unit_test(test_dangers),
	    cmocka_unit_test(test_names), cmocka_unit_test(test_built_in),         cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests_name("policy_explain", tests, NULL, NULL);
}
