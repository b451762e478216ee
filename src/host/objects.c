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
	objects->sorted = calloc(OBJECTS_MAX, sizeof(objects->sorted[0]));
	return objects->sorted ? 0 : -ENOMEM;
}

static int object_fini(struct object *object, struct plugvm_vm *vm)
{
	switch (object->kind) {
	case OBJECT_MEMORY:
		return memory_unmap(vm, &object->memory);
	case OBJECT_IO_EVENT:
		return io_event_fini(&object->io_event, vm);
	case OBJECT_IRQ_EVENT:
		return irq_event_fini(&object->irq_event, vm);
	}
	return -EINVAL;
}

void objects_fini(struct objects *objects, struct plugvm_vm *vm)
{
	for (size_t i = 0; i < objects->count; i++) {
		/* A slot that KVM does not give up keeps its mapping: freeing it would pull it from under the
		 * guest. */
		object_fini(&objects->sorted[i], vm);
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

/* Returns the object with this id, or NULL. */
static struct object *find(const struct objects *objects, uint32_t id)
{
	size_t at = position(objects, id);
	return at < objects->count && objects->sorted[at].id == id ? &objects->sorted[at] : NULL;
}

/* Put the object among the others; the quotas have made sure that there is room. */
static void insert(struct objects *objects, const struct object *object)
{
	size_t at = position(objects, object->id);
	memmove(&objects->sorted[at + 1], &objects->sorted[at], (objects->count - at) * sizeof(*object));
	objects->sorted[at] = *object;
	objects->count++;
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
	if (find(objects, id))
		return -EEXIST;
	/* What is wrong in itself before what is too much. */
	int result = memory_check(vm, fd, request);
	if (result < 0)
		return result;
	uint32_t slot_index = free_slot(objects);
	if (slot_index == LIMIT_MEMORY_SLOTS || request->peer_length > MEMORY_BYTES_MAX - objects->memory_bytes)
		return -ENOSPC;

	struct object object = {.id = id, .kind = OBJECT_MEMORY};
	result = memory_map(vm, fd, request, objects->first_slot + slot_index, &object.memory);
	if (result < 0)
		return result;
	flip_slot(objects, slot_index);
	objects->memory_bytes += object.memory.length;
	insert(objects, &object);
	return 0;
}

/* Check what holds for a new event of either kind. */
static int check_new_event(const struct objects *objects, uint32_t id)
{
	if (find(objects, id))
		return -EEXIST;
	return objects->event_count < LIMIT_EVENTS ? 0 : -ENOSPC;
}

int objects_create_io_event(struct objects *objects, struct plugvm_vm *vm, uint32_t id,
                            const struct io_event *wanted, int *out_fd)
{
	struct object object = {.id = id, .kind = OBJECT_IO_EVENT};
	int result = check_new_event(objects, id);
	if (result == 0)
		result = io_event_init(&object.io_event, vm, wanted, out_fd);
	if (result < 0)
		return result;
	objects->event_count++;
	insert(objects, &object);
	return 0;
}

int objects_create_irq_event(struct objects *objects, struct plugvm_vm *vm, uint32_t id, uint32_t peer_gsi,
                             bool resample, int *out_trigger, int *out_resample)
{
	struct object object = {.id = id, .kind = OBJECT_IRQ_EVENT};
	int result = check_new_event(objects, id);
	if (result == 0)
		result = irq_event_init(&object.irq_event, vm, peer_gsi, resample, out_trigger, out_resample);
	if (result < 0)
		return result;
	objects->event_count++;
	insert(objects, &object);
	return 0;
}

int objects_get_dirty_log(struct objects *objects, struct plugvm_vm *vm, uint32_t id, size_t limit,
                          uint8_t **out_bitmap, size_t *out_size)
{
	const struct object *object = find(objects, id);
	if (!object || object->kind != OBJECT_MEMORY)
		return -ENOENT;
	/* Before KVM is asked, which clears the log: what cannot be handed over must not be lost. */
	if (memory_dirty_log_bytes(&object->memory) > limit)
		return -EMSGSIZE;
	return memory_get_dirty_log(vm, &object->memory, out_bitmap, out_size);
}

int objects_write_dirty_log(struct objects *objects, struct plugvm_vm *vm, uint32_t id, int fd,
                            uint64_t peer_offset, uint64_t *out_size)
{
	const struct object *object = find(objects, id);
	if (!object || object->kind != OBJECT_MEMORY)
		return -ENOENT;
	struct log_window window;
	int result = log_window_init(&window, fd, peer_offset, memory_dirty_log_bytes(&object->memory));
	if (result < 0)
		return result;
	uint8_t *bitmap;
	result = memory_get_dirty_log(vm, &object->memory, &bitmap, &window.size);
	if (result == 0) {
		result = log_window_write(&window, bitmap);
		free(bitmap);
	}
	*out_size = window.size;
	log_window_fini(&window);
	return result;
}

int objects_destroy(struct objects *objects, struct plugvm_vm *vm, uint32_t id)
{
	struct object *object = find(objects, id);
	if (!object)
		return -ENOENT;
	struct object gone = *object;
	int result = object_fini(object, vm);
	if (result < 0)
		return result;
	if (gone.kind == OBJECT_MEMORY) {
		flip_slot(objects, gone.memory.slot - objects->first_slot);
		objects->memory_bytes -= gone.memory.length;
	} else {
		objects->event_count--;
	}
	size_t at = (size_t)(object - objects->sorted);
	objects->count--;
	memmove(object, object + 1, (objects->count - at) * sizeof(*object));
	return 0;
}
