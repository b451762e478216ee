/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID and MSRs between the wire and KVM.
 */
#include "host/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "wire/limits.h"

struct kvm_cpuid2 *cpuid_new(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + LIMIT_CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (cpuid)
		cpuid->nent = LIMIT_CPUID_ENTRIES;
	return cpuid;
}

void cpuid_to_wire(const struct kvm_cpuid2 *cpuid, wire_CpuidEntry *entries, struct wire_array *out_array)
{
	uint32_t count = cpuid->nent < LIMIT_CPUID_ENTRIES ? cpuid->nent : LIMIT_CPUID_ENTRIES;
	for (uint32_t i = 0; i < count; i++) {
		const struct kvm_cpuid_entry2 *from = &cpuid->entries[i];
		entries[i] = (wire_CpuidEntry){
		    .function = from->function,
		    .has_index = from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		    .index = from->index,
		    .eax = from->eax,
		    .ebx = from->ebx,
		    .ecx = from->ecx,
		    .edx = from->edx,
		};
	}
	out_array->items = entries;
	out_array->count = count;
}

int cpuid_from_wire(const struct wire_array *peer_entries, struct kvm_cpuid2 *out_cpuid)
{
	if (peer_entries->count > LIMIT_CPUID_ENTRIES || peer_entries->stored != peer_entries->count)
		return -E2BIG;
	const wire_CpuidEntry *peers = peer_entries->items;
	for (uint32_t i = 0; i < peer_entries->count; i++) {
		out_cpuid->entries[i] = (struct kvm_cpuid_entry2){
		    .function = peers[i].function,
		    /* Without the flag KVM looks at the function alone. */
		    .index = peers[i].has_index ? peers[i].index : 0,
		    .flags = peers[i].has_index ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		    .eax = peers[i].eax,
		    .ebx = peers[i].ebx,
		    .ecx = peers[i].ecx,
		    .edx = peers[i].edx,
		};
	}
	out_cpuid->nent = peer_entries->count;
	return 0;
}

struct wire_bytes cpuid_bytes(const struct kvm_cpuid2 *cpuid)
{
	uint32_t count = cpuid->nent < LIMIT_CPUID_ENTRIES ? cpuid->nent : LIMIT_CPUID_ENTRIES;
	return (struct wire_bytes){.data = (const uint8_t *)cpuid->entries,
	                           .size = count * sizeof(cpuid->entries[0])};
}

int cpuid_from_bytes(struct wire_bytes peer_entries, struct kvm_cpuid2 *out_cpuid)
{
	if (peer_entries.size % sizeof(out_cpuid->entries[0]) != 0)
		return -EINVAL;
	size_t count = peer_entries.size / sizeof(out_cpuid->entries[0]);
	if (count > LIMIT_CPUID_ENTRIES)
		return -E2BIG;
	if (count > 0)
		memcpy(out_cpuid->entries, peer_entries.data, peer_entries.size);
	out_cpuid->nent = (uint32_t)count;
	return 0;
}

int msr_index_list(const struct plugvm_kvm *kvm, struct kvm_msr_list **out_list)
{
	/* KVM says how many there are by refusing too few. */
	struct kvm_msr_list probe = {.nmsrs = 0};
	int result = kvm_get_msr_index_list(kvm, &probe);
	if (result < 0 && result != -E2BIG)
		return result;
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return -ENOMEM;
	list->nmsrs = probe.nmsrs;
	result = kvm_get_msr_index_list(kvm, list);
	if (result < 0) {
		free(list);
		return result;
	}
	*out_list = list;
	return 0;
}
