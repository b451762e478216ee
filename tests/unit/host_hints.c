/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the hypercall hint: for which access registers go along, which of them, what is refused, and what happens when
 * KVM does not give them.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "fake_kvm.h"
#include "host/hints.h"
#include "wire/limits.h"

#define PORT    ADDRESS_SPACE_PORT
#define MMIO    ADDRESS_SPACE_MMIO
#define ADDRESS 0x5678

typedef wire_MainRequest_SetCallHint_RegHint detail_t;

struct rig {
	int fds_before;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
	struct fake_vcpu *fake;
	struct hints hints;
	struct hint_registers registers;
};

static int setup(void **state)
{
	static struct rig rig;
	rig.fds_before = count_open_fds();
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig.kvm, PLUGVM_IRQCHIP_KERNEL, &rig.vm, NULL), 0);
	assert_int_equal(plugvm_vcpu_new(rig.vm, 0, &rig.vcpu, NULL), 0);
	rig.fake = fake_kvm_vcpu(0);
	memset(&rig.fake->sregs, 0x5e, sizeof(rig.fake->sregs));
	memset(&rig.fake->debugregs, 0xde, sizeof(rig.fake->debugregs));
	assert_int_equal(hints_init(&rig.hints, 2), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	/* Every reader has let go of what it looked at. */
	for (uint32_t reader = 0; reader < 2; reader++)
		assert_null(atomic_load(&rig->hints.hint.readers[reader].in_use));
	hints_fini(&rig->hints);
	plugvm_vcpu_free(&rig->vcpu);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static int set(struct rig *rig, const detail_t *details, uint32_t count, bool on_write)
{
	wire_MainRequest_SetCallHint hint = {
	    .space = wire_AddressSpace_IOPORT,
	    .address = ADDRESS,
	    .on_write = on_write,
	    .hints = {.items = details, .count = count, .stored = count},
	};
	return hints_set(&rig->hints, &hint);
}

enum { REGS = 1, SREGS = 2, DEBUGREGS = 4 };

/* Attach for an access; returns which registers went along, after a look at what they are. */
static int attach_as(struct rig *rig, uint32_t reader, struct plugvm_vcpu *vcpu, enum address_space space,
                     uint64_t address, bool is_write)
{
	wire_VcpuResponse_Wait_Io io;
	memset(&io, 0, sizeof(io));
	io.address = address;
	io.is_write = is_write;
	hints_attach(&rig->hints, reader, vcpu, space, &io, &rig->registers);
	if (io.regs.size > 0) {
		assert_int_equal(io.regs.size, sizeof(rig->fake->regs));
		assert_memory_equal(io.regs.data, &rig->fake->regs, io.regs.size);
	}
	if (io.sregs.size > 0) {
		assert_int_equal(io.sregs.size, sizeof(rig->fake->sregs));
		assert_memory_equal(io.sregs.data, &rig->fake->sregs, io.sregs.size);
	}
	if (io.debugregs.size > 0) {
		assert_int_equal(io.debugregs.size, sizeof(rig->fake->debugregs));
		assert_memory_equal(io.debugregs.data, &rig->fake->debugregs, io.debugregs.size);
	}
	return (io.regs.size ? REGS : 0) | (io.sregs.size ? SREGS : 0) | (io.debugregs.size ? DEBUGREGS : 0);
}

static int attach(struct rig *rig)
{
	return attach_as(rig, 0, rig->vcpu, PORT, ADDRESS, true);
}

static void test_which_access(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(attach(rig), 0);
	assert_int_equal(set(rig, NULL, 0, true), 0);
	assert_int_equal(attach(rig), REGS);
	assert_int_equal(attach_as(rig, 1, rig->vcpu, PORT, ADDRESS, true), REGS);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, ADDRESS, false), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, MMIO, ADDRESS, true), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, ADDRESS + 1, true), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, ADDRESS - 1, true), 0);
	assert_int_equal(attach_as(rig, 0, NULL, PORT, ADDRESS, true), 0);
	/* Another one takes its place. */
	assert_int_equal(set(rig, NULL, 0, false), 0);
	assert_int_equal(attach(rig), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, ADDRESS, false), REGS);
	/* And none. */
	wire_MainRequest_SetCallHint none;
	memset(&none, 0, sizeof(none));
	assert_int_equal(hints_set(&rig->hints, &none), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, ADDRESS, false), 0);
	assert_int_equal(hints_set(&rig->hints, &none), 0);
}

