/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the host makes of each reason for which KVM_RUN returns, and of its own errors, on a shared page that
 * the test fills in.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Handle a claimed access with a plugin that answers with `answer`; *out_frame is the event. */
static void handle_claimed(struct exit_rig *rig, uint32_t reason, const void *answer, size_t size,
                           struct link_frame *out_frame)
{
	exit_begin(rig, reason);
	assert_true(link_take(&rig->link, out_frame));
	assert_int_equal(out_frame->message.message.wait.which_exit, wire_VcpuResponse_Wait_io_tag);
	link_resume(&rig->link, answer, size);
	assert_int_equal(exit_end(rig), EXIT_CONTINUE);
}

static void set_io(struct exit_rig *rig, uint8_t direction, uint16_t port, uint8_t size, uint32_t count)
{
	rig->run->io.direction = direction;
	rig->run->io.port = port;
	rig->run->io.size = size;
	rig->run->io.count = count;
	rig->run->io.data_offset = FAKE_IO_OFFSET;
}

static void test_every_reason(void **state)
{
	struct exit_rig *rig = *state;
	char number[32];
	for (uint32_t reason = 0; reason <= 64; reason++) {
		memset(rig->run, 0, sizeof(*rig->run));
		if (reason == KVM_EXIT_IO)
			set_io(rig, KVM_EXIT_IO_IN, 0x200, 1, 1);
		rig->run->mmio.len = reason == KVM_EXIT_MMIO ? 1 : rig->run->mmio.len;
		/* What a plugin gets without asking for it by a subscription. */
		if (reason == KVM_EXIT_DEBUG || reason == KVM_EXIT_X86_RDMSR || reason == KVM_EXIT_X86_WRMSR) {
			static const struct wire_event_answer answer;
			struct link_frame frame;
			exit_begin(rig, reason);
			assert_true(link_take(&rig->link, &frame));
			assert_int_equal(frame.message.which_message, wire_VcpuResponse_event_tag);
			link_resume(&rig->link, &answer, sizeof(answer));
			assert_int_equal(exit_end(rig), EXIT_CONTINUE);
			continue;
		}
		enum exit_verdict verdict = exit_now(rig, reason);
		switch (reason) {
		case KVM_EXIT_IO:
		case KVM_EXIT_MMIO:
		case KVM_EXIT_INTR:
		case KVM_EXIT_IRQ_WINDOW_OPEN:
		case KVM_EXIT_IOAPIC_EOI:
		case KVM_EXIT_SET_TPR:
			assert_int_equal(verdict, EXIT_CONTINUE);
			continue;
		case KVM_EXIT_HLT:
		case KVM_EXIT_SHUTDOWN:
		case KVM_EXIT_INTERNAL_ERROR:
			assert_int_equal(rig->end.end, PLUGVM_END_GUEST_CRASHED);
			assert_int_equal(rig->end.value, reason);
			assert_true(rig->end.has_registers);
			break;
		case KVM_EXIT_FAIL_ENTRY:
			assert_int_equal(rig->end.end, PLUGVM_END_KVM_ERROR);
			assert_int_equal(rig->end.value, EIO);
			assert_true(rig->end.has_registers);
			break;
		default:
			assert_int_equal(rig->end.end, PLUGVM_END_KVM_ERROR);
			assert_int_equal(rig->end.value, ENOTSUP);
			snprintf(number, sizeof(number), "reason %u", reason);
			assert_non_null(strstr(rig->end.text, number));
			break;
		}
		assert_int_equal(verdict, EXIT_END);
		assert_true(strlen(rig->end.text) > 10);
		assert_false(rig->end.cancelled || rig->end.is_weak);
	}
	assert_int_equal(exit_now(rig, UINT32_MAX), EXIT_END);
}

