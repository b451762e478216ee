/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real system calls behind the table of sys.h.
 */
#include "base/sys.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int dup_cloexec(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int real_fstat(int fd, struct stat *out_stat)
{
	return fstat(fd, out_stat);
}

static int real_socketpair(int domain, int type, int protocol, int fds[2])
{
	return socketpair(domain, type, protocol, fds);
}

static int real_waitid(idtype_t type, id_t id, siginfo_t *out_info, int options)
{
	return waitid(type, id, out_info, options);
}

static pid_t fork_pidfd(int *out_pidfd)
{
	struct clone_args args;
	memset(&args, 0, sizeof(args));
	args.flags = CLONE_PIDFD;
	args.pidfd = (uint64_t)(uintptr_t)out_pidfd;
	args.exit_signal = SIGCHLD;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

struct sys sys = {
    .socketpair = real_socketpair,
    .eventfd = eventfd,
    .pipe2 = pipe2,
    .epoll_create1 = epoll_create1,
    .epoll_ctl = epoll_ctl,
    .dup_cloexec = dup_cloexec,
    .fstat = real_fstat,
    .mmap = mmap,
    .recvmsg = recvmsg,
    .sendmsg = sendmsg,
    .waitid = real_waitid,
    .fork_pidfd = fork_pidfd,
};
