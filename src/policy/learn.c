/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy from what a plugin did. What one run did by chance another does otherwise, so a little is added that any
 * program may come to need: its end, a signal's return, a lock that is contended.
 */
#include "policy/learn.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/decode.h"

/* pthread_create() of glibc, where it cannot have clone3. */
#define THREAD_FLAGS                                                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* Where a pointer's being there is all that can be looked at. */
#define SOME_POINTER 1

static bool is_pointer(int number, unsigned int argument)
{
	return number == __NR_prlimit64 && argument == 2;
}

static bool argument_matters(int number, unsigned int argument)
{
	const struct decode_argument *known = decode_argument(number, argument);
	return known && known->narrows && syscalls_argument_bits(number, argument) > 0;
}

/* ---- Counting ---- */

int plugvm_policy_learner_new(struct plugvm_policy_learner **out_learner)
{
	struct plugvm_policy_learner *learner = calloc(1, sizeof(*learner));
	*out_learner = learner;
	if (!learner)
		return -ENOMEM;
	/* Looked up now, because the plugin waits for each of its calls to be taken. */
	for (int number = 0; number < SYSCALLS_NUMBER_END; number++) {
		for (unsigned int i = 0; i < SYSCALLS_ARGUMENTS; i++)
			learner->matters[number] |= (uint8_t)(argument_matters(number, i) << i);
	}
	return 0;
}

void plugvm_policy_learner_free(struct plugvm_policy_learner **learner)
{
	free(*learner);
	*learner = NULL;
}

int plugvm_policy_learner_add_file(struct plugvm_policy_learner *learner, const char *path,
                                   struct plugvm_error *out_error)
{
	return policy_load(path, &learner->base, out_error);
}

/* Returns false if no argument of this call matters. */
static bool take_kind(const struct plugvm_policy_learner *learner, int number, const uint64_t *arguments,
                      struct learn_kind *out_kind)
{
	*out_kind = (struct learn_kind){.arguments = {0}};
	for (unsigned int i = 0; i < SYSCALLS_ARGUMENTS; i++) {
		if (!(learner->matters[number] >> i & 1))
			continue;
		out_kind->arguments[i] = arguments[i] & UINT64_MAX >> (64 - syscalls_argument_bits(number, i));
		if (is_pointer(number, i) && out_kind->arguments[i] != 0)
			out_kind->arguments[i] = SOME_POINTER;
	}
	return learner->matters[number] != 0;
}

static void add_kind(struct plugvm_policy_learner *learner, int number, const uint64_t *arguments)
{
	struct learn_call *call = &learner->calls[number];
	struct learn_kind kind;
	if (!take_kind(learner, number, arguments, &kind))
		return;
	for (uint32_t i = 0; i < call->kind_count; i++) {
		if (memcmp(&call->kinds[i], &kind, sizeof(kind)) == 0)
			return;
	}
	if (call->kind_count == LEARN_KINDS_MAX)
		call->is_wide = true;
	else
		call->kinds[call->kind_count++] = kind;
}

void plugvm_policy_learn(void *context, const struct plugvm_jail_call *call)
{
	struct plugvm_policy_learner *learner = context;
	if (call->number < 0 || call->number >= SYSCALLS_NUMBER_END)
		return;
	learner->calls[call->number].count++;
	add_kind(learner, call->number, call->arguments);
}

/* What belongs to what was seen. */
static void add_companions(struct plugvm_policy_learner *learner)
{
	static const uint64_t futexes[] = {FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE, FUTEX_WAIT_BITSET_PRIVATE,
	                                   FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME};
	const uint64_t thread[SYSCALLS_ARGUMENTS] = {THREAD_FLAGS};
	struct learn_call *calls = learner->calls;
	if (calls[__NR_clone3].count)
		add_kind(learner, __NR_clone, thread);
	if (!calls[__NR_futex].count && !calls[__NR_clone].kind_count)
		return;
	for (size_t i = 0; i < sizeof(futexes) / sizeof(futexes[0]); i++)
		add_kind(learner, __NR_futex, (const uint64_t[SYSCALLS_ARGUMENTS]){0, futexes[i]});
}

static bool is_always_needed(int number)
{
	return number == __NR_exit || number == __NR_exit_group || number == __NR_rt_sigreturn ||
	       number == __NR_restart_syscall;
}

/* ---- Writing ---- */

struct writer {
	struct plugvm_policy_learner *learner;
	plugvm_line_fn *take_line;
	void *context;
	char line[DECODE_TEXT_MAX * (SYSCALLS_ARGUMENTS + 1)];
	size_t used;
};

static void say(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct writer *w, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(w->line + w->used, sizeof(w->line) - w->used, format, arguments);
	va_end(arguments);
	w->used += size > 0 ? (size_t)size : 0;
	if (w->used >= sizeof(w->line))
		w->used = sizeof(w->line) - 1;
}

static void end_line(struct writer *w)
{
	w->take_line(w->context, w->line);
	w->used = 0;
	w->line[0] = '\0';
}

/* Does the rule that is added to allow this kind? Not if it asks for arguments that were not kept. */
static bool base_allows(const struct policy *base, const struct policy_rule *rule, const struct learn_kind *kind)
{
	bool group = true;
	for (uint32_t i = rule->first; i < rule->first + rule->count; i++) {
		const struct policy_comparison *comparison = &base->comparisons[i];
		group = group && argument_matters(rule->number, comparison->argument) &&
		        policy_holds(comparison, kind->arguments[comparison->argument]);
		if (comparison->ends_group && group)
			return true;
		group = group || comparison->ends_group;
	}
	return false;
}

