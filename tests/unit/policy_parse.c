/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the parser of policies: every piece of the language and what it becomes, every mistake with its line and
 * column, the limits, included files, and that the built-in policies keep their own rules.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/constants.h"
#include "policy/policy.h"
#include "policy/profiles.h"
#include "policy/syscalls.h"

static struct policy policy;
static struct plugvm_error error;

static int parse(const char *text)
{
	error = (struct plugvm_error){0};
	return policy_parse("test", text, strlen(text), &policy, &error);
}

/* Parse a policy without a mistake. */
static void accepts(const char *text)
{
	if (parse(text) != 0)
		fail_msg("%s: %s", text, error.text);
}

/* Parse one with a mistake, which is told in just these words. */
static void refuses(const char *text, const char *message)
{
	if (parse(text) != -EINVAL || error.code != EINVAL || error.kind != PLUGVM_ERROR_CONFIG)
		fail_msg("accepted, but there should be: %s", message);
	char wanted[sizeof(error.text)];
	snprintf(wanted, sizeof(wanted), "test:%s", message);
	assert_string_equal(error.text, wanted);
}

static const struct policy_comparison *only_comparison(const char *text)
{
	accepts(text);
	assert_int_equal(policy.rule_count, 1);
	assert_int_equal(policy.rules[0].kind, POLICY_WHEN);
	assert_int_equal(policy.rules[0].first, 0);
	assert_int_equal(policy.rules[0].count, 1);
	assert_int_equal(policy.comparison_count, 1);
	assert_true(policy.comparisons[0].ends_group);
	return &policy.comparisons[0];
}

/* ---- What is right ---- */

static void test_lines(void **state)
{
	(void)state;
	accepts("");
	assert_int_equal(policy.rule_count, 0);
	accepts("\n \t\n# a comment\n#\r\n\r\n");
	assert_int_equal(policy.rule_count, 0);

	accepts("read: 1\n\n  write :1 # why\n3:1\n0x4:\\\n1\n5\\\r\n : \\\n \\\n 1\nlseek: 1# no blank");
	static const struct {
		int number;
		uint32_t line;
	} wanted[] = {{SYS_read, 1}, {SYS_write, 3}, {SYS_close, 4},
	              {SYS_stat, 5}, {SYS_fstat, 7}, {SYS_lseek, 11}};
	assert_int_equal(policy.rule_count, 6);
	for (uint32_t i = 0; i < policy.rule_count; i++) {
		assert_int_equal(policy.rules[i].number, wanted[i].number);
		assert_int_equal(policy.rules[i].line, wanted[i].line);
		assert_int_equal(policy.rules[i].file, 0);
		assert_int_equal(policy.rules[i].kind, POLICY_ALLOW);
		assert_int_equal(policy.rules[i].error, 0);
		assert_ptr_equal(policy_find(&policy, wanted[i].number), &policy.rules[i]);
	}
	assert_null(policy_find(&policy, SYS_open));
	/* Numbers of calls that nobody knows yet are fine without arguments. */
	accepts("511: 1\n460: return ENOSYS");
}

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t value;
	} values[] = {
	    {"0", 0},
	    {"7", 7},
	    {"18446744073709551615", UINT64_MAX},
	    {"0xffffffffffffffff", UINT64_MAX},
	    {"0XaBcD", 0xabcd},
	    {"017", 15},
	    {"0o17", 15},
	    {"0O17", 15},
	    {"01777777777777777777777", UINT64_MAX},
	    {"-1", UINT64_MAX},
	    {"-0x10", (uint64_t)-16},
	    {"-9223372036854775808", (uint64_t)INT64_MIN},
	    {"O_RDONLY", 0},
	    {"PROT_EXEC", PROT_EXEC},
	    {"TUNGETFEATURES", TUNGETFEATURES},
	    {"AT_FDCWD", (uint64_t)AT_FDCWD},
	    {"O_LARGEFILE", 0100000},
	    {"O_CREAT|O_EXCL", O_CREAT | O_EXCL},
	    {"1|2 | 4", 7},
	    {"~0", UINT64_MAX},
	    {"~~5", 5},
	    {"~1|1", UINT64_MAX},
	    {"~(1|PROT_WRITE)", ~(uint64_t)3},
	    {"(3)", 3},
	    {"((1|2)|(8))", 11},
	    {"~(~(6) | 1) ", 6},
	    {"1 | \\\n 2", 3},
	};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char text[100];
		snprintf(text, sizeof(text), "read: arg1 == %s", values[i].text);
		const struct policy_comparison *comparison = only_comparison(text);
		assert_true(comparison->value == values[i].value);
		assert_int_equal(comparison->bits, 64);
		assert_int_equal(comparison->argument, 1);
	}
}

