/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy in words. What is certain is said; a warning is about a rule that cannot be what was meant, or that allows
 * what no filter can take back.
 */
#include "policy/explain.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/error.h"
#include "policy/decode.h"
#include "policy/filter.h"
#include "policy/profiles.h"
#include "policy/syscalls.h"

#define LINE_MAX_BYTES 4096

struct explainer {
	const struct policy *policy;
	plugvm_line_fn *take_line;
	void *context;
	int warnings;
	char line[LINE_MAX_BYTES];
	size_t used;
};

/* ---- Lines ---- */

static void say(struct explainer *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct explainer *e, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(e->line + e->used, sizeof(e->line) - e->used, format, arguments);
	va_end(arguments);
	e->used += size > 0 ? (size_t)size : 0;
	if (e->used >= sizeof(e->line))
		e->used = sizeof(e->line) - 1;
}

static void end_line(struct explainer *e)
{
	e->take_line(e->context, e->line);
	e->used = 0;
	e->line[0] = '\0';
}

static void say_place(struct explainer *e, const struct policy_rule *rule)
{
	say(e, "%s:%u: ", e->policy->files[rule->file], rule->line);
}

static void begin_warning(struct explainer *e, const struct policy_rule *rule)
{
	char call[DECODE_TEXT_MAX];
	decode_call(rule->number, call);
	say_place(e, rule);
	say(e, "warning: %s: ", call);
	e->warnings++;
}

/* ---- Rules ---- */

static void say_argument(struct explainer *e, const struct policy_rule *rule,
                         const struct policy_comparison *comparison)
{
	const struct decode_argument *known = decode_argument(rule->number, comparison->argument);
	if (known)
		say(e, "%s (arg%d)", known->name, comparison->argument);
	else
		say(e, "arg%d", comparison->argument);
}

static void say_mask(struct explainer *e, const struct policy_rule *rule,
                     const struct policy_comparison *comparison)
{
	char text[DECODE_TEXT_MAX];
	uint64_t value = comparison->value, top = UINT64_MAX >> (64 - comparison->bits);
	bool is_any = comparison->op == POLICY_ANY_BIT;
	/* A mask with more ones than zeros is easier to read as what it lacks. */
	bool is_inverted = __builtin_popcountll(value) > comparison->bits / 2;
	if (is_any || is_inverted)
		decode_bits(rule->number, comparison->argument, is_inverted ? ~value & top : value, text);
	else
		decode_value(rule->number, comparison->argument, value, text);
	if (is_inverted)
		say(e, is_any ? " has any bit but %s" : " has none of %s", text);
	else
		say(e, is_any ? " has any of %s" : " has nothing but %s", text);
}

static void say_comparison(struct explainer *e, const struct policy_rule *rule,
                           const struct policy_comparison *comparison)
{
	static const char *const phrases[] = {
	    [POLICY_EQUAL] = "is",         [POLICY_NOT_EQUAL] = "is not",
	    [POLICY_LESS] = "is below",    [POLICY_LESS_EQUAL] = "is at most",
	    [POLICY_GREATER] = "is above", [POLICY_GREATER_EQUAL] = "is at least",
	};
	char text[DECODE_TEXT_MAX];
	say_argument(e, rule, comparison);
	if (comparison->op == POLICY_ANY_BIT || comparison->op == POLICY_ONLY_BITS) {
		say_mask(e, rule, comparison);
		return;
	}
	decode_value(rule->number, comparison->argument, comparison->value, text);
	say(e, " %s %s", phrases[comparison->op], text);
}

/* Is this comparison, a group of its own, and the group before it, `argN == VALUE` of one argument? */
static bool continues_list(const struct policy_comparison *first, uint32_t index)
{
	const struct policy_comparison *this = &first[index];
	return index > 0 && this->op == POLICY_EQUAL && this->ends_group && this[-1].op == POLICY_EQUAL &&
	       this[-1].ends_group && (index == 1 || this[-2].ends_group) && this->argument == this[-1].argument;
}

