/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of one vCPU channel: events to the plugin, and the plugin's requests in between. Used by the
 * vCPU's thread; only link_cut() may come from any thread or a signal handler. Trusts nothing that arrives.
 *
 * With a plugin that has asked for it, a channel is a page of memory that both share (link_page.h). Else it is a
 * SOCK_SEQPACKET pair for each direction, so that packets keep their boundaries, the two sides have their own file flags,
 * and the plugin cannot re-open an end through /proc. Either way the vCPU thread waits for the plugin, which can make that
 * last for ever. link_cut() ends it at once: by a word of the host's own memory, or by shutdown(2) of the host's own ends,
 * neither of which the plugin can prevent or undo.
 */
#ifndef PLUGVM_HOST_LINK_H
#define PLUGVM_HOST_LINK_H

#include <stdatomic.h>

#include "host/counts.h"
#include "host/hints.h"
#include "host/ranges.h"
#include "host/vcpu_state.h"
#include "plugvm.h"
#include "wire/codec.h"
#include "wire/event.h"
#include "wire/limits.h"

struct host_end;

struct vcpu_link {
	uint32_t cpu;
	int requests;       /* the host reads */
	int events;         /* the host writes */
	int plugin_ends[2]; /* what the plugin writes and what it reads; -1 once handed over */
	atomic_bool cut;    /* link_cut() was called */
	atomic_int failed;  /* 0, or the error of the call that failed; no later one gets through */
	unsigned answer_timeout_ms;
	struct ranges *ranges;
	struct hints *hints;
	const atomic_uint *exits_wanted; /* WIRE_EXIT_* that the plugin asked for; NULL: none */
	uint8_t *request;                /* LIMIT_VCPU_REQUEST_BYTES */
	uint8_t *response;               /* LINK_RESPONSE_BYTES */
	struct wire_arena elements;
	atomic_bool pause_wanted; /* after pause_user was written */
	_Atomic(uint64_t) pause_user;
	/* link_page.c; NULL: the plugin uses the packets above */
	_Atomic(struct host_end *) page;
	uint16_t page_set;         /* enum page_set: what came with the resume */
	uint16_t page_wanted;      /* what goes with each event */
	uint16_t page_next_wanted; /* once the resume is taken */
	bool access_pending;       /* KVM has still to complete the access of the last exit */
	struct counts counts;
	char fault[160];
};

/* The longest message that the host sends: a set of state. */
#define LINK_RESPONSE_BYTES LIMIT_VCPU_RESPONSE_BYTES

/* Returns 0 or -errno. */
int link_init(struct vcpu_link *link, uint32_t cpu, struct ranges *ranges, struct hints *hints,
              unsigned answer_timeout_ms, bool measure);
void link_fini(struct vcpu_link *link);

/* End every call on the link, now and later, with -ECANCELED; the plugin sees its end closed. Never blocks. */
void link_cut(struct vcpu_link *link);

/*
 * The calls below give the errors of the plugvm_plugin_vcpu_... functions (plugvm.h). `vcpu` may be NULL: requests
 * for its state are then answered with ENODEV.
 */
int link_deliver_init(struct vcpu_link *link, struct plugvm_vcpu *vcpu);

/*
 * An access of the guest. Looks up whose it is; 0 if nobody's (a read gives zeros then), 1 if the plugin has
 * answered. `data` is read for a write and filled for a read.
 */
struct guest_access {
	enum address_space space;
	bool is_write;
	uint64_t address;
	uint32_t width; /* addresses that it touches */
	uint8_t *data;
	uint32_t size; /* bytes at data, at most LIMIT_ACCESS_BYTES */
};
int link_deliver_access(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const struct guest_access *access);

/* Hyper-V events of the guest (KVM_EXIT_HYPERV), always the plugin's. */
int link_deliver_hyperv_call(struct vcpu_link *link, struct plugvm_vcpu *vcpu, uint64_t input,
                             const uint64_t params[2], uint64_t *out_result);
int link_deliver_hyperv_synic(struct vcpu_link *link, struct plugvm_vcpu *vcpu,
                              const wire_VcpuResponse_Wait_HypervSynic *synic);

/*
 * An event beyond API 0.22. *answer is what the plugin says to it, and zeros before; NULL: it wants none.
 */
int link_deliver_event(struct vcpu_link *link, struct plugvm_vcpu *vcpu, const wire_VcpuResponse_Event *event,
                       struct wire_event_answer *answer);

/* Ask for a PAUSED event with `user`; one that was not delivered yet is replaced. Main thread; the kick follows.
 */
void link_request_pause(struct vcpu_link *link, uint64_t user);

/*
 * Deliver the IRQ_WINDOW events that were asked for while the guest can take an interrupt. KVM does not tell of a window
 * that was open when it was asked for, if the guest is halted.
 */
int link_deliver_open_window(struct vcpu_link *link, struct plugvm_vcpu *vcpu);

/*
 * Before KVM_RUN: deliver a PAUSED event that was asked for, or, while KVM has an access to complete, see to it
 * that KVM_RUN does only that.
 */
int link_pre_run(struct vcpu_link *link, struct plugvm_vcpu *vcpu);
/* After KVM_RUN gave an exit. (It gives none, but EINTR, once the access of the last one is complete.) */
void link_post_run(struct vcpu_link *link);

/* Note what went wrong, for the log; returns `error`, or -ECANCELED if the link was cut meanwhile, which explains all. */
int link_fail(struct vcpu_link *link, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* 0, or -ECANCELED, or what the link has failed with before. */
int link_check(const struct vcpu_link *link);

/* What vcpu_requests.c serves: a request on behalf of an event that waits for its answer. */
struct vcpu_reply {
	wire_VcpuResponse message;
	void *memory; /* what message may point to, freed once sent; as the next ones */
	union {
		union vcpu_state state;
		uint64_t msrs[LIMIT_MSRS];
		wire_CpuidEntry cpuid[LIMIT_CPUID_ENTRIES];
		uint32_t tsc_khz;
	};
};
/* Serve `request` and fill *out_reply, whose error is set too. Not for wait and resume. */
void vcpu_request_serve(struct plugvm_vcpu *vcpu, const wire_VcpuRequest *request, struct vcpu_reply *out_reply);

#endif
