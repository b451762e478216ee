/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin asks of a stopped vCPU on x86, beside its sets of state: MSRs, CPUID, capabilities. Runs in the plugin,
 * on the thread that the vCPU belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>
#include <stdlib.h>

#include "plugin/cpuid.h"
#include "plugin/stats.h"
#include "plugin/vcpu.h"

static int fetch_msrs(struct crosvm_vcpu *vcpu, uint32_t count, const uint32_t *indices,
                      const struct wire_arena *elements, wire_VcpuResponse *out_reply)
{
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_get_msrs_tag,
	    .message.get_msrs.entry_indices = {.items = indices, .count = count},
	};
	int error = vcpu_enter_stopped(vcpu);
	if (error)
		return error;
	error = vcpu_call(vcpu, &request, wire_VcpuResponse_get_msrs_tag, elements, out_reply);
	vcpu_leave(vcpu);
	return error;
}

int crosvm_vcpu_get_msrs(struct crosvm_vcpu *vcpu, uint32_t count, struct kvm_msr_entry *entries,
                         uint32_t *out_count)
{
	STATS();
	if (!vcpu || !out_count || (count > 0 && !entries))
		return -EINVAL;
	*out_count = 0;
	if (count > LIMIT_MSRS)
		return -E2BIG;
	uint32_t indices[LIMIT_MSRS];
	uint64_t values[LIMIT_MSRS];
	for (uint32_t i = 0; i < count; i++)
		indices[i] = entries[i].index;
	const struct wire_arena elements = {.memory = values, .size = sizeof(values)};
	wire_VcpuResponse reply;
	int error = fetch_msrs(vcpu, count, indices, &elements, &reply);
	if (error)
		return error;
	const struct wire_array *data = &reply.message.get_msrs.entry_data;
	if (data->count > count || data->stored != data->count)
		return -EPROTO;
	const uint64_t *from = data->items;
	for (uint32_t i = 0; i < data->count; i++)
		entries[i].data = from[i];
	*out_count = data->count;
	return 0;
}

static struct wire_array msrs_to_wire(uint32_t count, const struct kvm_msr_entry *entries,
                                      wire_VcpuRequest_MsrEntry *out_entries)
{
	for (uint32_t i = 0; i < count; i++)
		out_entries[i] = (wire_VcpuRequest_MsrEntry){.index = entries[i].index, .data = entries[i].data};
	return (struct wire_array){.items = out_entries, .count = count};
}

int crosvm_vcpu_set_msrs(struct crosvm_vcpu *vcpu, uint32_t count, const struct kvm_msr_entry *entries)
{
	STATS();
	if (!vcpu || (count > 0 && !entries))
		return -EINVAL;
	if (count > LIMIT_MSRS)
		return -E2BIG;
	wire_VcpuRequest_MsrEntry wire_entries[LIMIT_MSRS];
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_msrs_tag,
	    .message.set_msrs.entries = msrs_to_wire(count, entries, wire_entries),
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_set_msrs_tag, &reply);
}

int crosvm_vcpu_set_msrs_counted(struct crosvm_vcpu *vcpu, uint32_t count, const struct kvm_msr_entry *entries,
                                 uint32_t *out_count)
{
	STATS();
	if (!vcpu || !out_count || (count > 0 && !entries))
		return -EINVAL;
	*out_count = 0;
	int error = vcpu_need(vcpu, !machine_is_original(vcpu->machine));
	if (error)
		return error;
	if (count > LIMIT_MSRS)
		return -E2BIG;
	wire_VcpuRequest_MsrEntry wire_entries[LIMIT_MSRS];
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_msrs_counted_tag,
	    .message.set_msrs_counted.entries = msrs_to_wire(count, entries, wire_entries),
	};
	wire_VcpuResponse reply;
	error = vcpu_command(vcpu, &request, wire_VcpuResponse_set_msrs_counted_tag, &reply);
	if (error)
		return error;
	if (reply.message.set_msrs_counted.count > count)
		return -EPROTO;
	*out_count = reply.message.set_msrs_counted.count;
	return 0;
}

static int set_cpuid_raw(struct crosvm_vcpu *vcpu, uint32_t count, const struct kvm_cpuid_entry2 *entries)
{
	if (count > LIMIT_CPUID_ENTRIES)
		return -E2BIG;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_cpuid_raw_tag,
	    .message.set_cpuid_raw.entries = {(const uint8_t *)entries, count * sizeof(entries[0])},
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_set_cpuid_raw_tag, &reply);
}

static int set_cpuid_baseline(struct crosvm_vcpu *vcpu, uint32_t count, const struct kvm_cpuid_entry2 *entries)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_cpuid_tag};
	int error = cpuid_to_wire(count, entries, &request.message.set_cpuid.entries);
	if (error)
		return error;
	wire_VcpuResponse reply;
	error = vcpu_command(vcpu, &request, wire_VcpuResponse_set_cpuid_tag, &reply);
	free((void *)request.message.set_cpuid.entries.items);
	return error;
}

int crosvm_vcpu_set_cpuid(struct crosvm_vcpu *vcpu, uint32_t count, const struct kvm_cpuid_entry2 *entries)
{
	STATS();
	if (!vcpu || (count > 0 && !entries))
		return -EINVAL;
	if (machine_has(vcpu->machine, CROSVM_FEATURE_CPUID_FLAGS))
		return set_cpuid_raw(vcpu, count, entries);
	return set_cpuid_baseline(vcpu, count, entries);
}

int crosvm_get_hyperv_cpuid(struct crosvm_vcpu *vcpu, uint32_t count, struct kvm_cpuid_entry2 *entries,
                            uint32_t *out_count)
{
	STATS();
	if (!vcpu || !out_count || (count > 0 && !entries))
		return -EINVAL;
	*out_count = 0;
	struct wire_arena elements;
	int error = cpuid_arena_new(&elements);
	if (error)
		return error;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_hyperv_cpuid_tag};
	wire_VcpuResponse reply;
	error = vcpu_enter_stopped(vcpu);
	if (!error) {
		error = vcpu_call(vcpu, &request, wire_VcpuResponse_get_hyperv_cpuid_tag, &elements, &reply);
		vcpu_leave(vcpu);
	}
	if (!error)
		error = cpuid_from_wire(&reply.message.get_hyperv_cpuid.entries, count, entries, out_count);
	free(elements.memory);
	return error;
}

int crosvm_vcpu_enable_capability(struct crosvm_vcpu *vcpu, uint32_t capability, uint32_t flags, uint64_t args[4])
{
	STATS();
	if (!vcpu || !args || flags != 0 || args[0] || args[1] || args[2] || args[3])
		return -EINVAL;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_enable_capability_tag,
	    .message.enable_capability.capability = capability,
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_enable_capability_tag, &reply);
}
