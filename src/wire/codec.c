/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages to structs and back, by nanopb.
 */
#include "wire/codec.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

/* Reads the packet; `state` is the read position. */
static bool read_packet(pb_istream_t *stream, pb_byte_t *buffer, size_t count)
{
	const uint8_t *from = stream->state;
	if (buffer)
		memcpy(buffer, from, count);
	stream->state = (void *)(from + count);
	return true;
}

/* nanopb calls this for every field whose C type is struct wire_bytes; the declaration is in plugin.pb.h. */
bool wire_bytes_field(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)
{
	struct wire_bytes *bytes = field->pData;
	if (in) {
		/*
		 * Bytes that a peer encoded as a number come in a stream over nanopb's own stack, which a slice must not
		 * point to. A field that occurs twice is read twice, and the last one counts, as proto3 wants it.
		 */
		if (in->callback != read_packet)
			return false;
		bytes->data = in->state;
		bytes->size = in->bytes_left;
		return pb_read(in, NULL, in->bytes_left);
	}
	if (bytes->size == 0)
		return true;
	return pb_encode_tag_for_field(out, field) && pb_encode_string(out, bytes->data, bytes->size);
}

static int decode(const uint8_t *data, size_t size, const pb_msgdesc_t *fields, void *out_message)
{
	pb_istream_t stream = {.callback = read_packet, .state = (void *)data, .bytes_left = size};
	return pb_decode(&stream, fields, out_message) ? 0 : -EBADMSG;
}

static ssize_t encode(const void *message, const pb_msgdesc_t *fields, uint8_t *buffer, size_t capacity)
{
	pb_ostream_t stream = pb_ostream_from_buffer(buffer, capacity);
	return pb_encode(&stream, fields, message) ? (ssize_t)stream.bytes_written : -EMSGSIZE;
}

int wire_decode_main_request(const uint8_t *data, size_t size, wire_MainRequest *out_request)
{
	return decode(data, size, wire_MainRequest_fields, out_request);
}

int wire_decode_main_response(const uint8_t *data, size_t size, wire_MainResponse *out_response)
{
	return decode(data, size, wire_MainResponse_fields, out_response);
}

int wire_decode_vcpu_request(const uint8_t *data, size_t size, wire_VcpuRequest *out_request)
{
	return decode(data, size, wire_VcpuRequest_fields, out_request);
}

int wire_decode_vcpu_response(const uint8_t *data, size_t size, wire_VcpuResponse *out_response)
{
	return decode(data, size, wire_VcpuResponse_fields, out_response);
}

ssize_t wire_encode_main_request(const wire_MainRequest *request, uint8_t *buffer, size_t capacity)
{
	return encode(request, wire_MainRequest_fields, buffer, capacity);
}

ssize_t wire_encode_main_response(const wire_MainResponse *response, uint8_t *buffer, size_t capacity)
{
	return encode(response, wire_MainResponse_fields, buffer, capacity);
}

ssize_t wire_encode_vcpu_request(const wire_VcpuRequest *request, uint8_t *buffer, size_t capacity)
{
	return encode(request, wire_VcpuRequest_fields, buffer, capacity);
}

ssize_t wire_encode_vcpu_response(const wire_VcpuResponse *response, uint8_t *buffer, size_t capacity)
{
	return encode(response, wire_VcpuResponse_fields, buffer, capacity);
}

size_t wire_frame_header(uint32_t size, uint8_t out_header[WIRE_FRAME_HEADER_MAX])
{
	size_t n = 0;
	for (; size >= 0x80; size >>= 7)
		out_header[n++] = (uint8_t)(size | 0x80);
	out_header[n++] = (uint8_t)size;
	return n;
}

ssize_t wire_frame_parse(const uint8_t *data, size_t size, uint32_t *out_body_size)
{
	uint64_t value = 0;
	for (size_t n = 0; n < WIRE_FRAME_HEADER_MAX; n++) {
		if (n == size)
			return 0;
		value |= (uint64_t)(data[n] & 0x7f) << (7 * n);
		if (data[n] & 0x80)
			continue;
		if (value > UINT32_MAX)
			return -EBADMSG;
		*out_body_size = (uint32_t)value;
		return (ssize_t)(n + 1);
	}
	return -EBADMSG;
}
