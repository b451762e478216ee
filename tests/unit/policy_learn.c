/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what is learned of a plugin's calls: that it can be read back, allows what was seen and not what was not.
 */
#include "test.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/learn.h"

static struct plugvm_policy_learner *learner;
static struct policy policy;
static struct plugvm_error error;
static char text[1 << 17];

static int setup(void **state)
{
	(void)state;
	return plugvm_policy_learner_new(&learner);
}

static int teardown(void **state)
{
	(void)state;
	plugvm_policy_learner_free(&learner);
	return 0;
}

static void see(int number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	plugvm_policy_learn(learner, &(struct plugvm_jail_call){.number = number, .arguments = {a, b, c, d}});
}

static void keep_line(void *context, const char *line)
{
	(void)context;
	size_t used = strlen(text);
	snprintf(text + used, sizeof(text) - used, "%s\n", line);
}

/* Write what was learned, and read it back. */
static void write_down(void)
{
	text[0] = '\0';
	assert_int_equal(plugvm_policy_learner_write(learner, keep_line, NULL), 0);
	if (policy_parse("learned", text, strlen(text), &policy, &error) < 0)
		fail_msg("%s in\n%s", error.text, text);
}

static void has(const char *line)
{
	if (!strstr(text, line))
		fail_msg("there is no '%s' in\n%s", line, text);
}

static bool allows(int number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t arguments[] = {a, b, c, d, 0, 0};
	const struct policy_rule *rule = policy_find(&policy, number);
	if (!rule || rule->kind != POLICY_WHEN)
		return rule && rule->kind == POLICY_ALLOW;
	bool group = true;
	for (uint32_t i = rule->first; i < rule->first + rule->count; i++) {
		const struct policy_comparison *comparison = &policy.comparisons[i];
		uint64_t value = arguments[comparison->argument] & UINT64_MAX >> (64 - comparison->bits);
		group = group && policy_holds(comparison, value);
		if (comparison->ends_group && group)
			return true;
		group = group || comparison->ends_group;
	}
	return false;
}

static void test_counts_and_order(void **state)
{
	(void)state;
	see(SYS_write, 1, 2, 3, 4);
	see(SYS_read, 0, 0, 0, 0);
	see(SYS_read, 7, 8, 9, 0);
	write_down();
	has("\nread: 1 # 2\n");
	has("\nwrite: 1 # 1\n");
	has("\nexit_group: 1 # 0\n");
	assert_true(strstr(text, "\nexit: ") < strstr(text, "\nread: ") &&
	            strstr(text, "\nread: ") < strstr(text, "\nwrite: "));
	assert_false(allows(SYS_openat, 0, 0, 0, 0));
	/* What cannot be a rule is nothing. */
	see(-1, 0, 0, 0, 0);
	see(512, 0, 0, 0, 0);
	see(SYS_ptrace, 0, 0, 0, 0);
	write_down();
	assert_null(policy_find(&policy, SYS_ptrace));
}

