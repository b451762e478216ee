/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hand-over between the two sides of a vCPU's page: who has posted something changes a word of its own, who waits for
 * it watches that word, and no system call is made while both are awake. All memory order of the channel is in this file,
 * but for the loads and stores of a turn and of the ring's indices, which release and acquire what they speak of, and the
 * host's word that it goes (host_end_close()).
 *
 * Why no wake-up is lost. The poster exchanges its sequence and then reads whether the other sleeps. The waiter exchanges
 * its "sleeping" and then looks at the sequence once more, in the kernel at last, which sleeps only if the word is what the
 * waiter saw. Both exchanges are sequentially consistent, so at least one of the two sees what the other has done.
 * With a store in place of an exchange neither may: a processor's store waits in its buffer while it reads on.
 * tests/model/handover.pml is the proof, tests/unit/channel_litmus.c the experiment.
 *
 * One thread of each side at a time; handover_kick() is for any thread and for signal handlers. Nothing of the other
 * side is trusted: it can make a wait end early or late, and no more. What ends a wait for sure is the kick, whose word is in
 * private memory: a plugin that requeues the host's thread, or swallows its wake-ups, cannot touch that.
 */
#ifndef PLUGVM_CHANNEL_HANDOVER_H
#define PLUGVM_CHANNEL_HANDOVER_H

#include "channel/layout.h"
#include "channel/spin.h"

/* Without futex_waitv(2) a sleep has this bound, and the caller repeats its kick by a signal until it is acknowledged. */
#define HANDOVER_FALLBACK_NS UINT64_C(20000000)

/*
 * Of a side whose sleeps have a bound anyway, because the other may die: the plugin. It needs futex(2) alone, and its
 * kick, which comes from its own process, wakes it by the shared word. One that comes between the last look and the
 * sleep is seen at the bound.
 */
struct handover_bound {
	uint64_t sleep_ns; /* after that, and after a signal, is_dead is asked */
	bool (*is_dead)(void *context);
	void *context;
};

struct handover {
	struct page_words *mine;
	const struct page_words *peer;
	const struct handover_bound *bound; /* NULL: none */
	uint64_t nap_ns;                    /* after so long a sleep a wait returns -EAGAIN; 0: it does not */
	struct spin spin;
	uint32_t limit;    /* how long the wait may spin, as in the page */
	uint32_t sequence; /* mine, as posted last: the page's is never read back */
	uint32_t seen;     /* the peer's, at the last look */
	uint32_t woken;    /* the peer's sleep that was ended last */
	uint32_t cpu;      /* as published */
	atomic_bool has_waitv;
	bool armed; /* it waits with poll(2) */
	/* Written by handover_kick() alone. */
	_Atomic(uint32_t) kick;
	uint32_t kicks_seen;
};

/* Begin on memory that is all zeros. */
void handover_init(struct handover *handover, struct page_words *mine, const struct page_words *peer,
                   struct spin_setting setting, const struct handover_bound *bound);

/*
 * Tell the other side that there is something new, which was written before, and wake it if it sleeps. Pairs with
 * handover_look(), handover_wait() and handover_arm() of the other side. Returns true if it waits with poll(2): then the
 * caller makes its fd readable.
 */
bool handover_post(struct handover *handover);

/*
 * Wake the other side, from any thread or a signal handler, though nothing may have been posted: it looks, and finds
 * why.
 */
void handover_alarm(struct handover *handover);

/* Remember how much the other side has posted; what it posted until now can be read then. Before the caller looks at that. */
void handover_look(struct handover *handover);

/*
 * Wait until the other side has posted something since handover_look(). Pairs with handover_post() of the other side
 * and with handover_kick(). `deadline_ns` is of CLOCK_MONOTONIC; 0: none.
 *   0            it has, or may have: look again
 *   -EINTR       kicked
 *   -ETIMEDOUT   the deadline has passed
 *   -EAGAIN      the nap is over: the caller asks whether there is reason to wait on
 *   -ECONNRESET  the bound says that the other side is dead
 *   or what the kernel says of the futex
 */
int handover_wait(struct handover *handover, uint64_t deadline_ns);

/*
 * Say that this side will wait with poll(2), once, after handover_look(). Pairs with handover_post() of the other side.
 * Returns true if something was posted already, and then it is not said.
 */
bool handover_arm(struct handover *handover);

/* End the wait of `handover`, this one or the next, once. Any thread, or a signal handler. Pairs with handover_wait(). */
void handover_kick(struct handover *handover);

#endif
