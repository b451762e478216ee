/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a policy must know of system calls. The names and numbers are libseccomp's.
 */
#include "policy/syscalls.h"

#include <asm/unistd.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const arguments[SYSCALLS_NUMBER_END] = {
#include "policy/arguments_x86.inc"
};

/* Ways out of any jail, into other processes, or into rarely used parts of the kernel. */
static const int never[] = {
    /* into other processes */
    __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_pidfd_getfd, __NR_kcmp,
    /* programs for the kernel to run, and queues of calls that no filter sees */
    __NR_bpf, __NR_perf_event_open, __NR_userfaultfd, __NR_io_uring_setup, __NR_io_uring_enter,
    __NR_io_uring_register,
    /* keys are not of the namespaces */
    __NR_keyctl, __NR_add_key, __NR_request_key,
    /* mounts and roots */
    __NR_mount, __NR_umount2, __NR_move_mount, __NR_open_tree, 467 /* open_tree_attr */, __NR_fsopen,
    __NR_fsconfig, __NR_fsmount, __NR_fspick, __NR_mount_setattr, __NR_pivot_root, __NR_chroot,
    __NR_open_by_handle_at, __NR_name_to_handle_at,
    /* namespaces */
    __NR_setns, __NR_unshare,
    /* the machine as a whole */
    __NR_init_module, __NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_kexec_file_load, __NR_reboot,
    __NR_swapon, __NR_swapoff, __NR_acct, __NR_quotactl, __NR_quotactl_fd, __NR_iopl, __NR_ioperm,
    /* the process: what it is to the kernel, and the filter itself */
    __NR_modify_ldt, __NR_personality, __NR_seccomp, __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid,
    __NR_setresuid, __NR_setresgid, __NR_setfsuid, __NR_setfsgid, __NR_setgroups};

int syscalls_number(const char *name)
{
	/* Calls that only other architectures have are negative. */
	int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);
	return number >= 0 ? number : -1;
}

void syscalls_show(int number, char out_text[SYSCALLS_SHOWN_BYTES])
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
	snprintf(out_text, SYSCALLS_SHOWN_BYTES, name ? "'%.40s' (%d)" : "%.0s%d", name ? name : "", number);
	free(name);
}

static const char *arguments_of(int number)
{
	return number >= 0 && number < SYSCALLS_NUMBER_END ? arguments[number] : NULL;
}

int syscalls_argument_count(int number)
{
	const char *letters = arguments_of(number);
	return letters ? (int)strlen(letters) : -1;
}

unsigned int syscalls_argument_bits(int number, unsigned int argument)
{
	const char *letters = arguments_of(number);
	if (!letters || argument >= strlen(letters))
		return 0;
	switch (letters[argument]) {
	case 'h':
		return 16;
	case 'i':
		return 32;
	default:
		return 64;
	}
}

bool syscalls_is_never(int number)
{
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (never[i] == number)
			return true;
	}
	return false;
}
