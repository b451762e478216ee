/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what a plugin may ask for a vCPU beyond API 0.22, handler by handler on a fake KVM: what KVM is asked, what
 * goes back, each limit and one more, and every errno of KVM.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* As the host has them (vcpu_requests_x86.c). */
#define STATE_BYTES_MAX  (LIMIT_VCPU_RESPONSE_BYTES - 64)
#define NESTED_BYTES_MAX 16384

struct rig {
	int fds_before;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
	struct fake_vcpu *fake;
	struct vcpu_reply reply; /* of the last request; its memory is freed by the next */
};

static void open_vm(struct rig *rig, enum plugvm_irqchip irqchip)
{
	assert_int_equal(plugvm_vm_new(rig->kvm, irqchip, &rig->vm, NULL), 0);
	assert_int_equal(plugvm_vcpu_new(rig->vm, 0, &rig->vcpu, NULL), 0);
	rig->fake = fake_kvm_vcpu(0);
}

static void close_vm(struct rig *rig)
{
	plugvm_vcpu_free(&rig->vcpu);
	plugvm_vm_free(&rig->vm);
}

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	open_vm(&rig, PLUGVM_IRQCHIP_NONE);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	free(rig->reply.memory);
	close_vm(rig);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

/* Serve the request and return its error; success has the request's own number. */
static int serve(struct rig *rig, const wire_VcpuRequest *request)
{
	free(rig->reply.memory);
	vcpu_request_serve(rig->vcpu, request, &rig->reply);
	int error = rig->reply.message.error;
	assert_int_equal(rig->reply.message.which_message, error ? 0 : request->which_message);
	return error;
}

static int get(struct rig *rig, wire_VcpuRequest_ExtSet set)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_ext_state_tag};
	request.message.get_ext_state.set = set;
	return serve(rig, &request);
}

static struct wire_bytes got(const struct rig *rig)
{
	return rig->reply.message.message.get_ext_state.state;
}

static int set(struct rig *rig, wire_VcpuRequest_ExtSet which, const void *state, size_t size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_ext_state_tag};
	request.message.set_ext_state.set = which;
	request.message.set_ext_state.state = (struct wire_bytes){state, size};
	return serve(rig, &request);
}

/* Every errno that KVM gives for `ioctl` is the answer to the request. */
static void check_errnos(struct rig *rig, unsigned long ioctl, const wire_VcpuRequest *request)
{
	static const int codes[] = {EINVAL, E2BIG, ENXIO, ENOMEM, EFAULT, ENOTTY, EBUSY};
	for (size_t i = 0; i < COUNT(codes); i++) {
		fake_kvm_fail(ioctl, codes[i], 0);
		assert_int_equal(serve(rig, request), codes[i]);
	}
	fake_kvm_fail(0, 0, 0);
	assert_int_equal(serve(rig, request), 0);
}

static void check_get_errnos(struct rig *rig, unsigned long ioctl, wire_VcpuRequest_ExtSet which)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_ext_state_tag};
	request.message.get_ext_state.set = which;
	check_errnos(rig, ioctl, &request);
}

static void check_set_errnos(struct rig *rig, unsigned long ioctl, wire_VcpuRequest_ExtSet which,
                             const void *state, size_t size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_ext_state_tag};
	request.message.set_ext_state.set = which;
	request.message.set_ext_state.state = (struct wire_bytes){state, size};
	check_errnos(rig, ioctl, &request);
}

/* ---- Sets ---- */

static uint8_t bytes[LIMIT_VCPU_REQUEST_BYTES + 1];

static void fill(unsigned seed)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

