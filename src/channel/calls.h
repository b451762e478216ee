/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls of the channel, behind one table, so that a test can make each of them fail. The table is written by
 * tests only, while no other thread runs. Every call gives -errno itself: errno is kept, also in a signal handler.
 */
#ifndef PLUGVM_CHANNEL_CALLS_H
#define PLUGVM_CHANNEL_CALLS_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct channel_calls {
	int (*memfd_create)(const char *name);
	int (*ftruncate)(int fd, off_t size);
	int (*add_seals)(int fd, int seals);
	int (*get_seals)(int fd); /* the seals */
	/* Until a wake or, unless it is 0, until CLOCK_MONOTONIC is `until_ns`. */
	int (*futex_waitv)(struct futex_waitv *words, unsigned int count, uint64_t until_ns);
	/* The same for one word, for `for_ns`. */
	int (*futex_wait)(const _Atomic(uint32_t) *word, uint32_t value, uint64_t for_ns);
	/* Wake one waiter. */
	void (*futex_wake)(_Atomic(uint32_t) *word, bool is_shared);
	uint64_t (*clock_ns)(void); /* CLOCK_MONOTONIC */
	int (*getcpu)(void);        /* no system call in itself */
	int (*affinity)(void);      /* how many CPUs this process may use */
	int (*online)(void);        /* how many CPUs there are */
	ssize_t (*pread)(int fd, void *buffer, size_t size, off_t offset);
};

extern struct channel_calls channel_calls;

#endif
