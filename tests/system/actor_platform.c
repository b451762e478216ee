/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about what KVM offers and what the VM is made of: CPUID tables, the MSR list, PICs, IOAPIC, PIT, clock.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

#define ENTRIES_MAX 256
#define INDICES_MAX 4096

typedef int get_cpuid_fn(struct crosvm *vm, uint32_t count, struct kvm_cpuid_entry2 *entries, uint32_t *out_count);

static void check_cpuid(struct crosvm *vm, get_cpuid_fn *get)
{
	static struct kvm_cpuid_entry2 all[ENTRIES_MAX], exact[ENTRIES_MAX], few[ENTRIES_MAX], zeros[ENTRIES_MAX];
	uint32_t count = 0, again = 0;
	expect_result(get(vm, ENTRIES_MAX, all, &count), 0);
	expect(count > 0 && count < ENTRIES_MAX);
	expect_result(get(vm, count, exact, &again), 0);
	expect_result(again, count);
	for (uint32_t i = 0; i < count; i++) {
		/* Some leaves tell of the processor that was asked. */
		expect(all[i].function == exact[i].function && all[i].index == exact[i].index &&
		       all[i].flags == exact[i].flags);
	}

	again = 0;
	expect_result(get(vm, count - 1, few, &again), -E2BIG);
	expect_result(again, count);
	expect(memcmp(few, zeros, sizeof(few)) == 0);
	again = 0;
	expect_result(get(vm, 0, NULL, &again), -E2BIG);
	expect_result(again, count);
	expect_result(get(vm, 1, NULL, &again), -EINVAL);
	expect_result(get(vm, ENTRIES_MAX, all, NULL), -EINVAL);
	expect_result(get(NULL, ENTRIES_MAX, all, &again), -EINVAL);
}

static int cpuid_tables(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	uint32_t count;
	expect_result(crosvm_connect(&vm), 0);
	check_cpuid(vm, crosvm_get_supported_cpuid);
	check_cpuid(vm, crosvm_get_emulated_cpuid);
	expect_result(crosvm_get_supported_cpuid(vm, ENTRIES_MAX, entries, &count), 0);
	bool has_indices = false;
	for (uint32_t i = 0; i < count; i++)
		has_indices |= entries[i].flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX && entries[i].index > 0;
	expect(entries[0].function == 0 && entries[0].eax > 0 && has_indices);
	return 0;
}

static int msr_list(char **arguments)
{
	(void)arguments;
	static uint32_t all[INDICES_MAX], exact[INDICES_MAX], few[INDICES_MAX], zeros[INDICES_MAX];
	struct crosvm *vm;
	uint32_t count = 0, again = 0;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_get_msr_index_list(vm, INDICES_MAX, all, &count), 0);
	expect(count > 0 && count < INDICES_MAX);
	expect_result(crosvm_get_msr_index_list(vm, count, exact, &again), 0);
	expect(again == count && memcmp(all, exact, sizeof(all)) == 0);
	again = 0;
	expect_result(crosvm_get_msr_index_list(vm, count - 1, few, &again), -E2BIG);
	expect(again == count && memcmp(few, zeros, sizeof(few)) == 0);
	again = 0;
	expect_result(crosvm_get_msr_index_list(vm, 0, NULL, &again), -E2BIG);
	expect(again == count);
	expect_result(crosvm_get_msr_index_list(vm, 1, NULL, &again), -EINVAL);
	expect_result(crosvm_get_msr_index_list(vm, INDICES_MAX, all, NULL), -EINVAL);
	expect_result(crosvm_get_msr_index_list(NULL, INDICES_MAX, all, &again), -EINVAL);
	return 0;
}

/* ---- Chips ---- */

static void check_pic(struct crosvm *vm, bool primary)
{
	struct kvm_pic_state state, now;
	memset(&now, 0xff, sizeof(now));
	expect_result(crosvm_get_pic_state(vm, primary, &state), 0);
	state.imr = primary ? 0xa5 : 0x5a;
	state.irq_base = primary ? 0x30 : 0x38;
	expect_result(crosvm_set_pic_state(vm, primary, &state), 0);
	expect_result(crosvm_get_pic_state(vm, primary, &now), 0);
	expect(now.imr == state.imr && now.irq_base == state.irq_base && now.elcr_mask == state.elcr_mask);
	expect_result(crosvm_get_pic_state(vm, primary, NULL), -EINVAL);
	expect_result(crosvm_set_pic_state(vm, primary, NULL), -EINVAL);
	expect_result(crosvm_set_pic_state(NULL, primary, &state), -EINVAL);
}

