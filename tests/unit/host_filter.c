/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the host's own filters: what they say of each call in an interpreter, and that a process which has dropped its
 * privileges ends when it does what they forbid. What runs under a filter is a child.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jail/privileges.h"
#include "policy_bpf.h"

/* What a child exits with when it cannot go on, and when nothing ended it. */
#define NOT_DROPPED 99
#define SURVIVED    0

static struct filter filters[3];

static int make_filters(void **state)
{
	(void)state;
	struct plugvm_error error;
	for (int i = 0; i < 3; i++) {
		if (host_filter_make((enum host_filter)i, &filters[i], &error) < 0)
			fail_msg("%s", error.text);
		assert_true(bpf_is_valid(&filters[i]));
	}
	return 0;
}

/* ---- In the interpreter ---- */

#define KILL        SECCOMP_RET_KILL_PROCESS
#define ALLOW       SECCOMP_RET_ALLOW
#define ERRNO(code) (SECCOMP_RET_ERRNO | (code))

static uint32_t verdict(enum host_filter which, int number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	const struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2, a3}};
	return bpf_run(&filters[which], &data, NULL);
}

/* Checks one call against all three, in the order of the enum. */
#define CHECK(all, main, vcpu, ...)                                             \
	do {                                                                    \
		assert_int_equal(verdict(HOST_FILTER_ALL, __VA_ARGS__), all);   \
		assert_int_equal(verdict(HOST_FILTER_MAIN, __VA_ARGS__), main); \
		assert_int_equal(verdict(HOST_FILTER_VCPU, __VA_ARGS__), vcpu); \
	} while (0)

static void test_files_and_processes(void **state)
{
	(void)state;
	static const int forbidden[] = {SYS_open,
	                                SYS_creat,
	                                SYS_openat2,
	                                SYS_open_by_handle_at,
	                                SYS_execve,
	                                SYS_execveat,
	                                SYS_fork,
	                                SYS_vfork,
	                                SYS_ptrace,
	                                SYS_bpf,
	                                SYS_mount,
	                                SYS_unlink,
	                                SYS_rmdir,
	                                SYS_socket,
	                                SYS_rename,
	                                SYS_connect,
	                                SYS_bind,
	                                SYS_setuid,
	                                SYS_setns,
	                                SYS_unshare,
	                                SYS_io_uring_setup,
	                                SYS_userfaultfd,
	                                SYS_pidfd_getfd,
	                                SYS_seccomp,
	                                SYS_chmod,
	                                SYS_process_vm_readv,
	                                SYS_keyctl,
	                                SYS_memfd_create,
	                                SYS_dup2};
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		CHECK(KILL, KILL, KILL, forbidden[i], 0, 0, 0, 0);
	CHECK(ERRNO(EACCES), ERRNO(EACCES), ERRNO(EACCES), SYS_openat, 0, 0, 0, 0);
	CHECK(ERRNO(ENOSYS), ERRNO(ENOSYS), ERRNO(ENOSYS), SYS_clone3, 0, 0, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_clone, SIGCHLD, 0, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_clone, 0x3d0f00 | CLONE_NEWUSER, 0, 0, 0);
	CHECK(ALLOW, ALLOW, ALLOW, SYS_clone, 0x3d0f00, 0, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_unlinkat, 0, 0, 0, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_unlinkat, 0, 0, AT_REMOVEDIR, 0);
}

