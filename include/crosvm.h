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
 * Errors of KVM itself come through with KVM's errno.
 *
 * Threads. A struct crosvm (a connection) belongs to one thread at a time; crosvm_new_connection() makes
 * another one for another thread. A struct crosvm_vcpu belongs to one thread at a time as well, and different
 * vCPUs may be used from different threads at once. Objects (memory, io events, irq events) belong to the VM:
 * any connection may destroy them.
 *
 * File descriptors that the library receives are close-on-exec. The manual begins at crosvm_plugin(3).
 *
 * Stability. This interface is that of crosvm's plugin API 0.22, source and binary compatible: structs,
 * constants and numbers below do not change. What API 0.23 adds stands at the end ("Additions"); a host of API 0.22
 * answers it with -ENOTTY. x86-64 only, because the register structs of <linux/kvm.h> are.
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
#define CROSVM_API_MINOR 23
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
	/* Since API 0.23, and only if asked for: crosvm_set_msr_filter(), crosvm_vcpu_set_guest_debug(),
	 * crosvm_vcpu_request_irq_window(), and for the others crosvm_subscribe_exits(). */
	CROSVM_VCPU_EVENT_KIND_MSR,
	CROSVM_VCPU_EVENT_KIND_DEBUG,
	CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW,
	CROSVM_VCPU_EVENT_KIND_HLT,
	CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI,
	CROSVM_VCPU_EVENT_KIND_SHUTDOWN,
	CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR,
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
		/* CROSVM_VCPU_EVENT_KIND_MSR: the guest read or wrote an MSR that the filter names */
		struct {
			uint32_t index;
			uint8_t is_write;
			uint8_t _reserved[3];
			uint64_t reason; /* KVM_MSR_EXIT_REASON_* */
			uint64_t *data;  /* what is written, or where the answer goes (0); the library's memory */
			uint32_t *fault; /* for the answer: 1 raises #GP in the guest; the library's memory */
		} msr;
		/* CROSVM_VCPU_EVENT_KIND_DEBUG: struct kvm_debug_exit_arch */
		struct {
			uint32_t exception; /* 1: debug exception, 3: breakpoint */
			uint32_t _reserved;
			uint64_t pc;
			uint64_t dr6;
			uint64_t dr7;
		} debug;
		/* CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI */
		struct {
			uint32_t vector;
		} ioapic_eoi;
		/*
		 * CROSVM_VCPU_EVENT_KIND_SHUTDOWN (a triple fault; only `go_on` counts) and _INTERNAL_ERROR. The VM
		 * ends with the resume, unless *go_on was set to 1: then the vCPU runs on with the registers that
		 * were set.
		 */
		struct {
			uint32_t *go_on;     /* for the answer; the library's memory */
			uint32_t suberror;   /* KVM_INTERNAL_ERROR_* */
			uint32_t data_count; /* of KVM's words about it; the first 6 are in data */
			uint64_t data[6];
		} failure;
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
 *   -ENOTSUP  one length and any data, on a host of API 0.22
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
 * and debugregs is deferred, and setting events too with CROSVM_FEATURE_AREA: it travels with the resume, or right before
 * the next get of the same set.
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

/* ---- Additions: API 0.23 ---- */

/*
 * On a host of API 0.22 these give -ENOTTY and change nothing, except where the text says that they work there too.
 */

/* Store the version of the library that is loaded (not of this header). */
void crosvm_version(unsigned int *out_major, unsigned int *out_minor, unsigned int *out_patch);

/* Who emulates the interrupt controllers. */
enum crosvm_irqchip {
	CROSVM_IRQCHIP_KERNEL = 0, /* KVM: PIC, IOAPIC, local APICs, PIT */
	CROSVM_IRQCHIP_SPLIT,      /* KVM the local APICs, the plugin the rest */
	CROSVM_IRQCHIP_NONE,       /* the plugin all of them */
};