static void test_operators(void **state)
{
	(void)state;
	static const char *const names[] = {"==", "!=", "<", "<=", ">", ">=", "&", "in"};
	for (int op = 0; op < 8; op++) {
		char text[100];
		snprintf(text, sizeof(text), "mmap:arg%d %s 9", op % 6, names[op]);
		const struct policy_comparison *comparison = only_comparison(text);
		assert_int_equal(comparison->op, op);
		assert_int_equal(comparison->argument, op % 6);
		assert_int_equal(comparison->value, 9);
		assert_int_equal(comparison->bits, op % 6 >= 2 && op % 6 <= 4 ? 32 : 64);
	}
}

static void test_groups(void **state)
{
	(void)state;
	accepts("mmap: arg0==1&&arg1==2||arg2==3 || arg3 == 4 && \\\n arg4 == 5 && arg5 == 6; return EPERM\n"
	        "read: return 4095\nwrite: arg0 == 0;return EWOULDBLOCK\nptrace: return EPERM");
	assert_int_equal(policy.rule_count, 4);
	assert_int_equal(policy.comparison_count, 7);
	static const bool ends[] = {false, true, true, false, false, true, true};
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(policy.comparisons[i].ends_group, ends[i]);
		assert_int_equal(policy.comparisons[i].argument, i % 6);
	}
	assert_int_equal(policy.rules[0].count, 6);
	assert_int_equal(policy.rules[0].error, EPERM);
	assert_int_equal(policy.rules[1].kind, POLICY_NEVER);
	assert_int_equal(policy.rules[1].error, 4095);
	assert_int_equal(policy.rules[2].kind, POLICY_WHEN);
	assert_int_equal(policy.rules[2].first, 6);
	assert_int_equal(policy.rules[2].error, EAGAIN);
	/* What can never be allowed may be refused more gently. */
	assert_int_equal(policy.rules[3].number, SYS_ptrace);
	assert_int_equal(policy.rules[3].kind, POLICY_NEVER);
}

/* As policies for minijail are written. */
static void test_usual_policy(void **state)
{
	(void)state;
	accepts("# Comment without a blank line\n"
	        "close: 1\n"
	        "clone: arg0 & 0x00010000\n"
	        "clone3: 1\n"
	        "prctl: arg0 == 15\n"
	        "ioctl: arg1 == 0x800454CF\n"
	        "mmap: arg2 in ~PROT_EXEC || arg2 in ~PROT_WRITE\n"
	        "mprotect: arg2 in 0xfffffffb || arg2 in 0xfffffffffffffffd\n"
	        "prlimit64: arg2 == 0 && arg3 != 0\n"
	        "openat: return ENOENT\n"
	        "socket: arg0 == AF_UNIX && arg1 == SOCK_STREAM|SOCK_CLOEXEC; return EPERM\n"
	        "madvise: arg2 == MADV_DONTNEED || arg2 == MADV_DONTDUMP || \\\n"
	        "         arg2 == MADV_REMOVE\n"
	        "fcntl: arg1 == F_DUPFD_CLOEXEC\n");
	assert_int_equal(policy.rule_count, 12);
}

