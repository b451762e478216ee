/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How `bytes` and repeated fields look in C; included by the generated plugin.pb.h.
 *
 * A `bytes` field of a message: a slice of memory that somebody else owns. After decoding it points into the
 * packet, before encoding into the sender's data.
 */
#ifndef PLUGVM_WIRE_BYTES_H
#define PLUGVM_WIRE_BYTES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_bytes {
	const uint8_t *data;
	size_t size; /* 0: the field is absent */
};

/* Copy the bytes, which have no alignment, into the struct at `out`; -EINVAL if the length is not just its size. */
static inline int wire_bytes_unpack(struct wire_bytes bytes, void *out, size_t size)
{
	if (bytes.size != size)
		return -EINVAL;
	memcpy(out, bytes.data, size);
	return 0;
}

/*
 * A repeated field. Before encoding: `count` elements at `items`. After decoding: the elements lie in the arena
 * that was given to the decoder, as many as it had room for; `count` is how many the message had.
 */
struct wire_array {
	const void *items;
	uint32_t count;
	uint32_t stored; /* after decoding: of `count`, how many are at `items` */
};

#endif
