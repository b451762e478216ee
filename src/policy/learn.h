/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy from what a plugin did: its calls are counted, with those of their arguments on which it depends how much
 * the call can do, and written down as rules. One thread at a time.
 */
#ifndef PLUGVM_POLICY_LEARN_H
#define PLUGVM_POLICY_LEARN_H

#include "policy/policy.h"
#include "policy/syscalls.h"

/* Kinds of arguments of one call that are told apart; with more, the call is allowed whatever they are. */
#define LEARN_KINDS_MAX 48

/* One combination of the arguments that matter; the others are zero. */
struct learn_kind {
	uint64_t arguments[SYSCALLS_ARGUMENTS];
};

struct learn_call {
	uint64_t count;
	uint32_t kind_count;
	bool is_wide; /* there were too many kinds */
	struct learn_kind kinds[LEARN_KINDS_MAX];
};

struct plugvm_policy_learner {
	struct learn_call calls[SYSCALLS_NUMBER_END];
	uint8_t matters[SYSCALLS_NUMBER_END]; /* bit N: argument N */
	struct policy base;                   /* that is added to */
};

#endif
