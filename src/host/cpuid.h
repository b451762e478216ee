/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID tables and the MSR list between the wire and KVM. x86 only: cpuid_x86.c. Any thread.
 */
#ifndef PLUGVM_HOST_CPUID_H
#define PLUGVM_HOST_CPUID_H

#include "plugvm.h"
#include "wire/codec.h"

/* Make an empty table with room for LIMIT_CPUID_ENTRIES, for free(3); NULL if there is no memory. */
struct kvm_cpuid2 *cpuid_new(void);

/* Turn a table into wire entries at `entries` (room for LIMIT_CPUID_ENTRIES) and point *out_array there. */
void cpuid_to_wire(const struct kvm_cpuid2 *cpuid, wire_CpuidEntry *entries, struct wire_array *out_array);

/* The table's entries as they are. */
struct wire_bytes cpuid_bytes(const struct kvm_cpuid2 *cpuid);

/* The other way, for bytes. -EINVAL: no whole entries. */
int cpuid_from_bytes(struct wire_bytes peer_entries, struct kvm_cpuid2 *out_cpuid);

/* The other way, into a table of cpuid_new(). -E2BIG: more than it holds. */
int cpuid_from_wire(const struct wire_array *peer_entries, struct kvm_cpuid2 *out_cpuid);

/* Store all MSR indices that KVM has, in memory for free(3). */
int msr_index_list(const struct plugvm_kvm *kvm, struct kvm_msr_list **out_list);

#endif