static void check_ioapic(struct crosvm *vm)
{
	struct kvm_ioapic_state state, now;
	memset(&now, 0xff, sizeof(now));
	expect_result(crosvm_get_ioapic_state(vm, &state), 0);
	expect(state.base_address == 0xfec00000);
	state.id = 3;
	state.redirtbl[23].bits = 0x10000 | 0x61; /* masked */
	expect_result(crosvm_set_ioapic_state(vm, &state), 0);
	expect_result(crosvm_get_ioapic_state(vm, &now), 0);
	expect(now.id == 3 && now.redirtbl[23].bits == (0x10000 | 0x61));
	expect(now.redirtbl[22].bits == state.redirtbl[22].bits && now.base_address == state.base_address);
	expect_result(crosvm_get_ioapic_state(vm, NULL), -EINVAL);
	expect_result(crosvm_set_ioapic_state(vm, NULL), -EINVAL);
}

static void check_pit(struct crosvm *vm)
{
	struct kvm_pit_state2 state, now;
	memset(&now, 0xff, sizeof(now));
	expect_result(crosvm_get_pit_state(vm, &state), 0);
	state.channels[2].count = 0x1234;
	state.channels[2].mode = 3;
	state.channels[2].bcd = 0;
	expect_result(crosvm_set_pit_state(vm, &state), 0);
	expect_result(crosvm_get_pit_state(vm, &now), 0);
	expect(now.channels[2].count == 0x1234 && now.channels[2].mode == 3 && now.flags == state.flags);
	expect_result(crosvm_get_pit_state(vm, NULL), -EINVAL);
	expect_result(crosvm_set_pit_state(vm, NULL), -EINVAL);
}

static void check_clock(struct crosvm *vm)
{
	struct kvm_clock_data clock = {.clock = UINT64_C(1000000) * 1000000000}, now = {0};
	expect_result(crosvm_set_clock(vm, &clock), 0);
	expect_result(crosvm_get_clock(vm, &now), 0);
	/* It runs on. */
	expect(now.clock >= clock.clock && now.clock - clock.clock < UINT64_C(1000) * 1000000000);
	expect_result(crosvm_get_clock(vm, NULL), -EINVAL);
	expect_result(crosvm_set_clock(vm, NULL), -EINVAL);
	clock.flags = UINT32_MAX; /* KVM knows few of them */
	expect_result(crosvm_set_clock(vm, &clock), -EINVAL);
}

static int chips(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	/* Before the VM is started, and while it is. */
	for (int turn = 0; turn < 2; turn++) {
		check_pic(vm, true);
		check_pic(vm, false);
		check_ioapic(vm);
		check_pit(vm);
		check_clock(vm);
		if (turn == 0)
			expect_result(crosvm_start(vm), 0);
	}
	/* One is not the other. */
	struct kvm_pic_state primary, secondary;
	expect_result(crosvm_get_pic_state(vm, true, &primary), 0);
	expect_result(crosvm_get_pic_state(vm, false, &secondary), 0);
	expect(primary.imr == 0xa5 && secondary.imr == 0x5a);
	return 0;
}

static int identity_map(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_set_identity_map_addr(vm, 0xfeffc000), 0);
	expect_result(crosvm_set_identity_map_addr(vm, 0xfeff8000), 0);
	expect_result(crosvm_set_identity_map_addr(NULL, 0), -EINVAL);
	expect_result(crosvm_start(vm), 0);
	expect_result(crosvm_set_identity_map_addr(vm, 0xfeffc000), -EINVAL);
	return 0;
}

static int vm_capability(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	uint64_t args[4] = {0};
	expect_result(crosvm_connect(&vm), 0);
	static const uint32_t capabilities[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_HYPERV_SYNIC,
	                                        0x7fffffff};
	for (size_t i = 0; i < COUNT(capabilities); i++)
		expect_result(crosvm_enable_capability(vm, capabilities[i], 0, args), -EINVAL);
	return 0;
}

const struct act platform_acts[] = {
    {"cpuid-tables", cpuid_tables}, {"msr-list", msr_list},           {"chips", chips},
    {"identity-map", identity_map}, {"vm-capability", vm_capability}, {NULL, NULL},
};
