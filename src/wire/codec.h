/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages to structs and back; no system calls, no allocation, any thread. What a decoder gives is well-formed
 * and no more: ranges, enum values and lengths are for the handler to check. `bytes` fields of a decoded
 * message point into the input, which must live as long.
 */
#ifndef PLUGVM_WIRE_CODEC_H
#define PLUGVM_WIRE_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/plugin.pb.h"

/* Memory for the elements of repeated fields, aligned to 8. Elements beyond it are counted, not stored. */
struct wire_arena {
	void *memory;
	size_t size;
};

/*
 * Decode a whole packet. Returns 0, or -EBADMSG if it is no such message. Elements of repeated fields go to
 * `elements` (NULL: nowhere), whose memory must live as long as the message.
 */
int wire_decode_main_request(const uint8_t *data, size_t size, const struct wire_arena *elements,
                             wire_MainRequest *out_request);
int wire_decode_main_response(const uint8_t *data, size_t size, const struct wire_arena *elements,
                              wire_MainResponse *out_response);
int wire_decode_vcpu_request(const uint8_t *data, size_t size, const struct wire_arena *elements,
                             wire_VcpuRequest *out_request);
int wire_decode_vcpu_response(const uint8_t *data, size_t size, const struct wire_arena *elements,
                              wire_VcpuResponse *out_response);

/* Encode into `buffer`. Returns the number of bytes, or -EMSGSIZE if they are more than `capacity`. */
ssize_t wire_encode_main_request(const wire_MainRequest *request, uint8_t *buffer, size_t capacity);
ssize_t wire_encode_main_response(const wire_MainResponse *response, uint8_t *buffer, size_t capacity);
ssize_t wire_encode_vcpu_request(const wire_VcpuRequest *request, uint8_t *buffer, size_t capacity);
ssize_t wire_encode_vcpu_response(const wire_VcpuResponse *response, uint8_t *buffer, size_t capacity);

/*
 * The frame of a VcpuResponse: its length as a base-128 varint, then the message.
 */
#define WIRE_FRAME_HEADER_MAX 5

/* Store the header of a body of `size` bytes; returns the header's length, 1 to WIRE_FRAME_HEADER_MAX. */
size_t wire_frame_header(uint32_t size, uint8_t out_header[WIRE_FRAME_HEADER_MAX]);

/*
 * Read a header at `data`. Returns its length and stores the body's size; 0 if `size` bytes are not the whole
 * header yet; -EBADMSG if it is none.
 */
ssize_t wire_frame_parse(const uint8_t *data, size_t size, uint32_t *out_body_size);

#endif
