/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets of a SOCK_SEQPACKET socket, with the fds that travel in them. A received fd belongs to the packet
 * until it is taken; packet_fini() closes the rest. What a packet holds is a peer's: nothing in it has been
 * checked.
 */
#ifndef PLUGVM_BASE_PACKET_H
#define PLUGVM_BASE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel passes at most this many fds in one packet (SCM_MAX_FD of <net/scm.h>). */
#define PACKET_FDS_MAX 253

struct packet {
	uint8_t *data;      /* the caller's buffer */
	size_t capacity;    /* of data, bytes */
	size_t size;        /* received, at most capacity */
	int *fds;           /* the caller's array */
	size_t fd_capacity; /* of fds, at most PACKET_FDS_MAX */
	size_t fd_count;    /* received */
	bool truncated;     /* the packet was longer than the buffer */
	bool fds_truncated; /* more fds came than fit, or this process has no fd number left */
};

/*
 * Receive one packet into p->data and p->fds. `flags` as for recvmsg(2). A size of 0 means that the peer hung
 * up (or sent an empty packet, which is no different on this kind of socket). Received fds are close-on-exec.
 * Returns 0, or -errno with no fd held.
 */
int packet_recv(int socket, struct packet *p, int flags);

/*
 * Look whether the next packet brings more than `limit` fds, and leave it in the queue: to receive it takes as many
 * numbers, or, if there are too few, has the kernel close the rest, which may take as long as the peer likes.
 */
bool packet_brings_more_fds(int socket, size_t limit);

/* Move fd number `index` out of the packet. */
int packet_take_fd(struct packet *p, size_t index);

/* Close what was not taken. */
void packet_fini(struct packet *p);

/* Send one packet with `fd_count` fds, which stay the caller's. Never raises SIGPIPE. Returns 0 or -errno. */
int packet_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count, int flags);

#endif
