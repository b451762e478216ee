/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the handlers of vCPU requests share: vcpu_requests.c has the table and the handlers of the baseline,
 * vcpu_requests_x86.c those of the additions. vCPU thread. Values of the message are the plugin's and unchecked until a
 * handler has checked them.
 */
#ifndef PLUGVM_HOST_VCPU_REQUESTS_H
#define PLUGVM_HOST_VCPU_REQUESTS_H

#include "host/link.h"

/* Returns a value >= 0 or a negative errno, which goes to the plugin. */
typedef int vcpu_request_fn(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *reply);

/* Set MSRs, which are wire_VcpuRequest_MsrEntry. Returns how many KVM took. -E2BIG: more than LIMIT_MSRS */
int vcpu_set_msrs(struct plugvm_vcpu *vcpu, const struct wire_array *peer_entries);

/* vcpu_requests_x86.c */
vcpu_request_fn vcpu_request_set_msrs_counted;
vcpu_request_fn vcpu_request_set_cpuid_raw;
vcpu_request_fn vcpu_request_get_ext_state;
vcpu_request_fn vcpu_request_set_ext_state;
vcpu_request_fn vcpu_request_interrupt;
vcpu_request_fn vcpu_request_nmi;
vcpu_request_fn vcpu_request_irq_window;
vcpu_request_fn vcpu_request_set_guest_debug;
vcpu_request_fn vcpu_request_translate;

#endif
