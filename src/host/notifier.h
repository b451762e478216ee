/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes the shutdown eventfd once, without anybody waiting for that. The plugin has the same eventfd: it may
 * clear O_NONBLOCK and fill the counter, and then the write blocks. So a thread of its own does it, armed from any
 * thread or signal handler, and ended at teardown wherever it is.
 */
#ifndef PLUGVM_HOST_NOTIFIER_H
#define PLUGVM_HOST_NOTIFIER_H

#include <pthread.h>

struct notifier {
	pthread_t thread;
	int armed;  /* eventfd that only the host has */
	int target; /* the shared eventfd; owned by the notifier */
};

/* Returns 0 or -errno. */
int notifier_init(struct notifier *notifier);
/* Ends the thread. Bounded. */
void notifier_fini(struct notifier *notifier);
/* Have 1 added to the target. Never blocks. Any thread and signal handlers. */
void notifier_fire(struct notifier *notifier);

#endif
