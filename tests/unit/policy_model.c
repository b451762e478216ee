/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random policies with their models.
 */
#include "policy_model.h"

#include "test.h"

#include <linux/audit.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* ---- Chance ---- */

uint64_t random_next(struct random *random)
{
	/* splitmix64 */
	uint64_t z = random->state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t random_near(struct random *random, uint64_t value)
{
	switch (random_below(random, 10)) {
	case 0:
		return value + 1;
	case 1:
		return value - 1;
	case 2:
		return value ^ (UINT64_C(1) << random_below(random, 64));
	case 3:
		return value ^ (UINT64_C(1) << random_below(random, 18));
	case 4:
		return value ^ (random_next(random) << 32);
	case 5:
		return value + (UINT64_C(1) << 32);
	case 6:
		return value - (UINT64_C(1) << 32);
	case 7:
		return value & random_next(random);
	default:
		return value;
	}
}

/* ---- Models ---- */

const struct model_call model_calls[] = {
    {"read", SYS_read, "ill"},
    {"write", SYS_write, "ill"},
    {"lseek", SYS_lseek, "ili"},
    {"ioctl", SYS_ioctl, "iil"},
    {"pread64", SYS_pread64, "illl"},
    {"fchmod", SYS_fchmod, "ih"},
    {"ftruncate", SYS_ftruncate, "il"},
    {"writev", SYS_writev, "ill"},
    {"dup3", SYS_dup3, "iii"},
    {"fallocate", SYS_fallocate, "iill"},
    {"recvfrom", SYS_recvfrom, "illill"},
};
const size_t model_call_count = sizeof(model_calls) / sizeof(model_calls[0]);

static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">=", "&", "in"};

static uint64_t top_of(const struct model_call *call, unsigned int argument)
{
	char width = call->widths[argument];
	return width == 'h' ? 0xffff : width == 'i' ? UINT32_MAX : UINT64_MAX;
}

/* The parser refuses what is always true or never. */
static bool is_foregone(int op, uint64_t value, uint64_t top)
{
	bool is_zero = value == 0, is_top = value == top;
	return (is_zero && (op == 2 || op == 5 || op == 6)) || (is_top && (op == 3 || op == 4 || op == 7));
}

static uint64_t random_value(struct random *random, uint64_t top)
{
	static const uint64_t values[] = {0,      1,      2,          3,          0x80,      0xfff,
	                                  0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe};
	uint64_t value = random_below(random, 3) ? values[random_below(random, 11)] : random_next(random);
	if (random_below(random, 2))
		value |= random_below(random, 2) ? random_next(random) << 32
		                                 : UINT64_C(1) << (32 + random_below(random, 32));
	return random_below(random, 4) ? value & top : ~value & top;
}

static void make_comparison(struct model_comparison *comparison, const struct model_call *call,
                            struct random *random)
{
	uint64_t top;
	do {
		comparison->argument = (unsigned int)random_below(random, strlen(call->widths));
		comparison->op = (int)random_below(random, 8);
		top = top_of(call, comparison->argument);
		comparison->value = random_value(random, top);
	} while (is_foregone(comparison->op, comparison->value, top));
	comparison->ends_group = random_below(random, 2);
}

static char *print_value(char *to, uint64_t value, uint64_t top, struct random *random)
{
	if (random_below(random, 8) == 0)
		return to + sprintf(to, "~0x%llx", (unsigned long long)~value); /* may have bits above the width */
	if (random_below(random, 8) == 0 && value > top / 2)
		return to + sprintf(to, "-%llu", (unsigned long long)((top - value) + 1));
	if (random_below(random, 8) == 0)
		return to + sprintf(to, "(%llu | (%llu))", (unsigned long long)(value & 0xff00ff00ff00ff),
		                    (unsigned long long)(value & ~UINT64_C(0xff00ff00ff00ff)));
	switch (random_below(random, 3)) {
	case 0:
		return to + sprintf(to, "0x%llx", (unsigned long long)value);
	case 1:
		return to + sprintf(to, "0%llo", (unsigned long long)value);
	default:
		return to + sprintf(to, "%llu", (unsigned long long)value);
	}
}

