/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What API 0.23 adds to a stopped vCPU on x86: state beyond the baseline's sets, interrupts, debugging, translation.
 * Runs in the plugin, on the thread that the vCPU belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>
#include <string.h>

#include "plugin/extra.h"
#include "plugin/stats.h"
#include "plugin/vcpu.h"

/* A request of a set is the content and less than this. */
#define SET_OVERHEAD_BYTES 32

static int need_feature(struct crosvm_vcpu *vcpu, uint64_t feature)
{
	return vcpu_need(vcpu, machine_has(vcpu->machine, feature));
}

static int fetch_stopped(struct crosvm_vcpu *vcpu, wire_VcpuRequest_ExtSet set, uint32_t size, void *out,
                         uint32_t *out_size)
{
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_get_ext_state_tag,
	    .message.get_ext_state.set = set,
	};
	wire_VcpuResponse reply;
	int error = vcpu_call(vcpu, &request, wire_VcpuResponse_get_ext_state_tag, NULL, &reply);
	if (error)
		return error;
	const struct wire_bytes *state = &reply.message.get_ext_state.state;
	*out_size = (uint32_t)state->size;
	if (state->size > size)
		return -E2BIG;
	if (state->size > 0)
		memcpy(out, state->data, state->size);
	return 0;
}

static int get_ext(struct crosvm_vcpu *vcpu, uint64_t feature, wire_VcpuRequest_ExtSet set, uint32_t size,
                   void *out, uint32_t *out_size)
{
	if (!vcpu || !out_size || (size > 0 && !out))
		return -EINVAL;
	*out_size = 0;
	int error = need_feature(vcpu, feature);
	if (!error)
		error = vcpu_enter_stopped(vcpu);
	if (error)
		return error;
	error = fetch_stopped(vcpu, set, size, out, out_size);
	vcpu_leave(vcpu);
	return error;
}

static int set_ext(struct crosvm_vcpu *vcpu, uint64_t feature, wire_VcpuRequest_ExtSet set, uint32_t size,
                   const void *state)
{
	if (!vcpu || (size > 0 && !state))
		return -EINVAL;
	int error = need_feature(vcpu, feature);
	if (error)
		return error;
	/* No state is as long as that. */
	if (size > LIMIT_VCPU_REQUEST_BYTES - SET_OVERHEAD_BYTES)
		return -EINVAL;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_ext_state_tag,
	    .message.set_ext_state = {.set = set, .state = {state, size}},
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_set_ext_state_tag, &reply);
}

int crosvm_vcpu_get_xsave(struct crosvm_vcpu *vcpu, uint32_t size, void *out_xsave, uint32_t *out_size)
{
	STATS();
	return get_ext(vcpu, CROSVM_FEATURE_XSAVE, wire_VcpuRequest_ExtSet_XSAVE, size, out_xsave, out_size);
}

int crosvm_vcpu_set_xsave(struct crosvm_vcpu *vcpu, uint32_t size, const void *xsave)
{
	STATS();
	return set_ext(vcpu, CROSVM_FEATURE_XSAVE, wire_VcpuRequest_ExtSet_XSAVE, size, xsave);
}

int crosvm_vcpu_get_tsc_khz(struct crosvm_vcpu *vcpu, uint32_t *out_khz)
{
	STATS();
	if (!vcpu || !out_khz)
		return -EINVAL;
	uint32_t khz, size;
	int error = get_ext(vcpu, CROSVM_FEATURE_TSC_KHZ, wire_VcpuRequest_ExtSet_TSC_KHZ, sizeof(khz), &khz,
	                    &size);
	if (error == -E2BIG || (!error && size != sizeof(khz)))
		return -EPROTO;
	if (!error)
		*out_khz = khz;
	return error;
}

int crosvm_vcpu_set_tsc_khz(struct crosvm_vcpu *vcpu, uint32_t khz)
{
	STATS();
	return set_ext(vcpu, CROSVM_FEATURE_TSC_KHZ, wire_VcpuRequest_ExtSet_TSC_KHZ, sizeof(khz), &khz);
}

int crosvm_vcpu_get_nested_state(struct crosvm_vcpu *vcpu, uint32_t size, void *out_state, uint32_t *out_size)
{
	STATS();
	return get_ext(vcpu, CROSVM_FEATURE_NESTED, wire_VcpuRequest_ExtSet_NESTED, size, out_state, out_size);
}

