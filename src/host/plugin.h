/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Level 1 of plugvm.h from the inside: a session and a process.
 */
#ifndef PLUGVM_HOST_PLUGIN_H
#define PLUGVM_HOST_PLUGIN_H

#include "host/process.h"
#include "host/session.h"

struct plugvm_plugin {
	struct session session;
	struct process process;
};

struct plugvm_plugin_vcpu {
	struct vcpu_link *link;
	struct vcpu_area *area;
};

/* As plugvm_plugin_new(); `measure` times exits. */
int plugin_new(const struct plugvm_plugin_config *config, bool measure, struct plugvm_plugin **out_plugin,
               struct plugvm_error *out_error);

/* Return the fd on which the jail's init reports, for plugvm_plugin_try_wait() to take; -1: none. */
int plugin_lifeline(const struct plugvm_plugin *plugin);

/* As plugvm_machine_exit_counts(). No vCPU thread may run. */
size_t plugin_exit_counts(const struct plugvm_plugin *plugin, struct plugvm_exit_count *lines, size_t capacity);

#endif