static void test_xsave(void **state)
{
	struct rig *rig = *state;
	/* What KVM_CAP_XSAVE2 says, and the size that the area has with it. */
	static const struct {
		int said;
		size_t size;
	} cases[] = {{0, 4096},    {-1, 4096},     {100, 4096},    {4096, 4096},
	             {4097, 4097}, {11008, 11008}, {60000, 60000}, {STATE_BYTES_MAX, STATE_BYTES_MAX}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		fake_kvm.xsave_size = cases[i].said;
		size_t size = cases[i].size;
		fill((unsigned)i);
		/* At an odd address, as bytes of a packet may be. */
		assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_XSAVE, bytes + 1, size), 0);
		assert_memory_equal(fake_kvm.xsave, bytes + 1, size);
		assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_XSAVE), 0);
		assert_int_equal(got(rig).size, size);
		assert_memory_equal(got(rig).data, bytes + 1, size);
		const size_t wrong[] = {0, 1, size - 1, size + 1, size == 4096 ? 8192 : 4096};
		fake_kvm_fail(KVM_SET_XSAVE, EXDEV, 0);
		for (size_t w = 0; w < COUNT(wrong); w++)
			assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_XSAVE, bytes, wrong[w]), EINVAL);
		fake_kvm_fail(0, 0, 0);
		assert_memory_equal(fake_kvm.xsave, bytes + 1, size);
	}
	/* One byte more than a reply holds. */
	fake_kvm.xsave_size = STATE_BYTES_MAX + 1;
	fake_kvm_fail(KVM_GET_XSAVE2, EXDEV, 0);
	assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_XSAVE), E2BIG);
	fake_kvm.xsave_size = 0;
	check_get_errnos(rig, KVM_GET_XSAVE, wire_VcpuRequest_ExtSet_XSAVE);
	check_set_errnos(rig, KVM_SET_XSAVE, wire_VcpuRequest_ExtSet_XSAVE, bytes, 4096);
	fake_kvm.xsave_size = 8192;
	check_get_errnos(rig, KVM_GET_XSAVE2, wire_VcpuRequest_ExtSet_XSAVE);
}

static void test_tsc_khz(void **state)
{
	struct rig *rig = *state;
	static const uint32_t values[] = {0, 1, 2600000, INT32_MAX};
	for (size_t i = 0; i < COUNT(values); i++) {
		assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_TSC_KHZ, &values[i], 4), 0);
		assert_int_equal(rig->fake->tsc_khz, values[i]);
		assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_TSC_KHZ), 0);
		assert_int_equal(got(rig).size, 4);
		assert_memory_equal(got(rig).data, &values[i], 4);
	}
	rig->fake->tsc_khz = 5;
	for (size_t size = 0; size <= 8; size++) {
		if (size != 4)
			assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_TSC_KHZ, bytes, size), EINVAL);
	}
	assert_int_equal(rig->fake->tsc_khz, 5);
	check_get_errnos(rig, KVM_GET_TSC_KHZ, wire_VcpuRequest_ExtSet_TSC_KHZ);
	check_set_errnos(rig, KVM_SET_TSC_KHZ, wire_VcpuRequest_ExtSet_TSC_KHZ, values, 4);
}

static int set_nested(struct rig *rig, uint32_t said, size_t size)
{
	memcpy(bytes + 1 + offsetof(struct kvm_nested_state, size), &said, sizeof(said));
	return set(rig, wire_VcpuRequest_ExtSet_NESTED, bytes + 1, size);
}

static void test_nested(void **state)
{
	struct rig *rig = *state;
	const uint32_t least = sizeof(struct kvm_nested_state);
	const uint32_t sizes[] = {least, least + 1, 4096 + least, NESTED_BYTES_MAX};
	for (size_t i = 0; i < COUNT(sizes); i++) {
		fill((unsigned)i);
		fake_kvm.nested_size = sizes[i];
		assert_int_equal(set_nested(rig, sizes[i], sizes[i]), 0);
		assert_memory_equal(fake_kvm.nested, bytes + 1, sizes[i]);
		assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_NESTED), 0);
		assert_int_equal(got(rig).size, sizes[i]);
		assert_memory_equal(got(rig).data, bytes + 1, sizes[i]);
	}
	/* KVM reads as much as the struct itself says: nothing but what came. */
	fake_kvm_fail(KVM_SET_NESTED_STATE, EXDEV, 0);
	const struct {
		uint32_t said;
		size_t size;
	} wrong[] = {{0, 0},
	             {least, least - 1},
	             {least - 1, least - 1},
	             {least + 1, least},
	             {least - 1, least},
	             {UINT32_MAX, least},
	             {0, least},
	             {least, 4096},
	             {NESTED_BYTES_MAX + 1, NESTED_BYTES_MAX},
	             {NESTED_BYTES_MAX + 1, NESTED_BYTES_MAX + 1}};
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(set_nested(rig, wrong[i].said, wrong[i].size), EINVAL);
	assert_int_equal(set_nested(rig, least, least), EXDEV);
	fake_kvm_fail(0, 0, 0);
	/* More than the host has room for. */
	fake_kvm.nested_size = NESTED_BYTES_MAX + 1;
	assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_NESTED), E2BIG);
	fake_kvm.nested_size = least;
	check_get_errnos(rig, KVM_GET_NESTED_STATE, wire_VcpuRequest_ExtSet_NESTED);
	memset(bytes, 0, least);
	memcpy(bytes + offsetof(struct kvm_nested_state, size), &least, sizeof(least));
	check_set_errnos(rig, KVM_SET_NESTED_STATE, wire_VcpuRequest_ExtSet_NESTED, bytes, least);
}

