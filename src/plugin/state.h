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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crosvm.h"
#include "plugin/state_x86.h"
#include "wire/codec.h"

struct plugin_end;

/* What a set is, by its kind; of these the setting is deferred, every other set is set and got at once: state_x86.c. */
struct state_set {
	wire_VcpuRequest_StateSet on_wire;
	size_t offset; /* of the copy in struct state_values */
	size_t size;
	uint16_t in_page;    /* its bit of enum page_set */
	uint32_t drops;      /* the kinds, as bits, whose snapshots are none any more once it is set */
	bool depends_on_all; /* every other set may make something else of it */
};
extern const struct state_set state_sets[STATE_KINDS];

enum state_copy {
	STATE_ABSENT,   /* only the host has it */
	STATE_SNAPSHOT, /* equals what the host has */
	STATE_PENDING,  /* the plugin's, not sent yet */
};

struct state {
	enum state_copy copies[STATE_KINDS];
	struct state_values values;
	/* With a page: which sets come with the events from now on, as enum page_set, and how long each was of no use. */
	uint16_t wanted;
	uint8_t unused[STATE_KINDS];
};

/* Forget what belonged to an event that is over. */
void state_forget(struct state *state);

/* Keep the snapshots that came with an event. One of another size than this library knows is none. */
void state_keep(struct state *state, enum state_kind kind, struct wire_bytes snapshot);
void state_keep_snapshots(struct state *state, const wire_VcpuResponse_Wait_Io *io);

/* The same where there is a page; `valid` is of enum page_set. */
void state_keep_page(struct state *state, struct plugin_end *end, uint16_t valid);

/* Put what is pending into the page. Returns which sets that are. */
uint16_t state_put_page(struct state *state, struct plugin_end *end);

/* What is pending of a set, or nothing; it points into `state`. */
struct wire_bytes state_pending(const struct state *state, enum state_kind kind);

/* Add what is pending to the resume, which then points into `state`. */
void state_attach(const struct state *state, wire_VcpuRequest_Resume *resume);

/* Send what is pending ahead of the resume, because something that it must come before is about to go. */
int state_flush(struct crosvm_vcpu *vcpu);

/*
 * What crosvm.h's functions do. -EINVAL: NULL; -EBUSY: the vCPU is not stopped; or the host's errno. The first two are for
 * the sets that are deferred.
 */
int state_get(struct crosvm_vcpu *vcpu, enum state_kind kind, void *out);
int state_set(struct crosvm_vcpu *vcpu, enum state_kind kind, const void *value);
int state_get_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, void *out, size_t size);
int state_set_now(struct crosvm_vcpu *vcpu, wire_VcpuRequest_StateSet set, const void *value, size_t size);

#endif
