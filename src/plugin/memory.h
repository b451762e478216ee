/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's handle of guest memory. Runs in the plugin; belongs to whoever made it.
 */
#ifndef PLUGVM_PLUGIN_MEMORY_H
#define PLUGVM_PLUGIN_MEMORY_H

#include <stdint.h>

#include "crosvm.h"

struct crosvm_memory {
	uint32_t id;
	uint64_t length;
};

#endif
