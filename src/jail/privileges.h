/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's own defence: what it gives up once the plugin runs. plugvm_drop_privileges() is for the process; its
 * threads can go further.
 */
#ifndef PLUGVM_JAIL_PRIVILEGES_H
#define PLUGVM_JAIL_PRIVILEGES_H

#include "policy/filter.h"

/* The host's filters, each stricter than the first. */
enum host_filter {
	HOST_FILTER_ALL,  /* every thread's: what any of them needs */
	HOST_FILTER_MAIN, /* the main thread's, once the vCPUs' threads exist: host_main.policy */
	HOST_FILTER_VCPU, /* a vCPU thread's: host_vcpu.policy */
};

/* Make a filter for this process. -errno with *out_error. */
int host_filter_make(enum host_filter which, struct filter *out_filter, struct plugvm_error *out_error);

/* Put the calling thread under a stricter filter, if plugvm_drop_privileges() has put it under the first. -errno. */
int privileges_narrow(enum host_filter which);

#endif
