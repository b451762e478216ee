/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requests that make no object: one call each, nothing kept. Runs in the plugin, on the thread that the
 * connection belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "plugin/connection.h"
#include "plugin/space.h"
#include "plugin/stats.h"

int crosvm_get_shutdown_eventfd(struct crosvm *crosvm)
{
	STATS();
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
	STATS();
	if (!crosvm || !out_has)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_check_extension_tag,
	    .message.check_extension.extension = extension,
	};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	*out_has = response.message.check_extension.has_extension;
	return 0;
}

/* The protocol has no message for it, because no capability of the whole VM is a plugin's to enable. */
int crosvm_enable_capability(struct crosvm *crosvm, uint32_t capability, uint32_t flags, uint64_t args[4])
{
	STATS();
	(void)crosvm;
	(void)capability;
	(void)flags;
	(void)args;
	return -EINVAL;
}

int crosvm_start(struct crosvm *crosvm)
{
	STATS();
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_start_tag};
	return connection_command(crosvm, &request);
}

static int reserve(struct crosvm *crosvm, uint32_t space, uint64_t start, uint64_t length, bool async_write)
{
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_reserve_range_tag,
	    .message.reserve_range = {.start = start, .length = length, .async_write = async_write},
	};
	int error = space_to_wire(space, &request.message.reserve_range.space);
	return error ? error : connection_command(crosvm, &request);
}

int crosvm_reserve_range(struct crosvm *crosvm, uint32_t space, uint64_t start, uint64_t length)
{
	STATS();
	return reserve(crosvm, space, start, length, false);
}

int crosvm_reserve_async_write_range(struct crosvm *crosvm, uint32_t space, uint64_t start, uint64_t length)
{
	STATS();
	return reserve(crosvm, space, start, length, true);
}

int crosvm_pause_vcpus(struct crosvm *crosvm, uint64_t cpu_mask, void *user)
{
	STATS();
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_pause_vcpus_tag,
	    .message.pause_vcpus = {.cpu_mask = cpu_mask, .user = (uintptr_t)user},
	};
	return connection_command(crosvm, &request);
}

static int check_hint(const struct crosvm_hint *hint)
{
	bool is_valid = hint->hint_version == 0 && hint->_reserved == 0 && hint->address != 0 &&
	                (hint->address_flags & ~CROSVM_HINT_ON_WRITE) == 0 &&
	                hint->details_count <= CROSVM_MAX_HINT_DETAIL_COUNT &&
	                (hint->details_count == 0 || hint->details);
	return is_valid ? 0 : -EINVAL;
}

static void hint_details_to_wire(const struct crosvm_hint *hint, wire_MainRequest_SetCallHint_RegHint *out_details)
{
	for (uint32_t i = 0; i < hint->details_count; i++) {
		const struct crosvm_hint_detail *from = &hint->details[i];
		out_details[i] = (wire_MainRequest_SetCallHint_RegHint){
		    .match_rax = from->match_rax,
		    .match_rbx = from->match_rbx,
		    .match_rcx = from->match_rcx,
		    .match_rdx = from->match_rdx,
		    .rax = from->rax,
		    .rbx = from->rbx,
		    .rcx = from->rcx,
		    .rdx = from->rdx,
		    .send_sregs = from->send_sregs,
		    .send_debugregs = from->send_debugregs,
		};
	}
}

int crosvm_set_hypercall_hint(struct crosvm *crosvm, uint32_t count, const struct crosvm_hint *hints)
{
	STATS();
	if (!crosvm || count > CROSVM_MAX_HINT_COUNT || (count > 0 && !hints))
		return -EINVAL;
	wire_MainRequest_SetCallHint_RegHint details[CROSVM_MAX_HINT_DETAIL_COUNT];
	wire_MainRequest request = {.which_message = wire_MainRequest_set_call_hint_tag};
	if (count > 0) {
		wire_MainRequest_SetCallHint *message = &request.message.set_call_hint;
		int error = check_hint(&hints[0]);
		if (!error)
			error = space_to_wire(hints[0].address_space, &message->space);
		if (error)
			return error;
		hint_details_to_wire(&hints[0], details);
		message->address = hints[0].address;
		message->on_write = hints[0].address_flags & CROSVM_HINT_ON_WRITE;
		message->hints = (struct wire_array){.items = details, .count = hints[0].details_count};
	}
	return connection_command(crosvm, &request);
}

int crosvm_net_get_config(struct crosvm *crosvm, struct crosvm_net_config *out_config)
{
	STATS();
	if (!crosvm || !out_config)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_net_config_tag};
	wire_MainResponse response;
	FD_AUTO tap = -1;
	int error = connection_call(crosvm, &request, NULL, &tap, 1, &response);
	if (error)
		return error;
	const wire_MainResponse_GetNetConfig *config = &response.message.get_net_config;
	if (config->host_mac_address.size != sizeof(out_config->host_mac_address))
		return -EPROTO;
	memset(out_config, 0, sizeof(*out_config));
	memcpy(out_config->host_mac_address, config->host_mac_address.data, config->host_mac_address.size);
	out_config->host_ip = config->host_ipv4_address;
	out_config->netmask = config->netmask;
	out_config->tap_fd = fd_take(&tap);
	return 0;
}
