/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the filter does with system calls. Those that are never allowed get arguments that the kernel itself would
 * refuse in another way (EBADF, EFAULT, EINVAL), so that it shows who refused.
 */
#include "probe.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define X32_BIT 0x40000000

/* -1: it does not tell. */
static int filter_mode(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

static void *thread_main(void *out_mode)
{
	*(int *)out_mode = filter_mode();
	return NULL;
}

static void check_filter(void)
{
	int mode = 0;
	pthread_t thread;
	if (filter_mode() < 0) {
		detail("it does not tell; seen from outside");
		return;
	}
	expect(filter_mode() == 2, "mode %d", filter_mode());
	if (pthread_create(&thread, NULL, thread_main, &mode) != 0) {
		expect(false, "no thread");
		return;
	}
	pthread_join(thread, NULL);
	expect(mode == 2, "mode %d in another thread", mode);
}

/* ptrace(-1) is a call that no filter of a jail allows. */
static void *second_thread_main(void *out_code)
{
	long result = syscall(SYS_ptrace, -1, 1, 0, 0);
	*(int *)out_code = result < 0 ? errno : 0;
	return NULL;
}

/* In a process of its own; what it ends with SIGSYS is held. */
static void check_second_thread(void)
{
	int code = 0;
	pthread_t thread;
	expect(pthread_create(&thread, NULL, second_thread_main, &code) == 0, "no thread");
	pthread_join(thread, NULL);
	expect(is_refusal(code), "ptrace in another thread gives %s", strerrorname_np(code));
}

static void check_old_gate(void)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
	expect(result < 0, "it gives %ld", result);
}

static void check_clone3(void)
{
	long result = syscall(SYS_clone3, NULL, 0);
	expect_errno("clone3", result, ENOSYS, ENOSYS);
}

static void expect_no_page(const char *what, int prot, int later_prot)
{
	void *page = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	if (later_prot == 0 || mprotect(page, 4096, later_prot) == 0)
		not_here(what);
	munmap(page, 4096);
}

