/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sets of a vCPU's state that travel with KVM_RUN, in struct kvm_run, and cost no ioctl (KVM_CAP_SYNC_REGS;
 * Documentation/virt/kvm/api.rst, "KVM_CAP_SYNC_REGS"). A set is *wanted*: KVM stores it at each exit; *current*: what is
 * in struct kvm_run is the vCPU's. The general registers can be *dirty*: set there, and KVM has not seen them yet. It
 * refuses no value of them; what it can refuse is set by ioctls, which say so at once. The calls of plugvm.h know of
 * this: a get of a current set reads it, and every other ioctl gives KVM first what is dirty. vCPU thread.
 *
 * Who calls KVM with a vCPU's fd beside these functions must do so while nothing is dirty: before the first event of a
 * plugin, or after kvm_sync_flush().
 */
#ifndef PLUGVM_KVM_SYNC_H
#define PLUGVM_KVM_SYNC_H

#include "kvm/kvm.h"

/* The sets that a VM's KVM knows of those that are used here: KVM_SYNC_X86_*. 0: it cannot. */
uint32_t kvm_sync_supported(int vm);

/* Want these sets, as far as they are supported, and no others. Makes none current. */
void kvm_sync_want(struct plugvm_vcpu *vcpu, uint32_t sets);

/* Make these sets current, by an ioctl for each that is not. Returns 0, or -errno and some may be. */
int kvm_sync_fetch(struct plugvm_vcpu *vcpu, uint32_t sets);

static inline uint32_t kvm_sync_current(const struct plugvm_vcpu *vcpu)
{
	return vcpu->sync_current;
}

/* What is in struct kvm_run. Of sets that are not current: something. */
static inline const struct kvm_sync_regs *kvm_sync_sets(const struct plugvm_vcpu *vcpu)
{
	return &vcpu->run->s.regs;
}

/*
 * Set the general registers, for the next KVM_RUN or, where that may not take them, at once: a vCPU that has not come out of
 * KVM_RUN with an exit since it was made or its mp state was looked at or set may wait to be started. Returns 0 or -errno.
 */
int kvm_sync_set_regs(struct plugvm_vcpu *vcpu, const struct kvm_regs *regs);

/* Give KVM now what is dirty. Returns 0 or -errno. */
int kvm_sync_flush(struct plugvm_vcpu *vcpu);

/* KVM_RUN is over and has returned 0 or -errno. */
void kvm_sync_ran(struct plugvm_vcpu *vcpu, int result);

/* Somebody else may run the vCPU now: nothing is current until kvm_sync_ran(). */
void kvm_sync_forget(struct plugvm_vcpu *vcpu);

#endif
