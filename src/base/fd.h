/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File descriptors that own and close. -1 means "none". Any thread; an fd variable belongs to one owner.
 */
#ifndef PLUGVM_BASE_FD_H
#define PLUGVM_BASE_FD_H

#include <stdbool.h>

/* Close *fd unless it is -1, and store -1. Keeps errno. */
void fd_close(int *fd);

/* Move the fd out of *fd, which becomes -1. */
static inline int fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* A local fd variable that closes when its scope ends. */
#define FD_AUTO __attribute__((cleanup(fd_close))) int

/* Close both fds of a pair. */
void fd_close_pair(int fds[2]);

/*
 * True if `fd`, just made, is so high that fewer than `reserve` numbers are left below RLIMIT_NOFILE. The
 * kernel hands out the lowest free number, so everything below is in use. Whoever made it for a peer closes
 * it and answers EMFILE, and the rest stays for the host's own needs.
 */
bool fd_eats_reserve(int fd, unsigned int reserve);

#endif
