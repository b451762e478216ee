/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of VM-wide state that a plugin may get and set, on x86, and the interrupt routes.
 */
#include "host/vm_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "wire/limits.h"

/* PICs and IOAPIC are one ioctl of KVM, told apart by a number. */
static const struct {
	uint32_t id;
	size_t size;
} chips[] = {
    [wire_MainRequest_StateSet_PIC0] = {KVM_IRQCHIP_PIC_MASTER, sizeof(struct kvm_pic_state)},
    [wire_MainRequest_StateSet_PIC1] = {KVM_IRQCHIP_PIC_SLAVE, sizeof(struct kvm_pic_state)},
    [wire_MainRequest_StateSet_IOAPIC] = {KVM_IRQCHIP_IOAPIC, sizeof(struct kvm_ioapic_state)},
};

int vm_state_get(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, union vm_state *out_state,
                 size_t *out_size)
{
	switch (peer_set) {
	case wire_MainRequest_StateSet_PIC0:
	case wire_MainRequest_StateSet_PIC1:
	case wire_MainRequest_StateSet_IOAPIC: {
		struct kvm_irqchip chip = {.chip_id = chips[peer_set].id};
		int result = kvm_vm_get_irqchip(vm, &chip);
		*out_size = chips[peer_set].size;
		memcpy(out_state, &chip.chip, *out_size);
		return result;
	}
	case wire_MainRequest_StateSet_PIT:
		*out_size = sizeof(out_state->pit);
		return kvm_vm_get_pit(vm, &out_state->pit);
	case wire_MainRequest_StateSet_CLOCK:
		*out_size = sizeof(out_state->clock);
		return kvm_vm_get_clock(vm, &out_state->clock);
	}
	return -EINVAL;
}

int vm_state_set(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, struct wire_bytes peer_state)
{
	union vm_state state;
	int result;
	switch (peer_set) {
	case wire_MainRequest_StateSet_PIC0:
	case wire_MainRequest_StateSet_PIC1:
	case wire_MainRequest_StateSet_IOAPIC: {
		struct kvm_irqchip chip = {.chip_id = chips[peer_set].id};
		result = wire_bytes_unpack(peer_state, &chip.chip, chips[peer_set].size);
		return result < 0 ? result : kvm_vm_set_irqchip(vm, &chip);
	}
	case wire_MainRequest_StateSet_PIT:
		result = wire_bytes_unpack(peer_state, &state.pit, sizeof(state.pit));
		return result < 0 ? result : kvm_vm_set_pit(vm, &state.pit);
	case wire_MainRequest_StateSet_CLOCK:
		result = wire_bytes_unpack(peer_state, &state.clock, sizeof(state.clock));
		return result < 0 ? result : kvm_vm_set_clock(vm, &state.clock);
	}
	return -EINVAL;
}

static int to_kvm_route(const wire_MainRequest_SetIrqRouting_Route *peer, struct kvm_irq_routing_entry *out_entry)
{
	memset(out_entry, 0, sizeof(*out_entry));
	out_entry->gsi = peer->irq_id;
	switch (peer->which_route) {
	case wire_MainRequest_SetIrqRouting_Route_irqchip_tag:
		out_entry->type = KVM_IRQ_ROUTING_IRQCHIP;
		out_entry->u.irqchip.irqchip = peer->route.irqchip.irqchip;
		out_entry->u.irqchip.pin = peer->route.irqchip.pin;
		break;
	case wire_MainRequest_SetIrqRouting_Route_msi_tag:
		out_entry->type = KVM_IRQ_ROUTING_MSI;
		out_entry->u.msi.address_lo = (uint32_t)peer->route.msi.address;
		out_entry->u.msi.address_hi = (uint32_t)(peer->route.msi.address >> 32);
		out_entry->u.msi.data = peer->route.msi.data;
		break;
	default:
		return -EINVAL;
	}
	return peer->irq_id <= LIMIT_GSI ? 0 : -EINVAL;
}

int vm_set_irq_routing(struct plugvm_vm *vm, const wire_MainRequest_SetIrqRouting *peer_routing)
{
	uint32_t count = peer_routing->routes.count;
	if (count > LIMIT_IRQ_ROUTES || peer_routing->routes.stored != count)
		return -E2BIG;
	struct kvm_irq_routing *routing = calloc(1, sizeof(*routing) + count * sizeof(routing->entries[0]));
	if (!routing)
		return -ENOMEM;
	routing->nr = count;
	const wire_MainRequest_SetIrqRouting_Route *peers = peer_routing->routes.items;
	int result = 0;
	for (uint32_t i = 0; i < count && result == 0; i++)
		result = to_kvm_route(&peers[i], &routing->entries[i]);
	if (result == 0)
		result = kvm_vm_set_gsi_routing(vm, routing);
	free(routing);
	return result;
}