static void test_crash_keeps_registers(void **state)
{
	struct exit_rig *rig = *state;
	rig->link.fake->regs.rip = 0xfff0;
	rig->link.fake->sregs.cr0 = 0x60000010;
	assert_int_equal(exit_now(rig, KVM_EXIT_SHUTDOWN), EXIT_END);
	assert_int_equal(rig->end.regs.rip, 0xfff0);
	assert_int_equal(rig->end.sregs.cr0, 0x60000010);
	assert_non_null(strstr(rig->end.text, "triple fault"));
	fake_kvm_fail(KVM_GET_SREGS, EIO, 1);
	assert_int_equal(exit_now(rig, KVM_EXIT_SHUTDOWN), EXIT_END);
	assert_false(rig->end.has_registers);
	assert_int_equal(rig->end.end, PLUGVM_END_GUEST_CRASHED);
}

static void test_internal_errors(void **state)
{
	struct exit_rig *rig = *state;
	static const uint32_t suberrors[] = {0, 1, 2, 3, 4, 5, 1000, UINT32_MAX};
	for (size_t i = 0; i < COUNT(suberrors); i++) {
		char expected[32];
		rig->run->internal.suberror = suberrors[i];
		assert_int_equal(exit_now(rig, KVM_EXIT_INTERNAL_ERROR), EXIT_END);
		snprintf(expected, sizeof(expected), "suberror %u)", suberrors[i]);
		assert_non_null(strstr(rig->end.text, expected));
		assert_null(strstr(rig->end.text, "(null)"));
	}
	rig->run->fail_entry.hardware_entry_failure_reason = UINT64_C(0x80000021);
	assert_int_equal(exit_now(rig, KVM_EXIT_FAIL_ENTRY), EXIT_END);
	assert_non_null(strstr(rig->end.text, "0x80000021"));
}

static void test_port_write(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	uint8_t *data = (uint8_t *)rig->run + FAKE_IO_OFFSET;
	for (uint32_t count = 1; count <= 1024; count *= 4) {
		memset(data, 0x40 + (int)(count & 0x3f), 4 * count);
		set_io(rig, KVM_EXIT_IO_OUT, 0x1fe, 4, count);
		handle_claimed(rig, KVM_EXIT_IO, NULL, 0, &frame);
		const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
		assert_true(io->is_write);
		assert_int_equal(io->address, 0x1fe);
		assert_int_equal(io->data.size, 4 * count);
		assert_memory_equal(io->data.data, data, 4 * count);
	}
}

static void test_port_read(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	uint8_t *data = (uint8_t *)rig->run + FAKE_IO_OFFSET;
	memset(data, 0x77, 8);
	set_io(rig, KVM_EXIT_IO_IN, 0x100, 2, 3);
	handle_claimed(rig, KVM_EXIT_IO, "abcdef", 6, &frame);
	assert_false(frame.message.message.wait.exit.io.is_write);
	assert_memory_equal(data, "abcdef\x77\x77", 8);
	/* One that is nobody's reads zeros, also in the middle of a string. */
	set_io(rig, KVM_EXIT_IO_IN, 0x200, 2, 3);
	assert_int_equal(exit_now(rig, KVM_EXIT_IO), EXIT_CONTINUE);
	assert_memory_equal(data, "\0\0\0\0\0\0\x77\x77", 8);
}

/* The range is that of one element's addresses, however many elements there are. */
static void test_port_width(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	set_io(rig, KVM_EXIT_IO_OUT, 0xfe, 2, 100);
	assert_int_equal(exit_now(rig, KVM_EXIT_IO), EXIT_CONTINUE);
	assert_int_equal(rig->link.link.counts.unclaimed[ADDRESS_SPACE_PORT][1].count, 1);
	set_io(rig, KVM_EXIT_IO_OUT, 0xfe, 4, 1);
	handle_claimed(rig, KVM_EXIT_IO, NULL, 0, &frame);
	assert_int_equal(frame.message.message.wait.exit.io.address, 0xfe);
}