static int set_cpuid(struct rig *rig, const void *entries, size_t size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_cpuid_raw_tag};
	request.message.set_cpuid_raw.entries = (struct wire_bytes){entries, size};
	return serve(rig, &request);
}

static void test_cpuid(void **state)
{
	struct rig *rig = *state;
	const size_t entry = sizeof(struct kvm_cpuid_entry2);
	static const size_t counts[] = {0, 1, 2, LIMIT_CPUID_ENTRIES};
	for (size_t i = 0; i < COUNT(counts); i++) {
		fill((unsigned)i);
		assert_int_equal(set_cpuid(rig, bytes + 1, counts[i] * entry), 0);
		assert_int_equal(rig->fake->cpuid_count, counts[i]);
		/* As it was set, flags and padding included. */
		assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_CPUID), 0);
		assert_int_equal(got(rig).size, counts[i] * entry);
		if (counts[i] == 0)
			continue;
		assert_memory_equal(rig->fake->cpuid, bytes + 1, counts[i] * entry);
		assert_memory_equal(got(rig).data, bytes + 1, counts[i] * entry);
	}
	fake_kvm_fail(KVM_SET_CPUID2, EXDEV, 0);
	assert_int_equal(set_cpuid(rig, bytes, (LIMIT_CPUID_ENTRIES + 1) * entry), E2BIG);
	assert_int_equal(set_cpuid(rig, bytes, 1), EINVAL);
	assert_int_equal(set_cpuid(rig, bytes, entry - 1), EINVAL);
	assert_int_equal(set_cpuid(rig, bytes, entry + 1), EINVAL);
	assert_int_equal(set_cpuid(rig, bytes, LIMIT_CPUID_ENTRIES * entry + 1), EINVAL);
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_cpuid_raw_tag};
	check_errnos(rig, KVM_SET_CPUID2, &request);
	check_get_errnos(rig, KVM_GET_CPUID2, wire_VcpuRequest_ExtSet_CPUID);
	/* Only to get. */
	fake_kvm_fail(KVM_SET_CPUID2, EXDEV, 0);
	assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_CPUID, bytes, entry), EINVAL);
}

static void test_msr_indices(void **state)
{
	struct rig *rig = *state;
	static const uint32_t counts[] = {1, FAKE_MSRS, STATE_BYTES_MAX / 4};
	for (size_t i = 0; i < COUNT(counts); i++) {
		fake_kvm.msr_count = counts[i];
		assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_MSR_INDICES), 0);
		assert_int_equal(got(rig).size, 4 * counts[i]);
		for (uint32_t at = 0; at < counts[i]; at++) {
			uint32_t index;
			memcpy(&index, got(rig).data + 4 * at, 4);
			assert_int_equal(index, FAKE_MSR_FIRST + at);
		}
	}
	fake_kvm.msr_count = STATE_BYTES_MAX / 4 + 1;
	assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_MSR_INDICES), E2BIG);
	fake_kvm.msr_count = 0;
	assert_int_equal(set(rig, wire_VcpuRequest_ExtSet_MSR_INDICES, bytes, 4), EINVAL);
	fake_kvm_fail(KVM_GET_MSR_INDEX_LIST, EIO, 1);
	assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_MSR_INDICES), EIO);
	fake_kvm_fail(KVM_GET_MSR_INDEX_LIST, EIO, 2);
	assert_int_equal(get(rig, wire_VcpuRequest_ExtSet_MSR_INDICES), EIO);
}

static void test_no_such_set(void **state)
{
	struct rig *rig = *state;
	static const uint32_t none[] = {_wire_VcpuRequest_ExtSet_MAX + 1, 100, INT32_MAX};
	for (size_t i = 0; i < COUNT(none); i++) {
		assert_int_equal(get(rig, (wire_VcpuRequest_ExtSet)none[i]), EINVAL);
		assert_int_equal(set(rig, (wire_VcpuRequest_ExtSet)none[i], bytes, 4096), EINVAL);
	}
}

/* ---- MSRs ---- */

