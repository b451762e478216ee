/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's messages through the memory that it shares with the plugin (src/channel), for link.c. vCPU thread, but for
 * what says otherwise. What comes out of the page is as untrusted as a packet.
 */
#ifndef PLUGVM_HOST_LINK_PAGE_H
#define PLUGVM_HOST_LINK_PAGE_H

#include "host/link.h"

/* Use `end` from now on, which outlives the link; before the vCPU's thread begins. */
void link_use_page(struct vcpu_link *link, struct host_end *end);

/* KVM_RUN gave an exit. */
void link_page_prepare(struct vcpu_link *link);

/* What link_post(), link_await() and link_reply() of link.c are where there is a page. */
int link_page_post(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse *event);
int link_page_await(struct vcpu_link *link, uint64_t deadline_ns, wire_VcpuRequest *out_request);
int link_page_reply(struct vcpu_link *link, const wire_VcpuResponse *response);

/* Take the registers that came with the resume that was awaited last, and note which the plugin wants from now on. */
void link_page_take_registers(struct vcpu_link *link, struct plugvm_vcpu *vcpu,
                              struct vcpu_registers *out_registers);

/* Post a write that wants no answer; waits while there is no room. */
int link_page_posted_write(struct vcpu_link *link, const struct guest_access *access, uint64_t deadline_ns);

/* End the wait of the vCPU's thread, and have the plugin look for the end of the channel. Any thread, or a signal handler. */
void link_page_cut(struct vcpu_link *link);

#endif
