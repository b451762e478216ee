/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What to do with each reason for which KVM_RUN returns.
 */
#include "host/exits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* Newer than the kernel headers that this builds with (Linux 6.8, 6.16). */
#define EXIT_REASON_MEMORY_FAULT 39

void exit_from_link_error(int error, const struct plugvm_plugin_vcpu *pv, struct vcpu_end *out_end)
{
	out_end->end = PLUGVM_END_PROTOCOL_ERROR;
	out_end->value = -error;
	out_end->cancelled = error == -ECANCELED;
	out_end->is_weak = error == -EPIPE;
	snprintf(out_end->text, sizeof(out_end->text), "%s", plugvm_plugin_vcpu_fault(pv));
}

enum exit_verdict exit_from_access(int result, const struct plugvm_plugin_vcpu *pv, struct vcpu_end *out_end)
{
	if (result >= 0)
		return EXIT_CONTINUE;
	exit_from_link_error(result, pv, out_end);
	return EXIT_END;
}

static enum exit_verdict handle_mmio(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                     struct vcpu_end *out_end)
{
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	uint64_t address = run->mmio.phys_addr;
	int result = run->mmio.is_write
	                 ? plugvm_plugin_vcpu_mmio_write(pv, vcpu, address, run->mmio.data, run->mmio.len)
	                 : plugvm_plugin_vcpu_mmio_read(pv, vcpu, address, run->mmio.data, run->mmio.len);
	return exit_from_access(result, pv, out_end);
}

/* An exit that only a plugin which asked for it sees; else nothing happens. */
static enum exit_verdict handle_other(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                      struct vcpu_end *out_end)
{
	return exit_from_access(plugvm_plugin_vcpu_other_exit(pv, vcpu), pv, out_end);
}

static void keep_registers(struct plugvm_vcpu *vcpu, struct vcpu_end *out_end)
{
	out_end->has_registers = plugvm_vcpu_get_regs(vcpu, &out_end->regs) == 0 &&
	                         plugvm_vcpu_get_sregs(vcpu, &out_end->sregs) == 0;
}

/* The guest is at its end; keep what its CPU looked like. */
static enum exit_verdict crash(struct plugvm_vcpu *vcpu, struct vcpu_end *out_end, const char *text)
{
	out_end->end = PLUGVM_END_GUEST_CRASHED;
	out_end->value = (int)plugvm_vcpu_exit(vcpu)->exit_reason;
	keep_registers(vcpu, out_end);
	snprintf(out_end->text, sizeof(out_end->text), "%s", text);
	return EXIT_END;
}

static void describe_internal_error(const struct kvm_run *run, char *text, size_t size)
{
	/* KVM_INTERNAL_ERROR_* of <linux/kvm.h> */
	static const char *const names[] = {
	    [1] = "an instruction that KVM cannot emulate",
	    [2] = "an exception while delivering another",
	    [3] = "a fault while delivering an event",
	    [4] = "an exit that KVM did not expect",
	};
	uint32_t suberror = run->internal.suberror;
	bool known = suberror < sizeof(names) / sizeof(names[0]) && names[suberror];
	snprintf(text, size, "%s (KVM_EXIT_INTERNAL_ERROR, suberror %u)",
	         known ? names[suberror] : "an internal error of KVM", suberror);
}

static enum exit_verdict handle_hlt(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                    struct vcpu_end *out_end)
{
	int result = plugvm_plugin_vcpu_other_exit(pv, vcpu);
	if (result != 0)
		return exit_from_access(result, pv, out_end);
	return crash(vcpu, out_end, "halted with nothing to wake it (KVM_EXIT_HLT)");
}

/* The end of the guest, unless its plugin has asked for such an exit and lets the vCPU go on. */
static enum exit_verdict handle_failure(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                        struct vcpu_end *out_end)
{
	char text[128];
	const struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		describe_internal_error(run, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "triple fault (KVM_EXIT_SHUTDOWN)");

