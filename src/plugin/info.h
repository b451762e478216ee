/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host says of itself: version, features, limits. Runs in the plugin, on any thread; no state.
 */
#ifndef PLUGVM_PLUGIN_INFO_H
#define PLUGVM_PLUGIN_INFO_H

#include "crosvm.h"

/* The original host cuts a request off here. */
#define INFO_BASELINE_REQUEST_BYTES 4096

/* Ask the host. Returns -ENOTTY if it is an original one, -EPROTO if the answer makes no sense. */
int info_fetch(struct crosvm *connection, struct crosvm_info *out_info);

/* Describe an original host, whose vCPUs nobody has counted yet. */
void info_of_original(struct crosvm_info *out_info);

#endif
