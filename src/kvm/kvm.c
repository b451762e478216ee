/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's file descriptors as typed calls: what is the same on every architecture.
 */
#include "kvm/kvm.h"
#include "kvm/sync.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

static int open_device(const char *path)
{
	return open(path, O_RDWR | O_CLOEXEC);
}

static int call_kernel(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument);
}

static void *map_run(int fd, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

struct kvm_backend kvm_backend = {.open = open_device, .ioctl = call_kernel, .map = map_run};

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int result = kvm_backend.ioctl(fd, request, argument);
	return result < 0 ? -errno : result;
}

int kvm_ioctl_number(int fd, unsigned long request, unsigned long argument)
{
	return kvm_ioctl(fd, request, (void *)argument);
}

/* Takes `fd` over, also on failure. */
static int kvm_new(int fd, const char *name, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error)
{
	FD_AUTO owned = fd;
	int version = kvm_ioctl_number(owned, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -version, "%s is not a KVM device", name);
	if (version != KVM_API_VERSION)
		return error_set_plain(out_error, PLUGVM_ERROR_ENVIRONMENT, EINVAL,
		                       "%s has KVM API version %d, this program needs %d", name, version,
		                       KVM_API_VERSION);
	int run_size = kvm_ioctl_number(owned, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_size < (int)sizeof(struct kvm_run))
		return error_set(out_error, PLUGVM_ERROR_KVM, run_size < 0 ? -run_size : EINVAL,
		                 "KVM_GET_VCPU_MMAP_SIZE");
	if (kvm_ioctl_number(owned, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
		return error_set_plain(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOTSUP,
		                       "this kernel's KVM lacks KVM_CAP_IMMEDIATE_EXIT (Linux 4.12)");

	struct plugvm_kvm *kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "opening %s", name);
	kvm->fd = fd_take(&owned);
	kvm->run_size = (size_t)run_size;
	*out_kvm = kvm;
	return 0;
}

int plugvm_kvm_open(const char *path, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error)
{
	if (!path)
		path = "/dev/kvm";
	int fd = kvm_backend.open(path);
	if (fd < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "%s", path);
	return kvm_new(fd, path, out_kvm, out_error);
}

int kvm_from_fd(int fd, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error)
{
	char name[32];
	snprintf(name, sizeof(name), "fd %d", fd);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "KVM device %s", name);
	return kvm_new(copy, name, out_kvm, out_error);
}

int plugvm_kvm_adopt(int fd, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error)
{
	/* On failure the fd stays the caller's. */
	int result = kvm_from_fd(fd, out_kvm, out_error);
	if (result == 0)
		close(fd);
	return result;
}

void plugvm_kvm_free(struct plugvm_kvm **kvm)
{
	if (!*kvm)
		return;
	fd_close(&(*kvm)->fd);
	free(*kvm);
	*kvm = NULL;
}

int plugvm_kvm_check_extension(struct plugvm_kvm *kvm, unsigned int extension)
{
	return kvm_ioctl_number(kvm->fd, KVM_CHECK_EXTENSION, extension);
}

static int vm_wrap(struct plugvm_kvm *kvm, int fd, enum plugvm_irqchip irqchip, struct plugvm_vm **out_vm,
                   struct plugvm_error *out_error)
{
	struct plugvm_vm *vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "making a VM");
	vm->kvm = kvm;
	vm->fd = fd;
	vm->irqchip = irqchip;
	vm->address_bits = kvm_arch_address_bits(kvm);
	vm->sync_supported = kvm_sync_supported(fd);
	*out_vm = vm;
	return 0;
}

int plugvm_vm_new(struct plugvm_kvm *kvm, enum plugvm_irqchip irqchip, struct plugvm_vm **out_vm,
                  struct plugvm_error *out_error)
{
	FD_AUTO fd = -1;
	do {
		/* A pending signal interrupts this ioctl. */
		fd = kvm_ioctl_number(kvm->fd, KVM_CREATE_VM, 0);
	} while (fd == -EINTR);
	if (fd < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -fd, "KVM_CREATE_VM");

	struct plugvm_vm *vm = NULL;
	int result = vm_wrap(kvm, fd, irqchip, &vm, out_error);
	if (result < 0)
		return result;
	fd_take(&fd);
	result = kvm_arch_init_vm(vm, out_error);
	if (result < 0) {
		plugvm_vm_free(&vm);
		return result;
	}
	*out_vm = vm;
	return 0;
}

int plugvm_vm_adopt(struct plugvm_kvm *kvm, int fd, struct plugvm_vm **out_vm, struct plugvm_error *out_error)
{
	return vm_wrap(kvm, fd, PLUGVM_IRQCHIP_KERNEL, out_vm, out_error);
}

