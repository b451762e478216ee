/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many CPUs this process can keep busy. In the host, before it gives up its rights.
 */
#ifndef PLUGVM_CHANNEL_CPUS_H
#define PLUGVM_CHANNEL_CPUS_H

#include <stdbool.h>

/* The directory of this process in the hierarchy with the cpu controller, and where that is mounted. */
struct cpus_cgroup {
	const char *top;
	const char *home; /* top, or below it */
	bool is_v2;
};

/*
 * Return how many CPUs the affinity and the quotas of the cgroup and those above it allow, whole ones: may be 0. `cgroup`
 * is NULL if there is none.
 */
unsigned int cpus_usable(const struct cpus_cgroup *cgroup);

#endif