int crosvm_vcpu_set_nested_state(struct crosvm_vcpu *vcpu, uint32_t size, const void *state)
{
	STATS();
	return set_ext(vcpu, CROSVM_FEATURE_NESTED, wire_VcpuRequest_ExtSet_NESTED, size, state);
}

int extra_get_cpuid(struct crosvm_vcpu *vcpu, uint32_t size, void *out_entries, uint32_t *out_size)
{
	return get_ext(vcpu, CROSVM_FEATURE_SNAPSHOT, wire_VcpuRequest_ExtSet_CPUID, size, out_entries, out_size);
}

int extra_get_msr_indices(struct crosvm_vcpu *vcpu, uint32_t size, void *out_indices, uint32_t *out_size)
{
	return get_ext(vcpu, CROSVM_FEATURE_SNAPSHOT, wire_VcpuRequest_ExtSet_MSR_INDICES, size, out_indices,
	               out_size);
}

/* Injection is for those without all interrupt controllers in the kernel; such a host does not offer it. */
static int need_injection(struct crosvm_vcpu *vcpu)
{
	int error = need_feature(vcpu, CROSVM_FEATURE_INTERRUPTS);
	bool has_kernel_irqchip = !machine_is_original(vcpu->machine) &&
	                          vcpu->machine->info.irqchip == CROSVM_IRQCHIP_KERNEL;
	return error == -ENOTTY && has_kernel_irqchip ? -ENXIO : error;
}

int crosvm_vcpu_interrupt(struct crosvm_vcpu *vcpu, uint32_t vector)
{
	STATS();
	if (!vcpu || vector > 255)
		return -EINVAL;
	int error = need_injection(vcpu);
	if (error)
		return error;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_interrupt_tag,
	    .message.interrupt.vector = vector,
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_interrupt_tag, &reply);
}

int crosvm_vcpu_request_irq_window(struct crosvm_vcpu *vcpu, bool wanted)
{
	STATS();
	if (!vcpu)
		return -EINVAL;
	int error = need_injection(vcpu);
	if (error)
		return error;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_request_irq_window_tag,
	    .message.request_irq_window.wanted = wanted,
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_request_irq_window_tag, &reply);
}

int crosvm_vcpu_nmi(struct crosvm_vcpu *vcpu)
{
	STATS();
	if (!vcpu)
		return -EINVAL;
	int error = vcpu_need(vcpu, !machine_is_original(vcpu->machine));
	if (error)
		return error;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_nmi_tag};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_nmi_tag, &reply);
}

int crosvm_vcpu_set_guest_debug(struct crosvm_vcpu *vcpu, const struct kvm_guest_debug *debug)
{
	STATS();
	if (!vcpu || !debug)
		return -EINVAL;
	int error = need_feature(vcpu, CROSVM_FEATURE_GUEST_DEBUG);
	if (error)
		return error;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_set_guest_debug_tag,
	    .message.set_guest_debug.debug = {(const uint8_t *)debug, sizeof(*debug)},
	};
	wire_VcpuResponse reply;
	return vcpu_command(vcpu, &request, wire_VcpuResponse_set_guest_debug_tag, &reply);
}

int crosvm_vcpu_translate(struct crosvm_vcpu *vcpu, struct kvm_translation *translation)
{
	STATS();
	if (!vcpu || !translation)
		return -EINVAL;
	int error = need_feature(vcpu, CROSVM_FEATURE_TRANSLATE);
	if (error)
		return error;
	wire_VcpuRequest request = {
	    .which_message = wire_VcpuRequest_translate_tag,
	    .message.translate.linear_address = translation->linear_address,
	};
	wire_VcpuResponse reply;
	/* It changes nothing, but the page tables are where the sregs that were set say. */
	error = vcpu_command(vcpu, &request, wire_VcpuResponse_translate_tag, &reply);
	if (error)
		return error;
	translation->physical_address = reply.message.translate.physical_address;
	translation->valid = reply.message.translate.valid;
	translation->writeable = reply.message.translate.writeable;
	translation->usermode = reply.message.translate.usermode;
	return 0;
}
