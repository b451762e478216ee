/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An input cut into packets.
 */
#include "fuzz.h"

uint8_t input_byte(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

struct wire_bytes input_packet(struct input *input)
{
	size_t length = input_byte(input);
	length |= (size_t)input_byte(input) << 8;
	if (length > input->size)
		length = input->size;
	struct wire_bytes packet = {.data = input->data, .size = length};
	input->data += length;
	input->size -= length;
	return packet;
}
