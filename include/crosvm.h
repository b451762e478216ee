/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crosvm.h - what a plugin calls.
 *
 * A plugin is an ordinary program that `plugvm run -- PROGRAM` starts. It is the brain of one virtual
 * machine: it decides what memory there is, which addresses belong to devices, what a device answers and what
 * the registers hold. The machine itself (KVM, the vCPU threads) stays in the host process, which trusts
 * nothing that the plugin says.
 *
 * Pattern of use:
 *
 *     struct crosvm *vm;
 *     crosvm_connect(&vm);
 *     ... crosvm_create_memory(), crosvm_reserve_range() ...
 *     crosvm_start(vm);
 *     struct crosvm_vcpu *vcpu;
 *     crosvm_get_vcpu(vm, 0, &vcpu);
 *     for (;;) {
 *             struct crosvm_vcpu_event event;
 *             if (crosvm_vcpu_wait(vcpu, &event) < 0)
 *                     break;
 *             ... event.kind: set up registers at INIT, answer an IO_ACCESS ...
 *             crosvm_vcpu_resume(vcpu);
 *     }
 *
 * Errors. Every function returns 0 (or a file descriptor, where it says so) on success and a negative errno on
 * failure. Common to all, and not repeated below:
 *   -EINVAL      a NULL argument where the text does not allow one, or an enum value that is not listed
 *   -ECONNRESET  the VM has ended or the host is gone; every later call says so too
 *   -EPROTO      the host's answer makes no sense
 *   -ENOTTY      the host is older than the function
 *   -ENOSYS      this version of the library does not serve the function yet (docs/status.md lists them)
 * Errors of KVM itself come through with KVM's errno.
 *
 * Threads. A struct crosvm (a connection) belongs to one thread at a time; crosvm_new_connection() makes
 * another one for another thread. A struct crosvm_vcpu belongs to one thread at a time as well, and different
 * vCPUs may be used from different threads at once. Objects (memory, io events, irq events) belong to the VM:
 * any connection may destroy them.
 *
 * File descriptors that the library receives are close-on-exec.
 *
 * Stability. This interface is that of crosvm's plugin API 0.22, source and binary compatible: structs,
 * constants and numbers below do not change. x86-64 only, because the register structs of <linux/kvm.h> are.
 */
#ifndef CROSVM_H
#define CROSVM_H

#include <assert.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The libraries hide everything but what is declared here. */
#pragma GCC visibility push(default)

#define CROSVM_API_MAJOR 0
#define CROSVM_API_MINOR 22
#define CROSVM_API_PATCH 0

/* A connection to the host. */
struct crosvm;
/* A registered ioeventfd: guest writes that signal an eventfd without an exit to user space. */
struct crosvm_io;
/* A range of guest-physical memory, backed by pages of a memfd. */
struct crosvm_memory;
/* A registered irqfd: an eventfd that raises an interrupt line. */
struct crosvm_irq;
/* A virtual CPU. */
struct crosvm_vcpu;

enum crosvm_address_space {
	CROSVM_ADDRESS_SPACE_IOPORT = 0, /* x86 port I/O, addresses 0 to 0xffff */
	CROSVM_ADDRESS_SPACE_MMIO,       /* guest-physical memory */
};

enum crosvm_irq_route_kind {
	CROSVM_IRQ_ROUTE_IRQCHIP = 0,
	CROSVM_IRQ_ROUTE_MSI,
};

enum crosvm_vcpu_event_kind {
	/* The first event of every vCPU, before it runs at all: the time to set its registers. */
	CROSVM_VCPU_EVENT_KIND_INIT = 0,
	/* The guest read or wrote an address inside a reserved range. */
	CROSVM_VCPU_EVENT_KIND_IO_ACCESS,
	/* A crosvm_pause_vcpus() took effect. */
	CROSVM_VCPU_EVENT_KIND_PAUSED,
	CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL,
	CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC,
};

#define CROSVM_MAX_HINT_COUNT        1   /* hints per crosvm_set_hypercall_hint() */
#define CROSVM_MAX_HINT_DETAIL_COUNT 32  /* details per hint */
#define CROSVM_HINT_ON_WRITE         0x1 /* address_flags: the hint is for writes, not for reads */

