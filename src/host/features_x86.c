/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the additions a VM has, on x86.
 */
#include "host/features.h"

#include "kvm/kvm.h"

uint64_t features_of(struct plugvm_vm *vm)
{
	/* What depends on the kernel, and on which of its capabilities. */
	static const struct {
		uint64_t feature;
		unsigned int capability;
	} conditions[] = {
	    {WIRE_FEATURE_MSR_FILTER, KVM_CAP_X86_MSR_FILTER},   {WIRE_FEATURE_XSAVE, KVM_CAP_XSAVE},
	    {WIRE_FEATURE_TSC_KHZ, KVM_CAP_GET_TSC_KHZ},         {WIRE_FEATURE_NESTED, KVM_CAP_NESTED_STATE},
	    {WIRE_FEATURE_GUEST_DEBUG, KVM_CAP_SET_GUEST_DEBUG},
	};
	uint64_t features = WIRE_FEATURE_VCPUS | WIRE_FEATURE_PAUSE_SET | WIRE_FEATURE_EXITS | WIRE_FEATURE_END |
	                    WIRE_FEATURE_AREA;
	if (!vm)
		return features;
	features |= WIRE_FEATURE_CREATE_EXT | WIRE_FEATURE_CPUID_FLAGS | WIRE_FEATURE_DIRTY_LOG_TO |
	            WIRE_FEATURE_TRANSLATE | WIRE_FEATURE_SNAPSHOT;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		if (plugvm_vm_check_extension(vm, conditions[i].capability) > 0)
			features |= conditions[i].feature;
	}
	if (vm->irqchip != PLUGVM_IRQCHIP_KERNEL)
		features |= WIRE_FEATURE_INTERRUPTS;
	if (vm->irqchip != PLUGVM_IRQCHIP_NONE && plugvm_vm_check_extension(vm, KVM_CAP_SIGNAL_MSI) > 0)
		features |= WIRE_FEATURE_SIGNAL_MSI;
	return features;
}
