/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a filter does, and what it should: an interpreter of classic BPF, and a direct evaluation of a parsed policy.
 * Of the unit tests and the fuzz target.
 */
#ifndef PLUGVM_TESTS_UNIT_POLICY_BPF_H
#define PLUGVM_TESTS_UNIT_POLICY_BPF_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/filter.h"

/* Nothing that a filter returns. */
#define BPF_BROKEN 0xbadu

/* Run a filter. Counts each instruction that is executed in hits[], unless that is NULL. */
uint32_t bpf_run(const struct filter *, const struct seccomp_data *, uint32_t *hits);

/* Would the kernel take it? Jumps stay inside, and every way ends in a return. */
bool bpf_is_valid(const struct filter *);

/* Return what a filter of the policy shall return. */
uint32_t bpf_verdict(const struct policy *, const struct seccomp_data *);

#endif