static void test_port_access_too_long(void **state)
{
	struct exit_rig *rig = *state;
	static const struct {
		uint8_t size;
		uint32_t count;
	} cases[] = {{1, 4097}, {4, 1025}, {4, UINT32_MAX}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		set_io(rig, KVM_EXIT_IO_OUT, 0x200, cases[i].size, cases[i].count);
		assert_int_equal(exit_now(rig, KVM_EXIT_IO), EXIT_END);
		assert_int_equal(rig->end.end, PLUGVM_END_KVM_ERROR);
		assert_int_equal(rig->end.value, E2BIG);
	}
	set_io(rig, KVM_EXIT_IO_OUT, 0x200, 1, 4096);
	assert_int_equal(exit_now(rig, KVM_EXIT_IO), EXIT_CONTINUE);
}

static void test_mmio(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	for (uint32_t length = 1; length <= 8; length *= 2) {
		rig->run->mmio.phys_addr = 0x1ffe;
		rig->run->mmio.len = length;
		rig->run->mmio.is_write = true;
		memcpy(rig->run->mmio.data, "12345678", 8);
		handle_claimed(rig, KVM_EXIT_MMIO, NULL, 0, &frame);
		const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
		assert_int_equal(io->space, wire_AddressSpace_MMIO);
		assert_int_equal(io->address, 0x1ffe);
		assert_int_equal(io->data.size, length);
		assert_memory_equal(io->data.data, "12345678", length);

		rig->run->mmio.is_write = false;
		handle_claimed(rig, KVM_EXIT_MMIO, "abcdefgh", length, &frame);
		assert_memory_equal(rig->run->mmio.data, "abcdefgh", length);
		rig->run->mmio.phys_addr = UINT64_MAX;
		assert_int_equal(exit_now(rig, KVM_EXIT_MMIO), EXIT_CONTINUE);
		assert_int_equal(rig->run->mmio.data[0], 0);
	}
}

static void test_hyperv_call(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	rig->run->hyperv.type = KVM_EXIT_HYPERV_HCALL;
	rig->run->hyperv.u.hcall.input = 0x1005c;
	rig->run->hyperv.u.hcall.params[0] = UINT64_MAX;
	rig->run->hyperv.u.hcall.params[1] = 7;
	exit_begin(rig, KVM_EXIT_HYPERV);
	/* The answer is one 64-bit number. */
	static const size_t wrong[] = {0, 4, 9};
	for (size_t i = 0; i <= COUNT(wrong); i++) {
		assert_true(link_take(&rig->link, &frame));
		assert_int_equal(frame.message.error, i ? EINVAL : 0);
		assert_int_equal(frame.message.message.wait.which_exit, wire_VcpuResponse_Wait_hyperv_call_tag);
		const wire_VcpuResponse_Wait_HypervCall *call = &frame.message.message.wait.exit.hyperv_call;
		assert_int_equal(call->input, 0x1005c);
		assert_int_equal(call->params0, UINT64_MAX);
		assert_int_equal(call->params1, 7);
		link_resume(&rig->link, "\1\0\0\0\0\0\0\x80", i < COUNT(wrong) ? wrong[i] : 8);
	}
	assert_int_equal(exit_end(rig), EXIT_CONTINUE);
	assert_int_equal(rig->run->hyperv.u.hcall.result, UINT64_C(0x8000000000000001));
}

static void test_hyperv_synic(void **state)
{
	struct exit_rig *rig = *state;
	struct link_frame frame;
	rig->run->hyperv.type = KVM_EXIT_HYPERV_SYNIC;
	rig->run->hyperv.u.synic.msr = 0x40000080;
	rig->run->hyperv.u.synic.control = 1;
	rig->run->hyperv.u.synic.evt_page = 2;
	rig->run->hyperv.u.synic.msg_page = 3;
	exit_begin(rig, KVM_EXIT_HYPERV);
	assert_true(link_take(&rig->link, &frame));
	assert_int_equal(frame.message.message.wait.which_exit, wire_VcpuResponse_Wait_hyperv_synic_tag);
	const wire_VcpuResponse_Wait_HypervSynic *synic = &frame.message.message.wait.exit.hyperv_synic;
	assert_int_equal(synic->msr, 0x40000080);
	assert_int_equal(synic->control, 1);
	assert_int_equal(synic->evt_page, 2);
	assert_int_equal(synic->msg_page, 3);
	link_resume(&rig->link, NULL, 0);
	assert_int_equal(exit_end(rig), EXIT_CONTINUE);
}