/* crosvm_info.features: what this host, with this kernel, has. */
#define CROSVM_FEATURE_VCPUS        (1 << 0)  /* more than 16 vCPUs */
#define CROSVM_FEATURE_CREATE_EXT   (1 << 1)  /* io events of one length and any data; edge irq events */
#define CROSVM_FEATURE_CPUID_FLAGS  (1 << 2)  /* CPUID entries with all their flags */
#define CROSVM_FEATURE_DIRTY_LOG_TO (1 << 3)  /* crosvm_memory_get_dirty_log_to() */
#define CROSVM_FEATURE_PAUSE_SET    (1 << 4)  /* crosvm_pause_vcpu_set() */
#define CROSVM_FEATURE_SIGNAL_MSI   (1 << 5)  /* crosvm_signal_msi() */
#define CROSVM_FEATURE_EXITS        (1 << 6)  /* crosvm_subscribe_exits() */
#define CROSVM_FEATURE_MSR_FILTER   (1 << 7)  /* crosvm_set_msr_filter() */
#define CROSVM_FEATURE_XSAVE        (1 << 8)  /* crosvm_vcpu_get_xsave() */
#define CROSVM_FEATURE_TSC_KHZ      (1 << 9)  /* crosvm_vcpu_set_tsc_khz() */
#define CROSVM_FEATURE_NESTED       (1 << 10) /* crosvm_vcpu_get_nested_state() */
#define CROSVM_FEATURE_INTERRUPTS   (1 << 11) /* crosvm_vcpu_interrupt(): not with CROSVM_IRQCHIP_KERNEL */
#define CROSVM_FEATURE_GUEST_DEBUG  (1 << 12) /* crosvm_vcpu_set_guest_debug() */
#define CROSVM_FEATURE_TRANSLATE    (1 << 13) /* crosvm_vcpu_translate() */
#define CROSVM_FEATURE_SNAPSHOT     (1 << 14) /* crosvm_vcpu_get_all() */
#define CROSVM_FEATURE_END          (1 << 15) /* crosvm_get_end() */
#define CROSVM_FEATURE_AREA         (1 << 16) /* the vCPUs speak through shared memory, without any call for it */

struct crosvm_info {
	uint32_t size;       /* in: sizeof(struct crosvm_info), which later versions may enlarge */
	uint32_t host_major; /* the host's version; 0.0.0: one of API 0.22 */
	uint32_t host_minor;
	uint32_t host_patch;
	uint64_t features; /* CROSVM_FEATURE_* */
	uint32_t vcpu_count;
	uint32_t irqchip;       /* enum crosvm_irqchip */
	uint32_t request_bytes; /* of one request; a longer one gives -E2BIG */
	uint32_t connections;   /* the next are how many the host takes; 0: unknown */
	uint32_t ranges;
	uint32_t events; /* io and irq events together */
	uint32_t memory_slots;
	uint32_t irq_routes;
	uint64_t memory_bytes;
	uint32_t cpuid_entries;
	uint32_t msrs; /* of one request */
};

/* Describe the host and the VM: versions, features, limits. Works with every host, and sends nothing. */
int crosvm_get_info(struct crosvm *, struct crosvm_info *info);

/* Why the VM ended. */
enum crosvm_end_reason {
	CROSVM_END_PLUGIN = 0,     /* the plugin exited; value: its status */
	CROSVM_END_PLUGIN_KILLED,  /* value: the signal */
	CROSVM_END_GUEST_CRASHED,  /* triple fault, internal error ...; value: KVM's exit reason */
	CROSVM_END_KVM_ERROR,      /* value: errno */
	CROSVM_END_PROTOCOL_ERROR, /* the plugin broke the protocol or let a timeout pass; value: errno */
	CROSVM_END_STOPPED,        /* somebody stopped it; value: what he gave, a signal for instance */
};

struct crosvm_end {
	uint32_t reason; /* enum crosvm_end_reason */
	int32_t value;
	int32_t cpu; /* the vCPU that it was about; -1: none */
	char text[256];
};

/*
 * Tell why the VM ends; for the time between the shutdown eventfd and the plugin's own exit.
 *   -EAGAIN  it does not end
 */
int crosvm_get_end(struct crosvm *, struct crosvm_end *out_end);

