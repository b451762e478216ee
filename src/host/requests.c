/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of what a plugin may ask on a main connection, in which phase and with which fds, and the handlers of API
 * 0.22.
 */
#include "host/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "host/cpuid.h"
#include "kvm/kvm.h"

static int create_memory(struct request *request)
{
	const wire_MainRequest_Create *create = &request->message->message.create;
	const wire_MainRequest_Create_Memory *peer = &create->constructor.memory;
	if (request->packet->fd_count == 0)
		return -EBADF;
	struct memory_request wanted = {
	    .peer_offset = peer->offset,
	    .peer_start = peer->start,
	    .peer_length = peer->length,
	    .read_only = peer->read_only,
	    .dirty_log = peer->dirty_log,
	};
	return objects_create_memory(&request->session->objects, request->vm, create->id, request->packet->fds[0],
	                             &wanted);
}

static int create_io_event(struct request *request)
{
	const wire_MainRequest_Create *create = &request->message->message.create;
	const wire_MainRequest_Create_IoEvent *peer = &create->constructor.io_event;
	/* In this message there is no way to say "this length, any data"; CreateExt has one. */
	struct io_event wanted = {
	    .address = peer->address,
	    .length = peer->length,
	    .has_datamatch = peer->length > 0,
	    .datamatch = peer->length > 0 ? peer->datamatch : 0,
	};
	int result = address_space_from_wire(peer->space, &wanted.space);
	if (result == 0)
		result = objects_create_io_event(&request->session->objects, request->vm, create->id, &wanted,
		                                 &request->reply->fds[0]);
	if (result == 0)
		request->reply->fd_count = 1;
	return result;
}

static int create_irq_event(struct request *request)
{
	const wire_MainRequest_Create *create = &request->message->message.create;
	int result = objects_create_irq_event(&request->session->objects, request->vm, create->id,
	                                      create->constructor.irq_event.irq_id, true, &request->reply->fds[0],
	                                      &request->reply->fds[1]);
	if (result == 0)
		request->reply->fd_count = 2;
	return result;
}

static int create(struct request *request)
{
	bool has_fds = request->packet->fd_count > 0;
	switch (request->message->message.create.which_constructor) {
	case wire_MainRequest_Create_memory_tag:
		return create_memory(request);
	case wire_MainRequest_Create_io_event_tag:
		return has_fds ? -EINVAL : create_io_event(request);
	case wire_MainRequest_Create_irq_event_tag:
		return has_fds ? -EINVAL : create_irq_event(request);
	default:
		return -ENOTTY;
	}
}

static int destroy(struct request *request)
{
	return objects_destroy(&request->session->objects, request->vm, request->message->message.destroy.id);
}

static int new_connection(struct request *request)
{
	int result = session_add_connection(request->session, &request->reply->fds[0]);
	if (result == 0)
		request->reply->fd_count = 1;
	return result;
}

static int get_shutdown_eventfd(struct request *request)
{
	request->reply->fds[0] = request->session->notifier.target;
	request->reply->fd_count = 1;
	request->reply->fds_are_ours = true;
	return 0;
}

static int check_extension(struct request *request)
{
	/* A plain number for KVM, which answers 0 to what it does not know. */
	int answer = plugvm_vm_check_extension(request->vm, request->message->message.check_extension.extension);
	request->reply->message.message.check_extension.has_extension = answer > 0;
	return 0;
}

static int reserve_range(struct request *request)
{
	const wire_MainRequest_ReserveRange *peer = &request->message->message.reserve_range;
	struct ranges *ranges = &request->session->ranges;
	enum address_space space;
	int result = address_space_from_wire(peer->space, &space);
	if (result < 0)
		return result;
	if (peer->length == 0)
		return ranges_release(ranges, space, peer->start);
	uint32_t id;
	result = ranges_reserve(ranges, space, peer->start, peer->length, peer->async_write, &id);
	if (result == 0)
		range_names_note(request->session->range_names, id, space, peer->start, peer->length);
	return result;
}

int request_hand_over_vcpus(struct request *request, uint32_t first, uint32_t end)
{
	struct vcpu_link *links = request->session->links;
	for (uint32_t cpu = first; cpu < end; cpu++) {
		if (links[cpu].plugin_ends[0] < 0)
			return -EALREADY;
	}
	/* The host keeps no copy, so that it sees when the plugin closes a channel. */
	struct reply *reply = request->reply;
	for (uint32_t cpu = first; cpu < end; cpu++) {
		reply->fds[reply->fd_count++] = fd_take(&links[cpu].plugin_ends[0]);
		reply->fds[reply->fd_count++] = fd_take(&links[cpu].plugin_ends[1]);
	}
	return 0;
}

