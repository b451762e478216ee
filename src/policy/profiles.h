/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The built-in policies. Any process, any thread; no state.
 */
#ifndef PLUGVM_POLICY_PROFILES_H
#define PLUGVM_POLICY_PROFILES_H

#include <stddef.h>

struct profile {
	const char *name; /* also that of its file in this directory, without `.policy` */
	const char *text; /* for policy_parse() */
	size_t size;
};

/* Return the profile of this name, or NULL. */
const struct profile *profiles_find(const char *name);

#endif
