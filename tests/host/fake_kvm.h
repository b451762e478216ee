/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM as a table: takes the place of kvm_backend (src/kvm/kvm.h). Its fds are memfds, so that closing, duplicating
 * and mapping them is real; what is behind them is kept here. Any call can be made to fail. One at a time.
 */
#ifndef PLUGVM_TESTS_HOST_FAKE_KVM_H
#define PLUGVM_TESTS_HOST_FAKE_KVM_H

#include "kvm/kvm.h"

#define FAKE_VCPUS_MAX  128
#define FAKE_SLOTS_MAX  1024
#define FAKE_EVENTS_MAX 2048
#define FAKE_CPUID_MAX  256
#define FAKE_ROUTES_MAX 4096
/* The MSRs that there are: FAKE_MSR_FIRST and so on. */
#define FAKE_MSR_FIRST 0x10
#define FAKE_MSRS      300
/* The first of the two leaves of a CPUID table. */
#define FAKE_EMULATED_LEAF 0x100
#define FAKE_HYPERV_LEAF   0x40000000
#define FAKE_XSAVE_MAX     65536
#define FAKE_NESTED_MAX    20480
#define FAKE_CAPS_MAX      256
#define FAKE_MSR_CALLS_MAX 32
/* What the fake CPU translates to: this much more. */
#define FAKE_TRANSLATION 0x100000
/* Where a port access has its data in the shared page's file, as KVM does it: one page behind struct kvm_run. */
#define FAKE_IO_OFFSET 4096
#define FAKE_RUN_BYTES (3 * 4096)

struct fake_vcpu {
	int fd;
	uint32_t id;
	struct kvm_run *run; /* as the host mapped it */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	uint64_t msrs[FAKE_MSRS];
	struct kvm_cpuid_entry2 cpuid[FAKE_CPUID_MAX];
	uint32_t cpuid_count;
	uint32_t capability; /* enabled last */
	uint32_t tsc_khz;
	struct kvm_guest_debug debug;
	unsigned int interrupts, nmis;
	uint32_t vector; /* of the last interrupt */
};

/* A call about MSR accesses that exit: which of the two, and what it said. */
struct fake_msr_call {
	bool is_filter;
	uint64_t reasons;
	struct kvm_msr_filter filter; /* without the bitmaps: */
	bool denies_all;              /* each bit of them that counts is 0 */
};

/* KVM_RUN: fill vcpu->run and return 0, or return a positive errno. */
typedef int fake_run_fn(struct fake_vcpu *vcpu);

struct fake_kvm {
	int api_version;
	int run_size;
	unsigned int address_bits; /* what CPUID says; 0: no such leaf */
	unsigned int extension;    /* the only one that there is, beside KVM_CAP_IMMEDIATE_EXIT */
	bool no_immediate_exit;
	bool caps[FAKE_CAPS_MAX];      /* those that there are too */
	int max_vcpus;                 /* KVM_CAP_MAX_VCPUS */
	uint8_t xsave[FAKE_XSAVE_MAX]; /* of all vCPUs, to save room; as the next */
	uint8_t nested[FAKE_NESTED_MAX];
	uint32_t sync_sets; /* KVM_CAP_SYNC_REGS */
	int xsave_size;     /* KVM_CAP_XSAVE2; 0: the 4096 bytes of old */
	uint32_t nested_size;
	uint32_t msr_count; /* that the index list has; 0: FAKE_MSRS */
	fake_run_fn *run;   /* NULL: the guest runs until it is kicked */

	struct fake_vcpu vcpus[FAKE_VCPUS_MAX];
	size_t vcpu_count;
	struct kvm_userspace_memory_region slots[FAKE_SLOTS_MAX]; /* by number; memory_size 0: free */
	void (*on_dirty_log)(void);                               /* called when one is read, if not NULL */
	unsigned int dirty_logs; /* how often one was read: each time all is dirty */
	struct kvm_ioeventfd io_events[FAKE_EVENTS_MAX];
	size_t io_event_count;
	struct kvm_irqfd irq_events[FAKE_EVENTS_MAX];
	size_t irq_event_count;
	struct kvm_irq_routing_entry routes[FAKE_ROUTES_MAX];
	uint32_t route_count;
	struct kvm_irq_level line; /* set last */
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	uint64_t identity_map;
	struct kvm_enable_cap capability; /* of the VM, enabled last */
	struct fake_msr_call msr_calls[FAKE_MSR_CALLS_MAX];
	size_t msr_call_count;
	struct kvm_msi msi; /* signalled last */
	int msi_result;
};

extern struct fake_kvm fake_kvm;

/* Reset the table and have it take KVM's place; or give KVM its place back. */
void fake_kvm_install(void);
void fake_kvm_remove(void);

/* Have the `nth` (from 1) call of `request` from now on, and that only, fail with `code`; nth 0: every one. */
void fake_kvm_fail(unsigned long request, int code, unsigned int nth);
/* Opening the device and mapping a vCPU, by that name. */
#define FAKE_OPEN 1ul
#define FAKE_MAP  2ul

/* Return how many slots are in use. */
size_t fake_kvm_slots(void);
/* Return the vCPU with this id, made last. */
struct fake_vcpu *fake_kvm_vcpu(uint32_t id);
/* Wait, as a guest that does nothing, until the vCPU is kicked; returns EINTR. */
int fake_kvm_idle(struct fake_vcpu *vcpu);

#endif
