/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sets of vCPU state that a plugin may get and set, as the kernel's structs. vCPU thread. The bytes to set are
 * the plugin's: their length is checked here, their content by KVM. What a set is made of is the architecture's:
 * vcpu_state_x86.c.
 */
#ifndef PLUGVM_HOST_VCPU_STATE_H
#define PLUGVM_HOST_VCPU_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>

#include "plugvm.h"
#include "wire/codec.h"

union vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
};

/* -EINVAL: there is no such set; or KVM's errno. */
int vcpu_state_get(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet peer_set, union vcpu_state *out_state,
                   size_t *out_size);

/* The same, and -EINVAL for bytes of the wrong length. */
int vcpu_state_set(struct plugvm_vcpu *vcpu, wire_VcpuRequest_StateSet peer_set, struct wire_bytes peer_state);

/* Registers that come along with a resume. */
struct vcpu_registers {
	bool has_regs, has_sregs, has_debugregs, has_events;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
};

/* Take those of a message. -EINVAL: of a wrong length. */
int vcpu_state_unpack_registers(const wire_VcpuRequest_Resume *peer_resume, struct vcpu_registers *out_registers);

/*
 * Set them, all or nothing: on failure, which is KVM's errno, the vCPU has the registers that it had. With `by_run` the
 * general ones may travel with the next KVM_RUN (kvm/sync.h).
 */
int vcpu_state_set_registers(struct plugvm_vcpu *vcpu, const struct vcpu_registers *registers, bool by_run);

#endif
