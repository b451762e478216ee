/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The option --limit of `plugvm run`.
 */
#ifndef PLUGVM_CLI_LIMIT_OPTIONS_H
#define PLUGVM_CLI_LIMIT_OPTIONS_H

#include <stdbool.h>

#include "plugvm.h"

struct limit_options {
	uint64_t values[PLUGVM_LIMIT_COUNT]; /* 0: not given */
};

/*
 * Add "memory=SIZE,pids=N,fds=N,cpu=SHARE": any of them, in any order; what is said last counts. Returns 0, or -EINVAL with
 * the option and what is wrong in *out_error.
 */
int limit_options_add(struct limit_options *limits, const char *text, struct plugvm_error *out_error);

/* Give the jail what was said; NULL, if there is none, is an error then. */
int limit_options_apply(const struct limit_options *limits, struct plugvm_jail *jail,
                        struct plugvm_error *out_error);

#endif
