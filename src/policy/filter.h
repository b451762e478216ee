/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy as a seccomp filter: classic BPF, which the kernel runs on each system call. x86-64. Any process, any
 * thread; no state.
 */
#ifndef PLUGVM_POLICY_FILTER_H
#define PLUGVM_POLICY_FILTER_H

#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <stdint.h>

#include "policy/policy.h"

struct filter {
	struct sock_filter code[BPF_MAXINSNS];
	uint16_t count;
};

/*
 * Compile a policy. A call that it neither allows nor answers with an errno is handed to the filter's listener, and fails
 * with ENOSYS if there is none. Whatever it says, a call by another architecture's entry or with x32's bit ends the
 * process.
 *   -E2BIG  it takes more instructions than the kernel does
 */
int filter_compile(const struct policy *, struct filter *out_filter, struct plugvm_error *out_error);

#endif
