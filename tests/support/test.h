/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every test of the tree includes: cmocka, and checks that it lacks.
 */
#ifndef PLUGVM_TESTS_SUPPORT_TEST_H
#define PLUGVM_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* End the test as skipped; the reason is printed and appears in the summary. */
#define test_skip(reason)                                            \
	do {                                                         \
		print_message("# skip: %s: %s\n", __func__, reason); \
		skip();                                              \
	} while (0)

/* Return how many fds this process has open. */
int count_open_fds(void);

/* Return this process's private memory in KiB (Private_Clean + Private_Dirty of /proc/self/smaps_rollup). */
long private_memory_kib(void);

/* Make a memfd of `size` bytes, sealed against shrinking unless `seals` says otherwise. Fails the test on error.
 */
int make_memfd(size_t size, int seals);

#endif