static void say_conditions(struct explainer *e, const struct policy_rule *rule)
{
	const struct policy_comparison *first = &e->policy->comparisons[rule->first];
	char text[DECODE_TEXT_MAX];
	for (uint32_t i = 0; i < rule->count; i++) {
		if (continues_list(first, i)) {
			decode_value(rule->number, first[i].argument, first[i].value, text);
			say(e, " or %s", text);
			continue;
		}
		if (i > 0)
			say(e, first[i - 1].ends_group ? "; or if " : " and ");
		say_comparison(e, rule, &first[i]);
	}
}

static void explain_rule(struct explainer *e, const struct policy_rule *rule)
{
	char call[DECODE_TEXT_MAX];
	decode_call(rule->number, call);
	say_place(e, rule);
	say(e, "%s (%d): ", call, rule->number);
	if (rule->kind == POLICY_ALLOW) {
		say(e, "allowed");
	} else if (rule->kind == POLICY_NEVER) {
		say(e, "fails with %s", error_name(rule->error));
	} else {
		say(e, "allowed if ");
		say_conditions(e, rule);
		if (rule->error)
			say(e, "; else fails with %s", error_name(rule->error));
		else
			say(e, "; else as without a rule");
	}
	end_line(e);
}

/* ---- What is true of no argument, or of all ---- */

/* Does this value of an argument pass all the group's comparisons of it? Those of other arguments do not count. */
static bool group_takes(const struct policy_comparison *group, size_t count, unsigned int argument, uint64_t value)
{
	for (size_t i = 0; i < count; i++) {
		if (group[i].argument == argument && !policy_holds(&group[i], value))
			return false;
	}
	return true;
}

/* What the comparisons of one argument leave of its values, as far as that is easily known. */
struct values {
	uint64_t least, most, mask;
};

static void narrow(struct values *values, const struct policy_comparison *comparison)
{
	uint64_t value = comparison->value;
	/* The parser has refused those that would wrap here. */
	if (comparison->op == POLICY_LESS && value - 1 < values->most)
		values->most = value - 1;
	if (comparison->op == POLICY_LESS_EQUAL && value < values->most)
		values->most = value;
	if (comparison->op == POLICY_GREATER && value + 1 > values->least)
		values->least = value + 1;
	if (comparison->op == POLICY_GREATER_EQUAL && value > values->least)
		values->least = value;
	if (comparison->op == POLICY_ONLY_BITS)
		values->mask &= value;
}

