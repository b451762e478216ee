/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The filter without a policy: kills on foreign architectures and on calls that no plugin ever needs, allows the rest.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "jail/jail.h"

#define X32_BIT 0x40000000u

#define LOAD(member) \
	((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member)))
#define RETURN(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
/* Go on with the next instruction if it holds, else skip that many. */
#define UNLESS_EQUAL_SKIP(value, skip) \
	((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (skip)))
#define UNLESS_LEAST_SKIP(value, skip) \
	((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(value), 0, (skip)))
#define UNLESS_ANY_BIT_SKIP(value, skip) \
	((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(value), 0, (skip)))

#define NAMESPACE_FLAGS \
	(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static const int never[] = {
    /* other processes' memory, fds and state */
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp, SYS_process_madvise,
    /* wide entrances into the kernel */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_modify_ldt, SYS_iopl, SYS_ioperm, SYS_personality, SYS_seccomp,
    /* another view of the system */
    SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fspick, SYS_fsconfig, SYS_fsmount,
    SYS_mount_setattr, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare, SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    /* another user */
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid,
    SYS_setgroups, SYS_capset,
    /* the machine's */
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot,
    SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_settimeofday, SYS_clock_settime,
    SYS_adjtimex, SYS_clock_adjtime, SYS_syslog, SYS_vhangup, SYS_sethostname, SYS_setdomainname};

size_t filter_builtin(struct sock_filter *out_filter)
{
	size_t count = 0;
	out_filter[count++] = LOAD(arch);
	out_filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	out_filter[count++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	out_filter[count++] = LOAD(nr);
	out_filter[count++] = UNLESS_LEAST_SKIP(X32_BIT, 1);
	out_filter[count++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		out_filter[count++] = UNLESS_EQUAL_SKIP(never[i], 1);
		out_filter[count++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	}
	/* Its flags are behind a pointer; the C library then takes clone(). */
	out_filter[count++] = UNLESS_EQUAL_SKIP(SYS_clone3, 1);
	out_filter[count++] = RETURN(SECCOMP_RET_ERRNO | ENOSYS);
	/* The low half of an argument: the kernel's own type for both has 32 bits, or the rest is refused. */
	out_filter[count++] = UNLESS_EQUAL_SKIP(SYS_clone, 3);
	out_filter[count++] = LOAD(args[0]);
	out_filter[count++] = UNLESS_ANY_BIT_SKIP(NAMESPACE_FLAGS, 1);
	out_filter[count++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	out_filter[count++] = LOAD(nr);
	out_filter[count++] = UNLESS_EQUAL_SKIP(SYS_ioctl, 3);
	out_filter[count++] = LOAD(args[1]);
	out_filter[count++] = UNLESS_EQUAL_SKIP(TIOCSTI, 1);
	out_filter[count++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	out_filter[count++] = RETURN(SECCOMP_RET_ALLOW);
	return count;
}
