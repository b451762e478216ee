/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sets of a vCPU's state that travel with KVM_RUN: on x86 the general registers, the special ones, and the events that
 * are being delivered.
 */
#include "kvm/sync.h"

#include <errno.h>
#include <string.h>

#define SETS (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static const struct sync_set {
	uint32_t bit;
	size_t offset, size;
	unsigned long get;
} sets[] = {
    {KVM_SYNC_X86_REGS, offsetof(struct kvm_sync_regs, regs), sizeof(struct kvm_regs), KVM_GET_REGS},
    {KVM_SYNC_X86_SREGS, offsetof(struct kvm_sync_regs, sregs), sizeof(struct kvm_sregs), KVM_GET_SREGS},
    {KVM_SYNC_X86_EVENTS, offsetof(struct kvm_sync_regs, events), sizeof(struct kvm_vcpu_events),
     KVM_GET_VCPU_EVENTS},
};
#define SET_COUNT (sizeof(sets) / sizeof(sets[0]))

static void *place_of(struct kvm_sync_regs *values, const struct sync_set *set)
{
	return (uint8_t *)values + set->offset;
}

uint32_t kvm_sync_supported(int vm)
{
	int result = kvm_ioctl_number(vm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
	return result > 0 ? (uint32_t)result & SETS : 0;
}

void kvm_sync_want(struct plugvm_vcpu *vcpu, uint32_t wanted)
{
	vcpu->run->kvm_valid_regs = wanted & vcpu->vm->sync_supported;
}

int kvm_sync_fetch(struct plugvm_vcpu *vcpu, uint32_t wanted)
{
	for (size_t i = 0; i < SET_COUNT; i++) {
		if (!(wanted & sets[i].bit & ~vcpu->sync_current))
			continue;
		int result = kvm_sync_flush(vcpu);
		if (result == 0)
			result = kvm_ioctl(vcpu->fd, sets[i].get, place_of(&vcpu->run->s.regs, &sets[i]));
		if (result < 0)
			return result;
		vcpu->sync_current |= sets[i].bit;
	}
	return 0;
}

int kvm_sync_set_regs(struct plugvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	/* KVM_RUN of a vCPU that waits to be started takes no registers, and would put these over those of its start. */
	if (!(vcpu->vm->sync_supported & KVM_SYNC_X86_REGS) || !vcpu->sync_runs)
		return plugvm_vcpu_set_regs(vcpu, regs);
	struct kvm_run *run = vcpu->run;
	run->s.regs.regs = *regs;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	/* With the registers KVM forgets an exception that it was to deliver. */
	vcpu->sync_current = (vcpu->sync_current | KVM_SYNC_X86_REGS) & ~(uint32_t)KVM_SYNC_X86_EVENTS;
	return 0;
}

int kvm_sync_flush(struct plugvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	if (run->kvm_dirty_regs == 0)
		return 0;
	int result = kvm_ioctl(vcpu->fd, KVM_SET_REGS, &run->s.regs.regs);
	if (result == 0)
		run->kvm_dirty_regs = 0;
	return result;
}

void kvm_sync_ran(struct plugvm_vcpu *vcpu, int result)
{
	vcpu->sync_runs = vcpu->sync_runs || result == 0;
	/* Of another errno nobody knows how far KVM came. */
	bool is_stored = result == 0 || result == -EINTR || result == -EAGAIN;
	vcpu->sync_current = is_stored ? (uint32_t)vcpu->run->kvm_valid_regs : 0;
}

void kvm_sync_forget(struct plugvm_vcpu *vcpu)
{
	vcpu->sync_current = 0;
}

int kvm_vcpu_get(struct plugvm_vcpu *vcpu, unsigned long request, void *argument)
{
	int result = kvm_sync_flush(vcpu);
	/* A get of this state is no mere look: KVM takes a pending INIT first. */
	if (request == KVM_GET_MP_STATE || request == KVM_SET_MP_STATE) {
		vcpu->sync_current = 0;
		vcpu->sync_runs = false;
	}
	return result < 0 ? result : kvm_ioctl(vcpu->fd, request, argument);
}

int kvm_vcpu_set(struct plugvm_vcpu *vcpu, unsigned long request, void *argument)
{
	int result = kvm_vcpu_get(vcpu, request, argument);
	vcpu->sync_current = 0;
	return result;
}

/* A get of what is current is a copy. */
static int get_set(struct plugvm_vcpu *vcpu, const struct sync_set *set, void *out)
{
	if (vcpu->sync_current & set->bit) {
		memcpy(out, place_of(&vcpu->run->s.regs, set), set->size);
		return 0;
	}
	return kvm_vcpu_get(vcpu, set->get, out);
}

int plugvm_vcpu_get_regs(struct plugvm_vcpu *vcpu, struct kvm_regs *out_regs)
{
	return get_set(vcpu, &sets[0], out_regs);
}

int plugvm_vcpu_get_sregs(struct plugvm_vcpu *vcpu, struct kvm_sregs *out_sregs)
{
	return get_set(vcpu, &sets[1], out_sregs);
}

int plugvm_vcpu_get_events(struct plugvm_vcpu *vcpu, struct kvm_vcpu_events *out_events)
{
	return get_set(vcpu, &sets[2], out_events);
}

int plugvm_vcpu_set_regs(struct plugvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	return kvm_vcpu_set(vcpu, KVM_SET_REGS, (void *)regs);
}

int plugvm_vcpu_set_sregs(struct plugvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return kvm_vcpu_set(vcpu, KVM_SET_SREGS, (void *)sregs);
}

int plugvm_vcpu_set_events(struct plugvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return kvm_vcpu_set(vcpu, KVM_SET_VCPU_EVENTS, (void *)events);
}
