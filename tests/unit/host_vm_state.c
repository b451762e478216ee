/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the state of the VM on a fake KVM: each set there and back, wrong lengths and sets, and the interrupt routes; and what
 * of a vCPU's state is refused before the vCPU is looked at.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "fake_kvm.h"
#include "host/vcpu_state.h"
#include "host/vm_state.h"
#include "wire/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SETS         (_wire_MainRequest_StateSet_MAX + 1)

struct rig {
	int fds_before;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
};

static int setup(void **state)
{
	static struct rig rig;
	rig.fds_before = count_open_fds();
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig.kvm, PLUGVM_IRQCHIP_KERNEL, &rig.vm, NULL), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

/* The sets in the wire's order: how long each is, and what KVM calls it. */
static const struct {
	size_t size;
	unsigned long get, set;
} sets[SETS] = {
    {sizeof(struct kvm_pic_state), KVM_GET_IRQCHIP, KVM_SET_IRQCHIP},
    {sizeof(struct kvm_pic_state), KVM_GET_IRQCHIP, KVM_SET_IRQCHIP},
    {sizeof(struct kvm_ioapic_state), KVM_GET_IRQCHIP, KVM_SET_IRQCHIP},
    {sizeof(struct kvm_pit_state2), KVM_GET_PIT2, KVM_SET_PIT2},
    {sizeof(struct kvm_clock_data), KVM_GET_CLOCK, KVM_SET_CLOCK},
};

static void test_every_set(void **state)
{
	struct rig *rig = *state;
	/* All are set before the first is read, so that each must have a place of its own; at an odd address, as bytes
	 * of a packet may be. */
	struct {
		uint8_t shift;
		uint8_t bytes[sizeof(union vm_state)];
	} data;
	for (int set = 0; set < SETS; set++) {
		memset(data.bytes, 0x10 + set, sizeof(data.bytes));
		struct wire_bytes bytes = {data.bytes, sets[set].size};
		assert_int_equal(vm_state_set(rig->vm, (wire_MainRequest_StateSet)set, bytes), 0);
	}
	for (int set = 0; set < SETS; set++) {
		union vm_state got;
		size_t size = 0;
		memset(&got, 0, sizeof(got));
		assert_int_equal(vm_state_get(rig->vm, (wire_MainRequest_StateSet)set, &got, &size), 0);
		assert_int_equal(size, sets[set].size);
		memset(data.bytes, 0x10 + set, sizeof(data.bytes));
		assert_memory_equal(&got, data.bytes, size);
	}
	/* The chips' numbers are KVM's. */
	assert_int_equal(fake_kvm.chips[KVM_IRQCHIP_PIC_MASTER].chip.pic.irr, 0x10);
	assert_int_equal(fake_kvm.chips[KVM_IRQCHIP_PIC_SLAVE].chip.pic.irr, 0x11);
	assert_int_equal(fake_kvm.chips[KVM_IRQCHIP_IOAPIC].chip.ioapic.id, 0x12121212);
}

static void test_wrong_lengths(void **state)
{
	struct rig *rig = *state;
	static const uint8_t data[sizeof(union vm_state) + 1] = {0xff};
	/* Too large for a stack. */
	static struct fake_kvm before;
	before = fake_kvm;
	for (int set = 0; set < SETS; set++) {
		const size_t wrong[] = {0, 1, sets[set].size - 1, sets[set].size + 1, sizeof(data)};
		for (size_t i = 0; i < COUNT(wrong); i++) {
			struct wire_bytes bytes = {data, wrong[i]};
			assert_int_equal(vm_state_set(rig->vm, (wire_MainRequest_StateSet)set, bytes), -EINVAL);
		}
	}
	assert_memory_equal(&fake_kvm, &before, sizeof(before));
}

static void test_unknown_sets(void **state)
{
	struct rig *rig = *state;
	static const uint8_t data[8];
	static const int unknown[] = {SETS, 100, INT32_MAX, -1};
	for (size_t i = 0; i < COUNT(unknown); i++) {
		union vm_state got;
		size_t size;
		wire_MainRequest_StateSet set = (wire_MainRequest_StateSet)unknown[i];
		assert_int_equal(vm_state_get(rig->vm, set, &got, &size), -EINVAL);
		assert_int_equal(vm_state_set(rig->vm, set, (struct wire_bytes){data, sizeof(data)}), -EINVAL);
	}
}

static void test_kvm_refuses(void **state)
{
	struct rig *rig = *state;
	static const uint8_t data[sizeof(union vm_state)];
	for (int set = 0; set < SETS; set++) {
		union vm_state got;
		size_t size;
		fake_kvm_fail(sets[set].get, ENXIO, 1);
		assert_int_equal(vm_state_get(rig->vm, (wire_MainRequest_StateSet)set, &got, &size), -ENXIO);
		fake_kvm_fail(sets[set].set, EPERM, 1);
		struct wire_bytes bytes = {data, sets[set].size};
		assert_int_equal(vm_state_set(rig->vm, (wire_MainRequest_StateSet)set, bytes), -EPERM);
	}
}

/* ---- Interrupt routes ---- */