	/* Before the plugin is asked: it may change registers and end the guest nevertheless. */
	struct vcpu_end end = {.cancelled = false};
	enum exit_verdict verdict = crash(vcpu, &end, text);
	int result = plugvm_plugin_vcpu_other_exit(pv, vcpu);
	if (result != 0)
		return exit_from_access(result, pv, out_end);
	*out_end = end;
	return verdict;
}

static void kvm_failed(struct vcpu_end *out_end, int code, const char *text)
{
	out_end->end = PLUGVM_END_KVM_ERROR;
	out_end->value = code;
	snprintf(out_end->text, sizeof(out_end->text), "%s", text);
}

static enum exit_verdict handle_fail_entry(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                           struct vcpu_end *out_end)
{
	(void)pv;
	char text[128];
	snprintf(text, sizeof(text),
	         "the CPU refused to enter the guest (KVM_EXIT_FAIL_ENTRY, hardware reason 0x%llx)",
	         (unsigned long long)plugvm_vcpu_exit(vcpu)->fail_entry.hardware_entry_failure_reason);
	kvm_failed(out_end, EIO, text);
	keep_registers(vcpu, out_end);
	return EXIT_END;
}

enum exit_verdict exit_handle_unexpected(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                         struct vcpu_end *out_end)
{
	(void)pv;
	char text[128];
	snprintf(text, sizeof(text), "KVM gave an exit that this program does not know: reason %u",
	         plugvm_vcpu_exit(vcpu)->exit_reason);
	kvm_failed(out_end, ENOTSUP, text);
	return EXIT_END;
}

static exit_fn *const handlers[] = {
    [KVM_EXIT_IO] = exit_handle_io,
    [KVM_EXIT_HYPERV] = exit_handle_hyperv,
    [KVM_EXIT_MMIO] = handle_mmio,
    [KVM_EXIT_INTR] = handle_other,
    [KVM_EXIT_IRQ_WINDOW_OPEN] = handle_other,
    [KVM_EXIT_IOAPIC_EOI] = handle_other,
    [KVM_EXIT_SET_TPR] = handle_other,
    [KVM_EXIT_DEBUG] = handle_other,
    [KVM_EXIT_X86_RDMSR] = handle_other,
    [KVM_EXIT_X86_WRMSR] = handle_other,
    [KVM_EXIT_HLT] = handle_hlt,
    [KVM_EXIT_SHUTDOWN] = handle_failure,
    [KVM_EXIT_FAIL_ENTRY] = handle_fail_entry,
    [KVM_EXIT_INTERNAL_ERROR] = handle_failure,
};

enum exit_verdict exit_handle(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, struct vcpu_end *out_end)
{
	uint32_t reason = plugvm_vcpu_exit(vcpu)->exit_reason;
	bool known = reason < sizeof(handlers) / sizeof(handlers[0]) && handlers[reason];
	return known ? handlers[reason](pv, vcpu, out_end) : exit_handle_unexpected(pv, vcpu, out_end);
}

enum exit_verdict exit_handle_error(int error, struct plugvm_vcpu *vcpu, struct vcpu_end *out_end)
{
	if (error == -EINTR) {
		/* Clear first, look for the reason afterwards (pre_run): who kicks does it the other way round. */
		plugvm_vcpu_set_immediate_exit(vcpu, false);
		return EXIT_CONTINUE;
	}
	if (error == -EAGAIN)
		return EXIT_CONTINUE; /* a vCPU that waits for its startup interrupt */

	char text[128];
	const struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	if (run->exit_reason == EXIT_REASON_MEMORY_FAULT) {
		uint64_t address;
		/* struct kvm_run, memory_fault: flags, gpa, size, in the place of every exit's data */
		memcpy(&address, (const uint8_t *)&run->hw + sizeof(uint64_t), sizeof(address));
		snprintf(text, sizeof(text), "KVM_RUN: %s: no memory behind guest address 0x%llx",
		         error_name(-error), (unsigned long long)address);
	} else {
		snprintf(text, sizeof(text), "KVM_RUN: %s", error_name(-error));
	}
	kvm_failed(out_end, -error, text);
	keep_registers(vcpu, out_end);
	return EXIT_END;
}
