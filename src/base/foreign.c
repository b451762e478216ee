/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close what a peer has sent, or may have sent something into.
 */
#include "base/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* As for the notifier's thread: sanitizers keep more on a stack than we do. */
#define STACK_BYTES ((size_t)256 * 1024)

struct closing {
	size_t count;
	int fds[];
};

static atomic_uint threads;

static void *close_all(void *argument)
{
	struct closing *closing = argument;
	for (size_t i = 0; i < closing->count; i++)
		close(closing->fds[i]);
	free(closing);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

static int start_thread(struct closing *closing, pthread_t *out_thread)
{
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0)
		return -1;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* No signal handler of the embedder is to run here. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(out_thread, &attributes, close_all, closing);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return error ? -1 : 0;
}

/* Wait until the thread ends by itself, but not for long. */
static void leave(pthread_t thread, size_t patience_ms)
{
	const struct timespec nap = {.tv_nsec = 50000};
	uint64_t end_ns = clock_ns() + patience_ms * 1000000;
	while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
		if (clock_ns() >= end_ns) {
			pthread_detach(thread);
			return;
		}
		nanosleep(&nap, NULL);
	}
}

static void close_elsewhere(const int *fds, size_t count)
{
	struct closing *closing = malloc(sizeof(*closing) + count * sizeof(fds[0]));
	if (!closing)
		return;
	closing->count = count;
	memcpy(closing->fds, fds, count * sizeof(fds[0]));
	pthread_t thread;
	bool is_free = atomic_fetch_add(&threads, 1) < FOREIGN_THREADS_MAX;
	if (is_free && start_thread(closing, &thread) == 0) {
		leave(thread, FOREIGN_PATIENCE_MS + count);
		return;
	}
	atomic_fetch_sub(&threads, 1);
	free(closing);
}

void foreign_close(int *fds, size_t count)
{
	int saved = errno;
	size_t others = 0;
	for (size_t i = 0; i < count; i++) {
		int fd = fds[i];
		fds[i] = -1;
		if (fd < 0)
			continue;
		/* Only files in memory have seals; nothing waits when they are closed. */
		if (fcntl(fd, F_GET_SEALS) >= 0)
			close(fd);
		else
			fds[others++] = fd;
	}
	if (others > 0)
		close_elsewhere(fds, others);
	for (size_t i = 0; i < others; i++)
		fds[i] = -1;
	errno = saved;
}