static void test_mmio(void **state)
{
	struct rig *rig = *state;
	wire_MainRequest_SetCallHint hint = {.space = wire_AddressSpace_MMIO, .address = UINT64_MAX};
	assert_int_equal(hints_set(&rig->hints, &hint), 0);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, MMIO, UINT64_MAX, false), REGS);
	assert_int_equal(attach_as(rig, 0, rig->vcpu, PORT, UINT64_MAX, false), 0);
}

/* Each of the four registers decides if it is to match, and does not if not. */
static void test_match(void **state)
{
	struct rig *rig = *state;
	rig->fake->regs.rax = 1;
	rig->fake->regs.rbx = 2;
	rig->fake->regs.rcx = 3;
	rig->fake->regs.rdx = 4;
	for (int matched = 0; matched < 16; matched++) {
		for (int wrong = 0; wrong < 16; wrong++) {
			detail_t detail = {
			    .match_rax = matched & 1,
			    .match_rbx = matched & 2,
			    .match_rcx = matched & 4,
			    .match_rdx = matched & 8,
			    .rax = wrong & 1 ? 99 : 1,
			    .rbx = wrong & 2 ? 99 : 2,
			    .rcx = wrong & 4 ? 99 : 3,
			    .rdx = wrong & 8 ? 99 : 4,
			    .send_sregs = true,
			};
			assert_int_equal(set(rig, &detail, 1, true), 0);
			/* The general registers go along with the hinted access whatever is in them. */
			assert_int_equal(attach(rig), matched & wrong ? REGS : REGS | SREGS);
		}
	}
}

/* The first that matches says what goes along. */
static void test_first_match(void **state)
{
	struct rig *rig = *state;
	rig->fake->regs.rax = 7;
	const detail_t details[] = {
	    {.match_rax = true, .rax = 6, .send_sregs = true, .send_debugregs = true},
	    {.match_rax = true, .rax = 7, .send_debugregs = true},
	    {.send_sregs = true},
	    {.match_rax = true, .rax = 5},
	};
	assert_int_equal(set(rig, details, 4, true), 0);
	assert_int_equal(attach(rig), REGS | DEBUGREGS);
	rig->fake->regs.rax = 6;
	assert_int_equal(attach(rig), REGS | SREGS | DEBUGREGS);
	rig->fake->regs.rax = 5;
	assert_int_equal(attach(rig), REGS | SREGS);
}

static void test_kvm_refuses(void **state)
{
	struct rig *rig = *state;
	const detail_t detail = {.send_sregs = true, .send_debugregs = true};
	assert_int_equal(set(rig, &detail, 1, true), 0);
	fake_kvm_fail(KVM_GET_REGS, EIO, 1);
	assert_int_equal(attach(rig), 0);
	fake_kvm_fail(KVM_GET_SREGS, EIO, 1);
	assert_int_equal(attach(rig), REGS | DEBUGREGS);
	fake_kvm_fail(KVM_GET_DEBUGREGS, EIO, 1);
	assert_int_equal(attach(rig), REGS | SREGS);
	assert_int_equal(attach(rig), REGS | SREGS | DEBUGREGS);
}

/* What is refused leaves the hint that there was. */
static void test_refused(void **state)
{
	struct rig *rig = *state;
	static const detail_t details[LIMIT_HINT_DETAILS + 1];
	assert_int_equal(set(rig, details, LIMIT_HINT_DETAILS, true), 0);
	assert_int_equal(set(rig, details, LIMIT_HINT_DETAILS + 1, false), -EINVAL);
	assert_int_equal(set(rig, details, UINT32_MAX, false), -EINVAL);
	wire_MainRequest_SetCallHint hint = {.space = (wire_AddressSpace)2, .address = 1};
	assert_int_equal(hints_set(&rig->hints, &hint), -EINVAL);
	hint.space = (wire_AddressSpace)-1;
	assert_int_equal(hints_set(&rig->hints, &hint), -EINVAL);
	/* Counted by the decoder, but not stored. */
	hint = (wire_MainRequest_SetCallHint){.address = 1, .hints = {.items = details, .count = 2, .stored = 1}};
	assert_int_equal(hints_set(&rig->hints, &hint), -EINVAL);
	assert_int_equal(attach(rig), REGS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_which_access), TEST(test_mmio),        TEST(test_match),
	    TEST(test_first_match),  TEST(test_kvm_refuses), TEST(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
