/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may spin: the CPUs that are left when every vCPU has one are tokens, and a vCPU that holds one may spin, on
 * whichever of its two sides waits, since while one side of a pair waits the other runs. In the host; a struct tokens
 * belongs to a VM, or to all VMs of a process, and its calls are for any thread; a struct token is its vCPU's own. The
 * plugin learns the outcome from the page and never sees a token.
 *
 * A token is a lease: whoever has not come by for TOKEN_LEASE_NS has lost it, so that a halted vCPU, whose thread is inside
 * KVM, leaves its own to another. What other programs and other VMs do is seen in how many threads of the whole machine
 * want to run: when they are more than there are CPUs, as many tokens are withdrawn, and they come back with idle CPUs.
 */
#ifndef PLUGVM_CHANNEL_TOKENS_H
#define PLUGVM_CHANNEL_TOKENS_H

#include <stdatomic.h>
#include <stdint.h>

#include "channel/spin.h"

#define TOKENS_MAX     64
#define TOKEN_LEASE_NS UINT64_C(20000000)
/* How often somebody looks at the machine, and how many looks in a row must find it crowded. */
#define TOKENS_LOOK_NS UINT64_C(20000000)
#define TOKENS_LOOKS   2
/* Looks in a row that find no idle CPU, but no crowd either, after which one token comes back to find out. */
#define TOKENS_CALM 16
/* A vCPU comes by with every so many of its events; in between the clock is not read, and a lease may be over unnoticed. */
#define TOKEN_EVENTS 16

struct tokens {
	struct spin_setting setting;
	unsigned int usable; /* CPUs */
	unsigned int most;   /* tokens, however many CPUs are left: the plugin may have less of them */
	unsigned int online;
	int loadavg; /* /proc/loadavg, or -1; the caller's */
	_Atomic(uint32_t) vcpus;
	_Atomic(uint32_t) withdrawn; /* because the machine is crowded */
	_Atomic(uint32_t) crowded;   /* looks in a row that found it so */
	_Atomic(uint32_t) calm;      /* and that did not */
	_Atomic(uint64_t) next_look_ns;
	_Atomic(uint64_t) leases[TOKENS_MAX]; /* when each ends */
};

struct token {
	struct tokens *tokens;
	uint64_t until_ns; /* of its lease; 0: it has none */
	uint32_t place;
	uint32_t events;
	uint32_t limit; /* the last answer */
};

/*
 * Begin with `usable` CPUs (cpus_usable()). `loadavg` is an fd of /proc/loadavg, opened before the process gives up its
 * rights; -1: nobody looks.
 */
void tokens_init(struct tokens *tokens, struct spin_setting setting, unsigned int usable, int loadavg);

/* A VM of `count` vCPUs begins. */
void tokens_add_vcpus(struct tokens *tokens, uint32_t count);

void token_init(struct token *token, struct tokens *tokens);

/*
 * Get or renew a lease. Returns how long the waiters of this vCPU may spin now, as in struct page_words. The cheap one is
 * for every event and mostly remembers.
 */
uint32_t token_renew(struct token *token, uint64_t now_ns);
uint32_t token_limit(struct token *token);

#endif