static void test_run_errors(void **state)
{
	struct exit_rig *rig = *state;
	struct plugvm_vcpu *vcpu = rig->link.vcpu;
	plugvm_vcpu_set_immediate_exit(vcpu, true);
	assert_int_equal(exit_handle_error(-EINTR, vcpu, &rig->end), EXIT_CONTINUE);
	assert_int_equal(rig->run->immediate_exit, 0);
	assert_int_equal(exit_handle_error(-EAGAIN, vcpu, &rig->end), EXIT_CONTINUE);

	rig->run->exit_reason = 0;
	assert_int_equal(exit_handle_error(-ENOMEM, vcpu, &rig->end), EXIT_END);
	assert_int_equal(rig->end.end, PLUGVM_END_KVM_ERROR);
	assert_int_equal(rig->end.value, ENOMEM);
	assert_string_equal(rig->end.text, "KVM_RUN: ENOMEM");
	assert_true(rig->end.has_registers);

	/* KVM_EXIT_MEMORY_FAULT of newer kernels: flags, address, size. */
	rig->run->exit_reason = 39;
	uint64_t fault[] = {0, 0x123456000, 0x1000};
	memcpy(&rig->run->hw, fault, sizeof(fault));
	assert_int_equal(exit_handle_error(-EFAULT, vcpu, &rig->end), EXIT_END);
	assert_non_null(strstr(rig->end.text, "0x123456000"));
	assert_int_equal(rig->end.value, EFAULT);
}

static void test_link_errors(void **state)
{
	struct exit_rig *rig = *state;
	static const struct {
		int error;
		bool cancelled, is_weak;
	} cases[] = {
	    {-ECANCELED, true, false}, {-EPIPE, false, true}, {-EPROTO, false, false}, {-ETIMEDOUT, false, false}};
	strcpy(rig->link.link.fault, "what went wrong");
	for (size_t i = 0; i < COUNT(cases); i++) {
		memset(&rig->end, 0, sizeof(rig->end));
		assert_int_equal(exit_from_access(cases[i].error, &rig->pv, &rig->end), EXIT_END);
		assert_int_equal(rig->end.end, PLUGVM_END_PROTOCOL_ERROR);
		assert_int_equal(rig->end.value, -cases[i].error);
		assert_int_equal(rig->end.cancelled, cases[i].cancelled);
		assert_int_equal(rig->end.is_weak, cases[i].is_weak);
		assert_string_equal(rig->end.text, "what went wrong");
	}
	assert_int_equal(exit_from_access(0, &rig->pv, &rig->end), EXIT_CONTINUE);
	assert_int_equal(exit_from_access(1, &rig->pv, &rig->end), EXIT_CONTINUE);
	/* Through an exit. */
	link_cut(&rig->link.link);
	rig->run->mmio.len = 1;
	assert_int_equal(exit_now(rig, KVM_EXIT_MMIO), EXIT_END);
	assert_true(rig->end.cancelled);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, exit_rig_setup, exit_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_every_reason),
	    TEST(test_crash_keeps_registers),
	    TEST(test_internal_errors),
	    TEST(test_port_write),
	    TEST(test_port_read),
	    TEST(test_port_width),
	    TEST(test_mmio),
	    TEST(test_port_access_too_long),
	    TEST(test_run_errors),
	    TEST(test_link_errors),
	    TEST(test_hyperv_call),
	    TEST(test_hyperv_synic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
