/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of VM-wide state that a plugin may get and set, as the kernel's structs, and the interrupt routes. Main
 * thread. Bytes to set are the plugin's: their length is checked here, their content by KVM. What a set is made of
 * is the architecture's: vm_state_x86.c.
 */
#ifndef PLUGVM_HOST_VM_STATE_H
#define PLUGVM_HOST_VM_STATE_H

#include "plugvm.h"
#include "wire/codec.h"

union vm_state {
	struct kvm_pic_state pic;
	struct kvm_ioapic_state ioapic;
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
};

/* -EINVAL: there is no such set; or KVM's errno. */
int vm_state_get(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, union vm_state *out_state,
                 size_t *out_size);
/* The same, and -EINVAL for bytes of the wrong length. */
int vm_state_set(struct plugvm_vm *vm, wire_MainRequest_StateSet peer_set, struct wire_bytes peer_state);

/* Replace the GSI routing table. -EINVAL: a route of no kind, or KVM refuses one; -E2BIG: too many; -ENOMEM. */
int vm_set_irq_routing(struct plugvm_vm *vm, const wire_MainRequest_SetIrqRouting *peer_routing);

#endif