void plugvm_vm_free(struct plugvm_vm **vm)
{
	if (!*vm)
		return;
	fd_close(&(*vm)->fd);
	free(*vm);
	*vm = NULL;
}

int plugvm_vm_fd(const struct plugvm_vm *vm)
{
	return vm->fd;
}

int plugvm_vm_check_extension(struct plugvm_vm *vm, unsigned int extension)
{
	return kvm_ioctl_number(vm->fd, KVM_CHECK_EXTENSION, extension);
}

unsigned int plugvm_vm_address_bits(const struct plugvm_vm *vm)
{
	return vm->address_bits;
}

int plugvm_vm_set_memory(struct plugvm_vm *vm, uint32_t slot, uint32_t flags, uint64_t start, uint64_t length,
                         void *host)
{
	struct kvm_userspace_memory_region region = {
	    .slot = slot,
	    .flags = flags,
	    .guest_phys_addr = start,
	    .memory_size = length,
	    .userspace_addr = (uintptr_t)host,
	};
	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Takes `fd` over on success only. */
static int vcpu_wrap(const struct plugvm_vm *vm, uint32_t id, int fd, struct plugvm_vcpu **out_vcpu,
                     struct plugvm_error *out_error)
{
	struct plugvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "making vCPU %u", id);
	vcpu->vm = vm;
	vcpu->run_size = vm->kvm->run_size;
	vcpu->run = kvm_backend.map(fd, vcpu->run_size);
	if (vcpu->run == MAP_FAILED) {
		int code = errno;
		free(vcpu);
		return error_set(out_error, PLUGVM_ERROR_KVM, code, "mapping vCPU %u", id);
	}
	vcpu->fd = fd;
	vcpu->id = id;
	*out_vcpu = vcpu;
	return 0;
}

int plugvm_vcpu_new(struct plugvm_vm *vm, uint32_t id, struct plugvm_vcpu **out_vcpu,
                    struct plugvm_error *out_error)
{
	FD_AUTO fd = kvm_ioctl_number(vm->fd, KVM_CREATE_VCPU, id);
	if (fd < 0)
		return error_set(out_error, PLUGVM_ERROR_KVM, -fd, "KVM_CREATE_VCPU %u", id);
	int result = vcpu_wrap(vm, id, fd, out_vcpu, out_error);
	if (result == 0)
		fd_take(&fd);
	return result;
}

int plugvm_vcpu_adopt(struct plugvm_vm *vm, uint32_t id, int fd, struct plugvm_vcpu **out_vcpu,
                      struct plugvm_error *out_error)
{
	return vcpu_wrap(vm, id, fd, out_vcpu, out_error);
}

void plugvm_vcpu_free(struct plugvm_vcpu **vcpu)
{
	if (!*vcpu)
		return;
	munmap((*vcpu)->run, (*vcpu)->run_size);
	fd_close(&(*vcpu)->fd);
	free(*vcpu);
	*vcpu = NULL;
}

uint32_t plugvm_vcpu_id(const struct plugvm_vcpu *vcpu)
{
	return vcpu->id;
}

int plugvm_vcpu_run(struct plugvm_vcpu *vcpu)
{
	int result = kvm_ioctl_number(vcpu->fd, KVM_RUN, 0);
	kvm_sync_ran(vcpu, result);
	return result;
}

struct kvm_run *plugvm_vcpu_exit(struct plugvm_vcpu *vcpu)
{
	return vcpu->run;
}

void plugvm_vcpu_set_immediate_exit(struct plugvm_vcpu *vcpu, bool on)
{
	__atomic_store_n(&vcpu->run->immediate_exit, on, __ATOMIC_SEQ_CST);
}

int kvm_vm_irq_line(struct plugvm_vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};
	return kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

KVM_CALL(kvm_vm_ioeventfd, struct plugvm_vm, kvm_ioeventfd, KVM_IOEVENTFD)
KVM_CALL(kvm_vm_irqfd, struct plugvm_vm, kvm_irqfd, KVM_IRQFD)
KVM_CALL(kvm_vm_set_gsi_routing, struct plugvm_vm, kvm_irq_routing, KVM_SET_GSI_ROUTING)
KVM_CALL(kvm_vm_get_dirty_log, struct plugvm_vm, kvm_dirty_log, KVM_GET_DIRTY_LOG)
KVM_CALL(kvm_vm_signal_msi, struct plugvm_vm, kvm_msi, KVM_SIGNAL_MSI)
