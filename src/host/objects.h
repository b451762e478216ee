/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin has made in KVM, by the ids that it chose, and the quotas on it. Main thread. Objects belong to
 * the VM, not to a connection.
 */
#ifndef PLUGVM_HOST_OBJECTS_H
#define PLUGVM_HOST_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "host/events.h"
#include "host/memory.h"
#include "wire/limits.h"

enum object_kind { OBJECT_MEMORY, OBJECT_IO_EVENT, OBJECT_IRQ_EVENT };

struct object {
	uint32_t id;
	enum object_kind kind;
	union {
		struct guest_memory memory;
		struct io_event io_event;
		struct irq_event irq_event;
	};
};

#define OBJECTS_MAX (LIMIT_MEMORY_SLOTS + LIMIT_EVENTS)

struct objects {
	struct object *sorted; /* by id; room for OBJECTS_MAX */
	size_t count;
	size_t event_count;
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

/*
 * Register an ioeventfd or an irqfd under `id`. The eventfds that are the plugin's go to the out arguments: new
 * fds, the caller's to close. -EEXIST  the id is in use, or KVM has this very ioeventfd; -ENOSPC  a quota; -EMFILE
 * fds run low; others: io_event_init(), irq_event_init()
 */
int objects_create_io_event(struct objects *objects, struct plugvm_vm *vm, uint32_t id,
                            const struct io_event *wanted, int *out_fd);
int objects_create_irq_event(struct objects *objects, struct plugvm_vm *vm, uint32_t id, uint32_t peer_gsi,
                             bool resample, int *out_trigger, int *out_resample);

/*
 * Get and clear the dirty log of memory `id`: a bitmap made by malloc(), the caller's, of *out_size bytes.
 *   -ENOENT  there is no memory with this id, or it has no dirty log; -EMSGSIZE  more than `limit` bytes
 */
int objects_get_dirty_log(struct objects *objects, struct plugvm_vm *vm, uint32_t id, size_t limit,
                          uint8_t **out_bitmap, size_t *out_size);

/*
 * The same, written to the plugin's memfd at `peer_offset`. The log is cleared only once the memfd is known to take it.
 * Errors as log_window_init() too.
 */
int objects_write_dirty_log(struct objects *objects, struct plugvm_vm *vm, uint32_t id, int fd,
                            uint64_t peer_offset, uint64_t *out_size);

/* Destroy the object with this id; it stays if KVM refuses. -ENOENT: there is none. */
int objects_destroy(struct objects *objects, struct plugvm_vm *vm, uint32_t id);

#endif