static void test_memory(void **state)
{
	(void)state;
	const uint64_t rw = PROT_READ | PROT_WRITE;
	CHECK(ALLOW, ALLOW, ALLOW, SYS_mmap, 0, 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS);
	CHECK(ALLOW, ALLOW, KILL, SYS_mmap, 0, 4096, rw, MAP_SHARED | MAP_NORESERVE);
	CHECK(KILL, KILL, KILL, SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	CHECK(KILL, KILL, KILL, SYS_mmap, 0, 4096, rw, MAP_PRIVATE | MAP_FIXED);
	CHECK(KILL, KILL, KILL, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_madvise, 0, 4096, MADV_DONTDUMP, 0);
}

static void test_ioctls(void **state)
{
	(void)state;
	CHECK(ALLOW, KILL, ALLOW, SYS_ioctl, 5, KVM_RUN, 0, 0);
	CHECK(ALLOW, KILL, ALLOW, SYS_ioctl, 5, KVM_SET_MSRS, 0, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_ioctl, 5, KVM_SET_USER_MEMORY_REGION, 0, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_ioctl, 5, KVM_CREATE_VCPU, 0, 0);
	CHECK(ALLOW, ALLOW, ALLOW, SYS_ioctl, 5, KVM_CHECK_EXTENSION, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_ioctl, 5, KVM_CREATE_VM, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_ioctl, 5, KVM_CREATE_DEVICE, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_ioctl, 0, TIOCSTI, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_ioctl, 5, TUNSETIFF, 0, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_ioctl, 5, TUNSETPERSIST, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_ioctl, 5, TUNSETPERSIST, 1, 0);
	/* The kernel looks at the lower half alone. */
	CHECK(ALLOW, KILL, ALLOW, SYS_ioctl, 5, KVM_RUN | UINT64_C(1) << 40, 0, 0);
}

static void test_other_processes(void **state)
{
	(void)state;
	uint64_t own = (uint64_t)getpid();
	CHECK(ALLOW, ALLOW, ALLOW, SYS_tgkill, own, own, SIGRTMIN, 0);
	CHECK(KILL, KILL, KILL, SYS_tgkill, own + 1, own, SIGRTMIN, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_process_vm_writev, own, 0, 1, 0);
	CHECK(KILL, KILL, KILL, SYS_process_vm_writev, own + 1, 0, 1, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_kill, (uint64_t)-5, SIGKILL, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_kill, (uint64_t)-5, SIGSTOP, 0, 0);
	/* Neither one process nor all: a root has no capabilities any more, but it has other processes. */
	CHECK(KILL, KILL, KILL, SYS_kill, 5, SIGKILL, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_kill, 0, SIGKILL, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_kill, (uint64_t)-1, SIGKILL, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_kill, UINT32_MAX, SIGKILL, 0, 0);
	CHECK(ALLOW, ALLOW, KILL, SYS_pidfd_send_signal, 5, SIGKILL, 0, 0);
	CHECK(KILL, KILL, KILL, SYS_pidfd_send_signal, 5, SIGTERM, 0, 0);
	/* A tap has its own from before. */
	CHECK(KILL, KILL, KILL, SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0);
}

static void test_foreign_architecture(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct seccomp_data data = {.nr = SYS_read, .arch = AUDIT_ARCH_I386};
		assert_int_equal(bpf_run(&filters[i], &data, NULL), KILL);
		data = (struct seccomp_data){.nr = SYS_read | 0x40000000, .arch = AUDIT_ARCH_X86_64};
		assert_int_equal(bpf_run(&filters[i], &data, NULL), KILL);
	}
}

/* ---- In the kernel ---- */

static void skip_without_filter(void)
{
#ifdef PLUGVM_WITHOUT_HOST_FILTER
	test_skip("a sanitizer's or profiler's runtime cannot live under the host's filter");
#endif
}

/* Fork, drop, narrow, act. Returns the child's wait status. */
static int in_child(enum host_filter which, void (*act)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = {0};
		setrlimit(RLIMIT_CORE, &no_core);
		for (int number = 1; number < NSIG; number++)
			signal(number, SIG_DFL);
		if (plugvm_drop_privileges(NULL) != 1 || privileges_narrow(which) < 0)
			_exit(NOT_DROPPED);
		act();
		_exit(SURVIVED);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_survival(enum host_filter which, void (*act)(void))
{
	int status = in_child(which, act);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != SURVIVED)
		fail_msg("the child ended with wait status 0x%x", (unsigned)status);
}

static void expect_sigsys(enum host_filter which, void (*act)(void))
{
	int status = in_child(which, act);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fail_msg("the child ended with wait status 0x%x, not by SIGSYS", (unsigned)status);
}

static void *do_nothing(void *argument)
{
	free(malloc(1 << 20));
	return argument;
}

static void *wait_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static void use_threads(void)
{
	pthread_t thread;
	for (int i = 0; i < 20; i++) {
		if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
			abort();
	}
}

static void *read_for_ever(void *argument)
{
	char byte;
	ssize_t size = read(*(int *)argument, &byte, 1);
	(void)size;
	return NULL;
}

