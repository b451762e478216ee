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
#include "wire/event.h"

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

/* What is beyond the vCPU count stays here. */
static struct wire_bytes cut_mask(uint32_t vcpu_count, uint32_t word_count, const uint64_t *words,
                                  uint64_t out_words[LIMIT_VCPUS / 64])
{
	uint32_t count = (vcpu_count + 63) / 64;
	if (count > word_count)
		count = word_count;
	for (uint32_t i = 0; i < count; i++)
		out_words[i] = words[i];
	if (count * 64 > vcpu_count)
		out_words[count - 1] &= UINT64_MAX >> (count * 64 - vcpu_count);
	return (struct wire_bytes){(const uint8_t *)out_words, count * sizeof(out_words[0])};
}

int crosvm_pause_vcpu_set(struct crosvm *crosvm, uint32_t word_count, const uint64_t *words, void *user)
{
	STATS();
	if (!crosvm || (word_count > 0 && !words))
		return -EINVAL;
	uint64_t mask[LIMIT_VCPUS / 64] = {0};
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_pause_set_tag,
	    .message.pause_set = {.cpu_mask = cut_mask(crosvm->machine->info.vcpu_count, word_count, words, mask),
	                          .user = (uintptr_t)user},
	};
	if (machine_has(crosvm->machine, CROSVM_FEATURE_PAUSE_SET))
		return connection_command(crosvm, &request);
	for (size_t i = 1; i < sizeof(mask) / sizeof(mask[0]); i++)
		if (mask[i] != 0)
			return connection_need(crosvm, CROSVM_FEATURE_PAUSE_SET);
	request = (wire_MainRequest){
	    .which_message = wire_MainRequest_pause_vcpus_tag,
	    .message.pause_vcpus = {.cpu_mask = mask[0], .user = (uintptr_t)user},
	};
	return connection_command(crosvm, &request);
}

_Static_assert((int)CROSVM_EXIT_HLT == (int)WIRE_EXIT_HLT, "HLT");
_Static_assert((int)CROSVM_EXIT_SHUTDOWN == (int)WIRE_EXIT_SHUTDOWN, "SHUTDOWN");
_Static_assert((int)CROSVM_EXIT_INTERNAL_ERROR == (int)WIRE_EXIT_INTERNAL_ERROR, "INTERNAL_ERROR");
_Static_assert((int)CROSVM_EXIT_IOAPIC_EOI == (int)WIRE_EXIT_IOAPIC_EOI, "IOAPIC_EOI");

int crosvm_subscribe_exits(struct crosvm *crosvm, uint32_t exits)
{
	STATS();
	if (!crosvm || (exits & ~(uint32_t)WIRE_EXITS_ALL))
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_subscribe_exits_tag,
	    .message.subscribe_exits.exits = exits,
	};
	int error = connection_need(crosvm, CROSVM_FEATURE_EXITS);
	return error ? error : connection_command(crosvm, &request);
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
