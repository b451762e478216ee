/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close what a peer has sent, or may have sent something into. Any thread.
 */
#ifndef PLUGVM_BASE_FOREIGN_H
#define PLUGVM_BASE_FOREIGN_H

#include <stddef.h>

/*
 * Close the fds that are not -1, and store -1. A memfd closes at once. Anything else can make close(2) wait for as long
 * as the peer likes, by SO_LINGER, by a FUSE server that does not answer, or by a socket that holds such an fd in its
 * queue: so another thread closes it, and the caller waits for that no longer than FOREIGN_PATIENCE_MS, and 1 ms for each fd. While
 * FOREIGN_THREADS_MAX of these threads hang, or none can be made, the fd stays open. Keeps errno.
 */
void foreign_close(int *fds, size_t count);

/* Far longer than it takes on a busy machine, where nothing hangs. */
#define FOREIGN_PATIENCE_MS 500
#define FOREIGN_THREADS_MAX 8

#endif
