/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the sets of state that travel with KVM_RUN, on a fake KVM and on the machine's own: what is read without an ioctl,
 * and that no call sees an older state.
 */
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../host/fake_kvm.h"
#include "kvm/sync.h"

#define REGS   KVM_SYNC_X86_REGS
#define SREGS  KVM_SYNC_X86_SREGS
#define EVENTS KVM_SYNC_X86_EVENTS

#define PORT 0x10

struct rig {
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
	uint8_t *memory;
	unsigned int ioctls; /* of the vCPU, beside KVM_RUN */
};

static struct rig rig;
static struct kvm_backend below;

static int counting_ioctl(int fd, unsigned long request, void *argument)
{
	if (rig.vcpu && fd == rig.vcpu->fd && request != KVM_RUN)
		rig.ioctls++;
	return below.ioctl(fd, request, argument);
}

/* A guest whose every instruction adds 2 to rip and is an access. */
static int fake_step(struct fake_vcpu *vcpu)
{
	vcpu->regs.rip += 2;
	vcpu->run->exit_reason = KVM_EXIT_IO;
	return 0;
}

/* Real mode at 0: out %al, $PORT, for ever. */
static void load_guest(void)
{
	static const uint8_t code[] = {0xe6, PORT, 0xe6, PORT, 0xeb, 0xfa};
	memcpy(rig.memory, code, sizeof(code));
	struct kvm_sregs sregs;
	assert_int_equal(plugvm_vcpu_get_sregs(rig.vcpu, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(plugvm_vcpu_set_sregs(rig.vcpu, &sregs), 0);
	struct kvm_regs regs = {.rflags = 2};
	assert_int_equal(plugvm_vcpu_set_regs(rig.vcpu, &regs), 0);
}

static int make(void)
{
	memset(&rig, 0, sizeof(rig));
	rig.memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (plugvm_kvm_open(NULL, &rig.kvm, NULL) < 0 ||
	    plugvm_vm_new(rig.kvm, PLUGVM_IRQCHIP_KERNEL, &rig.vm, NULL) < 0 ||
	    plugvm_vm_set_memory(rig.vm, 0, 0, 0, 4096, rig.memory) < 0 ||
	    plugvm_vcpu_new(rig.vm, 0, &rig.vcpu, NULL) < 0)
		return -1;
	load_guest();
	below = kvm_backend;
	kvm_backend.ioctl = counting_ioctl;
	return 0;
}

static int setup_fake(void **state)
{
	(void)state;
	fake_kvm_install();
	fake_kvm.run = fake_step;
	return make();
}

static int setup_real(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	/* Not a skip of its own: each test says so. */
	return access("/dev/kvm", R_OK | W_OK) == 0 ? make() : 0;
}

static int teardown(void **state)
{
	(void)state;
	if (rig.vcpu)
		kvm_backend = below;
	plugvm_vcpu_free(&rig.vcpu);
	plugvm_vm_free(&rig.vm);
	plugvm_kvm_free(&rig.kvm);
	if (rig.memory)
		munmap(rig.memory, 4096);
	if (fake_kvm.run)
		fake_kvm_remove();
	fake_kvm.run = NULL;
	return 0;
}

/* Returns false, and the test is skipped, where there is no KVM. */
#define NEED_KVM()                                        \
	do {                                              \
		if (!rig.vcpu) {                          \
			print_message("# no /dev/kvm\n"); \
			skip();                           \
		}                                         \
		if ((rig.vm->sync_supported & 7) != 7)    \
			skip();                           \
		rig.ioctls = 0;                           \
	} while (0)

static void run_to_exit(void)
{
	assert_int_equal(plugvm_vcpu_run(rig.vcpu), 0);
	assert_int_equal(plugvm_vcpu_exit(rig.vcpu)->exit_reason, KVM_EXIT_IO);
}

static struct kvm_regs regs_now(void)
{
	struct kvm_regs regs;
	assert_int_equal(plugvm_vcpu_get_regs(rig.vcpu, &regs), 0);
	return regs;
}

/* What KVM itself says, past everything here. */
static struct kvm_regs regs_of_kvm(void)
{
	struct kvm_regs regs;
	assert_int_equal(below.ioctl(rig.vcpu->fd, KVM_GET_REGS, &regs), 0);
	return regs;
}

static bool is_dirty(void)
{
	return plugvm_vcpu_exit(rig.vcpu)->kvm_dirty_regs != 0;
}

static void test_wanted_costs_no_ioctl(void **state)
{
	(void)state;
	NEED_KVM();
	run_to_exit();
	assert_int_equal(kvm_sync_current(rig.vcpu), 0);
	regs_now();
	assert_int_equal(rig.ioctls, 1);

	kvm_sync_want(rig.vcpu, REGS | SREGS | EVENTS);
	run_to_exit();
	assert_int_equal(kvm_sync_current(rig.vcpu), REGS | SREGS | EVENTS);
	rig.ioctls = 0;
	struct kvm_regs regs = regs_now();
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	assert_int_equal(plugvm_vcpu_get_sregs(rig.vcpu, &sregs), 0);
	assert_int_equal(plugvm_vcpu_get_events(rig.vcpu, &events), 0);
	assert_int_equal(rig.ioctls, 0);
	struct kvm_regs truth = regs_of_kvm();
	assert_memory_equal(&regs, &truth, sizeof(regs));
}

static void test_fetch(void **state)
{
	(void)state;
	NEED_KVM();
	run_to_exit();
	assert_int_equal(kvm_sync_fetch(rig.vcpu, REGS | EVENTS), 0);
	assert_int_equal(kvm_sync_current(rig.vcpu), REGS | EVENTS);
	assert_int_equal(rig.ioctls, 2);
	assert_int_equal(kvm_sync_fetch(rig.vcpu, REGS | EVENTS), 0);
	assert_int_equal(rig.ioctls, 2);
	struct kvm_regs truth = regs_of_kvm();
	assert_memory_equal(&kvm_sync_sets(rig.vcpu)->regs, &truth, sizeof(truth));
	/* The next exit does not bring what nobody wants. */
	run_to_exit();
	assert_int_equal(kvm_sync_current(rig.vcpu), 0);
}

static void test_set_travels(void **state)
{
	(void)state;
	NEED_KVM();
	kvm_sync_want(rig.vcpu, REGS);
	run_to_exit();
	run_to_exit(); /* the first access is complete, and rip behind it */
	struct kvm_regs regs = regs_now();
	uint64_t rip = regs.rip;
	regs.rbx = 0x1234;
	rig.ioctls = 0;
	assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
	assert_int_equal(regs_now().rbx, 0x1234);
	assert_true(is_dirty());
	assert_int_not_equal(regs_of_kvm().rbx, 0x1234);
	run_to_exit();
	assert_int_equal(rig.ioctls, 0);
	assert_false(is_dirty());
	assert_int_equal(regs_of_kvm().rbx, 0x1234);
	assert_int_equal(regs_now().rbx, 0x1234);
	assert_int_not_equal(regs_now().rip, rip);
}

/* Every other call finds what was set, and after a call that changes something nothing old is read. */
static void test_other_calls(void **state)
{
	(void)state;
	NEED_KVM();
	kvm_sync_want(rig.vcpu, REGS | SREGS);
	run_to_exit();
	struct kvm_regs regs = regs_now();
	regs.rbx = 77;
	assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
	struct kvm_fpu fpu;
	assert_int_equal(plugvm_vcpu_get_fpu(rig.vcpu, &fpu), 0);
	assert_false(is_dirty());
	assert_int_equal(regs_of_kvm().rbx, 77);
	assert_int_equal(regs_now().rbx, 77);

	regs.rbx = 78;
	assert_int_equal(plugvm_vcpu_set_regs(rig.vcpu, &regs), 0);
	assert_int_equal(kvm_sync_current(rig.vcpu), 0);
	assert_int_equal(regs_now().rbx, 78);
}

/* KVM forgets an exception that it was to deliver when it gets registers, in either way. */
static void test_regs_change_events(void **state)
{
	(void)state;
	NEED_KVM();
	kvm_sync_want(rig.vcpu, REGS | EVENTS);
	run_to_exit();
	struct kvm_regs regs = regs_now();
	assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
	assert_int_equal(kvm_sync_current(rig.vcpu), REGS);
	assert_int_equal(kvm_sync_fetch(rig.vcpu, EVENTS), 0);
	assert_int_equal(kvm_sync_current(rig.vcpu), REGS | EVENTS);
	assert_int_equal(rig.ioctls, 2); /* set the registers, get the events */
}

/* One that may wait to be started gets them at once: its KVM_RUN would take them after its start. */
static void test_before_start(void **state)
{
	(void)state;
	NEED_KVM();
	kvm_sync_want(rig.vcpu, REGS);
	run_to_exit();
	struct kvm_mp_state mp_state = {.mp_state = KVM_MP_STATE_UNINITIALIZED};
	struct kvm_regs regs = regs_now();
	for (int i = 0; i < 2; i++) {
		if (i == 0)
			assert_int_equal(plugvm_vcpu_set_mp_state(rig.vcpu, &mp_state), 0);
		else
			assert_int_equal(plugvm_vcpu_get_mp_state(rig.vcpu, &mp_state), 0);
		regs.rbx = 55 + (uint64_t)i;
		assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
		assert_false(is_dirty());
		assert_int_equal(regs_of_kvm().rbx, regs.rbx);
		plugvm_vcpu_set_immediate_exit(rig.vcpu, true);
		int result = plugvm_vcpu_run(rig.vcpu);
		assert_true(result == -EINTR || result == -EAGAIN);
		plugvm_vcpu_set_immediate_exit(rig.vcpu, false);
		assert_int_equal(regs_now().rbx, regs.rbx);
		mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
		assert_int_equal(plugvm_vcpu_set_mp_state(rig.vcpu, &mp_state), 0);
		/* And still none that has not run since. */
		regs.rbx = 77;
		assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
		assert_false(is_dirty());
		run_to_exit();
		assert_int_equal(regs_now().rbx, 77);
		assert_int_equal(kvm_sync_set_regs(rig.vcpu, &regs), 0);
		assert_true(is_dirty());
	}
}

#define BOTH(test)                                                               \
	cmocka_unit_test_setup_teardown(test, setup_fake, teardown),             \
	{                                                                        \
#test " on this machine's KVM", test, setup_real, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(test_wanted_costs_no_ioctl), BOTH(test_fetch),
	    BOTH(test_set_travels),           BOTH(test_other_calls),
	    BOTH(test_regs_change_events),    BOTH(test_before_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
