/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Per function of crosvm.h: how often it was called and how long that took, waiting included. Printed on stderr at the
 * process's exit if the environment variable CROSVM_STATS is set when it starts. Any thread; without the variable a call
 * costs one load.
 */
#ifndef PLUGVM_PLUGIN_STATS_H
#define PLUGVM_PLUGIN_STATS_H

#include <stdint.h>

/* A function's own account; STATS() makes one. */
struct stats_entry;

struct stats_call {
	struct stats_entry *entry; /* NULL: nothing is counted */
	uint64_t begin_ns;
};

/* The first line of every function of crosvm.h: counts the call until the function returns. */
#define STATS() __attribute__((cleanup(stats_end), unused)) struct stats_call stats_call = stats_begin(__func__)

struct stats_call stats_begin(const char *function);
void stats_end(struct stats_call *call);

#endif
