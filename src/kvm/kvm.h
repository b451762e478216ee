/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's file descriptors as typed calls, for the rest of the host. Beside what plugvm.h declares, here is what
 * only the inside needs. Only src/kvm names a KVM ioctl; the kernel is trusted.
 */
#ifndef PLUGVM_KVM_KVM_H
#define PLUGVM_KVM_KVM_H

#include "plugvm.h"

#include <sys/mman.h>

/* The way to the kernel, replaceable by a fake one in tests (written only while no other thread runs). */
struct kvm_backend {
	int (*open)(const char *path);
	int (*ioctl)(int fd, unsigned long request, void *argument);
	void *(*map)(int fd, size_t size); /* a vCPU's struct kvm_run */
};

extern struct kvm_backend kvm_backend;

/* An ioctl whose argument is a number rather than a pointer. Both return >= 0, or -errno. */
int kvm_ioctl_number(int fd, unsigned long request, unsigned long argument);
int kvm_ioctl(int fd, unsigned long request, void *argument);

/* Defines a function for an ioctl whose argument is a struct of the kernel. */
#define KVM_CALL(function, handle, type, request)                \
	int function(handle *object, struct type *argument)      \
	{                                                        \
		return kvm_ioctl(object->fd, request, argument); \
	}

/* The same for an ioctl of a vCPU, which may change any of its state. */
#define KVM_VCPU_CALL(function, type, request)                        \
	int function(struct plugvm_vcpu *vcpu, struct type *argument) \
	{                                                             \
		return kvm_vcpu_set(vcpu, request, argument);         \
	}

struct plugvm_kvm {
	int fd;
	size_t run_size; /* bytes of a vCPU's shared page and what follows it */
};

struct plugvm_vm {
	const struct plugvm_kvm *kvm;
	int fd;
	unsigned int address_bits;
	enum plugvm_irqchip irqchip;
	uint32_t sync_supported; /* sync.h */
};

struct plugvm_vcpu {
	const struct plugvm_vm *vm;
	int fd;
	uint32_t id;
	size_t run_size;
	struct kvm_run *run;
	/* sync.h: KVM_SYNC_X86_* */
	uint32_t sync_current;
	bool sync_runs; /* its KVM_RUN takes what is dirty */
};

/*
 * An ioctl of a vCPU that only reads its state, and one that may change any of it; after what was set for the next
 * KVM_RUN was given to KVM (sync.h). A number as the argument is cast.
 */
int kvm_vcpu_get(struct plugvm_vcpu *vcpu, unsigned long request, void *argument);
int kvm_vcpu_set(struct plugvm_vcpu *vcpu, unsigned long request, void *argument);

/* As plugvm_kvm_adopt(), but with a duplicate: `fd` stays the caller's. */
int kvm_from_fd(int fd, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error);

/* One ioctl each, by its name; 0 or a positive answer, or -errno. */
int kvm_vm_ioeventfd(struct plugvm_vm *vm, struct kvm_ioeventfd *event);
int kvm_vm_irqfd(struct plugvm_vm *vm, struct kvm_irqfd *event);
int kvm_vm_irq_line(struct plugvm_vm *vm, uint32_t gsi, bool level);
int kvm_vm_set_gsi_routing(struct plugvm_vm *vm, struct kvm_irq_routing *routing);
int kvm_vm_get_dirty_log(struct plugvm_vm *vm, struct kvm_dirty_log *log);
/* Returns 1 if it was delivered, 0 if the guest blocks it. */
int kvm_vm_signal_msi(struct plugvm_vm *vm, struct kvm_msi *msi);

/* What is the architecture's: kvm_x86.c. */

int kvm_vm_get_irqchip(struct plugvm_vm *vm, struct kvm_irqchip *chip);
int kvm_vm_set_irqchip(struct plugvm_vm *vm, struct kvm_irqchip *chip);
int kvm_vm_get_pit(struct plugvm_vm *vm, struct kvm_pit_state2 *state);
int kvm_vm_set_pit(struct plugvm_vm *vm, struct kvm_pit_state2 *state);
int kvm_vm_get_clock(struct plugvm_vm *vm, struct kvm_clock_data *clock);
int kvm_vm_set_clock(struct plugvm_vm *vm, struct kvm_clock_data *clock);
int kvm_vm_set_identity_map_addr(struct plugvm_vm *vm, uint64_t address);

/* Fill a struct kvm_cpuid2 whose nent says how much room there is; KVM stores how many there are. */
int kvm_get_supported_cpuid(const struct plugvm_kvm *kvm, struct kvm_cpuid2 *cpuid);
int kvm_get_emulated_cpuid(const struct plugvm_kvm *kvm, struct kvm_cpuid2 *cpuid);
int kvm_vcpu_get_hyperv_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid);
int kvm_vcpu_set_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid);
/* -E2BIG: list->nmsrs was too small, and now says how many there are. */
int kvm_get_msr_index_list(const struct plugvm_kvm *kvm, struct kvm_msr_list *list);
/* Return how many MSRs were read or written: KVM stops at the first that it refuses. */
int kvm_vcpu_get_msrs(struct plugvm_vcpu *vcpu, struct kvm_msrs *msrs);
int kvm_vcpu_set_msrs(struct plugvm_vcpu *vcpu, struct kvm_msrs *msrs);
int kvm_vcpu_enable_cap(struct plugvm_vcpu *vcpu, struct kvm_enable_cap *capability);
/* Fill the table, whose entries are zeros. */
int kvm_vcpu_get_cpuid(struct plugvm_vcpu *vcpu, struct kvm_cpuid2 *cpuid);

/* Have the MSR accesses that the filter refuses (and with `unknown` those that KVM itself would refuse) exit. */
int kvm_vm_set_msr_exits(struct plugvm_vm *vm, uint64_t reasons);
int kvm_vm_set_msr_filter(struct plugvm_vm *vm, struct kvm_msr_filter *filter);

/* `size` is what kvm_vm_xsave_size() said; fewer than 4096 it never is. */
size_t kvm_vm_xsave_size(const struct plugvm_vm *vm);
int kvm_vcpu_get_xsave(struct plugvm_vcpu *vcpu, void *xsave, size_t size);
int kvm_vcpu_set_xsave(struct plugvm_vcpu *vcpu, const void *xsave);
/* Returns the frequency. */
int kvm_vcpu_get_tsc_khz(struct plugvm_vcpu *vcpu);
int kvm_vcpu_set_tsc_khz(struct plugvm_vcpu *vcpu, uint32_t khz);
/* get: state->size says how much room there is; -E2BIG if too little, and then how much it takes. */
int kvm_vcpu_get_nested_state(struct plugvm_vcpu *vcpu, struct kvm_nested_state *state);
int kvm_vcpu_set_nested_state(struct plugvm_vcpu *vcpu, struct kvm_nested_state *state);
int kvm_vcpu_interrupt(struct plugvm_vcpu *vcpu, uint32_t vector);
int kvm_vcpu_nmi(struct plugvm_vcpu *vcpu);
int kvm_vcpu_set_guest_debug(struct plugvm_vcpu *vcpu, struct kvm_guest_debug *debug);
int kvm_vcpu_translate(struct plugvm_vcpu *vcpu, struct kvm_translation *translation);

/* Give a new VM its interrupt controllers, as far as they are the kernel's, and the pages that KVM itself needs. */
int kvm_arch_init_vm(struct plugvm_vm *vm, struct plugvm_error *out_error);
/* Return how many bits a guest-physical address has. */
unsigned int kvm_arch_address_bits(const struct plugvm_kvm *kvm);

#endif
