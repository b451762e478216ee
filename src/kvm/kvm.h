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

struct plugvm_kvm {
	int fd;
	size_t run_size; /* bytes of a vCPU's shared page and what follows it */
};

struct plugvm_vm {
	const struct plugvm_kvm *kvm;
	int fd;
	unsigned int address_bits;
};

struct plugvm_vcpu {
	int fd;
	uint32_t id;
	size_t run_size;
	struct kvm_run *run;
};

/* As plugvm_kvm_adopt(), but with a duplicate: `fd` stays the caller's. */
int kvm_from_fd(int fd, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error);

/* What is the architecture's: kvm_x86.c. */

/* Give a new VM what every PC has: interrupt controllers, PIT, and the pages that KVM itself needs. */
int kvm_arch_init_vm(struct plugvm_vm *vm, struct plugvm_error *out_error);
/* Return how many bits a guest-physical address has. */
unsigned int kvm_arch_address_bits(const struct plugvm_kvm *kvm);

#endif