static void say_base_comparison(struct writer *w, int number, const struct policy_comparison *comparison)
{
	static const char *const operators[] = {
	    [POLICY_EQUAL] = "==",      [POLICY_NOT_EQUAL] = "!=", [POLICY_LESS] = "<",
	    [POLICY_LESS_EQUAL] = "<=", [POLICY_GREATER] = ">",    [POLICY_GREATER_EQUAL] = ">=",
	    [POLICY_ANY_BIT] = "&",     [POLICY_ONLY_BITS] = "in",
	};
	char text[DECODE_TEXT_MAX];
	if (comparison->op == POLICY_ANY_BIT)
		decode_bits(number, comparison->argument, comparison->value, text);
	else
		decode_value(number, comparison->argument, comparison->value, text);
	say(w, "arg%d %s %s", comparison->argument, operators[comparison->op], text);
}

static void say_kind(struct writer *w, int number, const struct learn_kind *kind)
{
	const char *and = "";
	for (unsigned int i = 0; i < SYSCALLS_ARGUMENTS; i++) {
		char text[DECODE_TEXT_MAX];
		if (!argument_matters(number, i))
			continue;
		bool is_some = is_pointer(number, i) && kind->arguments[i] != 0;
		decode_value(number, i, is_some ? 0 : kind->arguments[i], text);
		say(w, "%sarg%u %s %s", and, i, is_some ? "!=" : "==", text);
		and = " && ";
	}
}

/* Between two alternatives: the next one has its own line. */
static void say_or(struct writer *w, bool *is_first)
{
	if (!*is_first) {
		say(w, " || \\");
		end_line(w);
		say(w, "    ");
	}
	*is_first = false;
}

static int compare_kinds(const void *a, const void *b)
{
	const struct learn_kind *first = a, *second = b;
	for (unsigned int i = 0; i < SYSCALLS_ARGUMENTS; i++) {
		if (first->arguments[i] != second->arguments[i])
			return first->arguments[i] < second->arguments[i] ? -1 : 1;
	}
	return 0;
}

/* An errno has a name that a policy can say, or is a number. */
static void say_refusal(struct writer *w, int code)
{
	if (strcmp(error_name(code), "unknown error") == 0)
		say(w, "return %d", code);
	else
		say(w, "return %s", error_name(code));
}

static void say_alternatives(struct writer *w, int number, const struct policy_rule *rule)
{
	const struct policy *base = &w->learner->base;
	struct learn_call *call = &w->learner->calls[number];
	bool is_first = true;
	for (uint32_t i = 0; rule && i < rule->count; i++) {
		const struct policy_comparison *comparison = &base->comparisons[rule->first + i];
		if (i == 0 || comparison[-1].ends_group)
			say_or(w, &is_first);
		else
			say(w, " && ");
		say_base_comparison(w, number, comparison);
	}
	qsort(call->kinds, call->kind_count, sizeof(call->kinds[0]), compare_kinds);
	for (uint32_t i = 0; i < call->kind_count; i++) {
		if (rule && base_allows(base, rule, &call->kinds[i]))
			continue;
		say_or(w, &is_first);
		say_kind(w, number, &call->kinds[i]);
	}
	if (rule && rule->error) {
		say(w, "; ");
		say_refusal(w, rule->error);
	}
}

static void write_rule(struct writer *w, int number)
{
	const struct policy_rule *rule = policy_find(&w->learner->base, number);
	const struct learn_call *call = &w->learner->calls[number];
	const char *note = "";
	char name[DECODE_TEXT_MAX];
	if (!rule && !call->count && !call->kind_count && !is_always_needed(number))
		return;
	/* What the plugin was ended for. */
	if (!rule && syscalls_is_never(number))
		return;
	decode_call(number, name);
	say(w, "%s: ", name);
	if (rule && rule->kind == POLICY_NEVER) {
		say_refusal(w, rule->error);
		note = call->count ? ", and refused as before" : "";
	} else if (!rule && number == __NR_clone3) {
		say(w, "return ENOSYS");
		note = ": its flags are in memory, which no filter sees; the C library then takes clone";
	} else if ((rule && rule->kind == POLICY_ALLOW) || (!rule && call->kind_count == 0) || call->is_wide) {
		say(w, "1");
		note = call->is_wide ? ", with too many kinds of arguments to list" : "";
	} else {
		say_alternatives(w, number, rule);
	}
	say(w, " # %llu%s", (unsigned long long)call->count, note);
	end_line(w);
}

/* A number with its name, to be sorted by. */
struct named {
	int number;
	char name[DECODE_TEXT_MAX];
};

static int compare_names(const void *a, const void *b)
{
	const struct named *first = a, *second = b;
	return strcmp(first->name, second->name);
}

int plugvm_policy_learner_write(struct plugvm_policy_learner *learner, plugvm_line_fn *take_line, void *context)
{
	struct named *all = calloc(SYSCALLS_NUMBER_END, sizeof(all[0]));
	struct writer *w = calloc(1, sizeof(*w));
	if (!all || !w) {
		free(all);
		free(w);
		return -ENOMEM;
	}
	*w = (struct writer){.learner = learner, .take_line = take_line, .context = context};
	add_companions(learner);
	for (int number = 0; number < SYSCALLS_NUMBER_END; number++) {
		all[number].number = number;
		decode_call(number, all[number].name);
	}
	qsort(all, SYSCALLS_NUMBER_END, sizeof(all[0]), compare_names);
	say(w, "# Made by plugvm policy learn: what a plugin did, and behind each rule how often. 0: it did not, "
	       "but");
	end_line(w);
	say(w, "# may come to do it in another run, or the rule was there before.");
	end_line(w);
	for (int i = 0; i < SYSCALLS_NUMBER_END; i++)
		write_rule(w, all[i].number);
	free(all);
	free(w);
	return 0;
}
