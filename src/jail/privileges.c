/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host gives up once the plugin runs. Any thread of the host; what it installs it never takes back.
 */
#include "jail/privileges.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/error.h"

#include "host_policies.inc"

/* The narrower filters, which threads install later; NULL before plugvm_drop_privileges(). They stay for ever. */
struct narrow {
	struct filter main, vcpu;
};
static _Atomic(struct narrow *) narrow;

/* ---- The filters ---- */

/* Allow a call whose first argument is this process. No policy's text can: it does not know the number. */
static void allow_own(struct policy *policy, int number)
{
	policy->comparisons[policy->comparison_count] = (struct policy_comparison){
	    .value = (uint64_t)getpid(), .op = POLICY_EQUAL, .bits = 32, .ends_group = true};
	policy->rules[policy->rule_count++] = (struct policy_rule){
	    .number = number, .kind = POLICY_WHEN, .first = policy->comparison_count++, .count = 1};
}

static int parse_main(struct policy *out_policy, struct plugvm_error *out_error)
{
	int result = policy_parse("host_main.policy", host_main_policy, sizeof(host_main_policy) - 1, out_policy,
	                          out_error);
	if (result < 0)
		return result;
	allow_own(out_policy, SYS_tgkill);            /* pthread_kill(), pthread_cancel(), abort() */
	allow_own(out_policy, SYS_process_vm_writev); /* a dirty log, to where a page can be missing */
	return 0;
}

static int parse_vcpu(struct policy *out_policy, struct plugvm_error *out_error)
{
	int result = policy_parse("host_vcpu.policy", host_vcpu_policy, sizeof(host_vcpu_policy) - 1, out_policy,
	                          out_error);
	if (result == 0)
		allow_own(out_policy, SYS_tgkill); /* abort() */
	return result;
}

/* Add a rule's comparisons to those of another rule for the same call, which has none behind its own. */
static void add_comparisons(struct policy *policy, struct policy_rule *rule, const struct policy *from,
                            const struct policy_rule *more)
{
	struct policy_comparison *end = &policy->comparisons[policy->comparison_count];
	memcpy(end, &policy->comparisons[rule->first], rule->count * sizeof(*end));
	memcpy(end + rule->count, &from->comparisons[more->first], more->count * sizeof(*end));
	rule->first = policy->comparison_count;
	rule->count += more->count;
	policy->comparison_count += rule->count;
}

/* Make `policy` allow what `other` allows too. Both are this file's, small, and answer with the same errnos. */
static void join(struct policy *policy, const struct policy *other)
{
	for (uint32_t i = 0; i < other->rule_count; i++) {
		const struct policy_rule *theirs = &other->rules[i];
		struct policy_rule *ours = (struct policy_rule *)policy_find(policy, theirs->number);
		if (!ours) {
			ours = &policy->rules[policy->rule_count++];
			*ours = *theirs;
			ours->count = 0;
		}
		if (ours->kind == POLICY_WHEN && theirs->kind == POLICY_WHEN)
			add_comparisons(policy, ours, other, theirs);
		else if (theirs->kind == POLICY_ALLOW)
			ours->kind = POLICY_ALLOW;
	}
}

/* A host has nobody to ask: what its policy does not know ends it. */
static void refuse_by_killing(struct filter *filter)
{
	for (uint16_t i = 0; i < filter->count; i++) {
		struct sock_filter *instruction = &filter->code[i];
		if (instruction->code == (BPF_RET | BPF_K) && instruction->k == SECCOMP_RET_USER_NOTIF)
			instruction->k = SECCOMP_RET_KILL_PROCESS;
	}
}

int host_filter_make(enum host_filter which, struct filter *out_filter, struct plugvm_error *out_error)
{
	struct policies {
		struct policy first, second;
	} *policies = calloc(1, sizeof(*policies));
	if (!policies)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the host's filter");
	/* The vCPUs' first: their ioctls are those of every exit. */
	int result = 0;
	if (which != HOST_FILTER_MAIN)
		result = parse_vcpu(&policies->first, out_error);
	else
		result = parse_main(&policies->first, out_error);
	if (result == 0 && which == HOST_FILTER_ALL) {
		result = parse_main(&policies->second, out_error);
		join(&policies->first, &policies->second);
	}
	if (result == 0)
		result = filter_compile(&policies->first, out_filter, out_error);
	if (result == 0)
		refuse_by_killing(out_filter);
	free(policies);
	return result;
}

/* ---- The drop ---- */

#ifdef PLUGVM_WITHOUT_HOST_FILTER

/* Sanitizers and profilers open files and look at the process while it runs and when it ends. */
int plugvm_drop_privileges(struct plugvm_error *out_error)
{
	(void)out_error;
	(void)narrow;
	capabilities_drop();
	return 0;
}

#else

static int install_all(struct plugvm_error *out_error)
{
	struct filter *filter = malloc(sizeof(*filter));
	if (!filter)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the host's filter");
	int result = host_filter_make(HOST_FILTER_ALL, filter, out_error);
	struct sock_fprog program = {.len = filter->count, .filter = filter->code};
	long thread = 0;
	if (result == 0)
		thread = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (thread != 0) /* a positive number is a thread's that has a filter of its own */
		result = error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, thread < 0 ? errno : ESRCH,
		                   "the host's filter");
	free(filter);
	return result;
}

int plugvm_drop_privileges(struct plugvm_error *out_error)
{
	if (atomic_load(&narrow))
		return 1;
	struct narrow *made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the host's filter");
	int result = host_filter_make(HOST_FILTER_MAIN, &made->main, out_error);
	if (result == 0)
		result = host_filter_make(HOST_FILTER_VCPU, &made->vcpu, out_error);
	if (result < 0) {
		free(made);
		return result;
	}
	/* pthread_cancel() loads it at its first use, when files can no longer be opened. */
	void *unwinder = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_NODELETE);
	if (unwinder)
		dlclose(unwinder);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		result = error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "prctl() of the host");
	if (result == 0 && capabilities_drop() < 0)
		result = error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "the host's capabilities");
	if (result == 0)
		result = install_all(out_error);
	if (result < 0) {
		free(made);
		return result;
	}
	atomic_store(&narrow, made);
	return 1;
}

#endif

int privileges_narrow(enum host_filter which)
{
	struct narrow *made = atomic_load(&narrow);
	if (!made || which == HOST_FILTER_ALL)
		return 0;
	struct filter *filter = which == HOST_FILTER_MAIN ? &made->main : &made->vcpu;
	struct sock_fprog program = {.len = filter->count, .filter = filter->code};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}