/* As crosvm_create_irq_event(), but edge-triggered: each write to its eventfd is one interrupt. It has no resample fd. */
int crosvm_create_edge_irq_event(struct crosvm *, uint32_t irq_id, struct crosvm_irq **out_irq);

/*
 * Raise an MSI, as a device's write of `data` to `address` would. Returns 1 if it was delivered, 0 if the guest blocks
 * it. The kernel must have the local APICs: with CROSVM_IRQCHIP_NONE an errno of KVM.
 */
int crosvm_signal_msi(struct crosvm *, uint64_t address, uint32_t data);

/*
 * As crosvm_pause_vcpus(), for any number of vCPUs: bit n of word n / 64. Words and bits beyond the vCPU count are
 * ignored. On a host of API 0.22 it serves the vCPUs 0 to 63.
 */
int crosvm_pause_vcpu_set(struct crosvm *, uint32_t word_count, const uint64_t *words, void *user);

/*
 * As crosvm_memory_get_dirty_log(), into a memfd of the caller's from byte `offset` on; of any size. The fd stays the
 * caller's. The pages of the memfd are there before the log is read and cleared: on failure no bit is lost.
 *   -EINVAL  not a memfd, or the log does not fit between `offset` and its end
 *   -EPERM   it is sealed against writing, or not against shrinking
 */
int crosvm_memory_get_dirty_log_to(struct crosvm *, struct crosvm_memory *, int fd, uint64_t offset);

#define CROSVM_EXIT_HLT            (1 << 0) /* the guest halted, without a local APIC in the kernel */
#define CROSVM_EXIT_SHUTDOWN       (1 << 1) /* triple fault */
#define CROSVM_EXIT_INTERNAL_ERROR (1 << 2) /* an instruction that KVM cannot emulate, for instance */
#define CROSVM_EXIT_IOAPIC_EOI     (1 << 3) /* EOI of a level-triggered interrupt, with CROSVM_IRQCHIP_SPLIT */

/*
 * Say which exits shall come as events, a set of CROSVM_EXIT_*; it replaces the one before. Of those that are not in
 * it, an IOAPIC_EOI is forgotten and each other ends the VM.
 */
int crosvm_subscribe_exits(struct crosvm *, uint32_t exits);

/* Accesses of the guest to MSRs `first` to `first + count - 1`. */
struct crosvm_msr_range {
	uint32_t first;
	uint32_t count; /* 1 to 12288 */
	bool reads;
	bool writes;
	uint8_t _reserved[2];
};

/*
 * Say which MSR accesses shall come as MSR events instead of being KVM's, up to 16 ranges; and with `unknown` also
 * those that KVM would answer with #GP. It replaces the filter before; no range and no `unknown` ends it. MSRs of the
 * x2APIC (0x800 to 0x8ff) cannot be filtered.
 *   -E2BIG  more than 16 ranges, or a range of more than 12288
 */
int crosvm_set_msr_filter(struct crosvm *, uint32_t count, const struct crosvm_msr_range *ranges, bool unknown);

/*
 * As crosvm_vcpu_wait(), but for at most `timeout_ms` milliseconds (0: not at all; -1: for ever). Works with every host.
 *   -EAGAIN  no event came; nothing is lost
 */
int crosvm_vcpu_wait_timeout(struct crosvm_vcpu *, struct crosvm_vcpu_event *out_event, int timeout_ms);

/*
 * Return an fd, owned by the vCPU, that is readable while an event waits for crosvm_vcpu_wait() or the VM has ended:
 * for poll(2) and epoll(7), and never to be read. It can be readable for one that was taken just before, too: a wait with
 * a timeout of 0 then gives -EAGAIN. Works with every host. Call it between crosvm_get_vcpu() and the first wait, or later.
 */
int crosvm_vcpu_get_poll_fd(struct crosvm_vcpu *);

/*
 * Say how long a wait for the host looks for its message before it sleeps: CROSVM_SPIN_AUTO, as long as it helps, which the
 * library finds out and the host limits; or so many microseconds, 0 to 1,000,000; and never longer than the operator has said
 * (plugvm(1), --spin). The environment variable PLUGVM_SPIN is the same for all vCPUs, "auto" by default.
 *   -EINVAL  another number
 *   -ENOTTY  the vCPU has no shared memory (CROSVM_FEATURE_AREA), and always sleeps
 */
