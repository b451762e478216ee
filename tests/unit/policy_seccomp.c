/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks filters against the kernel: it takes them, and makes of real calls what the model and the interpreter say.
 * The calls are made in a child without any fd, so that those that are allowed fail without doing anything.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/filter.h"
#include "policy/profiles.h"
#include "policy_bpf.h"
#include "policy_model.h"

/* What a child that could not install its filter exits with. */
#define NO_FILTER 99

#define CALLS_MAX 300

/* Written by a child: what each call returned, as -errno. */
static long *results;

static int make_results(void **state)
{
	(void)state;
	results = mmap(NULL, CALLS_MAX * sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	               0);
	return results == MAP_FAILED ? -1 : 0;
}

static int free_results(void **state)
{
	(void)state;
	return munmap(results, CALLS_MAX * sizeof(*results));
}

/* ---- The child ---- */

/* Returns 0, or -1 with errno. */
static int install(const struct filter *filter)
{
	struct sock_fprog program = {.len = filter->count, .filter = (struct sock_filter *)filter->code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* In a fresh child: no core file, and none of cmocka's handlers, which would go on with the tests. */
static void begin_child(void)
{
	const struct rlimit no_core = {0};
	setrlimit(RLIMIT_CORE, &no_core);
	static const int signals[] = {SIGSYS, SIGSEGV, SIGILL, SIGBUS, SIGFPE};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
}

static long call(const struct seccomp_data *data)
{
	const __u64 *args = data->args;
	long result = syscall(data->nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	return result < 0 ? -errno : result;
}

/* Make calls under a filter and return the wait status of the child that did. */
static int run_calls(const struct filter *filter, const struct seccomp_data *calls, size_t count)
{
	memset(results, 0, CALLS_MAX * sizeof(*results));
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		begin_child();
		syscall(SYS_close_range, 0, ~0U, 0);
		if (install(filter) < 0)
			_exit(NO_FILTER);
		for (size_t i = 0; i < count; i++)
			results[i] = call(&calls[i]);
		for (;;)
			syscall(SYS_exit_group, 0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
		fail_msg("the kernel does not take the filter");
	return status;
}

static bool is_killed(const struct filter *filter, const struct seccomp_data *data)
{
	int status = run_calls(filter, data, 1);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* Compile a policy, with exit_group allowed. */
static void compile(const char *text, struct filter *out_filter)
{
	static char buffer[LIMIT_POLICY_BYTES];
	static struct policy policy;
	struct plugvm_error error = {0};
	snprintf(buffer, sizeof(buffer), "%s%s", text, strstr(text, "exit_group:") ? "" : "\nexit_group: 1\n");
	if (policy_parse("test", buffer, strlen(buffer), &policy, &error) != 0 ||
	    filter_compile(&policy, out_filter, &error) != 0)
		fail_msg("%s", error.text);
}

/* ---- Random policies ---- */

/* Is this what the kernel makes of a call with such a verdict, which it then fails for want of an fd? */
static bool is_result_of(uint32_t verdict, long result)
{
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
		return result == -(long)(verdict & SECCOMP_RET_DATA);
	case SECCOMP_RET_USER_NOTIF:
		return result == -ENOSYS; /* nobody listens */
	case SECCOMP_RET_ALLOW:
		return result == -EBADF || result == -EINVAL || result == -EFAULT;
	default:
		return false;
	}
}

static bool is_model_call(int number)
{
	for (size_t i = 0; i < model_call_count; i++) {
		if (model_calls[i].number == number)
			return true;
	}
	return false;
}

static void test_model(void **state)
{
	(void)state;
	static struct model model;
	static struct filter filter;
	struct random random = {.state = 3};
	int kills = 0;
	for (int round = 0; round < 60; round++) {
		model_make(&model, &random);
		compile(model.text, &filter);
		struct seccomp_data calls[CALLS_MAX], killed = {.nr = -1};
		uint32_t verdicts[CALLS_MAX];
		size_t count = 0, killed_count = 0;
		for (int i = 0; i < 4 * CALLS_MAX && count < CALLS_MAX; i++) {
			struct seccomp_data data = model_random_call(&model, &random);
			data.arch = AUDIT_ARCH_X86_64;
			uint32_t verdict = model_verdict(&model, &data);
			assert_int_equal(bpf_run(&filter, &data, NULL), verdict);
			if (verdict == SECCOMP_RET_KILL_PROCESS) {
				killed = data;
				killed_count++;
			} else if (verdict != SECCOMP_RET_ALLOW || is_model_call(data.nr)) {
				calls[count] = data;
				verdicts[count++] = verdict;
			}
		}
		int status = run_calls(&filter, calls, count);
		if (status != 0)
			fail_msg("round %d: wait status 0x%x", round, status);
		for (size_t i = 0; i < count; i++) {
			if (!is_result_of(verdicts[i], results[i]))
				fail_msg("call %d(0x%llx, 0x%llx, 0x%llx, 0x%llx) gives %ld, not 0x%x:\n%s",
				         calls[i].nr, calls[i].args[0], calls[i].args[1], calls[i].args[2],
				         calls[i].args[3], results[i], verdicts[i], model.text);
		}
		if (killed_count > 0)
			assert_true(is_killed(&filter, &killed));
		kills += killed_count > 0;
	}
	assert_true(kills > 10);
}

/* ---- How wide the kernel takes arguments ---- */

/* With something above its width, an argument means the same, as the table says; a 64-bit one does not. */
static void test_widths(void **state)
{
	(void)state;
	const long above = 0x7654321000000000;
	int fd = make_memfd(4096, 0);
	struct iovec byte = {.iov_base = "x", .iov_len = 1};
	int available;
	assert_int_equal(syscall(SYS_lseek, fd | above, 7L, SEEK_SET | above), 7);
	assert_int_equal(syscall(SYS_lseek, fd, 7L | above, SEEK_SET), 7 | above);
	assert_int_equal(syscall(SYS_lseek, fd, 0L, SEEK_SET), 0);
	assert_int_equal(syscall(SYS_writev, fd | above, &byte, 1L), 1);
	assert_int_equal(syscall(SYS_preadv, fd | above, &byte, 0L, 0L, 0L), 0);
	assert_int_equal(syscall(SYS_ioctl, fd | above, FIONREAD | above, &available), 0);
	assert_int_equal(syscall(SYS_fcntl, fd | above, F_GETFD | above, 0L), FD_CLOEXEC);
	/* umode_t is a short. */
	assert_int_equal(syscall(SYS_fchmod, (long)fd, 0640 | above | 0x10000L), 0);
	struct stat stat;
	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0640);
	/* Declared as long. */
	void *page = (void *)syscall(SYS_mmap, 0L, 4096L, PROT_READ | above, MAP_SHARED | above, fd | above, 0L);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(syscall(SYS_madvise, page, 4096L, MADV_NORMAL | above), 0);
	assert_int_equal(munmap(page, 4096), 0);
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | above, 0L, 0L, 0L, 0L);
	assert_true(child >= 0);
	if (child == 0)
		_exit(0);
	assert_int_equal(syscall(SYS_wait4, child | above, 0L, 0L | above, 0L), child);
	close(fd);
}

/* ---- The built-in policies ---- */

struct real_call {
	struct seccomp_data data;
	long by_default, strict; /* -errno, or KILLED */
};

#define KILLED 1

static void test_profiles(void **state)
{
	(void)state;
	static struct filter by_default, strict;
	compile(profiles_find("default")->text, &by_default);
	compile(profiles_find("strict")->text, &strict);
	const __u64 high = UINT64_C(1) << 32;
	const struct real_call calls[] = {
	    {{.nr = SYS_read, .args = {0}}, -EBADF, -EBADF},
	    {{.nr = SYS_read, .args = {high}}, -EBADF, -EBADF},
	    {{.nr = SYS_openat, .args = {0}}, -EFAULT, -ENOENT},
	    {{.nr = SYS_socket, .args = {1, 1}}, -EACCES, -EACCES},
	    {{.nr = SYS_clone3, .args = {0}}, -ENOSYS, -ENOSYS},
	    {{.nr = SYS_clone, .args = {SIGCHLD | high}}, -EPERM, -ENOSYS},
	    {{.nr = SYS_ioctl, .args = {0, FIONREAD}}, -EBADF, -ENOTTY},
	    {{.nr = SYS_ioctl, .args = {0, FIONREAD | high}}, -EBADF, -ENOTTY},
	    {{.nr = SYS_ioctl, .args = {0, TIOCSTI | high}}, -ENOTTY, -ENOTTY},
	    {{.nr = SYS_mprotect, .args = {0, 4096, PROT_READ}}, -ENOMEM, -ENOMEM},
	    {{.nr = SYS_mprotect, .args = {0, 4096, PROT_READ | PROT_EXEC}}, -ENOMEM, -ENOSYS},
	    {{.nr = SYS_mprotect, .args = {0, 4096, (PROT_WRITE | PROT_EXEC) | high}}, -EACCES, -ENOSYS},
	    {{.nr = SYS_mmap, .args = {0, 0, PROT_READ, MAP_PRIVATE}}, -EBADF, -EBADF},
	    {{.nr = SYS_mmap, .args = {0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}},
	     -EACCES,
	     -ENOSYS},
	    {{.nr = SYS_kill, .args = {0, 0}}, -EPERM, -ENOSYS},
	    {{.nr = SYS_execve, .args = {0}}, -EFAULT, -ENOSYS},
	    {{.nr = SYS_execveat, .args = {0}}, -EFAULT, -ENOSYS},
	    {{.nr = SYS_ptrace, .args = {0}}, -ENOSYS, -ENOSYS},
	    {{.nr = SYS_mount, .args = {0}}, -ENOSYS, -ENOSYS},
	    {{.nr = SYS_io_uring_setup, .args = {0}}, -ENOSYS, -ENOSYS},
	    {{.nr = SYS_seccomp, .args = {0}}, -EPERM, -ENOSYS},
	    {{.nr = SYS_setuid, .args = {0}}, -EPERM, -ENOSYS},
	    {{.nr = SYS_setns, .args = {0}}, -ENOSYS, -ENOSYS},
	    {{.nr = SYS_getpid | 0x40000000, .args = {0}}, KILLED, KILLED},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		for (int which = 0; which < 2; which++) {
			const struct filter *filter = which == 0 ? &by_default : &strict;
			long wanted = which == 0 ? calls[i].by_default : calls[i].strict;
			int status = run_calls(filter, &calls[i].data, 1);
			bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
			if (killed != (wanted == KILLED) || (!killed && results[0] != wanted))
				fail_msg("case %zu, call %d, %s: status 0x%x, result %ld, not %ld", i,
				         calls[i].data.nr, which == 0 ? "default" : "strict", status, results[0],
				         wanted);
		}
	}
}

/* ---- Programs ---- */

/* Run a probe under a built-in policy, with what init lets through once for its start, and return the wait status. */
static int run_probe(const char *profile, const char *path, char *argument)
{
	static struct filter filter;
	static char text[LIMIT_POLICY_BYTES];
	const char *policy = profiles_find(profile)->text;
	snprintf(text, sizeof(text), "%s%s", policy, strstr(policy, "execveat:") ? "" : "execveat: 1\n");
	compile(text, &filter);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		begin_child();
		int null = open("/dev/null", O_RDWR);
		if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		    dup2(null, STDERR_FILENO) < 0 || install(&filter) < 0)
			_exit(NO_FILTER);
		char *arguments[] = {"probe", argument, NULL}, *environment[] = {NULL};
		syscall(SYS_execveat, AT_FDCWD, path, arguments, environment, 0);
		syscall(SYS_exit_group, NO_FILTER);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_programs(void **state)
{
	(void)state;
	assert_int_equal(run_probe("default", PROBE, "full"), 0);
	assert_int_equal(run_probe("default", PROBE_STATIC, "full"), 0);
	assert_int_equal(run_probe("strict", PROBE_STATIC, NULL), 0);
	/* It cannot open its libraries. */
	assert_int_not_equal(run_probe("strict", PROBE, NULL), 0);
}

/* ---- Other ways into the kernel ---- */

/* getpid() by the entry of 32-bit programs; returns the wait status of the child. */
static int run_int80(const struct filter *filter)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		begin_child();
		if (filter && install(filter) < 0)
			_exit(NO_FILTER);
		long result = 20;
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
		_exit(result > 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_int80(void **state)
{
	(void)state;
	static struct filter filter;
	if (run_int80(NULL) != 0)
		test_skip("this kernel has no entry for 32-bit programs");
	/* 20 is getpid there and writev here, which is allowed. */
	compile("writev: 1", &filter);
	int status = run_int80(&filter);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---- Size ---- */

static void test_largest(void **state)
{
	(void)state;
	static struct filter filter;
	static char text[LIMIT_POLICY_BYTES];
	char *end = text + sprintf(text, "exit_group: 1\nlseek: ");
	for (int i = 1; i < LIMIT_POLICY_COMPARISONS; i++)
		end += sprintf(end, "%sarg0 == %d && arg1 == %d", i > 1 ? " || " : "", i, i), i++;
	sprintf(end, "; return 1234\n");
	compile(text, &filter);
	assert_true(filter.count > 3000);
	const struct seccomp_data calls[] = {
	    {.nr = SYS_lseek, .args = {1, 1}},
	    {.nr = SYS_lseek, .args = {1023, 1023}},
	    {.nr = SYS_lseek, .args = {1023, 1021}},
	    {.nr = SYS_lseek, .args = {1025, 1025}},
	};
	int status = run_calls(&filter, calls, 4);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(results[0], -EBADF);
	assert_int_equal(results[1], -EBADF);
	assert_int_equal(results[2], -1234);
	assert_int_equal(results[3], -1234);
	run_calls(&filter, &(struct seccomp_data){.nr = SYS_close}, 1);
	assert_int_equal(results[0], -ENOSYS);
	assert_true(is_killed(&filter, &(struct seccomp_data){.nr = SYS_close | 0x40000000}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),    cmocka_unit_test(test_widths), cmocka_unit_test(test_profiles),
	    cmocka_unit_test(test_programs), cmocka_unit_test(test_int80),  cmocka_unit_test(test_largest),
	};
	return cmocka_run_group_tests(tests, make_results, free_results);
}