static int get_vcpus(struct request *request)
{
	/* More would not fit the packet that an original client takes, and it would wait for ever for the rest. */
	uint32_t count = request->session->vcpu_count;
	return count > LIMIT_BASELINE_VCPUS ? -E2BIG : request_hand_over_vcpus(request, 0, count);
}

static int start(struct request *request)
{
	struct session *session = request->session;
	if (atomic_load(&session->started))
		return -EINVAL;
	if (atomic_load(&session->dying))
		return -ECANCELED;
	int result = session->start ? session->start(session->context) : 0;
	if (result == 0)
		atomic_store(&session->started, true);
	return result;
}

/* Answer with a CPUID table of KVM. */
static int get_cpuid(struct request *request, wire_MainResponse_CpuidResponse *response,
                     int (*get)(const struct plugvm_kvm *, struct kvm_cpuid2 *))
{
	struct kvm_cpuid2 *cpuid = cpuid_new();
	wire_CpuidEntry *entries = calloc(LIMIT_CPUID_ENTRIES, sizeof(entries[0]));
	int result = cpuid && entries ? get(request->vm->kvm, cpuid) : -ENOMEM;
	if (result >= 0)
		cpuid_to_wire(cpuid, entries, &response->entries);
	free(cpuid);
	request->reply->memory = entries;
	return result < 0 ? result : 0;
}

static int get_supported_cpuid(struct request *request)
{
	return get_cpuid(request, &request->reply->message.message.get_supported_cpuid, kvm_get_supported_cpuid);
}

static int get_emulated_cpuid(struct request *request)
{
	return get_cpuid(request, &request->reply->message.message.get_emulated_cpuid, kvm_get_emulated_cpuid);
}

static int get_msr_index_list(struct request *request)
{
	struct kvm_msr_list *list;
	int result = msr_index_list(request->vm->kvm, &list);
	if (result < 0)
		return result;
	request->reply->memory = list;
	struct wire_array *indices = &request->reply->message.message.get_msr_index_list.indices;
	indices->items = list->indices;
	indices->count = list->nmsrs;
	return 0;
}

static int get_net_config(struct request *request)
{
	const struct plugvm_tap *tap = request->session->tap;
	struct reply *reply = request->reply;
	if (!tap)
		return -ENODATA;
	int result = tap_get_config(tap, &reply->tap);
	if (result < 0)
		return result;
	wire_MainResponse_GetNetConfig *config = &reply->message.message.get_net_config;
	config->host_mac_address = (struct wire_bytes){reply->tap.mac, sizeof(reply->tap.mac)};
	config->host_ipv4_address = reply->tap.address;
	config->netmask = reply->tap.netmask;
	reply->fds[reply->fd_count++] = tap->fd;
	reply->fds_are_ours = true;
	return 0;
}

static int set_irq(struct request *request)
{
	const wire_MainRequest_SetIrq *peer = &request->message->message.set_irq;
	if (peer->irq_id > LIMIT_GSI)
		return -EINVAL;
	int result = kvm_vm_irq_line(request->vm, peer->irq_id, peer->active);
	return result < 0 ? result : 0;
}

static int set_irq_routing(struct request *request)
{
	return vm_set_irq_routing(request->vm, &request->message->message.set_irq_routing);
}

static int get_state(struct request *request)
{
	struct reply *reply = request->reply;
	struct wire_bytes *state = &reply->message.message.get_state.state;
	state->data = (const uint8_t *)&reply->state;
	return vm_state_get(request->vm, request->message->message.get_state.set, &reply->state, &state->size);
}

static int set_state(struct request *request)
{
	const wire_MainRequest_SetState *peer = &request->message->message.set_state;
	return vm_state_set(request->vm, peer->set, peer->state);
}

static int set_identity_map_addr(struct request *request)
{
	return kvm_vm_set_identity_map_addr(request->vm, request->message->message.set_identity_map_addr.address);
}

static int pause_vcpus(struct request *request)
{
	const wire_MainRequest_PauseVcpus *peer = &request->message->message.pause_vcpus;
	for (uint32_t cpu = 0; cpu < request->session->vcpu_count && cpu < 64; cpu++) {
		if (peer->cpu_mask >> cpu & 1)
			session_pause(request->session, cpu, peer->user);
	}
	return 0;
}

static int set_call_hint(struct request *request)
{
	return hints_set(&request->session->hints, &request->message->message.set_call_hint);
}

static int dirty_log(struct request *request)
{
	struct wire_bytes *bitmap = &request->reply->message.message.dirty_log.bitmap;
	uint8_t *memory;
	int result = objects_get_dirty_log(&request->session->objects, request->vm,
	                                   request->message->message.dirty_log.id, LIMIT_DIRTY_LOG_BYTES, &memory,
	                                   &bitmap->size);
	if (result == 0) {
		request->reply->memory = memory;
		bitmap->data = memory;
	}
	return result;
}

