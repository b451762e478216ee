/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of the VM: guest memory, io events, irq events. The host keeps the object; the plugin has a handle with its id. Runs
 * in the plugin, on the thread that the connection belongs to. The host may die at any moment or be an older
 * one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "plugin/connection.h"
#include "plugin/space.h"
#include "plugin/stats.h"

struct crosvm_memory {
	uint32_t id;
	uint64_t length;
};

struct crosvm_io {
	uint32_t id;
	int fd;
};

struct crosvm_irq {
	uint32_t id;
	int trigger;
	int resample;
};

static uint32_t next_id(struct crosvm *crosvm)
{
	return atomic_fetch_add(&crosvm->machine->next_object, 1);
}

static int destroy_object(struct crosvm *crosvm, uint32_t id)
{
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_destroy_tag,
	    .message.destroy.id = id,
	};
	return connection_command(crosvm, &request);
}

int crosvm_create_memory(struct crosvm *crosvm, int fd, uint64_t offset, uint64_t length, uint64_t start,
                         bool read_only, bool dirty_log, struct crosvm_memory **out_memory)
{
	STATS();
	if (!crosvm || !out_memory)
		return -EINVAL;
	struct crosvm_memory *memory = malloc(sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->id = next_id(crosvm);
	memory->length = length;

	wire_MainRequest request = {
	    .which_message = wire_MainRequest_create_tag,
	    .message.create =
	        {
	            .id = memory->id,
	            .which_constructor = wire_MainRequest_Create_memory_tag,
	            .constructor.memory =
	                {
	                    .offset = offset,
	                    .start = start,
	                    .length = length,
	                    .read_only = read_only,
	                    .dirty_log = dirty_log,
	                },
	        },
	};
	wire_MainResponse response;
	int error = connection_call(crosvm, &request, &fd, NULL, 0, &response);
	if (error) {
		free(memory);
		return error;
	}
	*out_memory = memory;
	return 0;
}

int crosvm_destroy_memory(struct crosvm *crosvm, struct crosvm_memory **memory)
{
	STATS();
	if (!crosvm || !memory || !*memory)
		return -EINVAL;
	int error = destroy_object(crosvm, (*memory)->id);
	if (error)
		return error;
	free(*memory);
	*memory = NULL;
	return 0;
}

int crosvm_memory_get_dirty_log(struct crosvm *crosvm, struct crosvm_memory *memory, uint8_t *out_log)
{
	STATS();
	if (!crosvm || !memory || !out_log)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_dirty_log_tag,
	    .message.dirty_log.id = memory->id,
	};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	const struct wire_bytes *bitmap = &response.message.dirty_log.bitmap;
	if (bitmap->size != (memory->length / 4096 + 7) / 8)
		return -EPROTO;
	memcpy(out_log, bitmap->data, bitmap->size);
	return 0;
}

/* The length of an access, in this API: 0 stands for any. */
static bool is_access_length(uint32_t length)
{
	return length == 0 || length == 1 || length == 2 || length == 4 || length == 8;
}

int crosvm_create_io_event(struct crosvm *crosvm, uint32_t space, uint64_t address, uint32_t length,
                           const uint8_t *datamatch, struct crosvm_io **out_io)
{
	STATS();
	if (!crosvm || !out_io || !is_access_length(length))
		return -EINVAL;
	/* "This length, any data" cannot be said in the message of API 0.22. */
	if (length > 0 && !datamatch)
		return -ENOTSUP;
	uint64_t match = 0;
	if (length > 0)
		memcpy(&match, datamatch, length);

	wire_MainRequest request = {
	    .which_message = wire_MainRequest_create_tag,
	    .message.create = {.id = next_id(crosvm),
	                       .which_constructor = wire_MainRequest_Create_io_event_tag,
	                       .constructor.io_event = {.address = address, .length = length, .datamatch = match}},
	};
	int error = space_to_wire(space, &request.message.create.constructor.io_event.space);
	if (error)
		return error;
	struct crosvm_io *io = malloc(sizeof(*io));
	if (!io)
		return -ENOMEM;
	io->id = request.message.create.id;
	wire_MainResponse response;
	error = connection_call(crosvm, &request, NULL, &io->fd, 1, &response);
	if (error) {
		free(io);
		return error;
	}
	*out_io = io;
	return 0;
}

int crosvm_destroy_io_event(struct crosvm *crosvm, struct crosvm_io **io)
{
	STATS();
	if (!crosvm || !io || !*io)
		return -EINVAL;
	int error = destroy_object(crosvm, (*io)->id);
	if (error)
		return error;
	fd_close(&(*io)->fd);
	free(*io);
	*io = NULL;
	return 0;
}

int crosvm_io_event_fd(struct crosvm_io *io)
{
	STATS();
	return io ? io->fd : -EINVAL;
}

int crosvm_create_irq_event(struct crosvm *crosvm, uint32_t irq_id, struct crosvm_irq **out_irq)
{
	STATS();
	if (!crosvm || !out_irq)
		return -EINVAL;
	struct crosvm_irq *irq = malloc(sizeof(*irq));
	if (!irq)
		return -ENOMEM;
	irq->id = next_id(crosvm);
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_create_tag,
	    .message.create = {.id = irq->id,
	                       .which_constructor = wire_MainRequest_Create_irq_event_tag,
	                       .constructor.irq_event = {.irq_id = irq_id, .resample = true}},
	};
	wire_MainResponse response;
	int fds[2];
	int error = connection_call(crosvm, &request, NULL, fds, 2, &response);
	if (error) {
		free(irq);
		return error;
	}
	irq->trigger = fds[0];
	irq->resample = fds[1];
	*out_irq = irq;
	return 0;
}

int crosvm_destroy_irq_event(struct crosvm *crosvm, struct crosvm_irq **irq)
{
	STATS();
	if (!crosvm || !irq || !*irq)
		return -EINVAL;
	int error = destroy_object(crosvm, (*irq)->id);
	if (error)
		return error;
	fd_close(&(*irq)->trigger);
	fd_close(&(*irq)->resample);
	free(*irq);
	*irq = NULL;
	return 0;
}

int crosvm_irq_event_get_fd(const struct crosvm_irq *irq)
{
	STATS();
	return irq ? irq->trigger : -EINVAL;
}

int crosvm_irq_event_get_resample_fd(const struct crosvm_irq *irq)
{
	STATS();
	return irq ? irq->resample : -EINVAL;
}