static void test_arguments(void **state)
{
	(void)state;
	see(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	see(SYS_mmap, 0, 9999, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	see(SYS_mmap, 0, 1, PROT_READ, MAP_SHARED);
	see(SYS_ioctl, 2, 1ull << 32 | FIONREAD, 0, 0);
	see(SYS_prlimit64, 0, 3, 0, 0x7fff1234);
	see(SYS_memfd_create, 0, 3, 0, 0);
	write_down();
	has("\nmmap: arg2 == PROT_READ && arg3 == MAP_SHARED || \\\n"
	    "    arg2 == PROT_READ|PROT_WRITE && arg3 == MAP_PRIVATE|MAP_ANONYMOUS # 3\n");
	has("\nioctl: arg1 == FIONREAD # 1\n");
	has("\nprlimit64: arg0 == 0 && arg1 == RLIMIT_STACK && arg2 == 0 # 1\n");
	has("\nmemfd_create: arg1 == MFD_CLOEXEC|MFD_ALLOW_SEALING # 1\n");
	assert_true(allows(SYS_mmap, 5, 5, PROT_READ, MAP_SHARED));
	assert_false(allows(SYS_mmap, 5, 5, PROT_READ | PROT_WRITE, MAP_SHARED));
	assert_false(allows(SYS_mmap, 0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS));
	assert_false(allows(SYS_ioctl, 2, TIOCSTI, 0, 0));
	assert_false(allows(SYS_prlimit64, 0, 3, 1, 0));
}

static void test_pointers(void **state)
{
	(void)state;
	see(SYS_prlimit64, 0, 3, 0x7fff1234, 0);
	see(SYS_prlimit64, 0, 3, 0x7fff5678, 0);
	write_down();
	has("\nprlimit64: arg0 == 0 && arg1 == RLIMIT_STACK && arg2 != 0 # 2\n");
}

/* Threads are made in the way that a filter can look at, and their locks may be contended in another run. */
static void test_threads(void **state)
{
	(void)state;
	see(SYS_clone3, 0x1234, 88, 0, 0);
	see(SYS_futex, 0, FUTEX_WAKE_PRIVATE, 0, 0);
	write_down();
	has("\nclone3: return ENOSYS # 1: its flags");
	assert_true(allows(SYS_clone, 0x3d0f00, 0, 0, 0));
	assert_false(allows(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0));
	assert_false(allows(SYS_clone, 17, 0, 0, 0));
	assert_true(allows(SYS_futex, 0, FUTEX_WAIT_PRIVATE, 0, 0));
	assert_false(allows(SYS_futex, 0, FUTEX_CMP_REQUEUE, 0, 0));
}

static void test_too_many_kinds(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < LEARN_KINDS_MAX; i++)
		see(SYS_ioctl, 0, i, 0, 0);
	write_down();
	assert_true(allows(SYS_ioctl, 0, LEARN_KINDS_MAX - 1, 0, 0));
	assert_false(allows(SYS_ioctl, 0, LEARN_KINDS_MAX, 0, 0));
	see(SYS_ioctl, 0, LEARN_KINDS_MAX, 0, 0);
	write_down();
	has("\nioctl: 1 # 49, with too many kinds of arguments to list\n");
}

static void test_merge(void **state)
{
	(void)state;
	char path[] = "/tmp/plugvm-test-XXXXXX";
	static const char base[] = "write: 1\nsocket: return EACCES\ndup2: arg0 < 7; return EMFILE\n"
	                           "fcntl: arg1 == F_GETFD || arg1 == F_SETFD && arg2 in ~7; return 4000\n"
	                           "mmap: arg2 in PROT_READ && arg3 & MAP_PRIVATE || arg2 == PROT_NONE\n";
	int fd = mkstemp(path);
	assert_true(write(fd, base, strlen(base)) == (ssize_t)strlen(base));
	close(fd);
	assert_int_equal(plugvm_policy_learner_add_file(learner, path, &error), 0);
	see(SYS_socket, 2, 1, 0, 0);
	see(SYS_read, 0, 0, 0, 0);
	see(SYS_fcntl, 0, 3 /* F_GETFL */, 0, 0);
	see(SYS_fcntl, 0, 1 /* F_GETFD */, 0, 0);
	see(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	see(SYS_mmap, 0, 0, PROT_NONE, MAP_SHARED);
	see(SYS_mmap, 0, 0, PROT_READ, MAP_SHARED);
	write_down();
	has("\nwrite: 1 # 0\n");
	has("\nread: 1 # 1\n");
	has("\nsocket: return EACCES # 1, and refused as before\n");
	has("\ndup2: arg0 < 7; return EMFILE # 0\n");
	has("\nfcntl: arg1 == F_GETFD || \\\n    arg1 == F_SETFD && arg2 in 0xfffffffffffffff8 || \\\n"
	    "    arg1 == F_GETFL; return 4000 # 2\n");
	has("\nmmap: arg2 in PROT_READ && arg3 & MAP_PRIVATE || \\\n    arg2 == PROT_NONE || \\\n"
	    "    arg2 == PROT_READ && arg3 == MAP_SHARED # 3\n");
	/* Learned twice, it is the same. */
	unlink(path);
	assert_int_equal(plugvm_policy_learner_add_file(learner, path, &error), -ENOENT);
}

int main(void)
{
#define LEARN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    LEARN_TEST(test_counts_and_order), LEARN_TEST(test_arguments),      LEARN_TEST(test_pointers),
	    LEARN_TEST(test_threads),          LEARN_TEST(test_too_many_kinds), LEARN_TEST(test_merge),
	};
	return cmocka_run_group_tests_name("policy_learn", tests, NULL, NULL);
}
