/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of what a plugin may ask on a vCPU channel while an event waits for its answer, and the handlers of API
 * 0.22.
 */
#include "host/vcpu_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/cpuid.h"
#include "kvm/kvm.h"

static int get_state(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	size_t size;
	int result = vcpu_state_get(vcpu, request->message.get_state.set, &reply->state, &size);
	if (result < 0)
		return result;
	reply->message.message.get_state.state = (struct wire_bytes){.data = (const uint8_t *)&reply->state,
	                                                             .size = size};
	return 0;
}

static int set_state(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	return vcpu_state_set(vcpu, request->message.set_state.set, request->message.set_state.state);
}

/* KVM's own form of an MSR request: a count, and the entries behind it. */
union msr_request {
	struct kvm_msrs header;
	uint8_t bytes[sizeof(struct kvm_msrs) + LIMIT_MSRS * sizeof(struct kvm_msr_entry)];
};

static int check_count(const struct wire_array *peer_array, uint32_t limit)
{
	return peer_array->count > limit || peer_array->stored != peer_array->count ? -E2BIG : 0;
}

static int get_msrs(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	const struct wire_array *peer_indices = &request->message.get_msrs.entry_indices;
	int result = check_count(peer_indices, LIMIT_MSRS);
	if (result < 0)
		return result;
	union msr_request msrs;
	memset(&msrs, 0, sizeof(msrs));
	const uint32_t *indices = peer_indices->items;
	msrs.header.nmsrs = peer_indices->count;
	for (uint32_t i = 0; i < peer_indices->count; i++)
		msrs.header.entries[i].index = indices[i];
	int count = kvm_vcpu_get_msrs(vcpu, &msrs.header);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		reply->msrs[i] = msrs.header.entries[i].data;
	reply->message.message.get_msrs.entry_data = (struct wire_array){.items = reply->msrs,
	                                                                 .count = (uint32_t)count};
	return 0;
}

int vcpu_set_msrs(struct plugvm_vcpu *vcpu, const struct wire_array *peer_entries)
{
	int result = check_count(peer_entries, LIMIT_MSRS);
	if (result < 0)
		return result;
	union msr_request msrs;
	memset(&msrs, 0, sizeof(msrs));
	const wire_VcpuRequest_MsrEntry *entries = peer_entries->items;
	msrs.header.nmsrs = peer_entries->count;
	for (uint32_t i = 0; i < peer_entries->count; i++) {
		msrs.header.entries[i].index = entries[i].index;
		msrs.header.entries[i].data = entries[i].data;
	}
	return kvm_vcpu_set_msrs(vcpu, &msrs.header);
}

static int set_msrs(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	const struct wire_array *peer_entries = &request->message.set_msrs.entries;
	int count = vcpu_set_msrs(vcpu, peer_entries);
	if (count < 0)
		return count;
	/* KVM stopped at one that it refuses: this reply cannot say which. */
	return (uint32_t)count == peer_entries->count ? 0 : -EINVAL;
}

static int set_cpuid(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	struct kvm_cpuid2 *cpuid = cpuid_new();
	if (!cpuid)
		return -ENOMEM;
	int result = cpuid_from_wire(&request->message.set_cpuid.entries, cpuid);
	if (result == 0)
		result = kvm_vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
	return result;
}

static int get_hyperv_cpuid(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)request;
	struct kvm_cpuid2 *cpuid = cpuid_new();
	if (!cpuid)
		return -ENOMEM;
	int result = kvm_vcpu_get_hyperv_cpuid(vcpu, cpuid);
	if (result >= 0)
		cpuid_to_wire(cpuid, reply->cpuid, &reply->message.message.get_hyperv_cpuid.entries);
	free(cpuid);
	return result;
}

static int enable_capability(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)reply;
	/* A list of what is harmless to the host, not of what is harmful. */
	struct kvm_enable_cap capability = {.cap = request->message.enable_capability.capability};
	if (capability.cap != KVM_CAP_HYPERV_SYNIC && capability.cap != KVM_CAP_HYPERV_SYNIC2)
		return -EINVAL;
	return kvm_vcpu_enable_cap(vcpu, &capability);
}

/* Wait, resume and shutdown are the link's own (link.c). */
static const struct vcpu_request_rule {
	pb_size_t request;
	pb_size_t response;
	vcpu_request_fn *serve;
} rules[] = {
    {wire_VcpuRequest_get_state_tag, wire_VcpuResponse_get_state_tag, get_state},
    {wire_VcpuRequest_set_state_tag, wire_VcpuResponse_set_state_tag, set_state},
    {wire_VcpuRequest_get_msrs_tag, wire_VcpuResponse_get_msrs_tag, get_msrs},
    {wire_VcpuRequest_set_msrs_tag, wire_VcpuResponse_set_msrs_tag, set_msrs},
    {wire_VcpuRequest_set_cpuid_tag, wire_VcpuResponse_set_cpuid_tag, set_cpuid},
    {wire_VcpuRequest_get_hyperv_cpuid_tag, wire_VcpuResponse_get_hyperv_cpuid_tag, get_hyperv_cpuid},
    {wire_VcpuRequest_enable_capability_tag, wire_VcpuResponse_enable_capability_tag, enable_capability},
    {wire_VcpuRequest_set_msrs_counted_tag, wire_VcpuResponse_set_msrs_counted_tag, vcpu_request_set_msrs_counted},
    {wire_VcpuRequest_set_cpuid_raw_tag, wire_VcpuResponse_set_cpuid_raw_tag, vcpu_request_set_cpuid_raw},
    {wire_VcpuRequest_get_ext_state_tag, wire_VcpuResponse_get_ext_state_tag, vcpu_request_get_ext_state},
    {wire_VcpuRequest_set_ext_state_tag, wire_VcpuResponse_set_ext_state_tag, vcpu_request_set_ext_state},
    {wire_VcpuRequest_interrupt_tag, wire_VcpuResponse_interrupt_tag, vcpu_request_interrupt},
    {wire_VcpuRequest_nmi_tag, wire_VcpuResponse_nmi_tag, vcpu_request_nmi},
    {wire_VcpuRequest_request_irq_window_tag, wire_VcpuResponse_request_irq_window_tag, vcpu_request_irq_window},
    {wire_VcpuRequest_set_guest_debug_tag, wire_VcpuResponse_set_guest_debug_tag, vcpu_request_set_guest_debug},
    {wire_VcpuRequest_translate_tag, wire_VcpuResponse_translate_tag, vcpu_request_translate},
};

static const struct vcpu_request_rule *find_rule(pb_size_t request)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].request == request)
			return &rules[i];
	}
	return NULL;
}

void vcpu_request_serve(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *out_reply)
{
	memset(&out_reply->message, 0, sizeof(out_reply->message));
	out_reply->memory = NULL;
	const struct vcpu_request_rule *rule = find_rule(request->which_message);
	int result = !rule ? -ENOTTY : !vcpu ? -ENODEV : rule->serve(vcpu, request, out_reply);
	out_reply->message.error = result < 0 ? -result : 0;
	if (result >= 0)
		out_reply->message.which_message = rule->response;
}