/* Is the group certain to be true of no value of this argument? */
static bool is_impossible(const struct policy_comparison *group, size_t count, unsigned int argument)
{
	struct values left = {.least = 0, .most = UINT64_MAX, .mask = UINT64_MAX};
	for (size_t i = 0; i < count; i++) {
		if (group[i].argument != argument)
			continue;
		if (group[i].op == POLICY_EQUAL)
			return !group_takes(group, count, argument, group[i].value);
		narrow(&left, &group[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (group[i].argument == argument && group[i].op == POLICY_ANY_BIT &&
		    (group[i].value & left.mask) == 0)
			return true;
	}
	if (left.least > left.most || left.least > left.mask)
		return true;
	return (left.least == left.most || left.mask == 0) && !group_takes(group, count, argument, left.least);
}

/* Is each value of the argument true of one of two comparisons? Only what is certain. */
static bool covers_all(const struct policy_comparison *a, const struct policy_comparison *b)
{
	uint64_t top = UINT64_MAX >> (64 - a->bits);
	if (a->argument != b->argument)
		return false;
	if (a->op == POLICY_NOT_EQUAL)
		return policy_holds(b, a->value);
	if (a->op == POLICY_ANY_BIT && b->op == POLICY_ONLY_BITS)
		return (~a->value & ~b->value & top) == 0;
	if (a->op == POLICY_LESS || a->op == POLICY_LESS_EQUAL) {
		uint64_t first_without = a->op == POLICY_LESS ? a->value : a->value + 1;
		return (b->op == POLICY_GREATER && b->value < first_without) ||
		       (b->op == POLICY_GREATER_EQUAL && b->value <= first_without);
	}
	return false;
}

struct group {
	const struct policy_comparison *comparisons;
	size_t count;
};

/* Cut the rule's next group off. `*index` counts its comparisons; false at the end. */
static bool next_group(const struct explainer *e, const struct policy_rule *rule, uint32_t *index,
                       struct group *out_group)
{
	if (*index >= rule->count)
		return false;
	out_group->comparisons = &e->policy->comparisons[rule->first + *index];
	out_group->count = 0;
	while (!out_group->comparisons[out_group->count++].ends_group)
		;
	*index += (uint32_t)out_group->count;
	return true;
}

static bool group_is_impossible(const struct group *group)
{
	for (unsigned int argument = 0; argument < SYSCALLS_ARGUMENTS; argument++) {
		if (is_impossible(group->comparisons, group->count, argument))
			return true;
	}
	return false;
}

static void warn_of_foregone(struct explainer *e, const struct policy_rule *rule)
{
	struct group group, other;
	uint32_t number = 0, impossible = 0;
	for (uint32_t i = 0; next_group(e, rule, &i, &group);) {
		number++;
		if (group_is_impossible(&group)) {
			impossible++;
			begin_warning(e, rule);
			say(e, "alternative %u can never be true", number);
			end_line(e);
		}
		for (uint32_t j = i; group.count == 1 && next_group(e, rule, &j, &other);) {
			if (other.count != 1 || (!covers_all(group.comparisons, other.comparisons) &&
			                         !covers_all(other.comparisons, group.comparisons)))
				continue;
			begin_warning(e, rule);
			say(e, "this is always true, as '1' is");
			end_line(e);
		}
	}
	if (impossible > 0 && impossible == number) {
		begin_warning(e, rule);
		say(e, "so it is never allowed");
		end_line(e);
	}
}

/* ---- What is dangerous ---- */

#define ANY_CALL (-1)

/* A value that a careful rule would not take. */
static const struct danger {
	const char *call;
	int argument; /* ANY_CALL: it is enough that the call is allowed */
	uint64_t value;
	const char *text;
} dangers[] = {
    {"mmap", 2, PROT_READ | PROT_WRITE | PROT_EXEC, "memory can be writable and executable at once"},
    {"mprotect", 2, PROT_READ | PROT_WRITE | PROT_EXEC, "memory can be writable and executable at once"},
    {"pkey_mprotect", 2, PROT_READ | PROT_WRITE | PROT_EXEC, "memory can be writable and executable at once"},
    {"clone", 0, CLONE_NEWUSER | SIGCHLD, "it can make namespaces, and has all rights in them"},
    {"clone", 0, SIGCHLD, "it can make processes"},
    {"fork", ANY_CALL, 0, "it can make processes"},
    {"vfork", ANY_CALL, 0, "it can make processes"},
    {"clone3", ANY_CALL, 0, "its flags are in memory, where no filter sees them: it can make namespaces"},
    {"openat2", ANY_CALL, 0, "what it does is in memory, where no filter sees it"},
    {"ioctl", 1, TIOCSTI, "it can type into a terminal (TIOCSTI)"},
    {"ioctl", 1, 0x7fffdead, "it can send any request to any driver whose fd it has"},
    {"execve", ANY_CALL, 0, "it can execute whatever its root has; the jail stays"},
    {"execveat", 0, (uint32_t)-100 /* AT_FDCWD */, "it can execute whatever its root has; the jail stays"},
    {"prctl", 0, 0x7fffdead, "it can do whatever prctl does, now and in later kernels"},
    {"fcntl", 1, 8 /* F_SETOWN */, "it can have signals sent by F_SETOWN"},
    {"socket", 0, AF_NETLINK, "it can talk to the kernel's network configuration (AF_NETLINK)"},
    {"socket", 0, 40 /* AF_VSOCK */, "it can make sockets that no network namespace confines (AF_VSOCK)"},
    {"futex", 1, 4 /* FUTEX_CMP_REQUEUE */, "it can move waiters of other processes in shared memory"},
    {"prlimit64", 2, 1, "it can lower its limits, and those of others of its user"},
    {"setrlimit", ANY_CALL, 0, "it can lower its limits"},
    {"tgkill", 0, 1, "it can send signals to other processes"},
    {"kill", 0, 1, "it can send signals to other processes"},
    {"process_madvise", ANY_CALL, 0, "it can act on other processes"},
    {"sched_setscheduler", ANY_CALL, 0, "it can change who gets the processor"},
    {"sched_setattr", ANY_CALL, 0, "it can change who gets the processor"},
};

/* Do the rule's comparisons let this value pass, whatever those of other arguments say? */
static bool takes(const struct explainer *e, const struct policy_rule *rule, int argument, uint64_t value)
{
	struct group group;
	if (rule->kind == POLICY_ALLOW)
		return true;
	for (uint32_t i = 0; rule->kind == POLICY_WHEN && next_group(e, rule, &i, &group);) {
		if (!group_is_impossible(&group) &&
		    (argument == ANY_CALL ||
		     group_takes(group.comparisons, group.count, (unsigned int)argument, value)))
			return true;
	}
	return false;
}

static void warn_of_dangers(struct explainer *e, const struct policy_rule *rule)
{
	for (size_t i = 0; i < sizeof(dangers) / sizeof(dangers[0]); i++) {
		const struct danger *danger = &dangers[i];
		if (syscalls_number(danger->call) != rule->number ||
		    !takes(e, rule, danger->argument, danger->value))
			continue;
		begin_warning(e, rule);
		say(e, "%s", danger->text);
		end_line(e);
	}
}

/* ---- The whole ---- */

static void explain_rest(struct explainer *e)
{
	unsigned int answered = 0, total = 0;
	for (int number = 0; number < SYSCALLS_NUMBER_END; number++) {
		total += syscalls_is_never(number);
		answered += syscalls_is_never(number) && policy_find(e->policy, number);
	}
	say(e,
	    "As a --seccomp-policy: a call without a rule ends the plugin, and its name is told; with "
	    "--seccomp-log-failures it is made and logged. As the built-in default: it fails with ENOSYS and is "
	    "logged.");
	end_line(e);
	say(e, "%u calls can be allowed by no policy and end the plugin", total);
	if (answered)
		say(e, "; %u of them fail here instead", answered);
	say(e, ". So do calls of other architectures.");
	end_line(e);
}

static int explain_size(struct explainer *e, struct plugvm_error *out_error)
{
	struct filter *filter = malloc(sizeof(*filter));
	if (!filter)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "compiling the policy");
	int result = filter_compile(e->policy, filter, out_error);
	unsigned int count = filter->count;
	free(filter);
	if (result < 0)
		return result;
	say(e, "The filter has %u instructions; the kernel takes %d.", count, BPF_MAXINSNS);
	end_line(e);
	return 0;
}

int explain_policy(const struct policy *policy, plugvm_line_fn *take_line, void *context,
                   struct plugvm_error *out_error)
{
	struct explainer *e = calloc(1, sizeof(*e));
	if (!e)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "explaining the policy");
	e->policy = policy;
	e->take_line = take_line;
	e->context = context;
	for (uint32_t i = 0; i < policy->rule_count; i++)
		explain_rule(e, &policy->rules[i]);
	explain_rest(e);
	int result = explain_size(e, out_error);
	for (uint32_t i = 0; i < policy->rule_count && result == 0; i++) {
		warn_of_foregone(e, &policy->rules[i]);
		warn_of_dangers(e, &policy->rules[i]);
	}
	if (result == 0)
		result = e->warnings;
	free(e);
	return result;
}

int plugvm_policy_explain(const char *path, plugvm_line_fn *take_line, void *context,
                          struct plugvm_error *out_error)
{
	struct policy *policy = malloc(sizeof(*policy));
	if (!policy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "reading the policy");
	int result = policy_load(path, policy, out_error);
	if (result == 0)
		result = explain_policy(policy, take_line, context, out_error);
	free(policy);
	return result;
}

const char *plugvm_policy_text(const char *name)
{
	const struct profile *profile = profiles_find(name);
	return profile ? profile->text : NULL;
}
