/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An fd of a plugin's whose close(2) does not return for a minute.
 */
#ifndef PLUGVM_TESTS_SLOW_FD_H
#define PLUGVM_TESTS_SLOW_FD_H

#include <stddef.h>

/* Make a TCP socket with unsent data that is told to linger. Closing *out_peer ends its close(2). */
int make_slow_fd(int *out_peer);

/* Send a packet of `size` bytes and, unless it is -1, `fd`, which is closed here. */
void send_slow_fd(int socket, size_t size, int fd);

#endif
