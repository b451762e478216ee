/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The names that a policy may use for numbers: a table made of the system's headers at build time.
 */
#include "policy/constants.h"

#include <string.h>

#include "policy/constant_headers.h"

static const struct constant {
	const char *name;
	uint64_t value;
} constants[] = {
#include "constants.inc"
};

bool constants_find(const char *name, size_t size, uint64_t *out_value)
{
	size_t low = 0, high = sizeof(constants) / sizeof(constants[0]);
	while (low < high) {
		const struct constant *middle = &constants[low + (high - low) / 2];
		int order = strncmp(name, middle->name, size);
		if (order == 0 && middle->name[size] == '\0') {
			*out_value = middle->value;
			return true;
		}
		/* A name that begins with the one looked for comes after it. */
		if (order <= 0)
			high = (size_t)(middle - constants);
		else
			low = (size_t)(middle - constants) + 1;
	}
	return false;
}