static char *make_rule(struct model_rule *rule, char *text, struct random *random)
{
	const struct model_call *call = rule->call;
	rule->count = random_below(random, MODEL_COMPARISONS + 1);
	rule->error = rule->count > 0 && random_below(random, 2) ? (int)random_below(random, 2) + 1234 : 0;
	if (rule->count == 0 && random_below(random, 4) == 0)
		rule->error = 1236;
	text += sprintf(text, "%s: ", call->name);
	for (size_t i = 0; i < rule->count; i++) {
		struct model_comparison *comparison = &rule->comparisons[i];
		make_comparison(comparison, call, random);
		comparison->ends_group |= i + 1 == rule->count;
		text += sprintf(text, "arg%u %s ", comparison->argument, operators[comparison->op]);
		text = print_value(text, comparison->value, top_of(call, comparison->argument), random);
		if (i + 1 < rule->count)
			text = stpcpy(text, comparison->ends_group ? " || " : "\\\n && ");
	}
	if (rule->count == 0 && rule->error == 0)
		text = stpcpy(text, "1");
	if (rule->error)
		text += sprintf(text, "%sreturn %d", rule->count > 0 ? "; " : "", rule->error);
	return stpcpy(text, " # a rule\n");
}

static bool has_rule(const struct model *model, int number)
{
	for (size_t i = 0; i < model->rule_count; i++) {
		if (model->rules[i].number == number)
			return true;
	}
	return false;
}

void model_make(struct model *model, struct random *random)
{
	char *text = model->text;
	model->rule_count = 0;
	for (size_t i = 0; i < model_call_count; i++) {
		if (random_below(random, 4) == 0)
			continue;
		struct model_rule *rule = &model->rules[model->rule_count++];
		*rule = (struct model_rule){.call = &model_calls[i], .number = model_calls[i].number};
		text = make_rule(rule, text, random);
	}
	size_t more = random_below(random, MODEL_RULES - model_call_count);
	while (more-- > 0) {
		/* No call has such a number. 335 and 336 are uprobes' own, and pass any filter. */
		int number = 337 + (int)random_below(random, 80);
		if (has_rule(model, number))
			continue;
		model->rules[model->rule_count++] = (struct model_rule){.number = number};
		text += sprintf(text, "%d: 1\n", number);
	}
	*text = '\0';
}

static bool is_true(const struct model_comparison *comparison, uint64_t argument)
{
	uint64_t value = comparison->value;
	switch (comparison->op) {
	case 0:
		return argument == value;
	case 1:
		return argument != value;
	case 2:
		return argument < value;
	case 3:
		return argument <= value;
	case 4:
		return argument > value;
	case 5:
		return argument >= value;
	case 6:
		return (argument & value) != 0;
	default:
		return (argument & value) == argument;
	}
}

static bool is_allowed(const struct model_rule *rule, const struct seccomp_data *data)
{
	bool all = true;
	for (size_t i = 0; i < rule->count; i++) {
		const struct model_comparison *comparison = &rule->comparisons[i];
		uint64_t top = top_of(rule->call, comparison->argument);
		all = all && is_true(comparison, data->args[comparison->argument] & top);
		if (comparison->ends_group && all)
			return true;
		all = all || comparison->ends_group;
	}
	return rule->count == 0 && rule->error == 0;
}

uint32_t model_verdict(const struct model *model, const struct seccomp_data *data)
{
	if (data->arch != AUDIT_ARCH_X86_64 || (uint32_t)data->nr >= 0x40000000)
		return SECCOMP_RET_KILL_PROCESS;
	for (size_t i = 0; i < model->rule_count; i++) {
		const struct model_rule *rule = &model->rules[i];
		if (rule->number != data->nr)
			continue;
		if (is_allowed(rule, data))
			return SECCOMP_RET_ALLOW;
		if (rule->error)
			return SECCOMP_RET_ERRNO | (uint32_t)rule->error;
	}
	return SECCOMP_RET_USER_NOTIF;
}

struct seccomp_data model_random_call(const struct model *model, struct random *random)
{
	/* Without a rule, in the holes between numbers, and beyond them all. */
	static const int numbers[] = {SYS_ptrace, SYS_mount, SYS_setuid, 337,        400,
	                              423,        511,       512,        0x3fffffff, 0x40000000,
	                              -1,         1000,      SYS_close,  SYS_getpid, SYS_read,
	                              SYS_ioctl,  SYS_dup3,  SYS_kill,   334,        0x40000000 | SYS_read};
	struct seccomp_data data = {.arch = AUDIT_ARCH_X86_64};
	for (int i = 0; i < 6; i++)
		data.args[i] = random_near(random, random_value(random, UINT64_MAX));
	if (model->rule_count == 0 || random_below(random, 8) == 0) {
		data.nr = numbers[random_below(random, sizeof(numbers) / sizeof(numbers[0]))];
	} else {
		const struct model_rule *rule = &model->rules[random_below(random, model->rule_count)];
		data.nr = rule->number;
		for (size_t i = 0; i < rule->count; i++)
			data.args[rule->comparisons[i].argument] = random_near(random, rule->comparisons[i].value);
	}
	if (random_below(random, 50) == 0)
		data.arch = random_below(random, 2) ? AUDIT_ARCH_I386 : (uint32_t)random_next(random);
	return data;
}