static void cancel_a_thread(void)
{
	int pair[2];
	pthread_t thread;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pthread_create(&thread, NULL, read_for_ever, &pair[0]) != 0 || pthread_cancel(thread) != 0 ||
	    pthread_join(thread, NULL) != 0)
		abort();
}

static void use_malloc(void)
{
	void *blocks[200];
	for (size_t round = 0; round < 20; round++) {
		for (size_t i = 0; i < 200; i++)
			blocks[i] = malloc((i + 1) * 1000);
		for (size_t i = 0; i < 200; i++)
			free(blocks[i]);
	}
}

/* In an arena of its own, which gives memory back. */
static void *use_malloc_in_thread(void *argument)
{
	use_malloc();
	return argument;
}

static void use_arena(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, use_malloc_in_thread, NULL) != 0 || pthread_join(thread, NULL) != 0)
		abort();
}

static void open_a_file(void)
{
	if (open("/dev/null", O_RDONLY) >= 0 || errno != EACCES)
		abort();
}

static void write_own_memory(void)
{
	char from[4] = "abc", to[4] = "";
	struct iovec source = {.iov_base = from, .iov_len = 4}, target = {.iov_base = to, .iov_len = 4};
	if (process_vm_writev(getpid(), &source, 1, &target, 1, 0) != 4)
		abort();
}

static void fork_a_child(void)
{
	if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0)
		_exit(SURVIVED);
}

static void open_the_old_way(void)
{
	syscall(SYS_open, "/dev/null", O_RDONLY);
}

static void run_a_guest(void)
{
	ioctl(-1, KVM_RUN, 0);
}

static void add_memory(void)
{
	ioctl(-1, KVM_SET_USER_MEMORY_REGION, NULL);
}

static void get_executable_memory(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void test_what_threads_need(void **state)
{
	(void)state;
	skip_without_filter();
	static void (*const acts[])(void) = {use_threads, use_malloc, use_arena, open_a_file};
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		for (int which = 0; which < 3; which++)
			expect_survival((enum host_filter)which, acts[i]);
	}
	expect_survival(HOST_FILTER_MAIN, cancel_a_thread);
	expect_survival(HOST_FILTER_MAIN, write_own_memory);
	expect_survival(HOST_FILTER_VCPU, run_a_guest);
	expect_survival(HOST_FILTER_MAIN, add_memory);
}

static void test_what_ends_it(void **state)
{
	(void)state;
	skip_without_filter();
	static void (*const acts[])(void) = {fork_a_child, open_the_old_way, get_executable_memory};
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		for (int which = 0; which < 3; which++)
			expect_sigsys((enum host_filter)which, acts[i]);
	}
	expect_sigsys(HOST_FILTER_MAIN, run_a_guest);
	expect_sigsys(HOST_FILTER_VCPU, add_memory);
}

/* Returns 0, or the number of the line that found something else. */
static int drop_beside_a_thread(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
		return __LINE__;
	int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[64], text[4096] = "";
	int status = -1;
	for (pid_t tid = getpid() + 1; status < 0 && tid < getpid() + 5000; tid++) {
		snprintf(path, sizeof(path), "%d/status", tid);
		status = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	}
	if (status < 0)
		return __LINE__;
	if (plugvm_drop_privileges(NULL) != 1 || plugvm_drop_privileges(NULL) != 1)
		return __LINE__;
	if (read(status, text, sizeof(text) - 1) <= 0)
		return __LINE__;
	if (!strstr(text, "\nSeccomp:\t2\n") || !strstr(text, "\nNoNewPrivs:\t1\n"))
		return __LINE__;
	return 0;
}

static void test_other_threads(void **state)
{
	(void)state;
	skip_without_filter();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(drop_beside_a_thread() & 0xff);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files_and_processes),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_ioctls),
	    cmocka_unit_test(test_other_processes),
	    cmocka_unit_test(test_foreign_architecture),
	    cmocka_unit_test(test_what_threads_need),
	    cmocka_unit_test(test_what_ends_it),
	    cmocka_unit_test(test_other_threads),
	};
	return cmocka_run_group_tests_name("host_filter", tests, make_filters, NULL);
}
