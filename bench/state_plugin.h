/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * States in which a machine of the benchmarks is stopped.
 */
#ifndef PLUGVM_BENCH_STATE_PLUGIN_H
#define PLUGVM_BENCH_STATE_PLUGIN_H

#include <crosvm.h>

/* Bring a machine of `count` vCPUs into the state, write a byte to stdout, and stay. */
__attribute__((noreturn)) void stay_in_state(struct crosvm *vm, const char *name, unsigned int count);

#endif
