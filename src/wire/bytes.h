/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `bytes` field of a message: a slice of memory that somebody else owns. After decoding it points into the
 * packet, before encoding into the sender's data. Included by the generated plugin.pb.h.
 */
#ifndef PLUGVM_WIRE_BYTES_H
#define PLUGVM_WIRE_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct wire_bytes {
	const uint8_t *data;
	size_t size; /* 0: the field is absent */
};

#endif
