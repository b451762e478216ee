/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handlers of what a plugin may ask on a vCPU channel beyond API 0.22.
 */
#include "host/vcpu_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cpuid.h"
#include "kvm/kvm.h"

/* Every flag of this architecture (KVM_GUESTDBG_* of <asm/kvm.h>). */
#define DEBUG_FLAGS                                                                                        \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | \
	 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ)

/* What a reply holds, with some bytes around it. */
#define STATE_BYTES_MAX (LIMIT_VCPU_RESPONSE_BYTES - 64)

/* More than any CPU of today has of nested state: a VMCS and its shadow, or a VMCB (<asm/kvm.h>). */
#define NESTED_BYTES_MAX 16384

int vcpu_request_set_msrs_counted(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request,
                                  struct vcpu_reply *reply)
{
	int count = vcpu_set_msrs(vcpu, &request->message.set_msrs_counted.entries);
	if (count >= 0)
		reply->message.message.set_msrs_counted.count = (uint32_t)count;
	return count;
}

int vcpu_request_set_cpuid_raw(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	struct kvm_cpuid2 *cpuid = cpuid_new();
	if (!cpuid)
		return -ENOMEM;
	reply->memory = cpuid;
	int result = cpuid_from_bytes(request->message.set_cpuid_raw.entries, cpuid);
	return result < 0 ? result : kvm_vcpu_set_cpuid(vcpu, cpuid);
}

static int get_xsave(struct plugvm_vcpu *vcpu, struct vcpu_reply *reply)
{
	size_t size = kvm_vm_xsave_size(vcpu->vm);
	if (size > STATE_BYTES_MAX)
		return -E2BIG;
	reply->memory = calloc(1, size);
	if (!reply->memory)
		return -ENOMEM;
	reply->message.message.get_ext_state.state = (struct wire_bytes){reply->memory, size};
	return kvm_vcpu_get_xsave(vcpu, reply->memory, size);
}

static int set_xsave(struct plugvm_vcpu *vcpu, struct wire_bytes peer_state, struct vcpu_reply *reply)
{
	size_t size = kvm_vm_xsave_size(vcpu->vm);
	if (peer_state.size != size)
		return -EINVAL;
	/* A copy, for the alignment. */
	reply->memory = malloc(size);
	if (!reply->memory)
		return -ENOMEM;
	memcpy(reply->memory, peer_state.data, size);
	return kvm_vcpu_set_xsave(vcpu, reply->memory);
}

static int get_tsc_khz(struct plugvm_vcpu *vcpu, struct vcpu_reply *reply)
{
	int khz = kvm_vcpu_get_tsc_khz(vcpu);
	if (khz < 0)
		return khz;
	reply->tsc_khz = (uint32_t)khz;
	reply->message.message.get_ext_state.state = (struct wire_bytes){(const uint8_t *)&reply->tsc_khz,
	                                                                 sizeof(reply->tsc_khz)};
	return 0;
}

static int set_tsc_khz(struct plugvm_vcpu *vcpu, struct wire_bytes peer_state)
{
	uint32_t khz;
	int result = wire_bytes_unpack(peer_state, &khz, sizeof(khz));
	return result < 0 ? result : kvm_vcpu_set_tsc_khz(vcpu, khz);
}

static int get_nested(struct plugvm_vcpu *vcpu, struct vcpu_reply *reply)
{
	struct kvm_nested_state *state = calloc(1, NESTED_BYTES_MAX);
	if (!state)
		return -ENOMEM;
	reply->memory = state;
	state->size = NESTED_BYTES_MAX;
	int result = kvm_vcpu_get_nested_state(vcpu, state);
	if (result < 0)
		return result;
	reply->message.message.get_ext_state.state = (struct wire_bytes){
	    reply->memory, state->size < NESTED_BYTES_MAX ? state->size : NESTED_BYTES_MAX};
	return 0;
}

static int set_nested(struct plugvm_vcpu *vcpu, struct wire_bytes peer_state, struct vcpu_reply *reply)
{
	if (peer_state.size < sizeof(struct kvm_nested_state) || peer_state.size > NESTED_BYTES_MAX)
		return -EINVAL;
	struct kvm_nested_state *state = malloc(peer_state.size);
	if (!state)
		return -ENOMEM;
	reply->memory = state;
	memcpy(state, peer_state.data, peer_state.size);
	/* KVM reads as far as this says. */
	return state->size == peer_state.size ? kvm_vcpu_set_nested_state(vcpu, state) : -EINVAL;
}

