/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that rarely fail, behind one table, so that a test can make each of them fail. The table
 * is written by tests only, while no other thread runs.
 */
#ifndef PLUGVM_BASE_SYS_H
#define PLUGVM_BASE_SYS_H

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

struct sys {
	int (*socketpair)(int domain, int type, int protocol, int fds[2]);
	int (*eventfd)(unsigned int value, int flags);
	int (*pipe2)(int fds[2], int flags);
	int (*epoll_create1)(int flags);
	int (*epoll_ctl)(int epoll, int operation, int fd, struct epoll_event *event);
	int (*dup_cloexec)(int fd); /* fcntl(F_DUPFD_CLOEXEC) */
	int (*fstat)(int fd, struct stat *out_stat);
	void *(*mmap)(void *address, size_t length, int protection, int flags, int fd, off_t offset);
	ssize_t (*recvmsg)(int socket, struct msghdr *message, int flags);
	ssize_t (*sendmsg)(int socket, const struct msghdr *message, int flags);
	int (*waitid)(idtype_t type, id_t id, siginfo_t *out_info, int options);
	/* fork() that also gives a pidfd and calls no atfork handler; a raw system call. */
	pid_t (*fork_pidfd)(int *out_pidfd);
};

extern struct sys sys;

#endif
