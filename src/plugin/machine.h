/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual machine as the plugin sees it: what its connections share. Runs in the plugin, on any thread;
 * there is at most one machine at a time, whose connections count it.
 */
#ifndef PLUGVM_PLUGIN_MACHINE_H
#define PLUGVM_PLUGIN_MACHINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/area.h"
#include "crosvm.h"

struct machine {
	atomic_uint connections;
	atomic_uint next_object; /* an id is never used again, also when its object could not be made */
	struct machine *next;    /* in the list of the retired */
	struct crosvm_info info; /* what the host said of itself; does not change */
	atomic_uint area_users;  /* vCPUs whose calls may still touch it */
	struct area area;        /* what its vCPUs share with the host; its fd is -1 and memory NULL: nothing */
	size_t vcpu_count;
	struct crosvm_vcpu *vcpus[];
};

/* Take the process's one place for a machine; false if it is taken. */
bool machine_claim(void);

/* Give the place back after no machine came of it. */
void machine_unclaim(void);

/*
 * Make the machine of the claimed place, with one connection, from two fds for each of info->vcpu_count vCPUs: the end
 * to write, the end to read; and from the memory that the vCPUs share with the host, or NULL. Both move into it; the fds
 * become -1 in the array; on failure they stay the caller's, but for those that are -1, and so does the memory. Returns
 * 0, -ENOMEM or the -errno of fstat(2).
 */
int machine_new(const struct crosvm_info *info, int *fds, const struct area *area, struct machine **out_machine);

/* True if the host speaks API 0.22 and nothing of what was added. */
static inline bool machine_is_original(const struct machine *machine)
{
	const struct crosvm_info *info = &machine->info;
	return info->host_major == 0 && info->host_minor == 0 && info->host_patch == 0;
}

/* Ask for one of CROSVM_FEATURE_*. */
static inline bool machine_has(const struct machine *machine, uint64_t feature)
{
	return machine->info.features & feature;
}

/* A vCPU's calls are over for good. With the last one the shared memory goes. */
void machine_leave_area(struct machine *machine);

/* Count one more connection. The caller has one already. */
void machine_ref(struct machine *machine);

/*
 * Count one connection less. With the last one the vCPU channels close and the place is free again; the
 * vCPU structs stay, since plugins hold pointers to them.
 */
void machine_unref(struct machine *machine);

#endif
