/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * example.h - the plain Linux part of the examples. All that concerns plugins stands in each example itself.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Return `ret`, or, if it is a negative errno, say on stderr that the program cannot do `what` and exit with
 * status 1.
 */
int check(int ret, const char *what);

/*
 * Make `size` bytes of zeroed memory that crosvm_create_memory() accepts: a memfd that cannot shrink. Returns
 * where this process sees it and stores the memfd; both stay until the process ends.
 */
uint8_t *guest_memory_new(size_t size, int *out_fd);

#endif
