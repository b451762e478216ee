/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID tables between crosvm.h and the wire.
 */
#include "plugin/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/limits.h"

int cpuid_arena_new(struct wire_arena *out_arena)
{
	out_arena->size = LIMIT_CPUID_ENTRIES * sizeof(wire_CpuidEntry);
	out_arena->memory = malloc(out_arena->size);
	return out_arena->memory ? 0 : -ENOMEM;
}

int cpuid_from_wire(const struct wire_array *table, uint32_t count, struct kvm_cpuid_entry2 *entries,
                    uint32_t *out_count)
{
	*out_count = table->count;
	if (table->count > count)
		return -E2BIG;
	if (table->stored != table->count)
		return -EPROTO; /* more than any kernel has */
	const wire_CpuidEntry *from = table->items;
	for (uint32_t i = 0; i < table->count; i++) {
		entries[i] = (struct kvm_cpuid_entry2){
		    .function = from[i].function,
		    .index = from[i].index,
		    .flags = from[i].has_index ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		    .eax = from[i].eax,
		    .ebx = from[i].ebx,
		    .ecx = from[i].ecx,
		    .edx = from[i].edx,
		};
	}
	return 0;
}

int cpuid_from_bytes(const struct wire_bytes *table, uint32_t count, struct kvm_cpuid_entry2 *entries,
                     uint32_t *out_count)
{
	size_t there = table->size / sizeof(entries[0]);
	if (table->size % sizeof(entries[0]) != 0)
		return -EPROTO;
	*out_count = (uint32_t)there;
	if (there > count)
		return -E2BIG;
	if (there > 0)
		memcpy(entries, table->data, table->size);
	return 0;
}

int cpuid_to_wire(uint32_t count, const struct kvm_cpuid_entry2 *entries, struct wire_array *out_table)
{
	if (count > LIMIT_CPUID_ENTRIES)
		return -E2BIG;
	wire_CpuidEntry *table = calloc(count ? count : 1, sizeof(table[0]));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		table[i] = (wire_CpuidEntry){
		    .function = entries[i].function,
		    .has_index = entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		    .index = entries[i].index,
		    .eax = entries[i].eax,
		    .ebx = entries[i].ebx,
		    .ecx = entries[i].ecx,
		    .edx = entries[i].edx,
		};
	}
	*out_table = (struct wire_array){.items = table, .count = count};
	return 0;
}
