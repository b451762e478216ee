/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of what a plugin may ask on a vCPU channel while an event waits for its answer, and the handlers. vCPU
 * thread. Values are the plugin's and unchecked until a handler has checked them.
 */
#include <errno.h>
#include <string.h>

#include "host/link.h"

typedef int vcpu_request_fn(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply);

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

static int not_yet(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply)
{
	(void)vcpu;
	(void)request;
	(void)reply;
	return -ENOSYS;
}

/* Wait, resume and shutdown are the link's own (link.c). */
static const struct vcpu_request_rule {
	pb_size_t request;
	pb_size_t response;
	vcpu_request_fn *serve;
} rules[] = {
    {wire_VcpuRequest_get_state_tag, wire_VcpuResponse_get_state_tag, get_state},
    {wire_VcpuRequest_set_state_tag, wire_VcpuResponse_set_state_tag, set_state},
    {wire_VcpuRequest_get_msrs_tag, wire_VcpuResponse_get_msrs_tag, not_yet},
    {wire_VcpuRequest_set_msrs_tag, wire_VcpuResponse_set_msrs_tag, not_yet},
    {wire_VcpuRequest_set_cpuid_tag, wire_VcpuResponse_set_cpuid_tag, not_yet},
    {wire_VcpuRequest_get_hyperv_cpuid_tag, wire_VcpuResponse_get_hyperv_cpuid_tag, not_yet},
    {wire_VcpuRequest_enable_capability_tag, wire_VcpuResponse_enable_capability_tag, not_yet},
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
	const struct vcpu_request_rule *rule = find_rule(request->which_message);
	int result = !rule ? -ENOTTY : !vcpu ? -ENODEV : rule->serve(vcpu, request, out_reply);
	out_reply->message.error = -result;
	if (result == 0)
		out_reply->message.which_message = rule->response;
}
