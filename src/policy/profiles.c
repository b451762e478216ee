/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The built-in policies: files of this directory, made strings at build time.
 */
#include "policy/profiles.h"

#include <string.h>

#include "profiles.inc"

static const struct profile profiles[] = {
    {"default", default_policy, sizeof(default_policy) - 1},
    {"strict", strict_policy, sizeof(strict_policy) - 1},
};

const struct profile *profiles_find(const char *name)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	}
	return NULL;
}