#define CROSVM_SPIN_AUTO (-1)
int crosvm_vcpu_set_spin(struct crosvm_vcpu *, int us);

/* Set MSRs in order and tell how many were set: if fewer than `count`, KVM refused the one with that index. */
int crosvm_vcpu_set_msrs_counted(struct crosvm_vcpu *, uint32_t count, const struct kvm_msr_entry *entries,
                                 uint32_t *out_count);

/*
 * The extended state (struct kvm_xsave, longer where the CPU has more): *out_size says how many bytes it has.
 *   -E2BIG   get: more than `size`; the buffer is untouched
 *   -EINVAL  set: another size than KVM's, or content that it refuses
 */
int crosvm_vcpu_get_xsave(struct crosvm_vcpu *, uint32_t size, void *out_xsave, uint32_t *out_size);
int crosvm_vcpu_set_xsave(struct crosvm_vcpu *, uint32_t size, const void *xsave);

/* The frequency of the guest's TSC in kHz. */
int crosvm_vcpu_get_tsc_khz(struct crosvm_vcpu *, uint32_t *out_khz);
int crosvm_vcpu_set_tsc_khz(struct crosvm_vcpu *, uint32_t khz);

/* struct kvm_nested_state and what follows it, as for xsave; where the kernel has nested virtualisation. */
int crosvm_vcpu_get_nested_state(struct crosvm_vcpu *, uint32_t size, void *out_state, uint32_t *out_size);
int crosvm_vcpu_set_nested_state(struct crosvm_vcpu *, uint32_t size, const void *state);

/*
 * Inject an interrupt, where the local APIC is not the kernel's (CROSVM_IRQCHIP_NONE), or an external one from a PIC
 * of the plugin's (CROSVM_IRQCHIP_SPLIT). Between wait and resume.
 *   -EAGAIN  the guest cannot take one now: crosvm_vcpu_request_irq_window() tells when
 *   -EINVAL  `vector` is above 255
 *   -ENXIO   the kernel has all interrupt controllers
 */
int crosvm_vcpu_interrupt(struct crosvm_vcpu *, uint32_t vector);

/* Have an IRQ_WINDOW event delivered as soon as the guest can take an interrupt; it comes once for each request. */
int crosvm_vcpu_request_irq_window(struct crosvm_vcpu *, bool wanted);

/* Inject a non-maskable interrupt. Between wait and resume. */
int crosvm_vcpu_nmi(struct crosvm_vcpu *);

/*
 * KVM_SET_GUEST_DEBUG: single steps, breakpoints. What they stop becomes a DEBUG event.
 *   -EINVAL  a control flag that this architecture does not have
 */
int crosvm_vcpu_set_guest_debug(struct crosvm_vcpu *, const struct kvm_guest_debug *debug);

/* KVM_TRANSLATE: from linear_address the rest is filled, by the guest's page tables. */
int crosvm_vcpu_translate(struct crosvm_vcpu *, struct kvm_translation *translation);

/*
 * The whole state of a vCPU as one blob: for snapshots, resets, fuzzers. It begins with a version, and is good for a
 * vCPU of a VM of the same kind (CPU, kernel, irqchip). Between wait and resume, best at a PAUSED event: at an access
 * the guest has not finished its instruction. set_all takes all or nothing: on failure the vCPU has the state that it
 * had. Deferred sets from before go first.
 *   -E2BIG    get: more than `size` bytes; *out_size says how many. 64 KiB is always enough
 *   -EINVAL   set: no such blob, or content that KVM refuses
 *   -EPROTONOSUPPORT  set: the blob of another version
 */
int crosvm_vcpu_get_all(struct crosvm_vcpu *, uint32_t size, void *out_blob, uint32_t *out_size);
int crosvm_vcpu_set_all(struct crosvm_vcpu *, uint32_t size, const void *blob);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