/* What the kernel takes as 16 or 32 bits is cut to them. */
static void test_widths(void **state)
{
	(void)state;
	assert_true(only_comparison("ioctl: arg1 == 0x800454cf")->value == 0x800454cf);
	assert_true(only_comparison("ioctl: arg1 == -1")->value == UINT32_MAX);
	assert_true(only_comparison("openat: arg0 == AT_FDCWD")->value == (uint32_t)AT_FDCWD);
	assert_true(only_comparison("mprotect: arg2 in ~PROT_EXEC")->value == 0xfffffffb);
	assert_true(only_comparison("mmap: arg3 in ~0x80000000")->value == 0x7fffffff);
	assert_true(only_comparison("fchmod: arg1 in ~07000")->value == 0xf1ff);
	assert_int_equal(policy.comparisons[0].bits, 16);
	refuses("ioctl: arg1 == 0x100000000", "1:16: 0x100000000 does not fit arg1, which is 32 bits wide");
	refuses("ioctl: arg1 == 0xfffffffe00000000",
	        "1:16: 0xfffffffe00000000 does not fit arg1, which is 32 bits wide");
	refuses("fchmod: arg1 in 0x10000", "1:17: 0x10000 does not fit arg1, which is 16 bits wide");
	/* Declared as long, and still cut. */
	assert_int_equal(syscalls_argument_bits(SYS_writev, 0), 32);
	assert_int_equal(syscalls_argument_bits(SYS_clone, 0), 32);
	assert_int_equal(syscalls_argument_bits(SYS_openat, 3), 16);
	assert_int_equal(syscalls_argument_bits(SYS_read, 2), 64);
	assert_int_equal(syscalls_argument_bits(SYS_read, 3), 0);
	assert_int_equal(syscalls_argument_bits(-1, 0), 0);
	assert_int_equal(syscalls_argument_bits(SYSCALLS_NUMBER_END, 0), 0);
	assert_int_equal(syscalls_argument_count(SYS_getpid), 0);
	assert_int_equal(syscalls_argument_count(SYS_clone3), 2);
	assert_int_equal(syscalls_argument_count(511), -1);
}

