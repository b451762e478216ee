/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The events that API 0.23 adds, out of their messages. Runs in the plugin, on the thread that the vCPU belongs to. The
 * host may be a newer one.
 */
#include "plugin/exits_x86.h"

#include <errno.h>
#include <string.h>

#include "plugin/vcpu.h"

/* Have the resume carry an answer, which the caller fills with what it is unless the plugin says otherwise. */
static struct wire_event_answer *begin_answer(struct crosvm_vcpu *vcpu)
{
	struct wire_event_answer *answer = &vcpu->answer.event;
	memset(answer, 0, sizeof(*answer));
	vcpu->answer_size = sizeof(*answer);
	return answer;
}

static void take_msr(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Event_Msr *msr,
                     struct crosvm_vcpu_event *event)
{
	struct wire_event_answer *answer = begin_answer(vcpu);
	answer->data = msr->is_write ? msr->data : 0;
	event->kind = CROSVM_VCPU_EVENT_KIND_MSR;
	event->msr.index = msr->index;
	event->msr.is_write = msr->is_write;
	event->msr.reason = msr->reason;
	event->msr.data = &answer->data;
	event->msr.fault = &answer->action;
}

static void take_debug(const wire_VcpuResponse_Event_Debug *debug, struct crosvm_vcpu_event *event)
{
	event->kind = CROSVM_VCPU_EVENT_KIND_DEBUG;
	event->debug.exception = debug->exception;
	event->debug.pc = debug->pc;
	event->debug.dr6 = debug->dr6;
	event->debug.dr7 = debug->dr7;
}

static void take_internal_error(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Event_InternalError *error,
                                struct crosvm_vcpu_event *event)
{
	event->kind = CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR;
	event->failure.go_on = &begin_answer(vcpu)->action;
	event->failure.suberror = error->suberror;
	event->failure.data_count = error->data.count;
	size_t count = error->data.stored < EXITS_WORDS ? error->data.stored : EXITS_WORDS;
	if (count > 0)
		memcpy(event->failure.data, error->data.items, count * sizeof(event->failure.data[0]));
}

int exits_take(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Event *from, struct crosvm_vcpu_event *event)
{
	switch (from->which_exit) {
	case wire_VcpuResponse_Event_msr_tag:
		take_msr(vcpu, &from->exit.msr, event);
		return 0;
	case wire_VcpuResponse_Event_debug_tag:
		take_debug(&from->exit.debug, event);
		return 0;
	case wire_VcpuResponse_Event_hlt_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_HLT;
		return 0;
	case wire_VcpuResponse_Event_irq_window_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW;
		return 0;
	case wire_VcpuResponse_Event_ioapic_eoi_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI;
		event->ioapic_eoi.vector = from->exit.ioapic_eoi.vector;
		return 0;
	case wire_VcpuResponse_Event_shutdown_tag:
		event->kind = CROSVM_VCPU_EVENT_KIND_SHUTDOWN;
		event->failure.go_on = &begin_answer(vcpu)->action;
		return 0;
	case wire_VcpuResponse_Event_internal_error_tag:
		take_internal_error(vcpu, &from->exit.internal_error, event);
		return 0;
	default:
		return -EPROTO;
	}
}