struct crosvm_net_config {
	int tap_fd;       /* owned by the caller */
	uint32_t host_ip; /* network byte order */
	uint32_t netmask; /* network byte order */
	uint8_t host_mac_address[6];
	uint8_t _padding[2];
};

struct crosvm_irq_route {
	uint32_t irq_id; /* GSI */
	uint32_t kind;   /* enum crosvm_irq_route_kind */
	union {
		struct {
			uint32_t irqchip; /* KVM_IRQCHIP_* */
			uint32_t pin;
		} irqchip;
		struct {
			uint64_t address;
			uint32_t data;
			uint8_t _reserved[4];
		} msi;
		uint8_t _reserved[16];
	};
};

struct crosvm_hint_detail {
	bool match_rax;
	bool match_rbx;
	bool match_rcx;
	bool match_rdx;
	uint8_t _reserved[4];
	uint64_t rax;
	uint64_t rbx;
	uint64_t rcx;
	uint64_t rdx;
	bool send_sregs;
	bool send_debugregs;
	uint8_t _reserved2[6];
};

struct crosvm_hint {
	uint32_t hint_version; /* 0 */
	uint32_t _reserved;    /* 0 */
	uint32_t address_space;
	uint16_t address_flags; /* CROSVM_HINT_ON_WRITE or 0 */
	uint16_t details_count; /* at most CROSVM_MAX_HINT_DETAIL_COUNT */
	uint64_t address;
	union {
		struct crosvm_hint_detail *details;
		uint64_t _reserved2;
	};
};

struct crosvm_vcpu_event {
	uint32_t kind; /* enum crosvm_vcpu_event_kind */
	uint8_t _padding[4];
	union {
		/* CROSVM_VCPU_EVENT_KIND_IO_ACCESS */
		struct {
			uint32_t address_space; /* enum crosvm_address_space */
			uint8_t _padding[4];
			uint64_t address; /* of the access's first byte */
			/*
			 * The bytes written, or where to put the bytes to be read (zeros until then). The
			 * library's memory: valid until crosvm_vcpu_resume(), or until the next
			 * crosvm_vcpu_wait() if no_resume is set.
			 */
			uint8_t *data;
			uint32_t length; /* bytes: 1 to 8; up to 4096 for a `rep ins` or `rep outs` */
			uint8_t is_write;
			uint8_t no_resume; /* the vCPU already runs on: do not call crosvm_vcpu_resume() */
			uint8_t _reserved[2];
		} io_access;
		/* CROSVM_VCPU_EVENT_KIND_PAUSED: the pointer given to crosvm_pause_vcpus() */
		void *user;
		/* CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL */
		struct {
			uint64_t input;
			uint64_t *result; /* for the answer; the library's memory, valid until resume */
			uint64_t params[2];
		} hyperv_call;
		/* CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC */
		struct {
			uint32_t msr;
			uint32_t _reserved;
			uint64_t control;
			uint64_t evt_page;
			uint64_t msg_page;
		} hyperv_synic;
		uint8_t _reserved[64];
	};
};

#ifdef __cplusplus
#define CROSVM_STATIC_ASSERT static_assert
#else
#define CROSVM_STATIC_ASSERT _Static_assert
#endif
CROSVM_STATIC_ASSERT(sizeof(struct crosvm_net_config) == 20, "crosvm_net_config");
CROSVM_STATIC_ASSERT(sizeof(struct crosvm_irq_route) == 24, "crosvm_irq_route");
CROSVM_STATIC_ASSERT(sizeof(struct crosvm_hint_detail) == 48, "crosvm_hint_detail");
CROSVM_STATIC_ASSERT(sizeof(struct crosvm_hint) == 32, "crosvm_hint");
CROSVM_STATIC_ASSERT(sizeof(struct crosvm_vcpu_event) == 72, "crosvm_vcpu_event");
#undef CROSVM_STATIC_ASSERT

/* ---- Connection ---- */

/*
 * Connect to the host that started this process, through the socket named in the environment variable
 * CROSVM_SOCKET, and take that socket over. Once per process: later threads use crosvm_new_connection().
 *   -ENOTCONN  CROSVM_SOCKET is not set: the program was not started by a host
 *   -EINVAL    it is not a file descriptor number
 *   -ENOTSOCK, -EBADF  there is no socket under that number
 *   -EALREADY  this process is connected already
 *   -E2BIG     the VM has more vCPUs than this protocol can hand over
 */
