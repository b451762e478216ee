/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the filter does with system calls. What kills is tried in a child.
 */
#include "probe.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000

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
	expect(filter_mode() == 2, "mode %d", filter_mode());
	if (pthread_create(&thread, NULL, thread_main, &mode) != 0) {
		expect(false, "no thread");
		return;
	}
	pthread_join(thread, NULL);
	expect(mode == 2, "mode %d in another thread", mode);
}

static void check_never(void)
{
	static const struct call calls[] = {
	    {.name = "ptrace", .number = SYS_ptrace, .arguments = {-1, 1}},
	    {.name = "process_vm_readv", .number = SYS_process_vm_readv, .arguments = {1}},
	    {.name = "process_vm_writev", .number = SYS_process_vm_writev, .arguments = {1}},
	    {.name = "pidfd_getfd", .number = SYS_pidfd_getfd, .arguments = {-1}},
	    {.name = "kcmp", .number = SYS_kcmp, .arguments = {1, 1}},
	    {.name = "bpf", .number = SYS_bpf, .arguments = {-1}},
	    {.name = "perf_event_open", .number = SYS_perf_event_open},
	    {.name = "userfaultfd", .number = SYS_userfaultfd, .arguments = {-1}},
	    {.name = "io_uring_setup", .number = SYS_io_uring_setup},
	    {.name = "keyctl", .number = SYS_keyctl, .arguments = {-1}},
	    {.name = "add_key", .number = SYS_add_key},
	    {.name = "request_key", .number = SYS_request_key},
	    {.name = "mount", .number = SYS_mount},
	    {.name = "umount2", .number = SYS_umount2},
	    {.name = "move_mount", .number = SYS_move_mount, .arguments = {-1}},
	    {.name = "open_tree", .number = SYS_open_tree, .arguments = {-1}},
	    {.name = "fsopen", .number = SYS_fsopen},
	    {.name = "mount_setattr", .number = SYS_mount_setattr, .arguments = {-1}},
	    {.name = "pivot_root", .number = SYS_pivot_root},
	    {.name = "chroot", .number = SYS_chroot},
	    {.name = "setns", .number = SYS_setns, .arguments = {-1}},
	    {.name = "unshare", .number = SYS_unshare, .arguments = {CLONE_NEWUSER}},
	    {.name = "open_by_handle_at", .number = SYS_open_by_handle_at, .arguments = {-1}},
	    {.name = "name_to_handle_at", .number = SYS_name_to_handle_at, .arguments = {-1}},
	    {.name = "init_module", .number = SYS_init_module},
	    {.name = "kexec_load", .number = SYS_kexec_load, .arguments = {-1}},
	    {.name = "reboot", .number = SYS_reboot},
	    {.name = "swapon", .number = SYS_swapon},
	    {.name = "acct", .number = SYS_acct, .arguments = {-1}},
	    {.name = "quotactl", .number = SYS_quotactl, .arguments = {-1}},
	    {.name = "iopl", .number = SYS_iopl, .arguments = {4}},
	    {.name = "ioperm", .number = SYS_ioperm, .arguments = {-1}},
	    {.name = "modify_ldt", .number = SYS_modify_ldt, .arguments = {-1}},
	    {.name = "seccomp", .number = SYS_seccomp, .arguments = {-1}},
	    {.name = "setuid", .number = SYS_setuid},
	    {.name = "personality", .number = SYS_personality, .arguments = {-1}},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		expect_killed(&calls[i]);
}

static void old_gate(const void *argument)
{
	long result;
	(void)argument;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
	(void)result;
}

static void check_architectures(void)
{
	expect_killed(&(struct call){.name = "an x32 call", .number = X32_BIT | SYS_getpid});
	int status = in_child(old_gate, NULL);
	/* The second: a kernel without them. */
	expect(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV),
	       "a 32-bit call does not kill");
}

static void check_namespaces(void)
{
	expect_killed(&(struct call){
	    .name = "clone with a namespace", .number = SYS_clone, .arguments = {CLONE_NEWUSER | SIGCHLD}});
	expect_errno("clone3", syscall(SYS_clone3, NULL, 0), ENOSYS, ENOSYS);
}

/* The request has 32 bits, whatever is above them. */
static void check_terminal_input(void)
{
	expect_killed(&(struct call){.name = "TIOCSTI", .number = SYS_ioctl, .arguments = {-1, TIOCSTI}});
	expect_killed(&(struct call){
	    .name = "TIOCSTI with high bits", .number = SYS_ioctl, .arguments = {-1, 1L << 32 | TIOCSTI}});
}

static void check_write_or_execute(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	munmap(page, 4096);
	not_here("this filter does not look at mmap");
}

const struct item call_items[] = {
    {"filter", check_filter},
    {"calls that are never allowed", check_never},
    {"other architectures", check_architectures},
    {"new namespaces", check_namespaces},
    {"terminal input", check_terminal_input},
    {"memory to write and execute", check_write_or_execute},
    {NULL, NULL},
};
