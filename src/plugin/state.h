/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state sets of a vCPU that the plugin gets and sets while it is stopped. Runs in the plugin, on the
 * thread that the vCPU belongs to. The host may die at any moment or be an older one.
 *
 * A value of regs, sregs or debugregs that was set stays here until the resume takes it along, or until a set of
 * another kind goes, which it must not overtake. A get of the same set sends it ahead of itself, so
 * that the plugin reads what the host really made of it. If the host refuses the value there, that get
 * returns the errno and the value is dropped: the vCPU keeps what it had, which a next get shows, and the
 * resume brings nothing of this set. A value that the host refuses at the resume comes back by
 * crosvm_vcpu_wait().
 *
 * A snapshot that came along with the event answers the gets, without a request, until the set is set, or something
 * is that may change it: MSRs, for instance, or everything.
 */
#ifndef PLUGVM_PLUGIN_STATE_H
#define PLUGVM_PLUGIN_STATE_H

#include <stdint.h>

#include "crosvm.h"
#include "wire/codec.h"

struct plugin_end;

/* The sets whose setting is deferred; every other one is set and got at once. */
enum state_kind {
	STATE_REGS,
	STATE_SREGS,
	STATE_DEBUGREGS,
	STATE_EVENTS, /* where there is a page; elsewhere no resume takes it along */
	STATE_KINDS,
};

enum state_copy {
	STATE_ABSENT,   /* only the host has it */
	STATE_SNAPSHOT, /* equals what the host has */
	STATE_PENDING,  /* the plugin's, not sent yet */
};

struct state {
	enum state_copy copies[STATE_KINDS];
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	/* With a page: which sets come with the events from now on, as enum page_set, and how long each was of no use. */
	uint16_t wanted;
	uint8_t unused[STATE_KINDS];
};

/* Forget what belonged to an event that is over. */
void state_forget(struct state *state);

/* Keep the snapshots that came with an event. One of another size than this library knows is none. */
void state_keep_snapshots(struct state *state, const wire_VcpuResponse_Wait_Io *io);

/* The same where there is a page; `valid` is of enum page_set. */
void state_keep_page(struct state *state, struct plugin_end *end, uint16_t valid);

/* Put what is pending into the page. Returns which sets that are. */
uint16_t state_put_page(struct state *state, struct plugin_end *end);

/* Add what is pending to the resume, which then points into `state`. */
void state_attach(const struct state *state, wire_VcpuRequest_Resume *resume);

/* Send what is pending ahead of the resume, because something that it must come before is about to go. */
int state_flush(struct crosvm_vcpu *vcpu);

#endif
