/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the handlers of main requests share: requests.c has the table and the handlers of the baseline, requests_ext.c
 * those of the additions. Main thread. Values of the message are the plugin's and unchecked until a handler has
 * checked them.
 */
#ifndef PLUGVM_HOST_REQUESTS_H
#define PLUGVM_HOST_REQUESTS_H

#include "host/session.h"

struct request {
	struct session *session;
	struct plugvm_vm *vm; /* not NULL where the rule says needs_vm */
	const wire_MainRequest *message;
	struct packet *packet;
	struct reply *reply;
};

/* Returns 0 or a negative errno, which goes to the plugin. */
typedef int request_fn(struct request *request);

/* Move the plugin's ends of vCPUs `first` to `end` - 1 into the reply. -EALREADY: they were handed over before. */
int request_hand_over_vcpus(struct request *request, uint32_t first, uint32_t end);

/* requests_ext.c */
request_fn request_features;
request_fn request_get_vcpus_from;
request_fn request_create_ext;
request_fn request_get_cpuid;
request_fn request_dirty_log_to;
request_fn request_pause_set;
request_fn request_signal_msi;
request_fn request_subscribe_exits;
request_fn request_set_msr_filter;
request_fn request_get_end;
request_fn request_get_area;

#endif
