/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID tables between crosvm.h and the wire. Runs in the plugin, on any thread; no state.
 */
#ifndef PLUGVM_PLUGIN_CPUID_H
#define PLUGVM_PLUGIN_CPUID_H

#include "crosvm.h"
#include "wire/codec.h"

/* Make room for the largest table; out_arena->memory is for free(3). Returns 0 or -ENOMEM. */
int cpuid_arena_new(struct wire_arena *out_arena);

/*
 * Copy the table that came into `entries`, room for `count`. *out_count says how many there are; more than `count`:
 * -E2BIG, and the array is untouched.
 */
int cpuid_from_wire(const struct wire_array *table, uint32_t count, struct kvm_cpuid_entry2 *entries,
                    uint32_t *out_count);

/* The same for entries that came as they are. */
int cpuid_from_bytes(const struct wire_bytes *table, uint32_t count, struct kvm_cpuid_entry2 *entries,
                     uint32_t *out_count);

/* Turn `count` entries into a table for sending; out_table->items is for free(3). Returns 0, -E2BIG or -ENOMEM. */
int cpuid_to_wire(uint32_t count, const struct kvm_cpuid_entry2 *entries, struct wire_array *out_table);

#endif
