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

/* Memory for the CPUID leaves of KVM_GET_SUPPORTED_CPUID; the kernel's own limit (KVM_MAX_CPUID_ENTRIES). */
#define CPUID_ENTRIES_MAX 256

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
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES_MAX * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return bits;
	cpuid->nent = CPUID_ENTRIES_MAX;
	if (kvm_ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid) >= 0) {
		for (uint32_t i = 0; i < cpuid->nent && i < CPUID_ENTRIES_MAX; i++) {
			/* Leaf 0x80000008 (SDM volume 2, CPUID): EAX bits 7:0 are the physical address bits. */
			unsigned int reported = cpuid->entries[i].eax & 0xff;
			if (cpuid->entries[i].function == 0x80000008 && reported > 0 && reported < bits)
				bits = reported;
		}
	}
	free(cpuid);
	return bits;
}

int plugvm_vcpu_get_regs(struct plugvm_vcpu *vcpu, struct kvm_regs *out_regs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_REGS, out_regs);
}

int plugvm_vcpu_set_regs(struct plugvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_REGS, (void *)regs);
}

int plugvm_vcpu_get_sregs(struct plugvm_vcpu *vcpu, struct kvm_sregs *out_sregs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_SREGS, out_sregs);
}

int plugvm_vcpu_set_sregs(struct plugvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_SREGS, (void *)sregs);
}

int plugvm_vcpu_get_debugregs(struct plugvm_vcpu *vcpu, struct kvm_debugregs *out_debugregs)
{
	return kvm_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, out_debugregs);
}

int plugvm_vcpu_set_debugregs(struct plugvm_vcpu *vcpu, const struct kvm_debugregs *debugregs)
{
	return kvm_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, (void *)debugregs);
}
