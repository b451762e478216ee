/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy in words, for the person who wrote it: what each rule does, and what may not be what was meant. Any
 * process, any thread.
 */
#ifndef PLUGVM_POLICY_EXPLAIN_H
#define PLUGVM_POLICY_EXPLAIN_H

#include "policy/policy.h"

/* Explain a policy line by line. Returns how many lines were warnings, or -errno. */
int explain_policy(const struct policy *, plugvm_line_fn *take_line, void *context,
                   struct plugvm_error *out_error);

#endif
