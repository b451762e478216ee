/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies: any text through the parser, and what it takes through the compiler. A mistake is told in one line that
 * names a place in the text; what is right becomes a filter that does what the policy says.
 *
 * An input is a byte of flags, eight bytes of a number, and the text.
 */
#include <errno.h>
#include <linux/audit.h>
#include <string.h>

#include "fuzz.h"
#include "policy/filter.h"
#include "policy/syscalls.h"
#include "policy_bpf.h"

/* A byte that means nothing any more, and a number. */
#define HEADER_SIZE 9

static struct policy policy;
static struct filter filter;

static void check_error(const struct plugvm_error *error, const char *text, size_t size)
{
	REQUIRE(error->code == EINVAL && error->kind == PLUGVM_ERROR_CONFIG);
	REQUIRE(!strpbrk(error->text, "\n\033"));
	unsigned int line, column;
	int begin = 0;
	REQUIRE(sscanf(error->text, "fuzz:%u:%u: %n", &line, &column, &begin) == 2 && error->text[begin] != '\0');
	REQUIRE(line > 0 && column > 0);
	const char *end = text + size;
	while (--line > 0) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		REQUIRE(newline);
		text = newline + 1;
	}
	const char *newline = memchr(text, '\n', (size_t)(end - text));
	REQUIRE(column - 1 <= (size_t)((newline ? newline : end) - text));
}

static void check_comparison(const struct policy_comparison *comparison, int number)
{
	REQUIRE(comparison->bits == syscalls_argument_bits(number, comparison->argument));
	REQUIRE(comparison->bits == 64 || comparison->value >> comparison->bits == 0);
}

static void check_policy(void)
{
	uint32_t comparisons = 0;
	REQUIRE(policy.rule_count <= LIMIT_POLICY_RULES);
	for (uint32_t i = 0; i < policy.rule_count; i++) {
		const struct policy_rule *rule = &policy.rules[i];
		REQUIRE(rule->number >= 0 && rule->number < SYSCALLS_NUMBER_END);
		REQUIRE(policy_find(&policy, rule->number) == rule);
		REQUIRE(rule->kind == POLICY_NEVER || !syscalls_is_never(rule->number));
		REQUIRE(rule->error >= (rule->kind == POLICY_NEVER) && rule->error <= 4095);
		REQUIRE((rule->kind == POLICY_WHEN) == (rule->count > 0));
		if (rule->kind != POLICY_WHEN)
			continue;
		REQUIRE(rule->first == comparisons);
		comparisons += rule->count;
		REQUIRE(comparisons <= policy.comparison_count && policy.comparisons[comparisons - 1].ends_group);
		for (uint32_t c = rule->first; c < comparisons; c++)
			check_comparison(&policy.comparisons[c], rule->number);
	}
	REQUIRE(comparisons == policy.comparison_count);
}

static void check_call(const struct seccomp_data *data)
{
	REQUIRE(bpf_run(&filter, data, NULL) == bpf_verdict(&policy, data));
}

/* Each rule with arguments at what it compares them with, and moved away from there. */
static void check_filter(uint64_t number)
{
	REQUIRE(bpf_is_valid(&filter));
	check_call(&(struct seccomp_data){.nr = (int)number, .arch = AUDIT_ARCH_X86_64});
	check_call(&(struct seccomp_data){.nr = 0, .arch = (uint32_t)number});
	for (uint32_t i = 0; i < policy.rule_count; i++) {
		const struct policy_rule *rule = &policy.rules[i];
		struct seccomp_data data = {.nr = rule->number, .arch = AUDIT_ARCH_X86_64};
		check_call(&data);
		for (uint32_t c = rule->first; c < rule->first + rule->count; c++) {
			const struct policy_comparison *comparison = &policy.comparisons[c];
			data.args[comparison->argument] = comparison->value;
			check_call(&data);
			struct seccomp_data other = data;
			other.args[comparison->argument] ^= number;
			check_call(&other);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEADER_SIZE)
		return 0;
	uint64_t number;
	memcpy(&number, data + 1, sizeof(number));
	/* A copy of just its size, so that a byte read too far is noticed. */
	size_t text_size = size - HEADER_SIZE;
	char *text = malloc(text_size);
	REQUIRE(text || text_size == 0);
	if (text_size > 0)
		memcpy(text, data + HEADER_SIZE, text_size);

	struct plugvm_error error = {0};
	int result = policy_parse("fuzz", text_size > 0 ? text : "", text_size, &policy, &error);
	if (result < 0) {
		REQUIRE(result == -EINVAL);
		check_error(&error, text_size > 0 ? text : "", text_size);
	} else {
		check_policy();
		result = filter_compile(&policy, &filter, &error);
		REQUIRE(result == 0 || result == -E2BIG);
		if (result == 0)
			check_filter(number);
	}
	free(text);
	return 0;
}
