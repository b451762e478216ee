/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What holds for every message that the codec decodes, whatever the bytes were. Of the two targets of the wire.
 */
#ifndef PLUGVM_FUZZ_WIRE_CHECK_H
#define PLUGVM_FUZZ_WIRE_CHECK_H

#include <pb.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/codec.h"

/* One of the four messages. The functions are those of wire/codec.h, with the type taken off. */
struct wire_kind {
	uint32_t way; /* to tell the fields of one kind from those of the other */
	const pb_msgdesc_t *fields;
	int (*decode)(const uint8_t *data, size_t size, const struct wire_arena *elements, void *out_message);
	ssize_t (*encode)(const void *message, uint8_t *buffer, size_t capacity);
};

/* Defines the kind `name` (`way`: any number of its own) of the message `type`, with the functions wire_decode_NAME() and wire_encode_NAME(). */
#define WIRE_KIND(way, name, type)                                                                        \
	static int name##_decode(const uint8_t *data, size_t size, const struct wire_arena *a, void *out) \
	{                                                                                                 \
		return wire_decode_##name(data, size, a, out);                                            \
	}                                                                                                 \
	static ssize_t name##_encode(const void *message, uint8_t *buffer, size_t capacity)               \
	{                                                                                                 \
		return wire_encode_##name(message, buffer, capacity);                                     \
	}                                                                                                 \
	static const struct wire_kind name = {way, type##_fields, name##_decode, name##_encode}

/* An input's first byte. */
#define FLAG_VCPU 0x01 /* else of a main connection */
#define FLAG_ROOM 0x06 /* enum wire_room */

/* How many elements of repeated fields have room. */
enum wire_room { WIRE_ROOM_AMPLE, WIRE_ROOM_LITTLE, WIRE_ROOM_NONE, WIRE_ROOMS };

/*
 * Decode the packet into `message`, and check: slices lie in the packet, elements in their arena; the member is the one
 * that an independent walk of the bytes finds; what is encoded again decodes to the same. Returns what decoding did.
 */
int wire_check(const struct wire_kind *, struct wire_bytes packet, enum wire_room, void *message);

#endif
