/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handlers of what a plugin may ask on a main connection beyond API 0.22.
 */
#include "host/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cpuid.h"
#include "host/features.h"
#include "host/msr_filter.h"
#include "kvm/kvm.h"

int request_features(struct request *request)
{
	wire_MainResponse_Features *features = &request->reply->message.message.features;
	*features = (wire_MainResponse_Features){
	    .version_major = PLUGVM_VERSION_MAJOR,
	    .version_minor = PLUGVM_VERSION_MINOR,
	    .version_patch = PLUGVM_VERSION_PATCH,
	    .features = features_of(request->vm),
	    .vcpu_count = request->session->vcpu_count,
	    .irqchip = request->vm ? request->vm->irqchip : PLUGVM_IRQCHIP_KERNEL,
	    .request_bytes = LIMIT_REQUEST_BYTES,
	    .connections = LIMIT_CONNECTIONS,
	    .ranges = LIMIT_RANGES,
	    .events = LIMIT_EVENTS,
	    .memory_slots = LIMIT_MEMORY_SLOTS,
	    .memory_bytes = (uint64_t)LIMIT_MEMORY_GIB << 30,
	    .irq_routes = LIMIT_IRQ_ROUTES,
	    .cpuid_entries = LIMIT_CPUID_ENTRIES,
	    .msrs = LIMIT_MSRS,
	};
	return 0;
}

int request_get_vcpus_from(struct request *request)
{
	uint32_t first = request->message->message.get_vcpus_from.first;
	uint32_t count = request->session->vcpu_count;
	if (first >= count)
		return -EINVAL;
	uint32_t end = count - first > LIMIT_VCPUS_PER_REPLY ? first + LIMIT_VCPUS_PER_REPLY : count;
	return request_hand_over_vcpus(request, first, end);
}

static int create_io_event(struct request *request)
{
	const wire_MainRequest_CreateExt *create = &request->message->message.create_ext;
	const wire_MainRequest_CreateExt_IoEvent *peer = &create->constructor.io_event;
	struct io_event wanted = {.address = peer->address, .length = peer->length};
	int result = address_space_from_wire(peer->space, &wanted.space);
	if (result == 0)
		result = objects_create_io_event(&request->session->objects, request->vm, create->id, &wanted,
		                                 &request->reply->fds[0]);
	if (result == 0)
		request->reply->fd_count = 1;
	return result;
}

static int create_edge_irq_event(struct request *request)
{
	const wire_MainRequest_CreateExt *create = &request->message->message.create_ext;
	int no_resample;
	int result = objects_create_irq_event(&request->session->objects, request->vm, create->id,
	                                      create->constructor.irq_event.irq_id, false, &request->reply->fds[0],
	                                      &no_resample);
	if (result == 0)
		request->reply->fd_count = 1;
	return result;
}

int request_create_ext(struct request *request)
{
	switch (request->message->message.create_ext.which_constructor) {
	case wire_MainRequest_CreateExt_io_event_tag:
		return create_io_event(request);
	case wire_MainRequest_CreateExt_irq_event_tag:
		return create_edge_irq_event(request);
	default:
		return -ENOTTY;
	}
}

int request_get_cpuid(struct request *request)
{
	struct kvm_cpuid2 *cpuid = cpuid_new();
	if (!cpuid)
		return -ENOMEM;
	request->reply->memory = cpuid;
	int result = request->message->message.get_cpuid.emulated
	                 ? kvm_get_emulated_cpuid(request->vm->kvm, cpuid)
	                 : kvm_get_supported_cpuid(request->vm->kvm, cpuid);
	if (result < 0)
		return result;
	request->reply->message.message.get_cpuid.entries = cpuid_bytes(cpuid);
	return 0;
}

int request_dirty_log_to(struct request *request)
{
	const wire_MainRequest_DirtyLogTo *peer = &request->message->message.dirty_log_to;
	if (request->packet->fd_count == 0)
		return -EBADF;
	return objects_write_dirty_log(&request->session->objects, request->vm, peer->id, request->packet->fds[0],
	                               peer->offset, &request->reply->message.message.dirty_log_to.size);
}

int request_pause_set(struct request *request)
{
	const wire_MainRequest_PauseSet *peer = &request->message->message.pause_set;
	for (uint32_t cpu = 0; cpu < request->session->vcpu_count && cpu / 8 < peer->cpu_mask.size; cpu++) {
		if (peer->cpu_mask.data[cpu / 8] >> (cpu % 8) & 1)
			session_pause(request->session, cpu, peer->user);
	}
	return 0;
}

int request_signal_msi(struct request *request)
{
	const wire_MainRequest_SignalMsi *peer = &request->message->message.signal_msi;
	struct kvm_msi msi = {
	    .address_lo = (uint32_t)peer->address,
	    .address_hi = (uint32_t)(peer->address >> 32),
	    .data = peer->data,
	};
	int result = kvm_vm_signal_msi(request->vm, &msi);
	request->reply->message.message.signal_msi.delivered = result > 0;
	return result < 0 ? result : 0;
}

int request_subscribe_exits(struct request *request)
{
	uint32_t peer_exits = request->message->message.subscribe_exits.exits;
	if (peer_exits & ~(uint32_t)WIRE_EXITS_ALL)
		return -EINVAL;
	atomic_store(&request->session->exits_wanted, peer_exits);
	return 0;
}

int request_set_msr_filter(struct request *request)
{
	return msr_filter_set(request->vm, &request->message->message.set_msr_filter,
	                      &request->session->msr_unknown_exits);
}

int request_get_end(struct request *request)
{
	const struct vm_end *end = &request->session->end;
	if (!end->is_set)
		return -EAGAIN;
	request->reply->message.message.get_end = (wire_MainResponse_GetEnd){
	    .reason = end->reason,
	    .value = end->value,
	    .cpu = end->cpu,
	    .text = {.data = (const uint8_t *)end->text, .size = strlen(end->text)},
	};
	return 0;
}

int request_get_area(struct request *request)
{
	struct session *session = request->session;
	if (request->message->message.get_area.version != AREA_VERSION)
		return -ENOTSUP;
	int result = vcpu_area_hand_over(&session->area, session->links, &request->reply->fds[0]);
	if (result == 0)
		request->reply->fd_count = 1;
	return result;
}
