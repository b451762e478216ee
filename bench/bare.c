/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exit/bare and those that go with it: the guests on a KVM loop in this process.
 */
#include <err.h>
#include <errno.h>
#include <plugvm.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cases.h"
#include "guest.h"
#include "kvm/sync.h"
#include "samples.h"

struct bare {
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
	void *memory;
};

struct bare *bare_new(bool is_posted)
{
	struct bare *bare = calloc(1, sizeof(*bare));
	struct plugvm_error error;
	if (!bare)
		err(1, "memory");
	if (plugvm_kvm_open(NULL, &bare->kvm, &error) < 0 ||
	    plugvm_vm_new(bare->kvm, PLUGVM_IRQCHIP_KERNEL, &bare->vm, &error) < 0 ||
	    plugvm_vcpu_new(bare->vm, 0, &bare->vcpu, &error) < 0)
		errx(1, "%s", error.text);

	int fd = guest_memory_new();
	bare->memory = mmap(NULL, GUEST_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (bare->memory == MAP_FAILED)
		err(1, "mmap");
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	if (plugvm_vm_set_memory(bare->vm, 0, 0, GUEST_LOAD_ADDRESS, GUEST_MEMORY_SIZE, bare->memory) < 0 ||
	    plugvm_vcpu_get_sregs(bare->vcpu, &sregs) < 0)
		errx(1, "setting up the bare VM failed");
	if (is_posted)
		guest_set_posted_entry(&sregs, &regs);
	else
		guest_set_entry(&sregs, &regs, 0);
	if (plugvm_vcpu_set_sregs(bare->vcpu, &sregs) < 0 || plugvm_vcpu_set_regs(bare->vcpu, &regs) < 0)
		errx(1, "setting the bare VM's registers failed");
	return bare;
}

static void run_to_exit(const struct bare *bare, const struct kvm_run *run)
{
	int result;
	do {
		result = plugvm_vcpu_run(bare->vcpu);
	} while (result == -EINTR);
	if (result < 0 || run->exit_reason != KVM_EXIT_IO)
		errx(1, "the bare guest gave result %d, exit reason %u", result, run->exit_reason);
}

void bare_run(struct bare *bare)
{
	run_to_exit(bare, plugvm_vcpu_exit(bare->vcpu));
}

void bare_block(void *context, uint64_t *times)
{
	const struct bare *bare = context;
	const struct kvm_run *run = plugvm_vcpu_exit(bare->vcpu);
	uint64_t last = now_ns();
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		run_to_exit(bare, run);
		uint64_t now = now_ns();
		times[i] = now - last;
		last = now;
	}
}

void bare_regs_block(void *context, uint64_t *times)
{
	const struct bare *bare = context;
	const struct kvm_run *run = plugvm_vcpu_exit(bare->vcpu);
	kvm_sync_want(bare->vcpu, KVM_SYNC_X86_REGS);
	uint64_t last = now_ns();
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		run_to_exit(bare, run);
		const struct kvm_regs regs = kvm_sync_sets(bare->vcpu)->regs;
		if (kvm_sync_set_regs(bare->vcpu, &regs) < 0)
			errx(1, "setting the bare VM's registers failed");
		uint64_t now = now_ns();
		times[i] = now - last;
		last = now;
	}
}

void bare_posted_block(void *context, uint64_t *times)
{
	const struct bare *bare = context;
	const struct kvm_run *run = plugvm_vcpu_exit(bare->vcpu);
	uint64_t begin = now_ns();
	for (size_t i = 0; i < GUEST_POSTED; i++) {
		run_to_exit(bare, run);
		samples_group(times, i, &begin);
	}
	/* The access that tells the plugin of the end. */
	run_to_exit(bare, run);
}

void bare_free(struct bare *bare)
{
	plugvm_vcpu_free(&bare->vcpu);
	plugvm_vm_free(&bare->vm);
	plugvm_kvm_free(&bare->kvm);
	munmap(bare->memory, GUEST_MEMORY_SIZE);
	free(bare);
}
