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

/* The pins of a PC's IOAPIC, which a plugin emulates with a split irqchip; KVM reports their EOIs. */
#define SPLIT_IOAPIC_PINS 24

/* The XSAVE area that KVM_GET_XSAVE has room for (struct kvm_xsave). */
#define XSAVE_SIZE_MIN 4096u

static int make_irqchip(struct plugvm_vm *vm, struct plugvm_error *out_error)
{
	int result = kvm_ioctl_number(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_CREATE_IRQCHIP");

	/* The dummy speaker answers port 0x61, whose timer bit firmware polls, without an exit. */
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	result = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_CREATE_PIT2");
	return 0;
}

static int make_split_irqchip(struct plugvm_vm *vm, struct plugvm_error *out_error)
{
	struct kvm_enable_cap capability = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {SPLIT_IOAPIC_PINS}};
	int result = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &capability);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_CAP_SPLIT_IRQCHIP");
	return 0;
}

int kvm_arch_init_vm(struct plugvm_vm *vm, struct plugvm_error *out_error)
{
	int result = kvm_ioctl_number(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -result, "KVM_SET_TSS_ADDR");
	switch (vm->irqchip) {
	case PLUGVM_IRQCHIP_KERNEL:
		return make_irqchip(vm, out_error);
	case PLUGVM_IRQCHIP_SPLIT:
		return make_split_irqchip(vm, out_error);
	case PLUGVM_IRQCHIP_NONE:
		return 0;
	}
	return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "there is no irqchip %d", (int)vm->irqchip);
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

/* A pair of calls for each set of state that does not travel with KVM_RUN (sync_x86.c): KVM_GET_x and KVM_SET_x. */
#define STATE_CALLS(name, type, get_request, set_request)                             \
	int plugvm_vcpu_get_##name(struct plugvm_vcpu *vcpu, struct type *out_##name) \
	{                                                                             \
		return kvm_vcpu_get(vcpu, get_request, out_##name);                   \
	}                                                                             \
	int plugvm_vcpu_set_##name(struct plugvm_vcpu *vcpu, const struct type *name) \
	{                                                                             \
		return kvm_vcpu_set(vcpu, set_request, (void *)name);                 \
	}

STATE_CALLS(fpu, kvm_fpu, KVM_GET_FPU, KVM_SET_FPU)
STATE_CALLS(debugregs, kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
STATE_CALLS(lapic, kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC)
STATE_CALLS(mp_state, kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)
STATE_CALLS(xcrs, kvm_xcrs, KVM_GET_XCRS, KVM_SET_XCRS)

KVM_CALL(kvm_vm_get_irqchip, struct plugvm_vm, kvm_irqchip, KVM_GET_IRQCHIP)
KVM_CALL(kvm_vm_set_irqchip, struct plugvm_vm, kvm_irqchip, KVM_SET_IRQCHIP)
KVM_CALL(kvm_vm_get_pit, struct plugvm_vm, kvm_pit_state2, KVM_GET_PIT2)
KVM_CALL(kvm_vm_set_pit, struct plugvm_vm, kvm_pit_state2, KVM_SET_PIT2)
KVM_CALL(kvm_vm_get_clock, struct plugvm_vm, kvm_clock_data, KVM_GET_CLOCK)
KVM_CALL(kvm_vm_set_clock, struct plugvm_vm, kvm_clock_data, KVM_SET_CLOCK)
KVM_CALL(kvm_get_supported_cpuid, const struct plugvm_kvm, kvm_cpuid2, KVM_GET_SUPPORTED_CPUID)
KVM_CALL(kvm_get_emulated_cpuid, const struct plugvm_kvm, kvm_cpuid2, KVM_GET_EMULATED_CPUID)
KVM_VCPU_CALL(kvm_vcpu_get_hyperv_cpuid, kvm_cpuid2, KVM_GET_SUPPORTED_HV_CPUID)
KVM_VCPU_CALL(kvm_vcpu_set_cpuid, kvm_cpuid2, KVM_SET_CPUID2)
KVM_CALL(kvm_get_msr_index_list, const struct plugvm_kvm, kvm_msr_list, KVM_GET_MSR_INDEX_LIST)
KVM_VCPU_CALL(kvm_vcpu_get_msrs, kvm_msrs, KVM_GET_MSRS)
KVM_VCPU_CALL(kvm_vcpu_set_msrs, kvm_msrs, KVM_SET_MSRS)
KVM_VCPU_CALL(kvm_vcpu_enable_cap, kvm_enable_cap, KVM_ENABLE_CAP)
KVM_CALL(kvm_vm_set_msr_filter, struct plugvm_vm, kvm_msr_filter, KVM_X86_SET_MSR_FILTER)
KVM_VCPU_CALL(kvm_vcpu_get_nested_state, kvm_nested_state, KVM_GET_NESTED_STATE)
KVM_VCPU_CALL(kvm_vcpu_set_nested_state, kvm_nested_state, KVM_SET_NESTED_STATE)
KVM_VCPU_CALL(kvm_vcpu_set_guest_debug, kvm_guest_debug, KVM_SET_GUEST_DEBUG)
KVM_VCPU_CALL(kvm_vcpu_translate, kvm_translation, KVM_TRANSLATE)

int kvm_vm_set_identity_map_addr(struct plugvm_vm *vm, uint64_t address)
{
	return kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &address);
}

int kvm_vcpu_get_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	static const struct kvm_cpuid_entry2 none;
	uint32_t capacity = cpuid->nent;
	int result = kvm_vcpu_get(vcpu, KVM_GET_CPUID2, cpuid);
	if (result < 0 || cpuid->nent != capacity)
		return result;
	/* Before Linux 6.3 KVM leaves the number as it was, and what it did not write as it was: zeros. */
	while (cpuid->nent > 0 && memcmp(&cpuid->entries[cpuid->nent - 1], &none, sizeof(none)) == 0)
		cpuid->nent--;
	return result;
}

int kvm_vm_set_msr_exits(struct plugvm_vm *vm, uint64_t reasons)
{
	struct kvm_enable_cap capability = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {reasons}};
	return kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &capability);
}

size_t kvm_vm_xsave_size(const struct plugvm_vm *vm)
{
	int size = kvm_ioctl_number(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	return size > (int)XSAVE_SIZE_MIN ? (size_t)size : XSAVE_SIZE_MIN;
}

int kvm_vcpu_get_xsave(struct plugvm_vcpu *vcpu, void *xsave, size_t size)
{
	return kvm_vcpu_get(vcpu, size > XSAVE_SIZE_MIN ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave);
}

int kvm_vcpu_set_xsave(struct plugvm_vcpu *vcpu, const void *xsave)
{
	return kvm_vcpu_set(vcpu, KVM_SET_XSAVE, (void *)xsave);
}

int kvm_vcpu_get_tsc_khz(struct plugvm_vcpu *vcpu)
{
	return kvm_vcpu_get(vcpu, KVM_GET_TSC_KHZ, NULL);
}

int kvm_vcpu_set_tsc_khz(struct plugvm_vcpu *vcpu, uint32_t khz)
{
	return kvm_vcpu_set(vcpu, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz);
}

int kvm_vcpu_interrupt(struct plugvm_vcpu *vcpu, uint32_t vector)
{
	struct kvm_interrupt interrupt = {.irq = vector};
	return kvm_vcpu_set(vcpu, KVM_INTERRUPT, &interrupt);
}

int kvm_vcpu_nmi(struct plugvm_vcpu *vcpu)
{
	return kvm_vcpu_set(vcpu, KVM_NMI, NULL);
}
