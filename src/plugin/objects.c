/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of the VM: guest memory. The host keeps the object; the plugin has a handle with its id. Runs
 * in the plugin, on the thread that the connection belongs to. The host may die at any moment or be an older
 * one.
 */
#include <errno.h>
#include <stdlib.h>

#include "plugin/connection.h"

struct crosvm_memory {
	uint32_t id;
};

static int destroy_object(struct crosvm *crosvm, uint32_t id)
{
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_destroy_tag,
	    .message.destroy.id = id,
	};
	wire_MainResponse response;
	return connection_call(crosvm, &request, NULL, NULL, 0, &response);
}

int crosvm_create_memory(struct crosvm *crosvm, int fd, uint64_t offset, uint64_t length, uint64_t start,
                         bool read_only, bool dirty_log, struct crosvm_memory **out_memory)
{
	if (!crosvm || !out_memory)
		return -EINVAL;
	struct crosvm_memory *memory = malloc(sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->id = atomic_fetch_add(&crosvm->machine->next_object, 1);

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
	if (!crosvm || !memory || !*memory)
		return -EINVAL;
	int error = destroy_object(crosvm, (*memory)->id);
	if (error)
		return error;
	free(*memory);
	*memory = NULL;
	return 0;
}
