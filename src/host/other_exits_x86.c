/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The exits of KVM that become events only for a plugin that asked for them. vCPU thread.
 */
#include <errno.h>

#include "host/plugin.h"

/* What the plugin answered to the end of its guest: 1 to go on, 0 to end after all. */
static int deliver_failure(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse_Event *event)
{
	struct wire_event_answer answer = {.action = 0};
	int result = link_deliver_event(link, vcpu, event, &answer);
	return result < 0 ? result : answer.action == 1;
}

static int deliver(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse_Event *event)
{
	int result = link_deliver_event(link, vcpu, event, NULL);
	return result < 0 ? result : 1;
}

static bool is_wanted(const struct vcpu_link *link, unsigned int exit)
{
	return link->exits_wanted && (atomic_load_explicit(link->exits_wanted, memory_order_relaxed) & exit);
}

static int handle_msr(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	bool is_write = run->exit_reason == KVM_EXIT_X86_WRMSR;
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_msr_tag};
	event.exit.msr = (wire_VcpuResponse_Event_Msr){
	    .index = run->msr.index,
	    .is_write = is_write,
	    .reason = run->msr.reason,
	    .data = is_write ? run->msr.data : 0,
	};
	struct wire_event_answer answer = {.action = 0};
	int result = link_deliver_event(link, vcpu, &event, &answer);
	if (result < 0)
		return result;
	if (!is_write)
		run->msr.data = answer.data;
	run->msr.error = answer.action != 0;
	return 1;
}

static int handle_debug(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	const struct kvm_debug_exit_arch *arch = &plugvm_vcpu_exit(vcpu)->debug.arch;
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_debug_tag};
	event.exit.debug = (wire_VcpuResponse_Event_Debug){
	    .exception = arch->exception, .pc = arch->pc, .dr6 = arch->dr6, .dr7 = arch->dr7};
	return deliver(link, vcpu, &event);
}

static int handle_irq_window(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	if (!run->request_interrupt_window)
		return 0;
	run->request_interrupt_window = 0;
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_irq_window_tag};
	return deliver(link, vcpu, &event);
}

int link_deliver_open_window(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu ? plugvm_vcpu_exit(vcpu) : NULL;
	int result = 0;
	while (result >= 0 && run && run->request_interrupt_window && run->ready_for_interrupt_injection)
		result = handle_irq_window(link, vcpu);
	return result < 0 ? result : 0;
}

static int handle_hlt(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	const struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	/*
	 * After `sti; hlt` the window opens with the halt, and KVM tells only of that. What is injected in the window
	 * wakes the guest, which then has not halted.
	 */
	if (run->request_interrupt_window && run->ready_for_interrupt_injection) {
		int result = handle_irq_window(link, vcpu);
		if (result < 0 || !run->ready_for_interrupt_injection)
			return result;
	}
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_hlt_tag};
	return is_wanted(link, WIRE_EXIT_HLT) ? deliver(link, vcpu, &event) : 0;
}

static int handle_ioapic_eoi(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_ioapic_eoi_tag};
	event.exit.ioapic_eoi.vector = plugvm_vcpu_exit(vcpu)->eoi.vector;
	return is_wanted(link, WIRE_EXIT_IOAPIC_EOI) ? deliver(link, vcpu, &event) : 0;
}

static int handle_shutdown(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_shutdown_tag};
	return is_wanted(link, WIRE_EXIT_SHUTDOWN) ? deliver_failure(link, vcpu, &event) : 0;
}

static int handle_internal_error(struct vcpu_link *link, struct plugvm_vcpu *vcpu)
{
	if (!is_wanted(link, WIRE_EXIT_INTERNAL_ERROR))
		return 0;
	const struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	const uint32_t words = sizeof(run->internal.data) / sizeof(run->internal.data[0]);
	wire_VcpuResponse_Event event = {.which_exit = wire_VcpuResponse_Event_internal_error_tag};
	event.exit.internal_error.suberror = run->internal.suberror;
	event.exit.internal_error.data = (struct wire_array){
	    .items = run->internal.data, .count = run->internal.ndata < words ? run->internal.ndata : words};
	return deliver_failure(link, vcpu, &event);
}

int plugvm_plugin_vcpu_other_exit(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu)
{
	switch (plugvm_vcpu_exit(vcpu)->exit_reason) {
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		return handle_msr(pv->link, vcpu);
	case KVM_EXIT_DEBUG:
		return handle_debug(pv->link, vcpu);
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return handle_irq_window(pv->link, vcpu);
	case KVM_EXIT_HLT:
		return handle_hlt(pv->link, vcpu);
	case KVM_EXIT_IOAPIC_EOI:
		return handle_ioapic_eoi(pv->link, vcpu);
	case KVM_EXIT_SHUTDOWN:
		return handle_shutdown(pv->link, vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		return handle_internal_error(pv->link, vcpu);
	default:
		return 0;
	}
}
