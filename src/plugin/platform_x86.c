/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the machine is made of on x86: CPUID tables, MSR indices, interrupt lines and routes, PIC, IOAPIC, PIT, clock.
 * Runs in the plugin, on the thread that the connection belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/connection.h"
#include "plugin/cpuid.h"
#include "plugin/stats.h"

static int get_cpuid_raw(struct crosvm *crosvm, bool emulated, uint32_t count, struct kvm_cpuid_entry2 *entries,
                         uint32_t *out_count)
{
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_get_cpuid_tag,
	    .message.get_cpuid.emulated = emulated,
	};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	return error ? error : cpuid_from_bytes(&response.message.get_cpuid.entries, count, entries, out_count);
}

/* The response has the same shape for both tables. */
static int get_cpuid_baseline(struct crosvm *crosvm, bool emulated, uint32_t count,
                              struct kvm_cpuid_entry2 *entries, uint32_t *out_count)
{
	struct wire_arena elements;
	int error = cpuid_arena_new(&elements);
	if (error)
		return error;
	wire_MainRequest request = {
	    .which_message = emulated ? wire_MainRequest_get_emulated_cpuid_tag
	                              : wire_MainRequest_get_supported_cpuid_tag,
	};
	wire_MainResponse response;
	error = connection_query(crosvm, &request, &elements, &response);
	if (!error)
		error = cpuid_from_wire(&response.message.get_supported_cpuid.entries, count, entries, out_count);
	free(elements.memory);
	return error;
}

static int get_cpuid(struct crosvm *crosvm, bool emulated, uint32_t count, struct kvm_cpuid_entry2 *entries,
                     uint32_t *out_count)
{
	if (!crosvm || !out_count || (count > 0 && !entries))
		return -EINVAL;
	*out_count = 0;
	if (machine_has(crosvm->machine, CROSVM_FEATURE_CPUID_FLAGS))
		return get_cpuid_raw(crosvm, emulated, count, entries, out_count);
	return get_cpuid_baseline(crosvm, emulated, count, entries, out_count);
}

int crosvm_get_supported_cpuid(struct crosvm *crosvm, uint32_t count, struct kvm_cpuid_entry2 *entries,
                               uint32_t *out_count)
{
	STATS();
	return get_cpuid(crosvm, false, count, entries, out_count);
}

int crosvm_get_emulated_cpuid(struct crosvm *crosvm, uint32_t count, struct kvm_cpuid_entry2 *entries,
                              uint32_t *out_count)
{
	STATS();
	return get_cpuid(crosvm, true, count, entries, out_count);
}

int crosvm_get_msr_index_list(struct crosvm *crosvm, uint32_t count, uint32_t *indices, uint32_t *out_count)
{
	STATS();
	if (!crosvm || !out_count || (count > 0 && !indices))
		return -EINVAL;
	*out_count = 0;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_msr_index_list_tag};
	wire_MainResponse response;
	/* What does not fit is counted, and the caller's array is its own again if that was the case. */
	struct wire_arena elements = {.size = count * sizeof(indices[0])};
	elements.memory = malloc(elements.size ? elements.size : 1);
	if (!elements.memory)
		return -ENOMEM;
	int error = connection_query(crosvm, &request, &elements, &response);
	if (!error) {
		const struct wire_array *list = &response.message.get_msr_index_list.indices;
		*out_count = list->count;
		if (list->count > count)
			error = -E2BIG;
		else if (list->stored != list->count)
			error = -EPROTO;
		else if (list->count > 0)
			memcpy(indices, list->items, list->count * sizeof(indices[0]));
	}
	free(elements.memory);
	return error;
}

int crosvm_set_irq(struct crosvm *crosvm, uint32_t irq_id, bool active)
{
	STATS();
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_set_irq_tag,
	    .message.set_irq = {.irq_id = irq_id, .active = active},
	};
	return connection_command(crosvm, &request);
}

static int route_to_wire(const struct crosvm_irq_route *from, wire_MainRequest_SetIrqRouting_Route *out_route)
{
	*out_route = (wire_MainRequest_SetIrqRouting_Route){.irq_id = from->irq_id};
	switch (from->kind) {
	case CROSVM_IRQ_ROUTE_IRQCHIP:
		out_route->which_route = wire_MainRequest_SetIrqRouting_Route_irqchip_tag;
		out_route->route.irqchip.irqchip = from->irqchip.irqchip;
		out_route->route.irqchip.pin = from->irqchip.pin;
		return 0;
	case CROSVM_IRQ_ROUTE_MSI:
		out_route->which_route = wire_MainRequest_SetIrqRouting_Route_msi_tag;
		out_route->route.msi.address = from->msi.address;
		out_route->route.msi.data = from->msi.data;
		return 0;
	default:
		return -EINVAL;
	}
}

int crosvm_set_irq_routing(struct crosvm *crosvm, uint32_t count, const struct crosvm_irq_route *routes)
{
	STATS();
	if (!crosvm || (count > 0 && !routes))
		return -EINVAL;
	if (count > LIMIT_IRQ_ROUTES)
		return -E2BIG;
	wire_MainRequest_SetIrqRouting_Route *wire_routes = calloc(count ? count : 1, sizeof(wire_routes[0]));
	if (!wire_routes)
		return -ENOMEM;
	int error = 0;
	for (uint32_t i = 0; i < count && !error; i++)
		error = route_to_wire(&routes[i], &wire_routes[i]);
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_set_irq_routing_tag,
	    .message.set_irq_routing.routes = {.items = wire_routes, .count = count},
	};
	if (!error)
		error = connection_command(crosvm, &request);
	free(wire_routes);
	return error;
}