static int get_cpuid(struct plugvm_vcpu *vcpu, struct vcpu_reply *reply)
{
	struct kvm_cpuid2 *cpuid = cpuid_new();
	if (!cpuid)
		return -ENOMEM;
	reply->memory = cpuid;
	int result = kvm_vcpu_get_cpuid(vcpu, cpuid);
	reply->message.message.get_ext_state.state = cpuid_bytes(cpuid);
	return result;
}

static int get_msr_indices(struct plugvm_vcpu *vcpu, struct vcpu_reply *reply)
{
	struct kvm_msr_list *list;
	int result = msr_index_list(vcpu->vm->kvm, &list);
	if (result < 0)
		return result;
	reply->memory = list;
	reply->message.message.get_ext_state.state = (struct wire_bytes){
	    .data = (const uint8_t *)list->indices, .size = list->nmsrs * sizeof(list->indices[0])};
	return list->nmsrs > STATE_BYTES_MAX / sizeof(list->indices[0]) ? -E2BIG : 0;
}

int vcpu_request_get_ext_state(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	switch (request->message.get_ext_state.set) {
	case wire_VcpuRequest_ExtSet_XSAVE:
		return get_xsave(vcpu, reply);
	case wire_VcpuRequest_ExtSet_TSC_KHZ:
		return get_tsc_khz(vcpu, reply);
	case wire_VcpuRequest_ExtSet_NESTED:
		return get_nested(vcpu, reply);
	case wire_VcpuRequest_ExtSet_CPUID:
		return get_cpuid(vcpu, reply);
	case wire_VcpuRequest_ExtSet_MSR_INDICES:
		return get_msr_indices(vcpu, reply);
	}
	return -EINVAL;
}

int vcpu_request_set_ext_state(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	struct wire_bytes peer_state = request->message.set_ext_state.state;
	switch (request->message.set_ext_state.set) {
	case wire_VcpuRequest_ExtSet_XSAVE:
		return set_xsave(vcpu, peer_state, reply);
	case wire_VcpuRequest_ExtSet_TSC_KHZ:
		return set_tsc_khz(vcpu, peer_state);
	case wire_VcpuRequest_ExtSet_NESTED:
		return set_nested(vcpu, peer_state, reply);
	case wire_VcpuRequest_ExtSet_CPUID:
	case wire_VcpuRequest_ExtSet_MSR_INDICES:
		break;
	}
	return -EINVAL;
}

int vcpu_request_interrupt(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	if (vcpu->vm->irqchip == PLUGVM_IRQCHIP_KERNEL)
		return -ENXIO;
	if (request->message.interrupt.vector > 255)
		return -EINVAL;
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	if (!run->ready_for_interrupt_injection)
		return -EAGAIN;
	int result = kvm_vcpu_interrupt(vcpu, request->message.interrupt.vector);
	/* KVM takes one, and says anew at the next exit. */
	if (result == 0)
		run->ready_for_interrupt_injection = 0;
	return result;
}

int vcpu_request_nmi(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)request;
	(void)reply;
	return kvm_vcpu_nmi(vcpu);
}

int vcpu_request_irq_window(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	if (vcpu->vm->irqchip == PLUGVM_IRQCHIP_KERNEL)
		return -ENXIO;
	plugvm_vcpu_exit(vcpu)->request_interrupt_window = request->message.request_irq_window.wanted;
	return 0;
}

int vcpu_request_set_guest_debug(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request,
                                 struct vcpu_reply *reply)
{
	(void)reply;
	struct kvm_guest_debug debug;
	int result = wire_bytes_unpack(request->message.set_guest_debug.debug, &debug, sizeof(debug));
	if (result < 0)
		return result;
	return debug.control & ~(uint32_t)DEBUG_FLAGS ? -EINVAL : kvm_vcpu_set_guest_debug(vcpu, &debug);
}

int vcpu_request_translate(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	struct kvm_translation translation = {.linear_address = request->message.translate.linear_address};
	int result = kvm_vcpu_translate(vcpu, &translation);
	if (result < 0)
		return result;
	reply->message.message.translate = (wire_VcpuResponse_Translate){
	    .physical_address = translation.physical_address,
	    .valid = translation.valid,
	    .writeable = translation.writeable,
	    .usermode = translation.usermode,
	};
	return 0;
}
