/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limits on a plugin, for those who want to know them at run time. Any thread.
 */
#include "wire/limits.h"
#include "plugvm.h"

const struct plugvm_limit *plugvm_limits(void)
{
#define LIMIT_ROW(name, value, unit, reason) {#name, value, unit, reason},
	static const struct plugvm_limit limits[] = {WIRE_LIMITS(LIMIT_ROW){NULL, 0, NULL, NULL}};
#undef LIMIT_ROW
	return limits;
}