static const struct request_rule {
	pb_size_t request;
	pb_size_t response;
	unsigned phases; /* enum phase, or-ed */
	unsigned fds;    /* at most so many may come along */
	bool needs_vm;
	request_fn *serve;
} rules[] = {
#define REQUEST(name) wire_MainRequest_##name##_tag, wire_MainResponse_##name##_tag
    {REQUEST(create), PHASE_ANY, 1, true, create},
    {REQUEST(destroy), PHASE_ANY, 0, true, destroy},
    {REQUEST(new_connection), PHASE_ANY, 0, false, new_connection},
    {REQUEST(get_shutdown_eventfd), PHASE_ANY, 0, false, get_shutdown_eventfd},
    {REQUEST(check_extension), PHASE_ANY, 0, true, check_extension},
    {REQUEST(get_supported_cpuid), PHASE_ANY, 0, true, get_supported_cpuid},
    {REQUEST(get_emulated_cpuid), PHASE_ANY, 0, true, get_emulated_cpuid},
    {REQUEST(get_msr_index_list), PHASE_ANY, 0, true, get_msr_index_list},
    {REQUEST(get_net_config), PHASE_ANY, 0, false, get_net_config},
    {REQUEST(reserve_range), PHASE_ANY, 0, false, reserve_range},
    {REQUEST(set_irq), PHASE_ANY, 0, true, set_irq},
    {REQUEST(set_irq_routing), PHASE_ANY, 0, true, set_irq_routing},
    {REQUEST(get_state), PHASE_ANY, 0, true, get_state},
    {REQUEST(set_state), PHASE_ANY, 0, true, set_state},
    {REQUEST(set_identity_map_addr), PHASE_ANY, 0, true, set_identity_map_addr},
    {REQUEST(pause_vcpus), PHASE_ANY, 0, false, pause_vcpus},
    {REQUEST(get_vcpus), PHASE_ANY, 0, false, get_vcpus},
    {REQUEST(start), PHASE_ANY, 0, false, start},
    {REQUEST(set_call_hint), PHASE_ANY, 0, false, set_call_hint},
    {REQUEST(dirty_log), PHASE_ANY, 0, true, dirty_log},
    {REQUEST(features), PHASE_ANY, 0, false, request_features},
    {REQUEST(get_vcpus_from), PHASE_ANY, 0, false, request_get_vcpus_from},
    {REQUEST(create_ext), PHASE_ANY, 0, true, request_create_ext},
    {REQUEST(get_cpuid), PHASE_ANY, 0, true, request_get_cpuid},
    {REQUEST(dirty_log_to), PHASE_ANY, 1, true, request_dirty_log_to},
    {REQUEST(pause_set), PHASE_ANY, 0, false, request_pause_set},
    {REQUEST(signal_msi), PHASE_ANY, 0, true, request_signal_msi},
    {REQUEST(subscribe_exits), PHASE_ANY, 0, false, request_subscribe_exits},
    {REQUEST(set_msr_filter), PHASE_ANY, 0, true, request_set_msr_filter},
    {REQUEST(get_end), PHASE_ANY, 0, false, request_get_end},
    {REQUEST(get_area), PHASE_SETUP, 0, false, request_get_area},
#undef REQUEST
};

static const struct request_rule *find_rule(pb_size_t request)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].request == request)
			return &rules[i];
	}
	return NULL;
}

/* Check what holds for every request, then call its handler. */
static int apply_rule(const struct request_rule *rule, struct request *request)
{
	if (!rule)
		return -ENOTTY;
	if (request->packet->fds_truncated && request->packet->fd_count < request->packet->fd_capacity)
		return -EMFILE; /* the kernel had no number for the fds that came, and closed them */
	if (request->packet->fds_truncated || request->packet->fd_count > rule->fds)
		return -EINVAL;
	if (!(rule->phases & session_phase(request->session)))
		return -EINVAL;
	if (rule->needs_vm && !request->vm)
		return -ENODEV;
	for (size_t i = 0; i < request->packet->fd_count; i++) {
		if (fd_eats_reserve(request->packet->fds[i], LIMIT_FD_RESERVE))
			return -EMFILE;
	}
	return rule->serve(request);
}

void request_serve(struct session *session, struct plugvm_vm *vm, const wire_MainRequest *message,
                   struct packet *packet, struct reply *out_reply)
{
	memset(&out_reply->message, 0, sizeof(out_reply->message));
	out_reply->fd_count = 0;
	out_reply->fds_are_ours = false;
	out_reply->memory = NULL;

	const struct request_rule *rule = find_rule(message->which_message);
	struct request request = {
	    .session = session, .vm = vm, .message = message, .packet = packet, .reply = out_reply};
	int result = apply_rule(rule, &request);
	out_reply->message.error = result < 0 ? -result : 0;
	if (result >= 0)
		out_reply->message.which_message = rule->response;
}
