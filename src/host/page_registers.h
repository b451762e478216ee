/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers that travel in a vCPU's page with its events and answers, from KVM and to it. Which sets there are is the
 * architecture's: page_registers_x86.c. Sets are of enum page_set. vCPU thread.
 */
#ifndef PLUGVM_HOST_PAGE_REGISTERS_H
#define PLUGVM_HOST_PAGE_REGISTERS_H

#include <stdint.h>

#include "host/vcpu_state.h"

struct host_end;

/* Those of the plugin's wishes that can be had with each event. */
uint16_t page_registers_wanted(uint16_t peer_wanted);

/*
 * Put the wanted sets into the page, without a system call if the last thing that happened was an exit. What KVM does not
 * give is left out. Returns which are there.
 */
uint16_t page_registers_put_wanted(struct host_end *end, struct plugvm_vcpu *vcpu, uint16_t wanted);

/* Put those there that a hint has attached. Returns which they are. */
uint16_t page_registers_put_attached(struct host_end *end, const wire_VcpuResponse_Wait_Io *io);

/* Take those that an answer brings. */
void page_registers_take(struct host_end *end, uint16_t peer_set, struct vcpu_registers *out_registers);

#endif
