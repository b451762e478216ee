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
static int get_chip(struct plugvm_vm *vm, uint32_t id, struct kvm_irqchip *out_chip)
{
	memset(out_chip, 0, sizeof(*out_chip));
	out_chip->chip_id = id;
	return kvm_vm_get_irqchip(vm, out_chip);
}

int vm_state_get(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, union vm_state *out_state,
                 size_t *out_size)
{
	struct kvm_irqchip chip;
	int result;
	switch (peer_set) {
	case wire_MainRequest_StateSet_PIC0:
	case wire_MainRequest_StateSet_PIC1:
		result = get_chip(vm,
		                  peer_set == wire_MainRequest_StateSet_PIC0 ? KVM_IRQCHIP_PIC_MASTER
		                                                             : KVM_IRQCHIP_PIC_SLAVE,
		                  &chip);
		out_state->pic = chip.chip.pic;
		*out_size = sizeof(out_state->pic);
		return result;
	case wire_MainRequest_StateSet_IOAPIC:
		result = get_chip(vm, KVM_IRQCHIP_IOAPIC, &chip);
		out_state->ioapic = chip.chip.ioapic;
		*out_size = sizeof(out_state->ioapic);
		return result;
	case wire_MainRequest_StateSet_PIT:
		*out_size = sizeof(out_state->pit);
		return kvm_vm_get_pit(vm, &out_state->pit);
	case wire_MainRequest_StateSet_CLOCK:
		*out_size = sizeof(out_state->clock);
		return kvm_vm_get_clock(vm, &out_state->clock);
	}
	return -EINVAL;
}

/* Copy the bytes, which have no alignment, into the struct at `out`; -EINVAL if the length is not just its size.
 */
static int unpack(struct wire_bytes peer_state, void *out, size_t size)
{
	if (peer_state.size != size)
		return -EINVAL;
	memcpy(out, peer_state.data, size);
	return 0;
}

int vm_state_set(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, struct wire_bytes peer_state)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
	union vm_state state;
	int result;
	switch (peer_set) {
	case wire_MainRequest_StateSet_PIC0:
	case wire_MainRequest_StateSet_PIC1:
		chip.chip_id = peer_set == wire_MainRequest_StateSet_PIC0 ? KVM_IRQCHIP_PIC_MASTER
		                                                          : KVM_IRQCHIP_PIC_SLAVE;
		result = unpack(peer_state, &chip.chip.pic, sizeof(chip.chip.pic));
		return result < 0 ? result : kvm_vm_set_irqchip(vm, &chip);
	case wire_MainRequest_StateSet_IOAPIC:
		result = unpack(peer_state, &chip.chip.ioapic, sizeof(chip.chip.ioapic));
		return result < 0 ? result : kvm_vm_set_irqchip(vm, &chip);
	case wire_MainRequest_StateSet_PIT:
		result = unpack(peer_state, &state.pit, sizeof(state.pit));
		return result < 0 ? result : kvm_vm_set_pit(vm, &state.pit);
	case wire_MainRequest_StateSet_CLOCK:
		result = unpack(peer_state, &state.clock, sizeof(state.clock));
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
