/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What only the library itself asks of a stopped vCPU, for crosvm_vcpu_get_all(). Runs in the plugin, on the thread that
 * the vCPU belongs to.
 */
#ifndef PLUGVM_PLUGIN_EXTRA_H
#define PLUGVM_PLUGIN_EXTRA_H

#include "crosvm.h"

/*
 * The vCPU's CPUID, struct kvm_cpuid_entry2 one after the other; and the indices (uint32_t) of the MSRs that KVM saves
 * and restores. *out_size is in bytes. -E2BIG: more than `size`
 */
int extra_get_cpuid(struct crosvm_vcpu *vcpu, uint32_t size, void *out_entries, uint32_t *out_size);
int extra_get_msr_indices(struct crosvm_vcpu *vcpu, uint32_t size, void *out_indices, uint32_t *out_size);

#endif