int crosvm_connect(struct crosvm **out_crosvm);

/*
 * Make a further connection to the same VM, for another thread. Objects and vCPUs are shared.
 *   -ENOSPC  the VM has 64 connections already
 */
int crosvm_new_connection(struct crosvm *, struct crosvm **out_crosvm);

/*
 * Close a connection and store NULL. The VM and its objects live on. With the last connection the vCPU
 * channels close too, which ends a started VM: a crosvm_vcpu pointer then gives -ENOTCONN.
 */
int crosvm_destroy_connection(struct crosvm **);

/*
 * Returns a new eventfd, owned by the caller, that becomes readable once when the plugin should exit; a read
 * on it blocks until then. After that the plugin has a grace time (1 s by default), then it is killed.
 */
int crosvm_get_shutdown_eventfd(struct crosvm *);

/* Ask KVM_CHECK_EXTENSION (KVM_CAP_* of <linux/kvm.h>) on this VM; *out_has tells whether the answer was
 * positive. */
int crosvm_check_extension(struct crosvm *, uint32_t extension, bool *out_has);

/* Enable a capability of the whole VM. None is allowed: always -EINVAL. */
int crosvm_enable_capability(struct crosvm *, uint32_t capability, uint32_t flags, uint64_t args[4]);

/*
 * Fill at most `count` entries with the CPUID that KVM supports (or emulates) and store their number.
 *   -E2BIG  more than `count`; *out_count says how many, the array is untouched
 */
int crosvm_get_supported_cpuid(struct crosvm *, uint32_t count, struct kvm_cpuid_entry2 *entries,
                               uint32_t *out_count);
int crosvm_get_emulated_cpuid(struct crosvm *, uint32_t count, struct kvm_cpuid_entry2 *entries,
                              uint32_t *out_count);

/* The same for the indices of the MSRs that KVM saves and restores. */
int crosvm_get_msr_index_list(struct crosvm *, uint32_t count, uint32_t *indices, uint32_t *out_count);

/*
 * Describe the VM's network tap. The tap's fd is new and owned by the caller.
 *   -ENODATA  the VM has none
 */
int crosvm_net_get_config(struct crosvm *, struct crosvm_net_config *out_config);

/*
 * Say that the machine is set up: the vCPUs come to life, and each gives its INIT event. No vCPU enters the guest
 * until all were resumed from INIT. Once per VM, on any connection.
 *   -EINVAL  it was called before
 */
int crosvm_start(struct crosvm *);

/* ---- Address ranges ---- */

/*
 * Reserve `length` addresses from `start`: a guest access there stops the vCPU and becomes an IO_ACCESS event. An
 * access belongs to the range of its first byte; if that is in none, to the lowest range that it touches. Accesses
 * outside every range read zeros and write nothing. May be called at any time; every exit after the call's return
 * sees the change. `length` 0 releases the reservation that begins at `start`.
 *   -EPERM   it overlaps a reservation
 *   -ENOENT  length 0: none begins at `start`
 *   -EINVAL  it reaches past the end of the address space (2^64, or 0xffff for ports)
 *   -ENOSPC  more than 16,384 reservations
 */
int crosvm_reserve_range(struct crosvm *, uint32_t space, uint64_t start, uint64_t length);

/*
 * The same, for writes that need no answer: they come as IO_ACCESS with no_resume set, while the vCPU runs
 * on. Reads inside are not delivered.
 */
int crosvm_reserve_async_write_range(struct crosvm *, uint32_t space, uint64_t start, uint64_t length);

/*
 * Say for which access (at most one; `count` 0 clears it) the registers are wanted along with the event, so
 * that getting and setting them there costs no round trip.
 */
int crosvm_set_hypercall_hint(struct crosvm *, uint32_t count, const struct crosvm_hint *hints);

/* ---- Interrupts and VM state ---- */

/* Set the level of an interrupt line (GSI). */
int crosvm_set_irq(struct crosvm *, uint32_t irq_id, bool active);

/* Replace the whole GSI routing table; `count` 0 (`routes` may then be NULL) empties it. */
int crosvm_set_irq_routing(struct crosvm *, uint32_t count, const struct crosvm_irq_route *routes);

