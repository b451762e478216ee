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

#include "crosvm.h"

struct machine {
	atomic_uint connections;
	atomic_uint next_object; /* an id is never used again, also when its object could not be made */
	struct machine *next;    /* in the list of the retired */
	size_t vcpu_count;
	struct crosvm_vcpu *vcpus[];
};

/* Take the process's one place for a machine; false if it is taken. */
bool machine_claim(void);

/* Give the place back after no machine came of it. */
void machine_unclaim(void);

/*
 * Make the machine of the claimed place, with one connection, from two fds for each vCPU: the end to write,
 * the end to read. The fds move into it and become -1 in the array; on failure they stay the caller's.
 * Returns 0, -ENOMEM or the -errno of fstat(2).
 */
int machine_new(int *fds, size_t vcpu_count, struct machine **out_machine);

/* Count one more connection. The caller has one already. */
void machine_ref(struct machine *machine);

/*
 * Count one connection less. With the last one the vCPU channels close and the place is free again; the
 * vCPU structs stay, since plugins hold pointers to them.
 */
void machine_unref(struct machine *machine);

#endif
