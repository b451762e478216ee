/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's file descriptors as typed calls: what is x86.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/limits.h"

/*
 * Three pages that KVM on Intel needs to run real mode without "unrestricted guest"
 * (Documentation/virt/kvm/api.rst, KVM_SET_TSS_ADDR). Where firmware images end at 4 GiB, this lies below the
 * largest (16 MiB) by convention.
 */
#define TSS_ADDRESS 0xfeffd000u

int kvm_arch_init_vm(struct plugvm_vm *vm, struct plugvm_error *out_error)
{
	int result = kvm_ioctl_number(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_SET_TSS_ADDR");
	result = kvm_ioctl_number(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_CREATE_IRQCHIP");

	/* The dummy speaker answers port 0x61, whose timer bit firmware polls, without an exit. */
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	result = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_CREATE_PIT2");
	return 0;
}

unsigned int kvm_arch_address_bits(const struct plugvm_kvm *kvm)
{
	unsigned int bits = LIMIT_GUEST_ADDRESS_BITS;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + LIMIT_CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return bits;
	cpuid->nent = LIMIT_CPUID_ENTRIES;
	if (kvm_get_supported_cpuid(kvm, cpuid) >= 0) {
		for (uint32_t i = 0; i < cpuid->nent && i < LIMIT_CPUID_ENTRIES; i++) {
			/* Leaf 0x80000008 (SDM volume 2, CPUID): EAX bits 7:0 are the physical address bits. */
			unsigned int reported = cpuid->entries[i].eax & 0xff;
			if (cpuid->entries[i].function == 0x80000008 && reported > 0 && reported < bits)
				bits = reported;
		}
	}
	free(cpuid);
	return bits;
}

/* A pair of calls for each set of state: KVM_GET_x and KVM_SET_x. */
#define STATE_CALLS(name, type, get_request, set_request)                             \
	int plugvm_vcpu_get_##name(struct plugvm_vcpu *vcpu, struct type *out_##name) \
	{                                                                             \
		return kvm_ioctl(vcpu->fd, get_request, out_##name);                  \
	}                                                                             \
	int plugvm_vcpu_set_##name(struct plugvm_vcpu *vcpu, const struct type *name) \
	{                                                                             \
		return kvm_ioctl(vcpu->fd, set_request, (void *)name);                \
	}

STATE_CALLS(regs, kvm_regs, KVM_GET_REGS, KVM_SET_REGS)
STATE_CALLS(sregs, kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS)
STATE_CALLS(fpu, kvm_fpu, KVM_GET_FPU, KVM_SET_FPU)
STATE_CALLS(debugregs, kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
STATE_CALLS(lapic, kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC)
STATE_CALLS(mp_state, kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)
STATE_CALLS(xcrs, kvm_xcrs, KVM_GET_XCRS, KVM_SET_XCRS)
STATE_CALLS(events, kvm_vcpu_events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)

int kvm_vm_get_irqchip(struct plugvm_vm *vm, struct kvm_irqchip *chip)
{
	return kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, chip);
}

int kvm_vm_set_irqchip(struct plugvm_vm *vm, struct kvm_irqchip *chip)
{
	return kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, chip);
}

int kvm_vm_get_pit(struct plugvm_vm *vm, struct kvm_pit_state2 *state)
{
	return kvm_ioctl(vm->fd, KVM_GET_PIT2, state);
}

int kvm_vm_set_pit(struct plugvm_vm *vm, struct kvm_pit_state2 *state)
{
	return kvm_ioctl(vm->fd, KVM_SET_PIT2, state);
}

int kvm_vm_get_clock(struct plugvm_vm *vm, struct kvm_clock_data *clock)
{
	return kvm_ioctl(vm->fd, KVM_GET_CLOCK, clock);
}

int kvm_vm_set_clock(struct plugvm_vm *vm, struct kvm_clock_data *clock)
{
	return kvm_ioctl(vm->fd, KVM_SET_CLOCK, clock);
}

int kvm_vm_set_identity_map_addr(struct plugvm_vm *vm, uint64_t address)
{
	return kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &address);
}

int kvm_get_supported_cpuid(const struct plugvm_kvm *kvm, struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid);
}

int kvm_get_emulated_cpuid(const struct plugvm_kvm *kvm, struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(kvm->fd, KVM_GET_EMULATED_CPUID, cpuid);
}

int kvm_vcpu_get_hyperv_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_SUPPORTED_HV_CPUID, cpuid);
}

int kvm_vcpu_set_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

int kvm_get_msr_index_list(const struct plugvm_kvm *kvm, struct kvm_msr_list *list)
{
	return kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list);
}

int kvm_vcpu_get_msrs(struct plugvm_vcpu *vcpu, struct kvm_msrs *msrs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
}

int kvm_vcpu_set_msrs(struct plugvm_vcpu *vcpu, struct kvm_msrs *msrs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
}

int kvm_vcpu_enable_cap(struct plugvm_vcpu *vcpu, struct kvm_enable_cap *capability)
{
	return kvm_ioctl(vcpu->fd, KVM_ENABLE_CAP, capability);
}
