/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin has made in KVM, by the ids that it chose.
 */
#include "host/objects.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES_MAX ((uint64_t)LIMIT_MEMORY_GIB << 30)

int objects_init(struct objects *objects, uint32_t first_slot)
{
	memset(objects, 0, sizeof(*objects));
	objects->first_slot = first_slot;
	objects->sorted = calloc(LIMIT_MEMORY_SLOTS, sizeof(objects->sorted[0]));
	return objects->sorted ? 0 : -ENOMEM;
}

void objects_fini(struct objects *objects, struct plugvm_vm *vm)
{
	for (size_t i = 0; i < objects->count; i++) {
		/* A slot that KVM does not give up keeps its mapping: freeing it would pull it from under the
		 * guest. */
		memory_unmap(vm, &objects->sorted[i].memory);
	}
	free(objects->sorted);
	memset(objects, 0, sizeof(*objects));
}

/* Returns where `id` is or would be. */
static size_t position(const struct objects *objects, uint32_t id)
{
	size_t low = 0, high = objects->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (objects->sorted[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool exists_at(const struct objects *objects, size_t at, uint32_t id)
{
	return at < objects->count && objects->sorted[at].id == id;
}

/* Returns the lowest free slot's index, or LIMIT_MEMORY_SLOTS. */
static uint32_t free_slot(const struct objects *objects)
{
	uint32_t index = 0;
	while (index < LIMIT_MEMORY_SLOTS && objects->slots_used[index / 64] >> (index % 64) & 1)
		index++;
	return index;
}

static void flip_slot(struct objects *objects, uint32_t index)
{
	objects->slots_used[index / 64] ^= UINT64_C(1) << (index % 64);
}

int objects_create_memory(struct objects *objects, struct plugvm_vm *vm, uint32_t id, int fd,
                          const struct memory_request *request)
{
	size_t at = position(objects, id);
	if (exists_at(objects, at, id))
		return -EEXIST;
	/* What is wrong in itself before what is too much. */
	int result = memory_check(vm, fd, request);
	if (result < 0)
		return result;
	uint32_t slot_index = free_slot(objects);
	if (slot_index == LIMIT_MEMORY_SLOTS || request->peer_length > MEMORY_BYTES_MAX - objects->memory_bytes)
		return -ENOSPC;

	struct object object = {.id = id};
	result = memory_map(vm, fd, request, objects->first_slot + slot_index, &object.memory);
	if (result < 0)
		return result;
	flip_slot(objects, slot_index);
	objects->memory_bytes += object.memory.length;
	memmove(&objects->sorted[at + 1], &objects->sorted[at], (objects->count - at) * sizeof(object));
	objects->sorted[at] = object;
	objects->count++;
	return 0;
}

int objects_destroy(struct objects *objects, struct plugvm_vm *vm, uint32_t id)
{
	size_t at = position(objects, id);
	if (!exists_at(objects, at, id))
		return -ENOENT;
	struct guest_memory *memory = &objects->sorted[at].memory;
	uint32_t slot_index = memory->slot - objects->first_slot;
	uint64_t length = memory->length;
	int result = memory_unmap(vm, memory);
	if (result < 0)
		return result;
	flip_slot(objects, slot_index);
	objects->memory_bytes -= length;
	objects->count--;
	memmove(&objects->sorted[at], &objects->sorted[at + 1],
	        (objects->count - at) * sizeof(objects->sorted[0]));
	return 0;
}
