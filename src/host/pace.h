/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main thread's work for a plugin whose share of CPU time is limited: a share of its own. What a plugin asks for
 * costs its host more than itself, and no cgroup holds the host: its vCPUs and its stop must never wait for a plugin's
 * quota. So after some work the plugin's requests rest until the share allows more; the sockets fill and the plugin
 * waits. One thread.
 */
#ifndef PLUGVM_HOST_PACE_H
#define PLUGVM_HOST_PACE_H

#include <stdint.h>

struct pace {
	uint64_t percent; /* of one CPU; 0: not limited */
	uint64_t due_ns;  /* when the work so far is within the share; of clock_ns() */
};

/* Return when the plugin may be served again; what is not after now: at once. */
uint64_t pace_next_ns(const struct pace *);

/* Work for the plugin was done from `begin_ns` to `end_ns`. */
void pace_spend(struct pace *, uint64_t begin_ns, uint64_t end_ns);

#endif
