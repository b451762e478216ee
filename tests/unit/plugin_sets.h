/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gets and sets of a vCPU's state with one type for all of them, so that a table can have them.
 */
#ifndef PLUGVM_TESTS_UNIT_PLUGIN_SETS_H
#define PLUGVM_TESTS_UNIT_PLUGIN_SETS_H

#include "crosvm.h"

/* get_NAME() and set_NAME() */
#define DEFINE_SET(name)                                                   \
	static int get_##name(struct crosvm_vcpu *vcpu, void *out)         \
	{                                                                  \
		return crosvm_vcpu_get_##name(vcpu, out);                  \
	}                                                                  \
	static int set_##name(struct crosvm_vcpu *vcpu, const void *value) \
	{                                                                  \
		return crosvm_vcpu_set_##name(vcpu, value);                \
	}

#endif