int crosvm_get_pic_state(struct crosvm *, bool primary, struct kvm_pic_state *out_state);
int crosvm_set_pic_state(struct crosvm *, bool primary, const struct kvm_pic_state *state);
int crosvm_get_ioapic_state(struct crosvm *, struct kvm_ioapic_state *out_state);
int crosvm_set_ioapic_state(struct crosvm *, const struct kvm_ioapic_state *state);
int crosvm_get_pit_state(struct crosvm *, struct kvm_pit_state2 *out_state);
int crosvm_set_pit_state(struct crosvm *, const struct kvm_pit_state2 *state);
int crosvm_get_clock(struct crosvm *, struct kvm_clock_data *out_clock);
int crosvm_set_clock(struct crosvm *, const struct kvm_clock_data *clock);

/* KVM_SET_IDENTITY_MAP_ADDR: a page that KVM may use on some Intel CPUs; before crosvm_start(). */
int crosvm_set_identity_map_addr(struct crosvm *, uint32_t address);

/*
 * Ask each vCPU whose bit is set for a PAUSED event with `user`, as soon as it has finished the access that
 * it is at. A second request before that replaces `user`. Bits beyond the vCPU count are ignored.
 */
int crosvm_pause_vcpus(struct crosvm *, uint64_t cpu_mask, void *user);

/* ---- Objects ---- */

/*
 * Register an ioeventfd at `address`. `length` 0: an access of any length; 1, 2, 4 or 8: of just this length,
 * and with just the data at `datamatch`, or any data if that is NULL.
 */
int crosvm_create_io_event(struct crosvm *, uint32_t space, uint64_t address, uint32_t length,
                           const uint8_t *datamatch, struct crosvm_io **out_io);
int crosvm_destroy_io_event(struct crosvm *, struct crosvm_io **);
/* Returns its eventfd, which belongs to the object. */
int crosvm_io_event_fd(struct crosvm_io *);

/*
 * Map `length` bytes of the memfd `fd`, from `offset`, into guest-physical memory at `start`. The memfd must be
 * sealed against shrinking (F_SEAL_SHRINK). It stays the caller's, and the memory stays when it is closed. Offset,
 * length and start are multiples of 4096. May be called while the guest runs. With `read_only` a guest write becomes
 * an MMIO write; with `dirty_log` KVM notes which pages the guest wrote.
 *   -EINVAL     not aligned, empty, beyond the memfd's end or the CPU's physical addresses, or not a memfd
 *   -EBADF      `fd` is not open
 *   -EPERM      not sealed against shrinking, or sealed against writing while the range is writable
 *   -EOVERFLOW  offset + length or start + length does not fit 64 bits
 *   -EEXIST     it overlaps other memory of the guest
 *   -ENOSPC     more than 509 ranges, or more than 64 GiB in all
 */
int crosvm_create_memory(struct crosvm *, int fd, uint64_t offset, uint64_t length, uint64_t start, bool read_only,
                         bool dirty_log, struct crosvm_memory **out_memory);
/* Remove it from the guest and store NULL. On failure the object stays as it was. */
int crosvm_destroy_memory(struct crosvm *, struct crosvm_memory **);
/*
 * Store one bit per 4 KiB page (least significant bit first, rounded up to whole bytes) that the guest wrote
 * since the last call.
 */
int crosvm_memory_get_dirty_log(struct crosvm *, struct crosvm_memory *, uint8_t *out_log);

/* Register an irqfd for a GSI: a trigger eventfd, and a resample eventfd that fires at the guest's EOI. */
int crosvm_create_irq_event(struct crosvm *, uint32_t irq_id, struct crosvm_irq **out_irq);
int crosvm_destroy_irq_event(struct crosvm *, struct crosvm_irq **);
/* Return the eventfds, which belong to the object. */
int crosvm_irq_event_get_fd(const struct crosvm_irq *);
int crosvm_irq_event_get_resample_fd(const struct crosvm_irq *);

/* ---- vCPUs ---- */

/*
 * Store the vCPU with this id (from 0): the same pointer each time and on every connection. It is not freed.
 *   -ENOENT  there is no such vCPU
 */
int crosvm_get_vcpu(struct crosvm *, uint32_t cpu_id, struct crosvm_vcpu **out_vcpu);

