/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of the VM: guest memory, io events, irq events. The host keeps the object; the plugin has a handle with
 * its id. Runs in the plugin, on the thread that the connection belongs to. The host may die at any moment or be an
 * older one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "plugin/connection.h"
#include "plugin/memory.h"
#include "plugin/space.h"
#include "plugin/stats.h"

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

/* The length of an access, in this API: 0 stands for any. */
static bool is_access_length(uint32_t length)
{
	return length == 0 || length == 1 || length == 2 || length == 4 || length == 8;
}

/* Fill in the request's constructor. Of a length and with any data: that the message of API 0.22 cannot say. */
static int io_event_to_wire(const struct crosvm *crosvm, uint32_t space, uint64_t address, uint32_t length,
                            const uint8_t *datamatch, wire_MainRequest *request)
{
	if (length == 0 || datamatch) {
		wire_MainRequest_Create *create = &request->message.create;
		request->which_message = wire_MainRequest_create_tag;
		create->which_constructor = wire_MainRequest_Create_io_event_tag;
		create->constructor.io_event.address = address;
		create->constructor.io_event.length = length;
		if (length > 0)
			memcpy(&create->constructor.io_event.datamatch, datamatch, length);
		return space_to_wire(space, &create->constructor.io_event.space);
	}
	if (!machine_has(crosvm->machine, CROSVM_FEATURE_CREATE_EXT))
		return -ENOTSUP;
	wire_MainRequest_CreateExt *create = &request->message.create_ext;
	request->which_message = wire_MainRequest_create_ext_tag;
	create->which_constructor = wire_MainRequest_CreateExt_io_event_tag;
	create->constructor.io_event.address = address;
	create->constructor.io_event.length = length;
	return space_to_wire(space, &create->constructor.io_event.space);
}

int crosvm_create_io_event(struct crosvm *crosvm, uint32_t space, uint64_t address, uint32_t length,
                           const uint8_t *datamatch, struct crosvm_io **out_io)
{
	STATS();
	if (!crosvm || !out_io || !is_access_length(length))
		return -EINVAL;
	wire_MainRequest request;
	memset(&request, 0, sizeof(request));
	int error = io_event_to_wire(crosvm, space, address, length, datamatch, &request);
	if (error)
		return error;
	struct crosvm_io *io = malloc(sizeof(*io));
	if (!io)
		return -ENOMEM;
	io->id = next_id(crosvm);
	if (request.which_message == wire_MainRequest_create_tag)
		request.message.create.id = io->id;
	else
		request.message.create_ext.id = io->id;
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

/* Make an irq event under the id that the request already has. */
static int create_irq(struct crosvm *crosvm, const wire_MainRequest *request, uint32_t id, size_t fd_count,
                      struct crosvm_irq **out_irq)
{
	struct crosvm_irq *irq = malloc(sizeof(*irq));
	if (!irq)
		return -ENOMEM;
	int fds[2] = {-1, -1};
	wire_MainResponse response;
	int error = connection_call(crosvm, request, NULL, fds, fd_count, &response);
	if (error) {
		free(irq);
		return error;
	}
	*irq = (struct crosvm_irq){.id = id, .trigger = fds[0], .resample = fds[1]};
	*out_irq = irq;
	return 0;
}

int crosvm_create_irq_event(struct crosvm *crosvm, uint32_t irq_id, struct crosvm_irq **out_irq)
{
	STATS();
	if (!crosvm || !out_irq)
		return -EINVAL;
	uint32_t id = next_id(crosvm);
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_create_tag,
	    .message.create = {.id = id,
	                       .which_constructor = wire_MainRequest_Create_irq_event_tag,
	                       .constructor.irq_event = {.irq_id = irq_id, .resample = true}},
	};
	return create_irq(crosvm, &request, id, 2, out_irq);
}

int crosvm_create_edge_irq_event(struct crosvm *crosvm, uint32_t irq_id, struct crosvm_irq **out_irq)
{
	STATS();
	if (!crosvm || !out_irq)
		return -EINVAL;
	int error = connection_need(crosvm, CROSVM_FEATURE_CREATE_EXT);
	if (error)
		return error;
	uint32_t id = next_id(crosvm);
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_create_ext_tag,
	    .message.create_ext = {.id = id,
	                           .which_constructor = wire_MainRequest_CreateExt_irq_event_tag,
	                           .constructor.irq_event = {.irq_id = irq_id}},
	};
	return create_irq(crosvm, &request, id, 1, out_irq);
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
	if (!irq)
		return -EINVAL;
	return irq->resample < 0 ? -ENODATA : irq->resample;
}
