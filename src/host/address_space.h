/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two address spaces of a guest, and how they look on the wire.
 */
#ifndef PLUGVM_HOST_ADDRESS_SPACE_H
#define PLUGVM_HOST_ADDRESS_SPACE_H

#include <errno.h>

#include "wire/codec.h"

enum address_space { ADDRESS_SPACE_PORT, ADDRESS_SPACE_MMIO, ADDRESS_SPACE_COUNT };

/* The last address of x86 port space. */
#define PORT_LAST 0xffffu

static inline int address_space_from_wire(wire_AddressSpace peer_space, enum address_space *out_space)
{
	switch (peer_space) {
	case wire_AddressSpace_IOPORT:
		*out_space = ADDRESS_SPACE_PORT;
		return 0;
	case wire_AddressSpace_MMIO:
		*out_space = ADDRESS_SPACE_MMIO;
		return 0;
	}
	return -EINVAL;
}

static inline wire_AddressSpace address_space_to_wire(enum address_space space)
{
	return space == ADDRESS_SPACE_PORT ? wire_AddressSpace_IOPORT : wire_AddressSpace_MMIO;
}

#endif
