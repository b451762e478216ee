/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the exit benchmarks.
 */
#include "guest.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const uint8_t guest_start[], guest_posted[], guest_end[];

int guest_memory_new(void)
{
	size_t size = (size_t)(guest_end - guest_start);
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, GUEST_MEMORY_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
	    pwrite(fd, guest_start, size, 0) != (ssize_t)size)
		err(1, "the guest's memory");
	return fd;
}

void guest_set_entry(struct kvm_sregs *sregs, struct kvm_regs *out_regs, unsigned int cpu)
{
	sregs->cs.selector = 0;
	sregs->cs.base = 0;
	memset(out_regs, 0, sizeof(*out_regs));
	out_regs->rip = GUEST_LOAD_ADDRESS;
	out_regs->rflags = 0x2;
	out_regs->rdx = GUEST_PORT + cpu * GUEST_PORTS;
	out_regs->rcx = out_regs->rdx + GUEST_PORTS;
	out_regs->rsi = GUEST_STEP;
	out_regs->rdi = GUEST_PORTS;
}

void guest_set_posted_entry(struct kvm_sregs *sregs, struct kvm_regs *out_regs)
{
	guest_set_entry(sregs, out_regs, 0);
	out_regs->rip += (uint64_t)(guest_posted - guest_start);
}
