/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin has made in KVM, by the ids that it chose, and the quotas on it. Main thread. Objects belong to
 * the VM, not to a connection. In this version the only kind is memory.
 */
#ifndef PLUGVM_HOST_OBJECTS_H
#define PLUGVM_HOST_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "host/memory.h"
#include "wire/limits.h"

struct object {
	uint32_t id;
	struct guest_memory memory;
};

struct objects {
	struct object *sorted; /* by id; room for LIMIT_MEMORY_SLOTS */
	size_t count;
	uint64_t memory_bytes; /* of guest memory, in all */
	uint32_t first_slot;
	uint64_t slots_used[(LIMIT_MEMORY_SLOTS + 63) / 64]; /* bit n: slot first_slot + n */
};

/* Returns 0 or -ENOMEM. Slots below `first_slot` are somebody else's. */
int objects_init(struct objects *objects, uint32_t first_slot);

/* Take everything out of the VM (NULL: it is gone already) and free. */
void objects_fini(struct objects *objects, struct plugvm_vm *vm);

/*
 * Make guest memory under `id`, in the lowest free slot. `fd` stays the caller's.
 *   -EEXIST  the id is in use (or KVM says that the memory overlaps); -ENOSPC  a quota; others: memory_map()
 */
int objects_create_memory(struct objects *objects, struct plugvm_vm *vm, uint32_t id, int fd,
                          const struct memory_request *request);

/* Destroy the object with this id; it stays if KVM refuses. -ENOENT: there is none. */
int objects_destroy(struct objects *objects, struct plugvm_vm *vm, uint32_t id);

#endif
