/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hypercall hint: for which access the plugin wants registers along with the event. Set by the main thread,
 * looked at by every vCPU thread on every claimed access. Which registers there are is the architecture's:
 * hints_x86.c.
 */
#ifndef PLUGVM_HOST_HINTS_H
#define PLUGVM_HOST_HINTS_H

#include "host/published.h"
#include "host/ranges.h"
#include "plugvm.h"
#include "wire/codec.h"

struct hints {
	struct published hint; /* struct call_hint of hints_x86.c; NULL: none */
};

/* Memory for what goes along with an event; `io` points into it. */
struct hint_registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
};

int hints_init(struct hints *hints, uint32_t reader_count);
void hints_fini(struct hints *hints);

/* Replace the hint. -EINVAL: an unknown space or too many details; -ENOMEM. */
int hints_set(struct hints *hints, const wire_MainRequest_SetCallHint *peer_hint);

/*
 * If the access is the hinted one, attach registers of `vcpu` to *io. What KVM does not give is left out. vCPU
 * thread number `reader`.
 */
void hints_attach(struct hints *hints, uint32_t reader, struct plugvm_vcpu *vcpu, enum address_space space,
                  wire_VcpuResponse_Wait_Io *io, struct hint_registers *registers);

/* Read what is attached anew, for an event that goes out again: the plugin may have set it meanwhile. */
void hints_refresh(struct plugvm_vcpu *vcpu, wire_VcpuResponse_Wait_Io *io, struct hint_registers *registers);

#endif
