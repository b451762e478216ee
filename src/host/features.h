/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the additions a VM has, on this kernel: features_x86.c. Any thread.
 */
#ifndef PLUGVM_HOST_FEATURES_H
#define PLUGVM_HOST_FEATURES_H

#include "plugvm.h"
#include "wire/event.h"

/* Return WIRE_FEATURE_*, or-ed; those that need no VM if `vm` is NULL. */
uint64_t features_of(struct plugvm_vm *vm);

#endif
