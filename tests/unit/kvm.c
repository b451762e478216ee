/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the KVM layer on a fake KVM: every call that can fail while a VM is made, who owns which fd after success
 * and after failure, what each typed call passes on, and the address bits from CPUID.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "wire/limits.h"

static int setup(void **state)
{
	static int fds_before;
	fds_before = count_open_fds();
	*state = &fds_before;
	fake_kvm_install();
	return 0;
}

static int teardown(void **state)
{
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), *(int *)*state);
	return 0;
}

struct rig {
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
};

/* Make all three; on the first failure, return it. */
static int rig_make(struct rig *rig, struct plugvm_error *error)
{
	*rig = (struct rig){NULL, NULL, NULL};
	int result = plugvm_kvm_open(NULL, &rig->kvm, error);
	if (result == 0)
		result = plugvm_vm_new(rig->kvm, PLUGVM_IRQCHIP_KERNEL, &rig->vm, error);
	if (result == 0)
		result = plugvm_vcpu_new(rig->vm, 3, &rig->vcpu, error);
	return result;
}

static void rig_free(struct rig *rig)
{
	plugvm_vcpu_free(&rig->vcpu);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	assert_null(rig->vcpu);
	assert_null(rig->vm);
	assert_null(rig->kvm);
	/* A pointer to NULL is accepted. */
	plugvm_vcpu_free(&rig->vcpu);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
}

static void test_everything_works(void **state)
{
	(void)state;
	struct rig rig;
	struct plugvm_error error;
	assert_int_equal(rig_make(&rig, &error), 0);
	assert_int_equal(plugvm_kvm_check_extension(rig.kvm, KVM_CAP_IRQCHIP), 1);
	assert_int_equal(plugvm_kvm_check_extension(rig.kvm, 12345), 0);
	assert_int_equal(plugvm_vm_check_extension(rig.vm, KVM_CAP_IRQCHIP), 1);
	assert_int_equal(plugvm_vm_check_extension(rig.vm, 12345), 0);
	assert_true(plugvm_vm_fd(rig.vm) >= 0);
	assert_int_equal(plugvm_vm_address_bits(rig.vm), 46);
	assert_int_equal(plugvm_vcpu_id(rig.vcpu), 3);
	assert_ptr_equal(plugvm_vcpu_exit(rig.vcpu), fake_kvm_vcpu(3)->run);
	rig_free(&rig);
}

static void test_every_failure(void **state)
{
	static const struct {
		unsigned long request;
		enum plugvm_error_kind kind;
		const char *text;
	} cases[] = {
	    {FAKE_OPEN, PLUGVM_ERROR_ENVIRONMENT, "/dev/kvm"},
	    {KVM_GET_API_VERSION, PLUGVM_ERROR_ENVIRONMENT, "not a KVM device"},
	    {KVM_GET_VCPU_MMAP_SIZE, PLUGVM_ERROR_KVM, "KVM_GET_VCPU_MMAP_SIZE"},
	    {KVM_CREATE_VM, PLUGVM_ERROR_KVM, "KVM_CREATE_VM"},
	    {KVM_SET_TSS_ADDR, PLUGVM_ERROR_KVM, "KVM_SET_TSS_ADDR"},
	    {KVM_CREATE_IRQCHIP, PLUGVM_ERROR_KVM, "KVM_CREATE_IRQCHIP"},
	    {KVM_CREATE_PIT2, PLUGVM_ERROR_KVM, "KVM_CREATE_PIT2"},
	    {KVM_CREATE_VCPU, PLUGVM_ERROR_KVM, "KVM_CREATE_VCPU 3"},
	    {FAKE_MAP, PLUGVM_ERROR_KVM, "vCPU 3"},
	};
	int before = *(int *)*state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		struct plugvm_error error;
		fake_kvm_fail(cases[i].request, EACCES, 0);
		assert_int_equal(rig_make(&rig, &error), -EACCES);
		assert_int_equal(error.code, EACCES);
		assert_int_equal(error.kind, cases[i].kind);
		assert_non_null(strstr(error.text, cases[i].text));
		rig_free(&rig);
		assert_int_equal(rig_make(&rig, NULL), -EACCES);
		rig_free(&rig);
		assert_int_equal(count_open_fds(), before);
		fake_kvm_fail(0, 0, 0);
	}
}

