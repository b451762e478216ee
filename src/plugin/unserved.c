/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The functions of crosvm.h that this version does not serve: each returns -ENOSYS and does nothing. Runs in
 * the plugin, on any thread.
 *
 * They are here so that a plugin which was built for API 0.22 always links, and can ask at run time. One line
 * each, name and parameter types; a function that gets served leaves this file.
 */
#include <errno.h>

#include "crosvm.h"

#define UNUSED __attribute__((unused))

#define UNSERVED_1(name, A)     \
	int name(A a UNUSED)    \
	{                       \
		return -ENOSYS; \
	}
#define UNSERVED_2(name, A, B)           \
	int name(A a UNUSED, B b UNUSED) \
	{                                \
		return -ENOSYS;          \
	}
#define UNSERVED_3(name, A, B, C)                    \
	int name(A a UNUSED, B b UNUSED, C c UNUSED) \
	{                                            \
		return -ENOSYS;                      \
	}
#define UNSERVED_4(name, A, B, C, D)                             \
	int name(A a UNUSED, B b UNUSED, C c UNUSED, D d UNUSED) \
	{                                                        \
		return -ENOSYS;                                  \
	}
#define UNSERVED_6(name, A, B, C, D, E, F)                                               \
	int name(A a UNUSED, B b UNUSED, C c UNUSED, D d UNUSED, E e UNUSED, F f UNUSED) \
	{                                                                                \
		return -ENOSYS;                                                          \
	}

/* As declared: a pointer in its place would be a mismatch for the compiler. */
typedef uint64_t capability_args[4];

/* Queries */
UNSERVED_4(crosvm_get_supported_cpuid, struct crosvm *, uint32_t, struct kvm_cpuid_entry2 *, uint32_t *)
UNSERVED_4(crosvm_get_emulated_cpuid, struct crosvm *, uint32_t, struct kvm_cpuid_entry2 *, uint32_t *)
UNSERVED_4(crosvm_get_msr_index_list, struct crosvm *, uint32_t, uint32_t *, uint32_t *)
UNSERVED_2(crosvm_net_get_config, struct crosvm *, struct crosvm_net_config *)

/* Address ranges */
UNSERVED_4(crosvm_reserve_async_write_range, struct crosvm *, uint32_t, uint64_t, uint64_t)
UNSERVED_3(crosvm_set_hypercall_hint, struct crosvm *, uint32_t, const struct crosvm_hint *)

/* Interrupts and VM state */
UNSERVED_3(crosvm_set_irq, struct crosvm *, uint32_t, bool)
UNSERVED_3(crosvm_set_irq_routing, struct crosvm *, uint32_t, const struct crosvm_irq_route *)
UNSERVED_3(crosvm_get_pic_state, struct crosvm *, bool, struct kvm_pic_state *)
UNSERVED_3(crosvm_set_pic_state, struct crosvm *, bool, const struct kvm_pic_state *)
UNSERVED_2(crosvm_get_ioapic_state, struct crosvm *, struct kvm_ioapic_state *)
UNSERVED_2(crosvm_set_ioapic_state, struct crosvm *, const struct kvm_ioapic_state *)
UNSERVED_2(crosvm_get_pit_state, struct crosvm *, struct kvm_pit_state2 *)
UNSERVED_2(crosvm_set_pit_state, struct crosvm *, const struct kvm_pit_state2 *)
UNSERVED_2(crosvm_get_clock, struct crosvm *, struct kvm_clock_data *)
UNSERVED_2(crosvm_set_clock, struct crosvm *, const struct kvm_clock_data *)
UNSERVED_2(crosvm_set_identity_map_addr, struct crosvm *, uint32_t)
UNSERVED_3(crosvm_pause_vcpus, struct crosvm *, uint64_t, void *)

/* Objects */
UNSERVED_6(crosvm_create_io_event, struct crosvm *, uint32_t, uint64_t, uint32_t, const uint8_t *,
           struct crosvm_io **)
UNSERVED_2(crosvm_destroy_io_event, struct crosvm *, struct crosvm_io **)
UNSERVED_1(crosvm_io_event_fd, struct crosvm_io *)
UNSERVED_3(crosvm_memory_get_dirty_log, struct crosvm *, struct crosvm_memory *, uint8_t *)
UNSERVED_3(crosvm_create_irq_event, struct crosvm *, uint32_t, struct crosvm_irq **)
UNSERVED_2(crosvm_destroy_irq_event, struct crosvm *, struct crosvm_irq **)
UNSERVED_1(crosvm_irq_event_get_fd, const struct crosvm_irq *)
UNSERVED_1(crosvm_irq_event_get_resample_fd, const struct crosvm_irq *)

/* vCPUs */
UNSERVED_4(crosvm_vcpu_get_msrs, struct crosvm_vcpu *, uint32_t, struct kvm_msr_entry *, uint32_t *)
UNSERVED_3(crosvm_vcpu_set_msrs, struct crosvm_vcpu *, uint32_t, const struct kvm_msr_entry *)
UNSERVED_3(crosvm_vcpu_set_cpuid, struct crosvm_vcpu *, uint32_t, const struct kvm_cpuid_entry2 *)
UNSERVED_4(crosvm_get_hyperv_cpuid, struct crosvm_vcpu *, uint32_t, struct kvm_cpuid_entry2 *, uint32_t *)
UNSERVED_4(crosvm_vcpu_enable_capability, struct crosvm_vcpu *, uint32_t, uint32_t, capability_args)
