/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU: its phase, its channel, the event that it has, the registers that wait to travel. Runs in the plugin,
 * on the thread that the vCPU belongs to; only its retirement comes from another one. The host may die at any
 * moment or be an older one.
 *
 * Phases. A vCPU is *running* (also before its first event) or *stopped* at an event:
 *
 *     running   wait         the event comes; stopped, unless it has no_resume
 *     running   others       refused: -EINVAL for resume, -EBUSY for state
 *     stopped   wait         refused: -EBUSY
 *     stopped   resume       the answer goes; running
 *     stopped   get, set     state.h
 *
 * A refused call sends nothing, takes nothing and changes nothing.
 */
#ifndef PLUGVM_PLUGIN_VCPU_H
#define PLUGVM_PLUGIN_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "crosvm.h"
#include "plugin/channel.h"
#include "plugin/machine.h"
#include "plugin/ready.h"
#include "plugin/state.h"
#include "wire/codec.h"
#include "wire/event.h"
#include "wire/limits.h"

struct crosvm_vcpu {
	/* The calls that are inside, and VCPU_RETIRED: whoever makes it that and nothing else closes. */
	atomic_uint users;
	struct channel channel;
	struct machine *machine;
	struct ready ready; /* for poll(2) */
	bool asked;         /* the one Wait message was sent */
	bool stopped;
	struct state state;
	uint32_t answer_size; /* bytes of `answer` that the resume sends */
	union {
		uint8_t bytes[LIMIT_ACCESS_BYTES];
		uint64_t hyperv_result;
		struct wire_event_answer event;
	} answer;      /* what the pointers of the event point at */
	bool has_page; /* its events come through memory that is shared with the host; does not change */
};

/*
 * Make a vCPU of the end to write, fds[0], and the end to read, fds[1], and of its page, if it has one; as
 * channel_init(), but that the fds are taken if memory runs out.
 */
int vcpu_new(struct machine *machine, int fds[2], struct vcpu_page *page, struct crosvm_vcpu **out_vcpu);

/* Free a vCPU that no plugin has seen. */
void vcpu_free(struct crosvm_vcpu *vcpu);

/*
 * Close the channel, as soon as nobody is inside a call, whom this frees if it can. The struct stays for
 * ever, and later calls give -ENOTCONN. Once, from any thread.
 */
void vcpu_retire(struct crosvm_vcpu *vcpu);

/*
 * Begin a call on a vCPU. Returns 0, and vcpu_leave() must follow; -ENOTCONN if it is retired; or the errno
 * of its broken channel.
 */
int vcpu_enter(struct crosvm_vcpu *vcpu);
void vcpu_leave(struct crosvm_vcpu *vcpu);

/* The same for a request of a stopped vCPU: -EBUSY if it runs. */
int vcpu_enter_stopped(struct crosvm_vcpu *vcpu);

/* Ask whether a call that not every host has may go: 0, -ENOTTY unless the host `has` it, or as vcpu_enter(). */
int vcpu_need(struct crosvm_vcpu *vcpu, bool has);

/*
 * Send a request of a stopped vCPU and wait for its reply, whose repeated elements go to `elements` (NULL: nowhere).
 * The `bytes` of the reply are valid until the next call. Returns the host's errno if it refused, or -EPROTO if the reply
 * is not `reply_member`, or as channel_send() and channel_next_reply().
 */
int vcpu_call(struct crosvm_vcpu *vcpu, const wire_VcpuRequest *request, unsigned int reply_member,
              const struct wire_arena *elements, wire_VcpuResponse *out_reply);

/*
 * Enter, send a request that changes the vCPU and leave. What was set before goes before, and snapshots of the event
 * that the change could make stale are forgotten. `bytes` of the reply are not valid.
 */
int vcpu_command(struct crosvm_vcpu *vcpu, const wire_VcpuRequest *request, unsigned int reply_member,
                 wire_VcpuResponse *out_reply);

#endif
