/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What starts and stops cost.
 */
#ifndef PLUGVM_BENCH_LIFE_H
#define PLUGVM_BENCH_LIFE_H

#include <stdbool.h>

#include "cases.h"

/* Measure the wanted cases of `start` and `stop` and print them. Returns whether there was one. */
bool life_run(const struct bench_config *config, const char *wanted,
              bool (*is_wanted)(const char *wanted, const char *name), bool json, bool quick,
              bool *out_over_limit);

#endif
