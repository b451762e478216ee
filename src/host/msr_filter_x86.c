/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the guest's MSR accesses exit instead of being KVM's.
 */
#include "host/msr_filter.h"

#include <errno.h>

#include "kvm/kvm.h"
#include "wire/limits.h"

static uint64_t exit_reasons(bool filter, bool unknown)
{
	return (filter ? KVM_MSR_EXIT_REASON_FILTER : 0) |
	       (unknown ? KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL : 0);
}

static int translate(const struct wire_array *peer_ranges, struct kvm_msr_filter *out_filter)
{
	/* A bit that is 0 denies the access, which makes it exit. KVM only reads it. */
	static uint8_t denied[(LIMIT_MSR_FILTER_COUNT + 7) / 8];

	if (peer_ranges->count > LIMIT_MSR_FILTER_RANGES || peer_ranges->stored != peer_ranges->count)
		return -E2BIG;
	const wire_MainRequest_SetMsrFilter_Range *peers = peer_ranges->items;
	*out_filter = (struct kvm_msr_filter){.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
	for (uint32_t i = 0; i < peer_ranges->count; i++) {
		if (peers[i].count > LIMIT_MSR_FILTER_COUNT)
			return -E2BIG;
		if (peers[i].count == 0 || peers[i].count - 1 > UINT32_MAX - peers[i].first ||
		    (!peers[i].reads && !peers[i].writes))
			return -EINVAL;
		out_filter->ranges[i].flags = (peers[i].reads ? KVM_MSR_FILTER_READ : 0u) |
		                              (peers[i].writes ? KVM_MSR_FILTER_WRITE : 0u);
		out_filter->ranges[i].base = peers[i].first;
		out_filter->ranges[i].nmsrs = peers[i].count;
		out_filter->ranges[i].bitmap = denied;
	}
	return 0;
}

int msr_filter_set(struct plugvm_vm *vm, const wire_MainRequest_SetMsrFilter *peer_filter, bool *unknown_exits)
{
	struct kvm_msr_filter filter;
	int result = translate(&peer_filter->ranges, &filter);
	if (result < 0)
		return result;
	/* A denied access that does not exit is #GP: exits are on before the filter is, and off after it. */
	result = kvm_vm_set_msr_exits(vm, exit_reasons(true, *unknown_exits));
	if (result == 0)
		result = kvm_vm_set_msr_filter(vm, &filter);
	if (result < 0)
		return result;
	result = kvm_vm_set_msr_exits(vm, exit_reasons(peer_filter->ranges.count > 0, peer_filter->unknown));
	if (result == 0)
		*unknown_exits = peer_filter->unknown;
	return result;
}
