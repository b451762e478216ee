/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_wire_host - what a plugin sends to the host: main requests and vCPU requests, through the codec.
 *
 * Input: one byte of flags (FLAG_...), then the packet.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "wire_check.h"

WIRE_KIND(1, main_request, wire_MainRequest);
WIRE_KIND(2, vcpu_request, wire_VcpuRequest);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static wire_MainRequest request;
	static wire_VcpuRequest vcpu_message;
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	enum wire_room room = (flags & FLAG_ROOM) >> 1;
	struct wire_bytes packet = {.data = input.data, .size = input.size};
	if (room == WIRE_ROOMS)
		return 0;
	if (flags & FLAG_VCPU)
		wire_check(&vcpu_request, packet, room, &vcpu_message);
	else
		wire_check(&main_request, packet, room, &request);
	return 0;
}