static int set_msrs(struct rig *rig, const wire_VcpuRequest_MsrEntry *entries, uint32_t count, uint32_t stored)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_msrs_counted_tag};
	request.message.set_msrs_counted.entries = (struct wire_array){
	    .items = (void *)entries, .count = count, .stored = stored};
	return serve(rig, &request);
}

static void test_msrs_counted(void **state)
{
	struct rig *rig = *state;
	static wire_VcpuRequest_MsrEntry entries[LIMIT_MSRS + 1];
	for (uint32_t i = 0; i <= LIMIT_MSRS; i++)
		entries[i] = (wire_VcpuRequest_MsrEntry){.index = FAKE_MSR_FIRST + i, .data = i + 1};
	const uint32_t *count = &rig->reply.message.message.set_msrs_counted.count;
	assert_int_equal(set_msrs(rig, entries, 0, 0), 0);
	assert_int_equal(*count, 0);
	assert_int_equal(set_msrs(rig, entries, LIMIT_MSRS, LIMIT_MSRS), 0);
	assert_int_equal(*count, LIMIT_MSRS);
	assert_int_equal(rig->fake->msrs[LIMIT_MSRS - 1], LIMIT_MSRS);
	/* KVM refuses one: those before it are set, and none after it. */
	memset(rig->fake->msrs, 0, sizeof(rig->fake->msrs));
	for (uint32_t bad = 0; bad < 3; bad++) {
		wire_VcpuRequest_MsrEntry some[3] = {entries[0], entries[1], entries[2]};
		some[bad].index = 1;
		memset(rig->fake->msrs, 0, sizeof(rig->fake->msrs));
		assert_int_equal(set_msrs(rig, some, 3, 3), 0);
		assert_int_equal(*count, bad);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(rig->fake->msrs[i], i < bad ? i + 1 : 0);
	}
	fake_kvm_fail(KVM_SET_MSRS, EXDEV, 0);
	assert_int_equal(set_msrs(rig, entries, LIMIT_MSRS + 1, LIMIT_MSRS + 1), E2BIG);
	assert_int_equal(set_msrs(rig, entries, UINT32_MAX, 4), E2BIG);
	assert_int_equal(set_msrs(rig, entries, 5, 4), E2BIG);
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_msrs_counted_tag};
	check_errnos(rig, KVM_SET_MSRS, &request);
}

/* ---- Interrupts ---- */

static int interrupt(struct rig *rig, uint32_t vector)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_interrupt_tag};
	request.message.interrupt.vector = vector;
	return serve(rig, &request);
}

static void test_interrupt(void **state)
{
	struct rig *rig = *state;
	static const enum plugvm_irqchip irqchips[] = {PLUGVM_IRQCHIP_NONE, PLUGVM_IRQCHIP_SPLIT};
	for (size_t i = 0; i < COUNT(irqchips); i++) {
		close_vm(rig);
		open_vm(rig, irqchips[i]);
		struct kvm_run *run = plugvm_vcpu_exit(rig->vcpu);
		assert_int_equal(interrupt(rig, 32), EAGAIN);
		run->ready_for_interrupt_injection = 1;
		assert_int_equal(interrupt(rig, 256), EINVAL);
		assert_int_equal(interrupt(rig, UINT32_MAX), EINVAL);
		assert_int_equal(rig->fake->interrupts, 0);
		/* Refused by KVM, it may be tried again. */
		fake_kvm_fail(KVM_INTERRUPT, EEXIST, 0);
		assert_int_equal(interrupt(rig, 33), EEXIST);
		fake_kvm_fail(0, 0, 0);
		assert_int_equal(interrupt(rig, 255), 0);
		assert_int_equal(rig->fake->vector, 255);
		/* One, until KVM says anew. */
		assert_int_equal(run->ready_for_interrupt_injection, 0);
		assert_int_equal(interrupt(rig, 34), EAGAIN);
		run->ready_for_interrupt_injection = 1;
		assert_int_equal(interrupt(rig, 0), 0);
		assert_int_equal(rig->fake->interrupts, 2);
		assert_int_equal(rig->fake->vector, 0);
	}
	/* They are the kernel's business, whatever the number. */
	close_vm(rig);
	open_vm(rig, PLUGVM_IRQCHIP_KERNEL);
	plugvm_vcpu_exit(rig->vcpu)->ready_for_interrupt_injection = 1;
	assert_int_equal(interrupt(rig, 32), ENXIO);
	assert_int_equal(interrupt(rig, 256), ENXIO);
	assert_int_equal(rig->fake->interrupts, 0);
}

