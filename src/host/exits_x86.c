/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What to do with the exits that only x86 has.
 */
#include <errno.h>
#include <stdio.h>

#include "host/exits.h"
#include "wire/limits.h"

enum exit_verdict exit_handle_io(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, struct vcpu_end *out_end)
{
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	/* `rep ins` and `rep outs` bring several elements at once; all of them go in one event. */
	uint64_t size = (uint64_t)run->io.size * run->io.count;
	if (size > LIMIT_ACCESS_BYTES) {
		out_end->end = PLUGVM_END_KVM_ERROR;
		out_end->value = E2BIG;
		snprintf(out_end->text, sizeof(out_end->text), "KVM gave a port access of %llu bytes",
		         (unsigned long long)size);
		return EXIT_END;
	}
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	int result = run->io.direction == KVM_EXIT_IO_OUT
	                 ? plugvm_plugin_vcpu_io_write(pv, vcpu, run->io.port, run->io.size, data, (uint32_t)size)
	                 : plugvm_plugin_vcpu_io_read(pv, vcpu, run->io.port, run->io.size, data, (uint32_t)size);
	return exit_from_access(result, pv, out_end);
}

enum exit_verdict exit_handle_hyperv(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                     struct vcpu_end *out_end)
{
	struct kvm_run *run = plugvm_vcpu_exit(vcpu);
	int result;
	switch (run->hyperv.type) {
	case KVM_EXIT_HYPERV_HCALL: {
		uint64_t params[2] = {run->hyperv.u.hcall.params[0], run->hyperv.u.hcall.params[1]};
		uint64_t answer = 0;
		result = plugvm_plugin_vcpu_hyperv_call(pv, vcpu, run->hyperv.u.hcall.input, params, &answer);
		run->hyperv.u.hcall.result = answer;
		break;
	}
	case KVM_EXIT_HYPERV_SYNIC:
		result = plugvm_plugin_vcpu_hyperv_synic(pv, vcpu, run->hyperv.u.synic.msr,
		                                         run->hyperv.u.synic.control, run->hyperv.u.synic.evt_page,
		                                         run->hyperv.u.synic.msg_page);
		break;
	default:
		return exit_handle_unexpected(pv, vcpu, out_end);
	}
	return exit_from_access(result, pv, out_end);
}