int crosvm_signal_msi(struct crosvm *crosvm, uint64_t address, uint32_t data)
{
	STATS();
	if (!crosvm)
		return -EINVAL;
	const struct crosvm_info *info = &crosvm->machine->info;
	/* Without local APICs in the kernel the host lacks the feature, and KVM says why. */
	bool is_kvm_to_say = info->irqchip == CROSVM_IRQCHIP_NONE;
	int error = connection_need(crosvm, CROSVM_FEATURE_SIGNAL_MSI);
	if (error && !(error == -ENOTTY && is_kvm_to_say))
		return error;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_signal_msi_tag,
	    .message.signal_msi = {.address = address, .data = data},
	};
	wire_MainResponse response;
	error = connection_query(crosvm, &request, NULL, &response);
	return error ? error : response.message.signal_msi.delivered;
}

static int msr_ranges_to_wire(uint32_t count, const struct crosvm_msr_range *ranges,
                              wire_MainRequest_SetMsrFilter_Range *out_ranges)
{
	if (count > LIMIT_MSR_FILTER_RANGES)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++) {
		if (ranges[i].count > LIMIT_MSR_FILTER_COUNT)
			return -E2BIG;
		if (ranges[i].count == 0)
			return -EINVAL;
		out_ranges[i] = (wire_MainRequest_SetMsrFilter_Range){
		    .first = ranges[i].first,
		    .count = ranges[i].count,
		    .reads = ranges[i].reads,
		    .writes = ranges[i].writes,
		};
	}
	return 0;
}

int crosvm_set_msr_filter(struct crosvm *crosvm, uint32_t count, const struct crosvm_msr_range *ranges,
                          bool unknown)
{
	STATS();
	if (!crosvm || (count > 0 && !ranges))
		return -EINVAL;
	wire_MainRequest_SetMsrFilter_Range wire_ranges[LIMIT_MSR_FILTER_RANGES];
	int error = connection_need(crosvm, CROSVM_FEATURE_MSR_FILTER);
	if (!error)
		error = msr_ranges_to_wire(count, ranges, wire_ranges);
	if (error)
		return error;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_set_msr_filter_tag,
	    .message.set_msr_filter = {.ranges = {.items = wire_ranges, .count = count}, .unknown = unknown},
	};
	return connection_command(crosvm, &request);
}

int crosvm_set_identity_map_addr(struct crosvm *crosvm, uint32_t address)
{
	STATS();
	if (!crosvm)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_set_identity_map_addr_tag,
	    .message.set_identity_map_addr.address = address,
	};
	return connection_command(crosvm, &request);
}

static int get_state(struct crosvm *crosvm, wire_MainRequest_StateSet set, void *out_state, size_t size)
{
	if (!crosvm || !out_state)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_state_tag, .message.get_state.set = set};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	const struct wire_bytes *state = &response.message.get_state.state;
	if (state->size != size)
		return -EPROTO;
	memcpy(out_state, state->data, size);
	return 0;
}

static int set_state(struct crosvm *crosvm, wire_MainRequest_StateSet set, const void *state, size_t size)
{
	if (!crosvm || !state)
		return -EINVAL;
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_set_state_tag,
	    .message.set_state = {.set = set, .state = {state, size}},
	};
	return connection_command(crosvm, &request);
}

static wire_MainRequest_StateSet pic(bool primary)
{
	return primary ? wire_MainRequest_StateSet_PIC0 : wire_MainRequest_StateSet_PIC1;
}

int crosvm_get_pic_state(struct crosvm *crosvm, bool primary, struct kvm_pic_state *out_state)
{
	STATS();
	return get_state(crosvm, pic(primary), out_state, sizeof(*out_state));
}

int crosvm_set_pic_state(struct crosvm *crosvm, bool primary, const struct kvm_pic_state *state)
{
	STATS();
	return set_state(crosvm, pic(primary), state, sizeof(*state));
}

int crosvm_get_ioapic_state(struct crosvm *crosvm, struct kvm_ioapic_state *out_state)
{
	STATS();
	return get_state(crosvm, wire_MainRequest_StateSet_IOAPIC, out_state, sizeof(*out_state));
}

int crosvm_set_ioapic_state(struct crosvm *crosvm, const struct kvm_ioapic_state *state)
{
	STATS();
	return set_state(crosvm, wire_MainRequest_StateSet_IOAPIC, state, sizeof(*state));
}

int crosvm_get_pit_state(struct crosvm *crosvm, struct kvm_pit_state2 *out_state)
{
	STATS();
	return get_state(crosvm, wire_MainRequest_StateSet_PIT, out_state, sizeof(*out_state));
}

int crosvm_set_pit_state(struct crosvm *crosvm, const struct kvm_pit_state2 *state)
{
	STATS();
	return set_state(crosvm, wire_MainRequest_StateSet_PIT, state, sizeof(*state));
}

int crosvm_get_clock(struct crosvm *crosvm, struct kvm_clock_data *out_clock)
{
	STATS();
	return get_state(crosvm, wire_MainRequest_StateSet_CLOCK, out_clock, sizeof(*out_clock));
}

int crosvm_set_clock(struct crosvm *crosvm, const struct kvm_clock_data *clock)
{
	STATS();
	return set_state(crosvm, wire_MainRequest_StateSet_CLOCK, clock, sizeof(*clock));
}
