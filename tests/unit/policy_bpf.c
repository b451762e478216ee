/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interpreter of classic BPF, and a direct evaluation of a parsed policy.
 */
#include "policy_bpf.h"

#include <linux/audit.h>
#include <string.h>

#include "policy/syscalls.h"

/* ---- What a filter does ---- */

uint32_t bpf_run(const struct filter *filter, const struct seccomp_data *data, uint32_t *hits)
{
	uint32_t a = 0;
	for (uint32_t pc = 0; pc < filter->count; pc++) {
		const struct sock_filter *i = &filter->code[pc];
		if (hits)
			hits[pc]++;
		bool is_true;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 != 0 || i->k > sizeof(*data) - 4)
				return BPF_BROKEN;
			memcpy(&a, (const char *)data + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			is_true = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			is_true = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			is_true = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			is_true = a & i->k;
			break;
		default:
			return BPF_BROKEN;
		}
		pc += is_true ? i->jt : i->jf;
	}
	return BPF_BROKEN;
}

bool bpf_is_valid(const struct filter *filter)
{
	for (uint32_t pc = 0; pc < filter->count; pc++) {
		const struct sock_filter *i = &filter->code[pc];
		uint32_t left = filter->count - pc - 1;
		if (BPF_CLASS(i->code) == BPF_RET)
			continue;
		bool is_jump = BPF_CLASS(i->code) == BPF_JMP;
		if (is_jump && BPF_OP(i->code) == BPF_JA ? i->k >= left
		                                         : is_jump && (i->jt >= left || i->jf >= left))
			return false;
		if (left == 0)
			return false;
	}
	return filter->count > 0;
}

/* ---- What it should ---- */

static bool is_true(const struct policy_comparison *comparison, uint64_t argument)
{
	uint64_t value = comparison->value;
	argument &= UINT64_MAX >> (64 - comparison->bits);
	switch (comparison->op) {
	case POLICY_EQUAL:
		return argument == value;
	case POLICY_NOT_EQUAL:
		return argument != value;
	case POLICY_LESS:
		return argument < value;
	case POLICY_LESS_EQUAL:
		return argument <= value;
	case POLICY_GREATER:
		return argument > value;
	case POLICY_GREATER_EQUAL:
		return argument >= value;
	case POLICY_ANY_BIT:
		return (argument & value) != 0;
	case POLICY_ONLY_BITS:
		return (argument & ~value) == 0;
	}
	return false;
}

static bool is_allowed(const struct policy *policy, const struct policy_rule *rule, const uint64_t *arguments)
{
	bool all = true;
	for (uint32_t i = rule->first; rule->kind == POLICY_WHEN && i < rule->first + rule->count; i++) {
		const struct policy_comparison *comparison = &policy->comparisons[i];
		all = all && is_true(comparison, arguments[comparison->argument]);
		if (comparison->ends_group && all)
			return true;
		if (comparison->ends_group)
			all = true;
	}
	return rule->kind == POLICY_ALLOW;
}

uint32_t bpf_verdict(const struct policy *policy, const struct seccomp_data *data)
{
	if (data->arch != AUDIT_ARCH_X86_64 || data->nr < 0 || data->nr >= 0x40000000)
		return SECCOMP_RET_KILL_PROCESS;
	const struct policy_rule *rule = policy_find(policy, data->nr);
	if (rule && is_allowed(policy, rule, (const uint64_t *)data->args))
		return SECCOMP_RET_ALLOW;
	if (rule && rule->error)
		return SECCOMP_RET_ERRNO | (uint32_t)rule->error;
	return SECCOMP_RET_USER_NOTIF;
}
