/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes the shutdown eventfd once, without anybody waiting for that.
 */
#include "host/notifier.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/fd.h"
#include "base/sys.h"

/* The thread needs little, but what the C library keeps on a stack differs, and sanitizers keep more. */
#define STACK_BYTES ((size_t)256 * 1024)

static void *notifier_thread(void *argument)
{
	struct notifier *notifier = argument;
	uint64_t value;
	capabilities_drop(); /* what the process gives up later, this thread would keep */
	/* Both calls are cancellation points; the second may block for as long as the plugin likes. */
	while (read(notifier->armed, &value, sizeof(value)) < 0 && errno == EINTR)
		;
	value = 1;
	while (write(notifier->target, &value, sizeof(value)) < 0 && errno == EINTR)
		;
	return NULL;
}

static int start_thread(struct notifier *notifier)
{
	pthread_attr_t attributes;
	int error = pthread_attr_init(&attributes);
	if (error)
		return -error;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* No signal handler of the embedder is to run here. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&notifier->thread, &attributes, notifier_thread, notifier);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

int notifier_init(struct notifier *notifier)
{
	notifier->target = -1;
	notifier->armed = sys.eventfd(0, EFD_CLOEXEC);
	if (notifier->armed < 0)
		return -errno;
	int result = 0;
	/* Blocking, because plugins block in read on it; only the thread of this file writes it. */
	notifier->target = sys.eventfd(0, EFD_CLOEXEC);
	if (notifier->target < 0)
		result = -errno;
	if (result == 0)
		result = start_thread(notifier);
	if (result < 0)
		fd_close_pair((int[]){fd_take(&notifier->armed), fd_take(&notifier->target)});
	return result;
}

void notifier_fini(struct notifier *notifier)
{
	if (notifier->armed < 0)
		return;
	pthread_cancel(notifier->thread);
	pthread_join(notifier->thread, NULL);
	fd_close(&notifier->armed);
	fd_close(&notifier->target);
}

void notifier_fire(struct notifier *notifier)
{
	uint64_t one = 1;
	/* Only the host writes this one, once or twice: it cannot block. */
	ssize_t ignored = write(notifier->armed, &one, sizeof(one));
	(void)ignored;
}
