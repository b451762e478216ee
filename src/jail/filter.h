/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy as a seccomp filter: classic BPF, which the kernel runs on each system call. x86-64. Any process, any
 * thread; no state.
 */
#ifndef PLUGVM_JAIL_FILTER_H
#define PLUGVM_JAIL_FILTER_H

#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <stdint.h>

#include "jail/policy.h"

/* What becomes of a call that the policy neither allows nor answers with an errno. */
enum filter_refusal {
	FILTER_KILL,   /* the process ends by SIGSYS */
	FILTER_NOTIFY, /* the filter's listener is asked; without one the call fails with ENOSYS */
};

struct filter {
	struct sock_filter code[BPF_MAXINSNS];
	uint16_t count;
};

/*
 * Compile a policy. Whatever it says, these end the process: a call by another architecture's entry, one with x32's
 * bit, and, where it has no rule to answer it with an errno, one that no policy can allow.
 *   -E2BIG  it takes more instructions than the kernel does
 */
int filter_compile(const struct policy *, enum filter_refusal, struct filter *out_filter,
                   struct plugvm_error *out_error);

#endif