/*
 * Block until the vCPU has an event and describe it. The vCPU stands still until crosvm_vcpu_resume() (but for an
 * event with no_resume). The first event is INIT, after crosvm_start(). A signal handler does not interrupt it.
 *   -EBUSY       the last event was not resumed
 *   -ECONNRESET  the VM has ended
 *   another      the host refused what the last resume brought (registers that KVM does not take, for example): the
 *                same event is described again, nothing was applied, and the plugin may set and resume anew
 */
int crosvm_vcpu_wait(struct crosvm_vcpu *, struct crosvm_vcpu_event *out_event);

/*
 * Let the vCPU run on, with the registers that were set and the data at event.io_access.data (for a read) as the
 * answer.
 *   -EINVAL  there is no event to resume from
 */
int crosvm_vcpu_resume(struct crosvm_vcpu *);

/*
 * Get or set a part of the vCPU's state, between wait and resume (-EBUSY at other times). Setting regs, sregs
 * and debugregs is deferred: it travels with the resume, or right before the next get of the same set.
 */
int crosvm_vcpu_get_regs(struct crosvm_vcpu *, struct kvm_regs *out_regs);
int crosvm_vcpu_set_regs(struct crosvm_vcpu *, const struct kvm_regs *regs);
int crosvm_vcpu_get_sregs(struct crosvm_vcpu *, struct kvm_sregs *out_sregs);
int crosvm_vcpu_set_sregs(struct crosvm_vcpu *, const struct kvm_sregs *sregs);
int crosvm_vcpu_get_fpu(struct crosvm_vcpu *, struct kvm_fpu *out_fpu);
int crosvm_vcpu_set_fpu(struct crosvm_vcpu *, const struct kvm_fpu *fpu);
int crosvm_vcpu_get_debugregs(struct crosvm_vcpu *, struct kvm_debugregs *out_debugregs);
int crosvm_vcpu_set_debugregs(struct crosvm_vcpu *, const struct kvm_debugregs *debugregs);
int crosvm_vcpu_get_xcrs(struct crosvm_vcpu *, struct kvm_xcrs *out_xcrs);
int crosvm_vcpu_set_xcrs(struct crosvm_vcpu *, const struct kvm_xcrs *xcrs);
int crosvm_vcpu_get_lapic_state(struct crosvm_vcpu *, struct kvm_lapic_state *out_lapic);
int crosvm_vcpu_set_lapic_state(struct crosvm_vcpu *, const struct kvm_lapic_state *lapic);
int crosvm_vcpu_get_mp_state(struct crosvm_vcpu *, struct kvm_mp_state *out_state);
int crosvm_vcpu_set_mp_state(struct crosvm_vcpu *, const struct kvm_mp_state *state);
int crosvm_vcpu_get_vcpu_events(struct crosvm_vcpu *, struct kvm_vcpu_events *out_events);
int crosvm_vcpu_set_vcpu_events(struct crosvm_vcpu *, const struct kvm_vcpu_events *events);

/*
 * Read the MSRs named by entries[].index into entries[].data. KVM stops at the first that it refuses, which
 * is no error: *out_count tells how many were read.
 */
int crosvm_vcpu_get_msrs(struct crosvm_vcpu *, uint32_t count, struct kvm_msr_entry *entries, uint32_t *out_count);
int crosvm_vcpu_set_msrs(struct crosvm_vcpu *, uint32_t count, const struct kvm_msr_entry *entries);

/* Set what the guest's CPUID instruction answers; before the vCPU first runs. */
int crosvm_vcpu_set_cpuid(struct crosvm_vcpu *, uint32_t count, const struct kvm_cpuid_entry2 *entries);

/* Like crosvm_get_supported_cpuid(), for the Hyper-V leaves; between wait and resume. */
int crosvm_get_hyperv_cpuid(struct crosvm_vcpu *, uint32_t count, struct kvm_cpuid_entry2 *entries,
                            uint32_t *out_count);

/* Enable KVM_CAP_HYPERV_SYNIC or KVM_CAP_HYPERV_SYNIC2; `flags` and every arg must be 0. Others: -EINVAL. */
int crosvm_vcpu_enable_capability(struct crosvm_vcpu *, uint32_t capability, uint32_t flags, uint64_t args[4]);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
