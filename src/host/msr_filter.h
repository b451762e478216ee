/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the guest's MSR accesses exit instead of being KVM's. x86 only: msr_filter_x86.c. Main thread.
 */
#ifndef PLUGVM_HOST_MSR_FILTER_H
#define PLUGVM_HOST_MSR_FILTER_H

#include "plugvm.h"
#include "wire/codec.h"

/*
 * Replace the VM's filter; on failure the old one stays. *unknown_exits is whether accesses that KVM would refuse exit,
 * before and afterwards. -E2BIG  more ranges, or longer ones, than KVM takes; others: KVM's
 */
int msr_filter_set(struct plugvm_vm *vm, const wire_MainRequest_SetMsrFilter *peer_filter, bool *unknown_exits);

#endif