typedef wire_MainRequest_SetIrqRouting_Route route_t;

static const route_t msi = {.irq_id = LIMIT_GSI,
                            .which_route = wire_MainRequest_SetIrqRouting_Route_msi_tag,
                            .route.msi = {.address = 0x123456789abcdef0, .data = 0x55aa}};
static const route_t pin = {.irq_id = 3,
                            .which_route = wire_MainRequest_SetIrqRouting_Route_irqchip_tag,
                            .route.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = 23}};

static int set_routes(struct rig *rig, const route_t *routes, uint32_t count, uint32_t stored)
{
	wire_MainRequest_SetIrqRouting routing = {.routes = {.items = routes, .count = count, .stored = stored}};
	return vm_set_irq_routing(rig->vm, &routing);
}

static void test_routes(void **state)
{
	struct rig *rig = *state;
	const route_t routes[] = {msi, pin};
	assert_int_equal(set_routes(rig, routes, 2, 2), 0);
	assert_int_equal(fake_kvm.route_count, 2);
	const struct kvm_irq_routing_entry *told = fake_kvm.routes;
	assert_int_equal(told[0].gsi, LIMIT_GSI);
	assert_int_equal(told[0].type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(told[0].flags, 0);
	assert_int_equal(told[0].u.msi.address_lo, 0x9abcdef0);
	assert_int_equal(told[0].u.msi.address_hi, 0x12345678);
	assert_int_equal(told[0].u.msi.data, 0x55aa);
	assert_int_equal(told[1].gsi, 3);
	assert_int_equal(told[1].type, KVM_IRQ_ROUTING_IRQCHIP);
	assert_int_equal(told[1].u.irqchip.irqchip, KVM_IRQCHIP_IOAPIC);
	assert_int_equal(told[1].u.irqchip.pin, 23);
	/* The whole table is replaced, also by nothing. */
	assert_int_equal(set_routes(rig, NULL, 0, 0), 0);
	assert_int_equal(fake_kvm.route_count, 0);
}

static void test_routes_refused(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(set_routes(rig, &pin, 1, 1), 0);
	/* One wrong route, last, and nothing is changed. */
	const route_t no_kind[] = {msi, {.irq_id = 1}};
	assert_int_equal(set_routes(rig, no_kind, 2, 2), -EINVAL);
	const route_t high[] = {msi, {.irq_id = LIMIT_GSI + 1, .which_route = msi.which_route}};
	assert_int_equal(set_routes(rig, high, 2, 2), -EINVAL);
	fake_kvm_fail(KVM_SET_GSI_ROUTING, EINVAL, 1);
	assert_int_equal(set_routes(rig, &msi, 1, 1), -EINVAL);
	assert_int_equal(fake_kvm.route_count, 1);
	assert_int_equal(fake_kvm.routes[0].gsi, 3);
}

static void test_number_of_routes(void **state)
{
	struct rig *rig = *state;
	static route_t routes[LIMIT_IRQ_ROUTES + 1];
	for (size_t i = 0; i < COUNT(routes); i++)
		routes[i] = msi;
	assert_int_equal(set_routes(rig, routes, LIMIT_IRQ_ROUTES, LIMIT_IRQ_ROUTES), 0);
	assert_int_equal(fake_kvm.route_count, LIMIT_IRQ_ROUTES);
	assert_int_equal(set_routes(rig, routes, LIMIT_IRQ_ROUTES + 1, LIMIT_IRQ_ROUTES + 1), -E2BIG);
	/* The decoder counted them, and had no room. */
	assert_int_equal(set_routes(rig, routes, UINT32_MAX, 10), -E2BIG);
	assert_int_equal(set_routes(rig, routes, 2, 1), -E2BIG);
	assert_int_equal(fake_kvm.route_count, LIMIT_IRQ_ROUTES);
}

static void test_vcpu_sets(void **state)
{
	(void)state;
	static const uint8_t bytes[sizeof(union vcpu_state) + 1];
	union vcpu_state vcpu_state;
	size_t size;
	for (int set = 0; set <= _wire_VcpuRequest_StateSet_MAX; set++) {
		const size_t lengths[] = {0, 1, sizeof(bytes)};
		for (size_t i = 0; i < COUNT(lengths); i++)
			assert_int_equal(vcpu_state_set(NULL, (wire_VcpuRequest_StateSet)set,
			                                (struct wire_bytes){bytes, lengths[i]}),
			                 -EINVAL);
	}
	wire_VcpuRequest_StateSet unknown = (wire_VcpuRequest_StateSet)(_wire_VcpuRequest_StateSet_MAX + 1);
	assert_int_equal(vcpu_state_get(NULL, unknown, &vcpu_state, &size), -EINVAL);
	assert_int_equal(vcpu_state_set(NULL, unknown, (struct wire_bytes){bytes, sizeof(struct kvm_regs)}),
	                 -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_every_set), TEST(test_wrong_lengths),  TEST(test_unknown_sets),     TEST(test_kvm_refuses),
	    TEST(test_routes),    TEST(test_routes_refused), TEST(test_number_of_routes), TEST(test_vcpu_sets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
