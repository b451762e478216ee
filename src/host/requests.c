/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of what a plugin may ask on a main connection, in which phase and with which fds, and the handlers.
 * Main thread. Values are the plugin's and unchecked until a handler has checked them.
 */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "host/session.h"

struct request {
	struct session *session;
	struct plugvm_vm *vm; /* not NULL where the rule says needs_vm */
	const wire_MainRequest *message;
	struct packet *packet;
	struct reply *reply;
};

typedef int request_fn(struct request *request);

static int to_address_space(wire_AddressSpace peer_space, enum address_space *out_space)
{
	switch (peer_space) {
	case wire_AddressSpace_IOPORT:
		*out_space = ADDRESS_SPACE_PORT;
		return 0;
	case wire_AddressSpace_MMIO:
		*out_space = ADDRESS_SPACE_MMIO;
		return 0;
	}
	return -EINVAL;
}

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

static int create(struct request *request)
{
	switch (request->message->message.create.which_constructor) {
	case wire_MainRequest_Create_memory_tag:
		return create_memory(request);
	case wire_MainRequest_Create_io_event_tag:
	case wire_MainRequest_Create_irq_event_tag:
		return request->packet->fd_count > 0 ? -EINVAL : -ENOSYS;
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
	int result = to_address_space(peer->space, &space);
	if (result < 0)
		return result;
	if (peer->length == 0)
		return ranges_release(ranges, space, peer->start);
	if (peer->async_write)
		return -ENOSYS;
	uint32_t id;
	result = ranges_reserve(ranges, space, peer->start, peer->length, &id);
	if (result == 0)
		range_names_note(request->session->range_names, id, space, peer->start, peer->length);
	return result;
}

static int get_vcpus(struct request *request)
{
	struct session *session = request->session;
	/* More would not fit the packet that an original client takes, and it would wait for ever for the rest. */
	if (session->vcpu_count > LIMIT_BASELINE_VCPUS)
		return -E2BIG;
	if (session->links[0].plugin_ends[0] < 0)
		return -EALREADY;
	/* The host keeps no copy, so that it sees when the plugin closes a channel. */
	struct reply *reply = request->reply;
	for (uint32_t cpu = 0; cpu < session->vcpu_count; cpu++) {
		reply->fds[reply->fd_count++] = fd_take(&session->links[cpu].plugin_ends[0]);
		reply->fds[reply->fd_count++] = fd_take(&session->links[cpu].plugin_ends[1]);
	}
	return 0;
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

static int not_yet(struct request *request)
{
	(void)request;
	return -ENOSYS;
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
    {REQUEST(get_supported_cpuid), PHASE_ANY, 0, false, not_yet},
    {REQUEST(get_emulated_cpuid), PHASE_ANY, 0, false, not_yet},
    {REQUEST(get_msr_index_list), PHASE_ANY, 0, false, not_yet},
    {REQUEST(get_net_config), PHASE_ANY, 0, false, not_yet},
    {REQUEST(reserve_range), PHASE_ANY, 0, false, reserve_range},
    {REQUEST(set_irq), PHASE_ANY, 0, true, not_yet},
    {REQUEST(set_irq_routing), PHASE_ANY, 0, true, not_yet},
    {REQUEST(get_state), PHASE_ANY, 0, true, not_yet},
    {REQUEST(set_state), PHASE_ANY, 0, true, not_yet},
    {REQUEST(set_identity_map_addr), PHASE_ANY, 0, true, not_yet},
    {REQUEST(pause_vcpus), PHASE_ANY, 0, false, not_yet},
    {REQUEST(get_vcpus), PHASE_ANY, 0, false, get_vcpus},
    {REQUEST(start), PHASE_ANY, 0, false, start},
    {REQUEST(set_call_hint), PHASE_ANY, 0, false, not_yet},
    {REQUEST(dirty_log), PHASE_ANY, 0, true, not_yet},
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

	const struct request_rule *rule = find_rule(message->which_message);
	struct request request = {
	    .session = session, .vm = vm, .message = message, .packet = packet, .reply = out_reply};
	int result = apply_rule(rule, &request);
	out_reply->message.error = -result;
	if (result == 0)
		out_reply->message.which_message = rule->response;
}
