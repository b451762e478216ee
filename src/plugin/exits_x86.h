/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The events that API 0.23 adds, out of their messages. Runs in the plugin, on the thread that the vCPU belongs to.
 */
#ifndef PLUGVM_PLUGIN_EXITS_X86_H
#define PLUGVM_PLUGIN_EXITS_X86_H

#include "crosvm.h"
#include "wire/codec.h"

/* Of a message's repeated words, how many an event has room for. */
#define EXITS_WORDS 6

/*
 * Describe the event of a vCPU that stands still, and prepare its answer. Nothing of it refers to the message
 * afterwards. -EPROTO: it is none that this library knows.
 */
int exits_take(struct crosvm_vcpu *vcpu, const wire_VcpuResponse_Event *from, struct crosvm_vcpu_event *event);

#endif