static int irq_window(struct rig *rig, bool wanted)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_request_irq_window_tag};
	request.message.request_irq_window.wanted = wanted;
	return serve(rig, &request);
}

static void test_irq_window(void **state)
{
	struct rig *rig = *state;
	struct kvm_run *run = plugvm_vcpu_exit(rig->vcpu);
	assert_int_equal(irq_window(rig, true), 0);
	assert_int_equal(run->request_interrupt_window, 1);
	assert_int_equal(irq_window(rig, true), 0);
	assert_int_equal(run->request_interrupt_window, 1);
	assert_int_equal(irq_window(rig, false), 0);
	assert_int_equal(run->request_interrupt_window, 0);
	close_vm(rig);
	open_vm(rig, PLUGVM_IRQCHIP_KERNEL);
	assert_int_equal(irq_window(rig, true), ENXIO);
	assert_int_equal(irq_window(rig, false), ENXIO);
	assert_int_equal(plugvm_vcpu_exit(rig->vcpu)->request_interrupt_window, 0);
}

static void test_nmi(void **state)
{
	struct rig *rig = *state;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_nmi_tag};
	assert_int_equal(serve(rig, &request), 0);
	assert_int_equal(rig->fake->nmis, 1);
	check_errnos(rig, KVM_NMI, &request);
	assert_int_equal(rig->fake->nmis, 2);
}

/* ---- Debugging ---- */

static int guest_debug(struct rig *rig, const void *debug, size_t size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_guest_debug_tag};
	request.message.set_guest_debug.debug = (struct wire_bytes){debug, size};
	return serve(rig, &request);
}

static void test_guest_debug(void **state)
{
	struct rig *rig = *state;
	/* KVM_GUESTDBG_*: enable, single step, and from 16 on software, hardware, two kinds of injection, no IRQs. */
	const uint32_t known = 0x3 | 0x1f0000;
	fill(3);
	for (int bit = 0; bit < 32; bit++) {
		struct kvm_guest_debug debug;
		memcpy(&debug, bytes, sizeof(debug));
		debug.control = UINT32_C(1) << bit;
		bool allowed = debug.control & known;
		memcpy(bytes + 1, &debug, sizeof(debug));
		memset(&rig->fake->debug, 0, sizeof(rig->fake->debug));
		assert_int_equal(guest_debug(rig, bytes + 1, sizeof(debug)), allowed ? 0 : EINVAL);
		assert_int_equal(rig->fake->debug.control, allowed ? debug.control : 0);
		if (allowed)
			assert_memory_equal(&rig->fake->debug, &debug, sizeof(debug));
	}
	static const size_t wrong[] = {0, 1, sizeof(struct kvm_guest_debug) - 1,
	                               sizeof(struct kvm_guest_debug) + 1};
	static const struct kvm_guest_debug off;
	fake_kvm_fail(KVM_SET_GUEST_DEBUG, EXDEV, 0);
	memset(bytes, 0, sizeof(off) + 1);
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(guest_debug(rig, bytes, wrong[i]), EINVAL);
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_guest_debug_tag};
	request.message.set_guest_debug.debug = (struct wire_bytes){(const uint8_t *)&off, sizeof(off)};
	check_errnos(rig, KVM_SET_GUEST_DEBUG, &request);
}

static void test_translate(void **state)
{
	struct rig *rig = *state;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_translate_tag};
	const wire_VcpuResponse_Translate *answer = &rig->reply.message.message.translate;
	for (uint64_t address = 0; address < 8; address++) {
		request.message.translate.linear_address = UINT64_C(0xffff800000000000) + address;
		assert_int_equal(serve(rig, &request), 0);
		assert_int_equal(answer->physical_address,
		                 UINT64_C(0xffff800000000000) + FAKE_TRANSLATION + address);
		assert_int_equal(answer->valid, address & 1);
		assert_int_equal(answer->writeable, address >> 1 & 1);
		assert_int_equal(answer->usermode, address >> 2 & 1);
	}
	check_errnos(rig, KVM_TRANSLATE, &request);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_xsave),       TEST(test_tsc_khz),     TEST(test_nested),       TEST(test_cpuid),
	    TEST(test_msr_indices), TEST(test_no_such_set), TEST(test_msrs_counted), TEST(test_interrupt),
	    TEST(test_irq_window),  TEST(test_nmi),         TEST(test_guest_debug),  TEST(test_translate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
