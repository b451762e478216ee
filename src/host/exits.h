/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What to do with each reason for which KVM_RUN returns. vCPU thread. exits.c has the table; what only x86 has is
 * in exits_x86.c.
 */
#ifndef PLUGVM_HOST_EXITS_H
#define PLUGVM_HOST_EXITS_H

#include "plugvm.h"

/* How a vCPU's run ended. */
struct vcpu_end {
	enum plugvm_end end;
	int value;
	bool cancelled; /* it was told to stop: no reason of its own */
	bool is_weak;   /* the plugin's exit, if that follows, explains it better */
	char text[256];
	bool has_registers;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

/* Returned by an exit handler. */
enum exit_verdict {
	EXIT_CONTINUE,
	EXIT_END, /* *out_end says why */
};

typedef enum exit_verdict exit_fn(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu,
                                  struct vcpu_end *out_end);

/* Handle the exit in plugvm_vcpu_exit(vcpu). */
exit_fn exit_handle;

/* Handle KVM_RUN's own failure, -errno. */
enum exit_verdict exit_handle_error(int error, struct plugvm_vcpu *vcpu, struct vcpu_end *out_end);

/* Fill *out_end after a plugvm_plugin_vcpu_...() call has failed. */
void exit_from_link_error(int error, const struct plugvm_plugin_vcpu *pv, struct vcpu_end *out_end);

/* Turn what such a call has returned into a verdict. */
enum exit_verdict exit_from_access(int result, const struct plugvm_plugin_vcpu *pv, struct vcpu_end *out_end);

/* End the vCPU for an exit that nothing here knows: going on would only repeat it for ever. */
exit_fn exit_handle_unexpected;

/* exits_x86.c */
exit_fn exit_handle_io;
exit_fn exit_handle_hyperv;

#endif