static void check_write_or_execute(void)
{
	expect_no_page("this filter lets mmap make it", PROT_READ | PROT_WRITE | PROT_EXEC, 0);
	expect_no_page("this filter lets mprotect make it", PROT_READ | PROT_WRITE,
	               PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Execution of another program: what it may be is the policy's, but it stays in the jail. */
static void check_exec_again(void)
{
	char *argv[] = {(char *)"x", NULL}, *none[] = {NULL};
	execve("/nonexistent", argv, none);
	expect(errno == ENOENT || is_refusal(errno), "execve gives %s", strerrorname_np(errno));
	if (errno == ENOENT)
		detail("the filter allows it, and the jail stays");
	else
		detail("refused with %s", strerrorname_np(errno));
	syscall(SYS_execveat, -1, "", argv, none, 0x1000 /* AT_EMPTY_PATH */);
	expect(errno == EBADF || is_refusal(errno), "execveat gives %s", strerrorname_np(errno));
}

#define CALL(name_, ...)                             \
	&(const struct call)                         \
	{                                            \
		.name = name_, .number = __VA_ARGS__ \
	}

const struct item call_items[] = {
    {"filter", check_filter, NULL, false},
    {"clone3", check_clone3, NULL, false},
    {"exec again", check_exec_again, NULL, false},
    {"memory to write and execute", check_write_or_execute, NULL, false},
    {"ptrace", NULL, CALL("ptrace", SYS_ptrace, .arguments = {-1, 1}), true},
    {"process_vm_readv", NULL, CALL("process_vm_readv", SYS_process_vm_readv, .arguments = {1}), true},
    {"process_vm_writev", NULL, CALL("process_vm_writev", SYS_process_vm_writev, .arguments = {1}), true},
    {"pidfd_getfd", NULL, CALL("pidfd_getfd", SYS_pidfd_getfd, .arguments = {-1}), true},
    {"kcmp", NULL, CALL("kcmp", SYS_kcmp, .arguments = {1, 1}), true},
    {"bpf", NULL, CALL("bpf", SYS_bpf, .arguments = {-1}), true},
    {"perf_event_open", NULL, CALL("perf_event_open", SYS_perf_event_open), true},
    {"userfaultfd", NULL, CALL("userfaultfd", SYS_userfaultfd, .arguments = {-1}), true},
    {"io_uring_setup", NULL, CALL("io_uring_setup", SYS_io_uring_setup), true},
    {"keyctl", NULL, CALL("keyctl", SYS_keyctl, .arguments = {-1}), true},
    {"add_key", NULL, CALL("add_key", SYS_add_key), true},
    {"request_key", NULL, CALL("request_key", SYS_request_key), true},
    {"mount", NULL, CALL("mount", SYS_mount), true},
    {"umount2", NULL, CALL("umount2", SYS_umount2), true},
    {"move_mount", NULL, CALL("move_mount", SYS_move_mount, .arguments = {-1}), true},
    {"open_tree", NULL, CALL("open_tree", SYS_open_tree, .arguments = {-1}), true},
    {"fsopen", NULL, CALL("fsopen", SYS_fsopen), true},
    {"mount_setattr", NULL, CALL("mount_setattr", SYS_mount_setattr, .arguments = {-1}), true},
    {"pivot_root", NULL, CALL("pivot_root", SYS_pivot_root), true},
    {"chroot", NULL, CALL("chroot", SYS_chroot), true},
    {"setns", NULL, CALL("setns", SYS_setns, .arguments = {-1}), true},
    {"unshare", NULL, CALL("unshare", SYS_unshare, .arguments = {CLONE_NEWUSER}), true},
    {"open_by_handle_at", NULL, CALL("open_by_handle_at", SYS_open_by_handle_at, .arguments = {-1}), true},
    {"name_to_handle_at", NULL, CALL("name_to_handle_at", SYS_name_to_handle_at, .arguments = {-1}), true},
    {"init_module", NULL, CALL("init_module", SYS_init_module), true},
    {"kexec_load", NULL, CALL("kexec_load", SYS_kexec_load, .arguments = {-1}), true},
    {"reboot", NULL, CALL("reboot", SYS_reboot), true},
    {"swapon", NULL, CALL("swapon", SYS_swapon), true},
    {"acct", NULL, CALL("acct", SYS_acct, .arguments = {-1}), true},
    {"quotactl", NULL, CALL("quotactl", SYS_quotactl, .arguments = {-1}), true},
    {"iopl", NULL, CALL("iopl", SYS_iopl, .arguments = {4}), true},
    {"ioperm", NULL, CALL("ioperm", SYS_ioperm, .arguments = {-1}), true},
    {"modify_ldt", NULL, CALL("modify_ldt", SYS_modify_ldt, .arguments = {-1}), true},
    {"seccomp", NULL, CALL("seccomp", SYS_seccomp, .arguments = {-1}), true},
    {"setuid", NULL, CALL("setuid", SYS_setuid), true},
    {"personality", NULL, CALL("personality", SYS_personality, .arguments = {-1}), true},
    {"io_uring_enter", NULL, CALL("io_uring_enter", SYS_io_uring_enter, .arguments = {-1}), true},
    {"io_uring_register", NULL, CALL("io_uring_register", SYS_io_uring_register, .arguments = {-1}), true},
    {"fsconfig", NULL, CALL("fsconfig", SYS_fsconfig, .arguments = {-1}), true},
    {"fsmount", NULL, CALL("fsmount", SYS_fsmount, .arguments = {-1}), true},
    {"fspick", NULL, CALL("fspick", SYS_fspick, .arguments = {-1}), true},
    {"finit_module", NULL, CALL("finit_module", SYS_finit_module, .arguments = {-1}), true},
    {"delete_module", NULL, CALL("delete_module", SYS_delete_module), true},
    {"kexec_file_load", NULL, CALL("kexec_file_load", SYS_kexec_file_load, .arguments = {-1, -1}), true},
    {"swapoff", NULL, CALL("swapoff", SYS_swapoff), true},
    {"setgid", NULL, CALL("setgid", SYS_setgid), true},
    {"setreuid", NULL, CALL("setreuid", SYS_setreuid, .arguments = {-1, -1}), true},
    {"setregid", NULL, CALL("setregid", SYS_setregid, .arguments = {-1, -1}), true},
    {"setresuid", NULL, CALL("setresuid", SYS_setresuid, .arguments = {-1, -1, -1}), true},
    {"setresgid", NULL, CALL("setresgid", SYS_setresgid, .arguments = {-1, -1, -1}), true},
    {"setfsuid", NULL, CALL("setfsuid", SYS_setfsuid, .arguments = {-1}), true},
    {"setfsgid", NULL, CALL("setfsgid", SYS_setfsgid, .arguments = {-1}), true},
    {"setgroups", NULL, CALL("setgroups", SYS_setgroups, .arguments = {-1}), true},
    {"an x32 call", NULL, CALL("x32", X32_BIT | SYS_getpid), true},
    {"clone with a namespace", NULL, CALL("clone", SYS_clone, .arguments = {CLONE_NEWUSER | SIGCHLD}), true},
    {"TIOCSTI", NULL, CALL("TIOCSTI", SYS_ioctl, .arguments = {-1, TIOCSTI}), true},
    /* The request has 32 bits, whatever is above them. */
    {"TIOCSTI with high bits", NULL, CALL("TIOCSTI", SYS_ioctl, .arguments = {-1, 1L << 32 | TIOCSTI}), true},
    {"second thread", check_second_thread, NULL, true},
    {"a 32-bit call", check_old_gate, NULL, true},
    {NULL, NULL, NULL, false},
};
