/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requests that make no object: one call each, nothing kept. Runs in the plugin, on the thread that the
 * connection belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>

#include "plugin/connection.h"

int crosvm_get_shutdown_eventfd(struct crosvm *crosvm)
{
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_shutdown_eventfd_tag};
	wire_MainResponse response;
	int fd;
	int error = connection_call(crosvm, &request, NULL, &fd, 1, &response);
	return error ? error : fd;
}

int crosvm_check_extension(struct crosvm *crosvm, uint32_t extension, bool *out_has)
{
	if (!crosvm || !out_has)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_check_extension_tag,
	    .message.check_extension.extension = extension,
	};
	wire_MainResponse response;
	int error = connection_call(crosvm, &request, NULL, NULL, 0, &response);
	if (error)
		return error;
	*out_has = response.message.check_extension.has_extension;
	return 0;
}

/* The protocol has no message for it, because no capability of the whole VM is a plugin's to enable. */
int crosvm_enable_capability(struct crosvm *crosvm, uint32_t capability, uint32_t flags, uint64_t args[4])
{
	(void)crosvm;
	(void)capability;
	(void)flags;
	(void)args;
	return -EINVAL;
}

int crosvm_start(struct crosvm *crosvm)
{
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_start_tag};
	wire_MainResponse response;
	return connection_call(crosvm, &request, NULL, NULL, 0, &response);
}

static int space_to_wire(uint32_t space, wire_AddressSpace *out_space)
{
	switch (space) {
	case CROSVM_ADDRESS_SPACE_IOPORT:
		*out_space = wire_AddressSpace_IOPORT;
		return 0;
	case CROSVM_ADDRESS_SPACE_MMIO:
		*out_space = wire_AddressSpace_MMIO;
		return 0;
	default:
		return -EINVAL;
	}
}

int crosvm_reserve_range(struct crosvm *crosvm, uint32_t space, uint64_t start, uint64_t length)
{
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_reserve_range_tag,
	    .message.reserve_range = {.start = start, .length = length},
	};
	int error = space_to_wire(space, &request.message.reserve_range.space);
	if (error)
		return error;
	wire_MainResponse response;
	return connection_call(crosvm, &request, NULL, NULL, 0, &response);
}
