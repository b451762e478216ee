/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File descriptors that own and close.
 */
#include "base/fd.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

void fd_close(int *fd)
{
	if (*fd < 0)
		return;
	int saved = errno;
	close(*fd);
	*fd = -1;
	errno = saved;
}

void fd_close_pair(int fds[2])
{
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

bool fd_eats_reserve(int fd, unsigned int reserve)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	return (rlim_t)fd + reserve >= limit.rlim_cur;
}
