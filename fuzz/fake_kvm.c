/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A KVM that is only a table in memory. It refuses what the kernel refuses, as far as the host's code has a path
 * for that, and checks that the host asks for nothing that it must not.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "kvm/kvm.h"
#include "wire/limits.h"

struct fake_vcpu fake_vcpu;

static struct {
	uint64_t start, length; /* length 0: free */
} slots[LIMIT_MEMORY_SLOTS];

size_t fake_kvm_slots(void)
{
	size_t used = 0;
	for (size_t i = 0; i < LIMIT_MEMORY_SLOTS; i++)
		used += slots[i].length > 0;
	return used;
}

static int set_memory(const struct kvm_userspace_memory_region *region)
{
	REQUIRE(region->slot >= FAKE_FIRST_SLOT && region->slot < FAKE_FIRST_SLOT + LIMIT_MEMORY_SLOTS);
	size_t slot = region->slot - FAKE_FIRST_SLOT;
	uint64_t start = region->guest_phys_addr, length = region->memory_size;
	if (length == 0) {
		REQUIRE(slots[slot].length > 0);
		slots[slot].length = 0;
		return 0;
	}
	REQUIRE(slots[slot].length == 0);
	REQUIRE(start % 4096 == 0 && length % 4096 == 0 && start + length > start);
	REQUIRE(region->userspace_addr != 0 && region->userspace_addr % 4096 == 0);
	REQUIRE((region->flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES)) == 0);
	for (size_t i = 0; i < LIMIT_MEMORY_SLOTS; i++) {
		if (slots[i].length > 0 && start < slots[i].start + slots[i].length &&
		    slots[i].start < start + length)
			return EEXIST;
	}
	slots[slot].start = start;
	slots[slot].length = length;
	return 0;
}

/* What the kernel refuses, in short. */

static bool sregs_are_good(const struct kvm_sregs *sregs)
{
	bool paging = sregs->cr0 & 0x80000000u, protection = sregs->cr0 & 1;
	return protection || !paging;
}

static bool debugregs_are_good(const struct kvm_debugregs *debugregs)
{
	return debugregs->flags == 0 && debugregs->dr6 >> 32 == 0 && debugregs->dr7 >> 32 == 0;
}

static int call(unsigned long request, void *argument)
{
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory(argument);
#define STATE(NAME, name, good)                                            \
	case KVM_GET_##NAME:                                               \
		memcpy(argument, &fake_vcpu.name, sizeof(fake_vcpu.name)); \
		return 0;                                                  \
	case KVM_SET_##NAME: {                                             \
		__typeof__(fake_vcpu.name) wanted;                         \
		memcpy(&wanted, argument, sizeof(wanted));                 \
		if (!(good))                                               \
			return EINVAL;                                     \
		fake_vcpu.name = wanted;                                   \
		return 0;                                                  \
	}
		STATE(REGS, regs, true)
		STATE(SREGS, sregs, sregs_are_good(&wanted))
		STATE(FPU, fpu, true)
		STATE(DEBUGREGS, debugregs, debugregs_are_good(&wanted))
		STATE(LAPIC, lapic, true)
		STATE(MP_STATE, mp_state, wanted.mp_state <= KVM_MP_STATE_AP_RESET_HOLD)
		STATE(XCRS, xcrs, wanted.nr_xcrs <= KVM_MAX_XCRS && wanted.flags == 0)
		STATE(VCPU_EVENTS, events, wanted.flags < 0x40)
#undef STATE
	default:
		REQUIRE(request == 0); /* this version has no use for any other */
		return ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
	(void)fd;
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)argument % 3 == 0 ? 2 : 0;
	int code = call(request, argument);
	if (code == 0)
		return 0;
	errno = code;
	return -1;
}

void fake_kvm_install(void)
{
	kvm_backend.ioctl = fake_ioctl;
}