static void test_constants(void **state)
{
	(void)state;
	static const char *const names[] = {
	    "AF_UNIX",      "CLONE_VM",    "EACCES",    "F_SETFD",     "FUTEX_WAIT", "MAP_STACK",    "MFD_CLOEXEC",
	    "MSG_DONTWAIT", "O_CLOEXEC",   "PROT_READ", "PR_SET_NAME", "SEEK_END",   "SOCK_STREAM",  "SOL_SOCKET",
	    "SIGKILL",      "RLIMIT_AS",   "S_IRWXU",   "ARCH_SET_FS", "MADV_FREE",  "SO_RCVBUF",    "TIOCSTI",
	    "FIONREAD",     "EFD_CLOEXEC", "MFD_EXEC",  "F_SEAL_EXEC", "W_OK",       "WNOHANG",      "GRND_RANDOM",
	    "CLOCK_TAI",    "AT_FDCWD",    "RWF_SYNC",  "LOCK_EX",     "SHUT_WR",    "EPOLL_CTL_ADD"};
	uint64_t value = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(constants_find(names[i], strlen(names[i]), &value));
	assert_true(constants_find("O_RDWR_", 6, &value));
	assert_int_equal(value, O_RDWR);
	value = 77;
	static const char *const none[] = {"",    "O",        "O_", "O_RDWRX", "o_rdwr",
	                                   "EOF", "SIGRTMIN", "A",  "zzz",     "EPOLLIN"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(constants_find(none[i], strlen(none[i]), &value));
	assert_int_equal(value, 77);
}

/* ---- What is wrong ---- */

static void test_mistakes(void **state)
{
	(void)state;
	/* lines */
	refuses("read", "1:5: the rule ends where ':' should be");
	refuses("\n\nread 1", "3:6: '1' where ':' should be");
	refuses("read:", "1:6: the rule ends where an argument, arg0 to arg5, should be");
	refuses("read: \n1", "1:7: the rule ends where an argument, arg0 to arg5, should be");
	refuses(": 1", "1:1: ':' where the name or number of a system call should be");
	refuses("read: 1 2", "1:9: '2' where the end of the line should be");
	refuses("read: 1 write: 1", "1:9: 'write' where the end of the line should be");
	refuses("read: 1 \\ \nwrite: 1", "1:9: a backslash must be the last character of its line");
	refuses("read: 1 # why \\\nwrite: 1", "1:15: a comment ends with its line and cannot be continued");
	refuses("# read: 1 \\\r\nwrite: 1", "1:11: a comment ends with its line and cannot be continued");
	refuses("\tread: 1 %", "1:10: this character has no meaning in a policy");
	refuses("read: \\\n\\\n  $", "3:3: this character has no meaning in a policy");
	refuses("read\303\251: 1", "1:5: this character has no meaning in a policy");
	refuses("@default kill", "1:1: there is no directive '@default'");
	refuses("@include /etc/passwd", "1:1: this policy is no file, so it cannot include one");

	/* system calls */
	refuses("reed: 1", "1:1: x86-64 has no system call 'reed'");
	refuses("mmap2: 1", "1:1: x86-64 has no system call 'mmap2'");
	refuses("a2345678901234567890123456789012345678901234567890: 1",
	        "1:1: x86-64 has no system call 'a234567890123456789012345678901234567890'");
	refuses("512: 1", "1:1: x86-64 has no system call 512");
	refuses("-1: 1", "1:1: x86-64 has no system call -1");
	refuses("0x40000000: 1", "1:1: x86-64 has no system call 0x40000000");
	refuses("read: 1\n\nread: 1", "3:1: a second rule for 'read'; the first is in test:1");
	refuses("read: 1\n0: arg0 == 1", "2:1: a second rule for '0'; the first is in test:1");
	refuses("ptrace: 1", "1:9: no policy can allow this system call; 'return ERRNO' can refuse it");
	refuses("101: 1", "1:6: no policy can allow this system call; 'return ERRNO' can refuse it");
	refuses("setuid: arg0 == 0; return EPERM",
	        "1:9: no policy can allow this system call; 'return ERRNO' can refuse it");

	/* numbers and constants */
	refuses("read: arg1 == 18446744073709551616", "1:15: '18446744073709551616' does not fit 64 bits");
	refuses("read: arg1 == 0x10000000000000000", "1:15: '0x10000000000000000' does not fit 64 bits");
	refuses("read: arg1 == -9223372036854775809", "1:15: '-9223372036854775809' does not fit 64 bits");
	refuses("read: arg1 == 0x", "1:15: '0x' is no number");
	refuses("read: arg1 == 0o", "1:15: '0o' is no number");
	refuses("read: arg1 == 08", "1:15: '08' is no number");
	refuses("read: arg1 == 12a", "1:15: '12a' is no number");
	refuses("read: arg1 == 0xfg", "1:15: '0xfg' is no number");
	refuses("read: arg1 == - 1", "1:15: this character has no meaning in a policy");
	refuses("read: arg1 == O_NOTHING", "1:15: there is no constant 'O_NOTHING'");
	refuses("read: arg1 == O_RDWR|", "1:22: the rule ends where a value should be");
	refuses("read: arg1 == (1", "1:17: the rule ends where ')' should be");
	refuses("read: arg1 == (1 2)", "1:18: '2' where ')' should be");
	refuses("read: arg1 == ()", "1:16: ')' where a value should be");
	refuses("read: arg1 == 1)", "1:16: ')' where the end of the line should be");
	refuses("read: arg1 == ~", "1:16: the rule ends where a value should be");

	/* comparisons */
	refuses("read: arg6 == 1", "1:7: 'arg6' is no argument; there are arg0 to arg5");
	refuses("read: arg == 1", "1:7: 'arg' is no argument; there are arg0 to arg5");
	refuses("read: arg10 == 1", "1:7: 'arg10' is no argument; there are arg0 to arg5");
	refuses("read: allow", "1:7: 'allow' is no argument; there are arg0 to arg5");
	refuses("read: 2", "1:7: '2' where an argument, arg0 to arg5, should be");
	refuses("read: 0x1", "1:7: '0x1' where an argument, arg0 to arg5, should be");
	refuses("read: arg3 == 1", "1:7: this system call has only 3 arguments");
	refuses("brk: arg1 == 1", "1:6: this system call has only 1 argument");
	refuses("getpid: arg0 == 1", "1:9: this system call has only 0 arguments");
	refuses("511: arg0 == 1", "1:6: the arguments of system call 511 are not known");
	refuses("read: arg0", "1:11: the rule ends where a comparison (== != < <= > >= & in) should be");
	refuses("read: arg0 = 1", "1:12: this character has no meaning in a policy");
	refuses("read: arg0 | 1", "1:12: '|' where a comparison (== != < <= > >= & in) should be");
	refuses("read: arg0 IN 1", "1:12: 'IN' where a comparison (== != < <= > >= & in) should be");
	refuses("read: (arg0 == 1)", "1:7: '(' where an argument, arg0 to arg5, should be");
	refuses("read: arg0 == 1 &&", "1:19: the rule ends where an argument, arg0 to arg5, should be");
	refuses("read: arg0 == 1 || 1", "1:20: '1' where an argument, arg0 to arg5, should be");
	refuses("read: arg0 == 1 & arg1 == 1", "1:17: '&' where the end of the line should be");
	refuses("read: arg0 == arg1", "1:15: there is no constant 'arg1'");
	refuses("read: arg0 < 0", "1:7: this is never true");
	refuses("read: arg0 & 0", "1:7: this is never true");
	refuses("read: arg1 == 1 && arg0 > 0xffffffff", "1:20: this is never true");
	refuses("read: arg1 > ~0", "1:7: this is never true");
	refuses("read: arg0 >= 0", "1:7: this is always true");
	refuses("read: arg0 <= -1", "1:7: this is always true");
	refuses("fchmod: arg1 in 0xffff", "1:9: this is always true");

	/* return */
	refuses("read: return", "1:13: the rule ends where an errno should be");
	refuses("read: return 0", "1:14: an errno is 1 to 4095");
	refuses("read: return 4096", "1:14: an errno is 1 to 4095");
	refuses("read: return -1", "1:14: an errno is 1 to 4095");
	refuses("read: return EWHAT", "1:14: there is no constant 'EWHAT'");
	refuses("read: return EFD_CLOEXEC", "1:14: 'EFD_CLOEXEC' is no errno");
	refuses("read: return SIGKILL", "1:14: 'SIGKILL' is no errno");
	refuses("read: return EPERM EPERM", "1:20: 'EPERM' where the end of the line should be");
	refuses("read: return EPERM; return EPERM", "1:19: ';' where the end of the line should be");
	refuses("read: 1; return EPERM", "1:8: '1' allows every call, so nothing can follow it");
	refuses("read: arg0 == 1;", "1:17: the rule ends where 'return' should be");
	refuses("read: arg0 == 1; EPERM", "1:18: 'EPERM' where 'return' should be");
	refuses("read: arg0 == 1 return EPERM", "1:17: 'return' where the end of the line should be");
}

/* A zero byte is a character like another, and a name too long for one line is shown by its end. */
static void test_odd_texts(void **state)
{
	(void)state;
	assert_int_equal(policy_parse("test", "read: 1\0\nwrite: 1", 17, &policy, &error), -EINVAL);
	assert_string_equal(error.text, "test:1:8: this character has no meaning in a policy");
	assert_int_equal(policy_parse("test", "read: 1", 4, &policy, NULL), -EINVAL);

	char name[1000];
	memset(name, 'n', sizeof(name));
	strcpy(name + sizeof(name) - 5, "end");
	assert_int_equal(policy_parse(name, "x", 1, &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "nnend:1:1: x86-64 has no system call 'x'"));
}

/* ---- Limits ---- */

static char *repeat(char *to, const char *text, int count)
{
	while (count-- > 0)
		to = stpcpy(to, text);
	return to;
}

static void test_limits(void **state)
{
	(void)state;
	static char text[64 * LIMIT_POLICY_COMPARISONS];
	for (int extra = 0; extra < 2; extra++) {
		int result = extra ? -EINVAL : 0;
		char *end = stpcpy(text, "read: arg1 == ");
		end = repeat(end, "(", LIMIT_POLICY_DEPTH + extra);
		end = stpcpy(end, "1");
		repeat(end, ")", LIMIT_POLICY_DEPTH + extra);
		assert_int_equal(parse(text), result);
		if (extra)
			assert_string_equal(error.text, "test:1:31: more than 16 parentheses within each other");

		end = stpcpy(text, "read: arg1 == 1");
		repeat(end, "||arg1==1", LIMIT_POLICY_COMPARISONS - 1 + extra);
		assert_int_equal(parse(text), result);
		if (extra)
			assert_string_equal(error.text, "test:1:9225: more than 1024 comparisons in a policy");
	}
	/* There are no more numbers than rules. */
	assert_int_equal(LIMIT_POLICY_RULES, SYSCALLS_NUMBER_END);
	char *end = text;
	for (int number = 0; number < LIMIT_POLICY_RULES; number++)
		end += sprintf(end, "%d: return 1\n", number);
	assert_int_equal(parse(text), 0);
	assert_int_equal(policy.rule_count, LIMIT_POLICY_RULES);
}

/* ---- Files ---- */

static int directory_setup(void **state)
{
	static char path[] = "/tmp/jail_policy_XXXXXX";
	strcpy(path, "/tmp/jail_policy_XXXXXX");
	*state = mkdtemp(path);
	return *state ? 0 : -1;
}

static int directory_teardown(void **state)
{
	char command[100];
	snprintf(command, sizeof(command), "rm -r %s", (char *)*state);
	return system(command);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int load(const char *directory, const char *name)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	error = (struct plugvm_error){0};
	return policy_load(path, &policy, &error);
}

static void refuses_file(const char *directory, const char *text, const char *message)
{
	write_file(directory, "main", text);
	assert_int_equal(load(directory, "main"), -EINVAL);
	char wanted[400];
	snprintf(wanted, sizeof(wanted), "%s/%s", directory, message);
	assert_string_equal(error.text, wanted);
}

static void test_include(void **state)
{
	const char *directory = *state;
	int fds = count_open_fds();
	char text[300];
	write_file(directory, "common", "write: 1\nclose: 1");
	write_file(directory, "other", "# nothing but\n\nopen: return ENOENT\n");
	snprintf(text, sizeof(text), "read: 1\n@include ./common\n  @include %s/other # why\nlseek: 1\n",
	         directory);
	write_file(directory, "main", text);
	assert_int_equal(load(directory, "main"), 0);
	assert_int_equal(policy.rule_count, 5);
	static const int numbers[] = {SYS_read, SYS_write, SYS_close, SYS_open, SYS_lseek};
	static const uint32_t files[] = {0, 1, 1, 2, 0}, lines[] = {1, 1, 2, 3, 4};
	for (int i = 0; i < 5; i++) {
		assert_int_equal(policy.rules[i].number, numbers[i]);
		assert_int_equal(policy.rules[i].file, files[i]);
		assert_int_equal(policy.rules[i].line, lines[i]);
	}

	snprintf(text, sizeof(text), "main:3:1: a second rule for 'write'; the first is in %s/./common:1",
	         directory);
	refuses_file(directory, "read: 1\n@include ./common\nwrite: 1", text);
	snprintf(text, sizeof(text), "./common:1:1: a second rule for 'write'; the first is in %s/main:1",
	         directory);
	refuses_file(directory, "write: 1\n@include ./common", text);
	write_file(directory, "bad", "write: 1\nclose: 2");
	refuses_file(directory, "@include ./bad", "./bad:2:8: '2' where an argument, arg0 to arg5, should be");
	write_file(directory, "deep", "\n @include ./common");
	refuses_file(directory, "@include ./deep", "./deep:2:2: an included file cannot include another");
	refuses_file(directory, "@include ./main", "./main:1:1: an included file cannot include another");
	refuses_file(directory, "@include ./none",
	             "main:1:10: cannot read this: No such file or directory (ENOENT)");
	refuses_file(directory, "@include ./.", "main:1:10: cannot read this: Is a directory (EISDIR)");
	refuses_file(directory, "@include /dev/null", "main:1:10: cannot read this: Invalid argument (EINVAL)");
	refuses_file(directory, "@include common", "main:1:10: @include takes a path that begins with / or ./");
	refuses_file(directory, "@include ./", "main:1:10: @include takes a path that begins with / or ./");
	refuses_file(directory, "@include\nread: 1", "main:1:9: @include takes a path that begins with / or ./");
	refuses_file(directory, "@include ./common read", "main:1:19: 'read' where the end of the line should be");
	assert_int_equal(count_open_fds(), fds);
}

static void test_files(void **state)
{
	const char *directory = *state;
	static char text[LIMIT_POLICY_BYTES + 2];
	char *end = stpcpy(text, "read: 1\n");
	memset(end, '#', LIMIT_POLICY_BYTES - 8);
	write_file(directory, "longest", text);
	assert_int_equal(load(directory, "longest"), 0);
	assert_int_equal(policy.rule_count, 1);
	end[LIMIT_POLICY_BYTES - 8] = '#';
	write_file(directory, "too_long", text);
	assert_int_equal(load(directory, "too_long"), -EFBIG);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_non_null(strstr(error.text, "/too_long: File too large (EFBIG)"));
	assert_int_equal(load(directory, "none"), -ENOENT);
	assert_int_equal(load(directory, "."), -EISDIR);

	/* A fifo without a writer does not block. */
	char path[200];
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(load(directory, "fifo"), -EINVAL);

	end = text;
	for (int file = 1; file < LIMIT_POLICY_FILES; file++) {
		char name[20];
		snprintf(name, sizeof(name), "part%d", file);
		write_file(directory, name, "");
		end += sprintf(end, "@include ./%s\n", name);
	}
	write_file(directory, "main", text);
	assert_int_equal(load(directory, "main"), 0);
	strcpy(end, "@include ./part1");
	refuses_file(directory, text, "main:16:1: more than 16 files in a policy");
}

/* ---- The built-in policies ---- */

static void test_profiles(void **state)
{
	(void)state;
	static const char *const names[] = {"default", "strict"};
	for (int i = 0; i < 2; i++) {
		const struct profile *profile = profiles_find(names[i]);
		assert_non_null(profile);
		if (policy_parse(profile->name, profile->text, profile->size, &policy, &error) != 0)
			fail_msg("%s", error.text);
		assert_true(policy.rule_count > 50);
		/* Each rule tells its reason on its last line. */
		char *text = strdup(profile->text), *rest = text;
		for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
			bool is_last = line[0] != '\0' && line[0] != '#' && line[strlen(line) - 1] != '\\';
			if (is_last && !strstr(line, " # "))
				fail_msg("%s: no reason: %s", profile->name, line);
		}
		free(text);
		/* Opaque to a filter, or as good as another process. */
		assert_int_equal(policy_find(&policy, SYS_clone3)->kind, POLICY_NEVER);
		/* Itself at most. */
		const struct policy_rule *kill = policy_find(&policy, SYS_kill);
		assert_true(!kill || kill->kind == POLICY_WHEN);
		/* What a program tries at its start ends it in the strict profile only; what is dangerous, in both. */
		const struct policy_rule *setuid = policy_find(&policy, SYS_setuid);
		assert_true(i == 0 ? setuid && setuid->kind == POLICY_NEVER && setuid->error == EPERM : !setuid);
		assert_null(policy_find(&policy, SYS_ptrace));
		assert_null(policy_find(&policy, SYS_unshare));
		assert_null(policy_find(&policy, SYS_fork));
		assert_int_equal(policy_find(&policy, SYS_socket)->kind, POLICY_NEVER);
		assert_int_equal(policy_find(&policy, SYS_mmap)->kind, POLICY_WHEN);
	}
	assert_null(profiles_find("none"));
	assert_null(profiles_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_operators),
	    cmocka_unit_test(test_groups),
	    cmocka_unit_test(test_usual_policy),
	    cmocka_unit_test(test_widths),
	    cmocka_unit_test(test_constants),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_odd_texts),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test_setup_teardown(test_include, directory_setup, directory_teardown),
	    cmocka_unit_test_setup_teardown(test_files, directory_setup, directory_teardown),
	    cmocka_unit_test(test_profiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
