/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of a SOCK_SEQPACKET socket, with the fds that travel in them.
 */
#include "base/packet.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/foreign.h"
#include "base/sys.h"

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
};

static void take_fds(struct packet *p, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (p->fd_count < p->fd_capacity)
				p->fds[p->fd_count++] = fd;
			else
				foreign_close(&fd, 1);
		}
	}
}

int packet_recv(int socket, struct packet *p, int flags)
{
	assert(p->fd_capacity <= PACKET_FDS_MAX);
	p->size = 0;
	p->fd_count = 0;

	union control control;
	struct iovec io = {.iov_base = p->data, .iov_len = p->capacity};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (p->fd_capacity > 0) {
		message.msg_control = control.bytes;
		/* Not CMSG_SPACE: its padding would make room for one fd more. */
		message.msg_controllen = CMSG_LEN(sizeof(int) * p->fd_capacity);
	}

	ssize_t size = sys.recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	if (size < 0)
		return -errno;
	p->size = (size_t)size;
	p->truncated = message.msg_flags & MSG_TRUNC;
	p->fds_truncated = message.msg_flags & MSG_CTRUNC;
	take_fds(p, &message);
	return 0;
}

bool packet_brings_more_fds(int socket, size_t limit)
{
	/* What is peeked at stays in the queue: nobody waits for the end of it here. */
	uint8_t byte;
	struct packet packet = {.data = &byte, .capacity = 1};
	if (packet_recv(socket, &packet, MSG_PEEK | MSG_DONTWAIT) < 0 || !packet.fds_truncated)
		return false;
	int fds[PACKET_FDS_MAX];
	packet.fds = fds;
	packet.fd_capacity = limit;
	if (packet_recv(socket, &packet, MSG_PEEK | MSG_DONTWAIT) < 0)
		return false;
	/* Without numbers for them there are fewer. */
	bool more = packet.fds_truncated && packet.fd_count == limit;
	packet_fini(&packet);
	return more;
}

int packet_take_fd(struct packet *p, size_t index)
{
	assert(index < p->fd_count);
	return fd_take(&p->fds[index]);
}

void packet_fini(struct packet *p)
{
	foreign_close(p->fds, p->fd_count);
	p->fd_count = 0;
}

int packet_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count, int flags)
{
	assert(fd_count <= PACKET_FDS_MAX);
	union control control;
	struct iovec io = {.iov_base = (void *)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (fd_count > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}

	ssize_t sent;
	do {
		sent = sys.sendmsg(socket, &message, flags | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}
