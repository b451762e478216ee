/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The names that a policy may use for numbers. Any process, any thread; no state.
 */
#ifndef PLUGVM_POLICY_CONSTANTS_H
#define PLUGVM_POLICY_CONSTANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Store the value of a constant's name of `size` characters, negative ones as 64-bit two's complement. */
bool constants_find(const char *name, size_t size, uint64_t *out_value);

#endif
