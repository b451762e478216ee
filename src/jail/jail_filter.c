/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The filter of a jail: from its profile's policy or the operator's, and from what the operator wants to know.
 */
#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "jail/jail.h"
#include "policy/profiles.h"
#include "policy/syscalls.h"

/* ---- What the operator says ---- */

int plugvm_jail_set_policy(struct plugvm_jail *jail, const char *path, struct plugvm_error *out_error)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	struct filter *filter = malloc(sizeof(*filter));
	int result = -ENOMEM;
	if (policy && filter)
		result = policy_load(path, policy, out_error);
	else
		error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "a policy");
	if (result == 0)
		result = filter_compile(policy, filter, out_error);
	if (result == 0) {
		free(jail->policy);
		jail->policy = policy;
		policy = NULL;
	}
	free(policy);
	free(filter);
	return result;
}

void plugvm_jail_log_failures(struct plugvm_jail *jail)
{
	jail->logs_failures = true;
}

int plugvm_jail_allow_jit(struct plugvm_jail *jail, struct plugvm_error *out_error)
{
	if (jail->profile != PLUGVM_JAIL_DEFAULT)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "the strict jail does not allow memory that can be written and executed");
	jail->allows_jit = true;
	return 0;
}

void plugvm_jail_observe(struct plugvm_jail *jail, plugvm_jail_call_fn *observe, void *context)
{
	jail->observe = observe;
	jail->observe_context = context;
}

/* ---- What follows from it ---- */

/*
 * Where a rule of the built-in policy allows memory that can be read and either written or executed, allow both. The
 * alternatives of such a rule then overlap, which does no harm.
 */
static void allow_jit(struct policy *policy)
{
	static const int calls[] = {SYS_mmap, SYS_mprotect};
	const uint64_t all = PROT_READ | PROT_WRITE | PROT_EXEC;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct policy_rule *rule = policy_find(policy, calls[i]);
		for (uint32_t c = 0; rule && c < rule->count; c++) {
			struct policy_comparison *comparison = &policy->comparisons[rule->first + c];
			if (comparison->argument == 2 && comparison->op == POLICY_ONLY_BITS)
				comparison->value |= all;
		}
	}
}

static int choose_policy(const struct plugvm_jail *jail, struct policy *out_policy, struct plugvm_error *out_error)
{
	const struct profile *profile = profiles_find(jail->profile == PLUGVM_JAIL_STRICT ? "strict" : "default");
	int result = 0;
	if (jail->policy && jail->allows_jit)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "--allow-jit is for the built-in policy: another says itself what mmap and "
		                       "mprotect may do");
	/* Without a rule, each call is handed to init. */
	if (jail->observe)
		out_policy->rule_count = out_policy->comparison_count = 0;
	else if (jail->policy)
		*out_policy = *jail->policy;
	else
		result = policy_parse(profile->name, profile->text, profile->size, out_policy, out_error);
	if (result == 0 && jail->allows_jit)
		allow_jit(out_policy);
	return result;
}

static enum plan_refusal choose_refusal(const struct plugvm_jail *jail)
{
	if (jail->observe)
		return PLAN_OBSERVE;
	if (jail->logs_failures)
		return PLAN_LET;
	return jail->policy || jail->profile == PLUGVM_JAIL_STRICT ? PLAN_KILL : PLAN_ANSWER;
}

int jail_make_filter(const struct plugvm_jail *jail, struct plan *plan, struct filter *out_filter,
                     struct plugvm_error *out_error)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	if (!policy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the jail's policy");
	int result = choose_policy(jail, policy, out_error);
	plan->refusal = choose_refusal(jail);
	for (int number = 0; number < 32 * PLAN_NEVER_WORDS; number++) {
		if (syscalls_is_never(number))
			plan->never[number / 32] |= 1u << number % 32;
	}
	/*
	 * The plugin itself is executed by this call, under the filter. If the policy allows it, well; if not, init lets
	 * one through, so init must be asked, and must know the errno for all others.
	 */
	for (uint32_t i = 0; result == 0 && i < policy->rule_count; i++) {
		struct policy_rule *rule = &policy->rules[i];
		if (rule->number == SYS_execveat) {
			plan->exec_error = (uint32_t)rule->error;
			rule->error = 0;
		}
	}
	if (result == 0)
		result = filter_compile(policy, out_filter, out_error);
	free(policy);
	return result;
}
