/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that takes the place of the vCPUs' packets, for a plugin that asks for it. Main thread.
 */
#ifndef PLUGVM_HOST_VCPU_AREA_H
#define PLUGVM_HOST_VCPU_AREA_H

#include <pthread.h>

#include "channel/area.h"
#include "channel/host_end.h"
#include "host/link.h"

struct vcpu_area {
	struct tokens tokens; /* who may spin */
	int loadavg;          /* /proc/loadavg, for them; -1: nobody looks */
	struct area area;     /* its fd is -1 once it is the plugin's */
	struct host_end *ends;
	uint32_t vcpu_count;
	/* Whether a vCPU's thread has begun, after which nothing is handed over. */
	pthread_mutex_t lock;
	bool begun;
};

/*
 * Make it, while the host may still do so. `plugin_cpus` is how many CPUs the plugin may use, or UINT_MAX. Returns 0 or
 * -errno; either way vcpu_area_fini() follows.
 */
int vcpu_area_init(struct vcpu_area *area, uint32_t vcpu_count, struct spin_setting setting, unsigned plugin_cpus);
/* No vCPU's thread uses a page any more. */
void vcpu_area_fini(struct vcpu_area *area);

/* A vCPU's thread is about to use its link. */
void vcpu_area_begin(struct vcpu_area *area);

/* Have the links use it, and give it to the plugin. Returns 0; -EALREADY: the plugin has it; -EBUSY: too late. */
int vcpu_area_hand_over(struct vcpu_area *area, struct vcpu_link *links, int *out_fd);

#endif
