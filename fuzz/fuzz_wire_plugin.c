/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_wire_plugin - what a host sends to a plugin: main responses, vCPU responses and events, and their frames, through the codec.
 *
 * Input: one byte of flags (FLAG_...), then the packet.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "wire_check.h"

WIRE_KIND(1, main_response, wire_MainResponse);
WIRE_KIND(2, vcpu_response, wire_VcpuResponse);

/* A header is what it says, is refused, or is not all there; and the body's size has just one shortest header. */
static void check_frame(struct wire_bytes bytes)
{
	uint32_t size, again;
	uint8_t header[WIRE_FRAME_HEADER_MAX];
	ssize_t length = wire_frame_parse(bytes.data, bytes.size, &size);
	REQUIRE(length == -EBADMSG || (length >= 0 && (size_t)length <= bytes.size));
	for (size_t less = 0; length > 0 && less < (size_t)length; less++)
		REQUIRE(wire_frame_parse(bytes.data, less, &again) == 0);
	if (length <= 0)
		return;
	uint64_t sum = 0;
	for (ssize_t i = 0; i < length; i++)
		sum += (uint64_t)(bytes.data[i] & 0x7f) << (7 * i);
	REQUIRE(sum == size);
	size_t shortest = wire_frame_header(size, header);
	REQUIRE(shortest <= (size_t)length);
	REQUIRE(wire_frame_parse(header, shortest, &again) == (ssize_t)shortest && again == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static wire_MainResponse response;
	static wire_VcpuResponse vcpu_message;
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	enum wire_room room = (flags & FLAG_ROOM) >> 1;
	struct wire_bytes packet = {.data = input.data, .size = input.size};
	if (room == WIRE_ROOMS) {
		check_frame(packet);
		return 0;
	}
	if (flags & FLAG_VCPU)
		wire_check(&vcpu_response, packet, room, &vcpu_message);
	else
		wire_check(&main_response, packet, room, &response);
	return 0;
}