/* Count the calls of this kind that making a VM takes: all but that one must succeed. */
static bool is_called(enum plugvm_irqchip irqchip, unsigned long request)
{
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm = NULL;
	assert_int_equal(plugvm_kvm_open(NULL, &kvm, NULL), 0);
	fake_kvm_fail(request, EXDEV, 0);
	int result = plugvm_vm_new(kvm, irqchip, &vm, NULL);
	fake_kvm_fail(0, 0, 0);
	assert_true(result == 0 || result == -EXDEV);
	assert_true((result == 0) == (vm != NULL));
	plugvm_vm_free(&vm);
	plugvm_kvm_free(&kvm);
	return result < 0;
}

static void test_irqchips(void **state)
{
	static const struct {
		enum plugvm_irqchip irqchip;
		bool chip, pit, capability;
	} cases[] = {{PLUGVM_IRQCHIP_KERNEL, true, true, false},
	             {PLUGVM_IRQCHIP_SPLIT, false, false, true},
	             {PLUGVM_IRQCHIP_NONE, false, false, false}};
	int before = *(int *)*state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(is_called(cases[i].irqchip, KVM_SET_TSS_ADDR));
		assert_int_equal(is_called(cases[i].irqchip, KVM_CREATE_IRQCHIP), cases[i].chip);
		assert_int_equal(is_called(cases[i].irqchip, KVM_CREATE_PIT2), cases[i].pit);
		assert_int_equal(is_called(cases[i].irqchip, KVM_ENABLE_CAP), cases[i].capability);
		assert_int_equal(count_open_fds(), before);
	}
	/* A PC's IOAPIC is the plugin's. */
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm = NULL;
	struct plugvm_error error;
	assert_int_equal(plugvm_kvm_open(NULL, &kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(kvm, PLUGVM_IRQCHIP_SPLIT, &vm, NULL), 0);
	assert_int_equal(fake_kvm.capability.cap, KVM_CAP_SPLIT_IRQCHIP);
	assert_int_equal(fake_kvm.capability.args[0], 24);
	plugvm_vm_free(&vm);
	fake_kvm_fail(KVM_ENABLE_CAP, EINVAL, 0);
	assert_int_equal(plugvm_vm_new(kvm, PLUGVM_IRQCHIP_SPLIT, &vm, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_KVM);
	assert_non_null(strstr(error.text, "KVM_CAP_SPLIT_IRQCHIP"));
	assert_int_equal(plugvm_vm_new(kvm, (enum plugvm_irqchip)3, &vm, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_null(vm);
	plugvm_kvm_free(&kvm);
}

static void test_unfit_devices(void **state)
{
	(void)state;
	struct plugvm_kvm *kvm = NULL;
	struct plugvm_error error;
	fake_kvm.api_version = KVM_API_VERSION + 1;
	assert_int_equal(plugvm_kvm_open("/dev/kvm", &kvm, &error), -EINVAL);
	assert_non_null(strstr(error.text, "13"));
	fake_kvm.api_version = KVM_API_VERSION;
	fake_kvm.run_size = sizeof(struct kvm_run) - 1;
	assert_int_equal(plugvm_kvm_open("/dev/kvm", &kvm, &error), -EINVAL);
	fake_kvm.run_size = FAKE_RUN_BYTES;
	fake_kvm.no_immediate_exit = true;
	assert_int_equal(plugvm_kvm_open("/dev/kvm", &kvm, &error), -ENOTSUP);
	assert_int_equal(error.kind, PLUGVM_ERROR_ENVIRONMENT);
	assert_null(kvm);
}

static void test_interrupted_create(void **state)
{
	(void)state;
	struct rig rig;
	fake_kvm_fail(KVM_CREATE_VM, EINTR, 1);
	assert_int_equal(rig_make(&rig, NULL), 0);
	rig_free(&rig);
}

static void test_adopt_kvm(void **state)
{
	(void)state;
	struct plugvm_kvm *kvm = NULL;
	int fd = eventfd(0, EFD_CLOEXEC);
	/* No KVM device: the fd stays the caller's. */
	assert_int_equal(plugvm_kvm_adopt(fd, &kvm, NULL), -ENOTTY);
	assert_int_equal(close(fd), 0);
	assert_int_equal(plugvm_kvm_adopt(fd, &kvm, NULL), -EBADF);

	fd = kvm_backend.open("/dev/kvm");
	assert_int_equal(plugvm_kvm_adopt(fd, &kvm, NULL), 0);
	/* Taken over: whatever number it has now, the caller's is gone. */
	assert_true(fcntl(fd, F_GETFD) < 0);
	assert_true(plugvm_kvm_check_extension(kvm, KVM_CAP_IMMEDIATE_EXIT));
	plugvm_kvm_free(&kvm);
}

static void test_adopt_vm_and_vcpu(void **state)
{
	(void)state;
	struct rig rig;
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	int vm_fd = kvm_ioctl_number(rig.kvm->fd, KVM_CREATE_VM, 0);
	assert_int_equal(plugvm_vm_adopt(rig.kvm, vm_fd, &rig.vm, NULL), 0);
	assert_int_equal(plugvm_vm_fd(rig.vm), vm_fd);
	int vcpu_fd = kvm_ioctl_number(vm_fd, KVM_CREATE_VCPU, 5);
	fake_kvm_fail(FAKE_MAP, ENOMEM, 1);
	assert_int_equal(plugvm_vcpu_adopt(rig.vm, 5, vcpu_fd, &rig.vcpu, NULL), -ENOMEM);
	assert_true(fcntl(vcpu_fd, F_GETFD) >= 0);
	assert_int_equal(plugvm_vcpu_adopt(rig.vm, 5, vcpu_fd, &rig.vcpu, NULL), 0);
	assert_int_equal(plugvm_vcpu_id(rig.vcpu), 5);
	rig_free(&rig);
}

static void test_address_bits(void **state)
{
	static const struct {
		unsigned int reported, expected;
	} cases[] = {{0, LIMIT_GUEST_ADDRESS_BITS}, {36, 36}, {39, 39}, {52, 52}, {57, LIMIT_GUEST_ADDRESS_BITS}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		fake_kvm.address_bits = cases[i].reported;
		assert_int_equal(rig_make(&rig, NULL), 0);
		assert_int_equal(plugvm_vm_address_bits(rig.vm), cases[i].expected);
		rig_free(&rig);
	}
	struct rig rig;
	fake_kvm.address_bits = 40;
	fake_kvm_fail(KVM_GET_SUPPORTED_CPUID, E2BIG, 0);
	assert_int_equal(rig_make(&rig, NULL), 0);
	assert_int_equal(plugvm_vm_address_bits(rig.vm), LIMIT_GUEST_ADDRESS_BITS);
	rig_free(&rig);
}

static void test_memory(void **state)
{
	(void)state;
	struct rig rig;
	assert_int_equal(rig_make(&rig, NULL), 0);
	int anchor;
	assert_int_equal(plugvm_vm_set_memory(rig.vm, 7, KVM_MEM_READONLY, 0x1000, 0x2000, &anchor), 0);
	const struct kvm_userspace_memory_region *slot = &fake_kvm.slots[7];
	assert_int_equal(slot->flags, KVM_MEM_READONLY);
	assert_int_equal(slot->guest_phys_addr, 0x1000);
	assert_int_equal(slot->memory_size, 0x2000);
	assert_int_equal(slot->userspace_addr, (uintptr_t)&anchor);
	assert_int_equal(plugvm_vm_set_memory(rig.vm, 8, 0, 0x2000, 0x1000, &anchor), -EEXIST);
	assert_int_equal(plugvm_vm_set_memory(rig.vm, 7, 0, 0x1000, 0, NULL), 0);
	assert_int_equal(fake_kvm_slots(), 0);
	rig_free(&rig);
}

static int give_one_exit(struct fake_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static void test_run(void **state)
{
	(void)state;
	struct rig rig;
	assert_int_equal(rig_make(&rig, NULL), 0);
	fake_kvm.run = give_one_exit;
	assert_int_equal(plugvm_vcpu_run(rig.vcpu), 0);
	assert_int_equal(plugvm_vcpu_exit(rig.vcpu)->exit_reason, KVM_EXIT_SHUTDOWN);
	plugvm_vcpu_set_immediate_exit(rig.vcpu, true);
	assert_int_equal(plugvm_vcpu_run(rig.vcpu), -EINTR);
	plugvm_vcpu_set_immediate_exit(rig.vcpu, false);
	assert_int_equal(plugvm_vcpu_run(rig.vcpu), 0);
	fake_kvm_fail(KVM_RUN, EFAULT, 1);
	assert_int_equal(plugvm_vcpu_run(rig.vcpu), -EFAULT);
	rig_free(&rig);
}

#define CHECK_STATE(name, type, get_request, set_request)                         \
	do {                                                                      \
		struct type in, out;                                              \
		memset(&in, 0x5a, sizeof(in));                                    \
		memset(&out, 0, sizeof(out));                                     \
		assert_int_equal(plugvm_vcpu_set_##name(rig.vcpu, &in), 0);       \
		assert_memory_equal(&fake_kvm_vcpu(3)->name, &in, sizeof(in));    \
		assert_int_equal(plugvm_vcpu_get_##name(rig.vcpu, &out), 0);      \
		assert_memory_equal(&out, &in, sizeof(in));                       \
		fake_kvm_fail(get_request, EIO, 0);                               \
		assert_int_equal(plugvm_vcpu_get_##name(rig.vcpu, &out), -EIO);   \
		fake_kvm_fail(set_request, EINVAL, 0);                            \
		assert_int_equal(plugvm_vcpu_set_##name(rig.vcpu, &in), -EINVAL); \
		fake_kvm_fail(0, 0, 0);                                           \
	} while (0)

static void test_states(void **state)
{
	(void)state;
	struct rig rig;
	assert_int_equal(rig_make(&rig, NULL), 0);
	CHECK_STATE(regs, kvm_regs, KVM_GET_REGS, KVM_SET_REGS);
	CHECK_STATE(sregs, kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS);
	CHECK_STATE(fpu, kvm_fpu, KVM_GET_FPU, KVM_SET_FPU);
	CHECK_STATE(debugregs, kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS);
	CHECK_STATE(lapic, kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC);
	CHECK_STATE(mp_state, kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE);
	CHECK_STATE(xcrs, kvm_xcrs, KVM_GET_XCRS, KVM_SET_XCRS);
	CHECK_STATE(events, kvm_vcpu_events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS);
	rig_free(&rig);
}

/* The real table, on a file that is no KVM device and on one that is not there. */
static void test_real_backend(void **state)
{
	(void)state;
	struct plugvm_kvm *kvm;
	struct plugvm_error error;
	fake_kvm_remove();
	assert_int_equal(plugvm_kvm_open("/dev/null", &kvm, &error), -ENOTTY);
	assert_non_null(strstr(error.text, "/dev/null is not a KVM device"));
	assert_int_equal(plugvm_kvm_open("/nonexistent/kvm", &kvm, &error), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_everything_works),
	    TEST(test_every_failure),
	    TEST(test_irqchips),
	    TEST(test_unfit_devices),
	    TEST(test_adopt_kvm),
	    TEST(test_adopt_vm_and_vcpu),
	    TEST(test_interrupted_create),
	    TEST(test_address_bits),
	    TEST(test_memory),
	    TEST(test_run),
	    TEST(test_states),
	    TEST(test_real_backend),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
