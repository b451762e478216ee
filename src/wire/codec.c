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

/*
 * Where the elements of repeated fields go, during a call of decode(). nanopb gives its callbacks no way to the
 * caller (for an unpacked number not even the caller's stream).
 */
static _Thread_local struct {
	uint8_t *memory;
	size_t size;
	size_t used;
} arena;

/* Count one element more; returns where it goes, which is `overflow` if there is no room. */
static void *array_add(struct wire_array *array, size_t size, void *overflow)
{
	if (array->count++ == 0) {
		arena.used = arena.used < arena.size ? (arena.used + 7) & ~(size_t)7 : arena.size;
		/* Without memory there is nothing to point to, and no arithmetic on NULL. */
		array->items = arena.memory ? arena.memory + arena.used : NULL;
	}
	if (array->stored + 1 < array->count || arena.used + size > arena.size)
		return overflow;
	void *element = arena.memory + arena.used;
	arena.used += size;
	array->stored++;
	return element;
}

/* One element of a repeated message: the stream holds just that. */
static bool decode_element(pb_istream_t *in, struct wire_array *array, const pb_msgdesc_t *fields, size_t size,
                           void *overflow)
{
	/* What was encoded as a number is none, whatever its bytes look like. */
	return in->callback == read_packet && pb_decode(in, fields, array_add(array, size, overflow));
}

static bool encode_elements(pb_ostream_t *out, const pb_field_t *field, const pb_msgdesc_t *fields, size_t size)
{
	const struct wire_array *array = field->pData;
	for (uint32_t i = 0; i < array->count; i++) {
		const uint8_t *element = (const uint8_t *)array->items + i * size;
		if (!pb_encode_tag_for_field(out, field) || !pb_encode_submessage(out, fields, element))
			return false;
	}
	return true;
}

/* The callbacks of repeated messages, which plugin.options names. */
#define MESSAGE_ARRAY(callback, message)                                                                       \
	bool callback(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)                            \
	{                                                                                                      \
		message overflow;                                                                              \
		if (in)                                                                                        \
			return decode_element(in, field->pData, message##_fields, sizeof(message), &overflow); \
		return encode_elements(out, field, message##_fields, sizeof(message));                         \
	}

MESSAGE_ARRAY(wire_routes_field, wire_MainRequest_SetIrqRouting_Route)
MESSAGE_ARRAY(wire_hints_field, wire_MainRequest_SetCallHint_RegHint)
MESSAGE_ARRAY(wire_cpuid_field, wire_CpuidEntry)
MESSAGE_ARRAY(wire_msrs_field, wire_VcpuRequest_MsrEntry)
MESSAGE_ARRAY(wire_msr_ranges_field, wire_MainRequest_SetMsrFilter_Range)

static uint64_t number_at(const struct wire_array *array, uint32_t index, size_t size)
{
	return size == sizeof(uint32_t) ? ((const uint32_t *)array->items)[index]
	                                : ((const uint64_t *)array->items)[index];
}

/* Packed, as proto3 does. */
static bool encode_numbers(pb_ostream_t *out, const pb_field_t *field, size_t size)
{
	const struct wire_array *array = field->pData;
	if (array->count == 0)
		return true;
	pb_ostream_t measure = PB_OSTREAM_SIZING;
	for (uint32_t i = 0; i < array->count; i++)
		pb_encode_varint(&measure, number_at(array, i, size));
	bool ok = pb_encode_tag(out, PB_WT_STRING, field->tag) && pb_encode_varint(out, measure.bytes_written);
	for (uint32_t i = 0; ok && i < array->count; i++)
		ok = pb_encode_varint(out, number_at(array, i, size));
	return ok;
}

/* nanopb calls these for one number after the other, packed or not; and once for a packed field without any. */
bool wire_u32_field(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)
{
	uint32_t overflow;
	if (!in)
		return encode_numbers(out, field, sizeof(uint32_t));
	return in->bytes_left == 0 || pb_decode_varint32(in, array_add(field->pData, sizeof(uint32_t), &overflow));
}

bool wire_u64_field(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)
{
	uint64_t overflow;
	if (!in)
		return encode_numbers(out, field, sizeof(uint64_t));
	return in->bytes_left == 0 || pb_decode_varint(in, array_add(field->pData, sizeof(uint64_t), &overflow));
}

static int decode(const uint8_t *data, size_t size, const struct wire_arena *elements, const pb_msgdesc_t *fields,
                  void *out_message)
{
	arena.memory = elements ? elements->memory : NULL;
	arena.size = elements ? elements->size : 0;
	arena.used = 0;
	pb_istream_t stream = {.callback = read_packet, .state = (void *)data, .bytes_left = size};
	return pb_decode(&stream, fields, out_message) ? 0 : -EBADMSG;
}

static ssize_t encode(const void *message, const pb_msgdesc_t *fields, uint8_t *buffer, size_t capacity)
{
	pb_ostream_t stream = pb_ostream_from_buffer(buffer, capacity);
	return pb_encode(&stream, fields, message) ? (ssize_t)stream.bytes_written : -EMSGSIZE;
}

int wire_decode_main_request(const uint8_t *data, size_t size, const struct wire_arena *elements,
                             wire_MainRequest *out_request)
{
	return decode(data, size, elements, wire_MainRequest_fields, out_request);
}

int wire_decode_main_response(const uint8_t *data, size_t size, const struct wire_arena *elements,
                              wire_MainResponse *out_response)
{
	return decode(data, size, elements, wire_MainResponse_fields, out_response);
}

int wire_decode_vcpu_request(const uint8_t *data, size_t size, const struct wire_arena *elements,
                             wire_VcpuRequest *out_request)
{
	return decode(data, size, elements, wire_VcpuRequest_fields, out_request);
}

int wire_decode_vcpu_response(const uint8_t *data, size_t size, const struct wire_arena *elements,
                              wire_VcpuResponse *out_response)
{
	return decode(data, size, elements, wire_VcpuResponse_fields, out_response);
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
