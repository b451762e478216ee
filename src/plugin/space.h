/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The address spaces of crosvm.h on the wire. Runs in the plugin, on any thread; no state.
 */
#ifndef PLUGVM_PLUGIN_SPACE_H
#define PLUGVM_PLUGIN_SPACE_H

#include <errno.h>

#include "crosvm.h"
#include "wire/codec.h"

/* -EINVAL: there is no such space. */
static inline int space_to_wire(uint32_t space, wire_AddressSpace *out_space)
{
	switch (space) {
	case CROSVM_ADDRESS_SPACE_IOPORT:
		*out_space = wire_AddressSpace_IOPORT;
		return 0;
	case CROSVM_ADDRESS_SPACE_MMIO:
		*out_space = wire_AddressSpace_MMIO;
		return 0;
	default:
		return -EINVAL;
	}
}

#endif
