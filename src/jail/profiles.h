/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The built-in policies. Any process, any thread; no state.
 */
#ifndef PLUGVM_JAIL_PROFILES_H
#define PLUGVM_JAIL_PROFILES_H

#include <stddef.h>

#include "jail/filter.h"

struct profile {
	const char *name; /* also that of its file in src/jail, without `.policy` */
	const char *text; /* for policy_parse() */
	size_t size;
	enum filter_refusal refusal;
};

/* Return the profile of this name, or NULL. */
const struct profile *profiles_find(const char *name);

#endif
