/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The compiler of policies. BPF only jumps forward, so the program is made from its end to its beginning: the target
 * of a jump is always there already, and its distance known. Conditional jumps reach 255 instructions; what is
 * farther is reached by way of another instruction, made on the spot.
 */
#include "policy/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/syscalls.h"

/* A conditional jump reaches 255; both its targets may have to be brought near, one instruction each. */
#define REACH 250

/* System calls of the x32 ABI have this bit; so has what no call has, like -1. */
#define X32_BIT 0x40000000u

#define RETURNS_MAX 64

/* Where a jump goes: to an instruction, counted from the program's end, or to whatever returns this value. */
struct target {
	bool is_return;
	uint32_t value;
};

struct builder {
	struct sock_filter *code; /* BPF_MAXINSNS of them, filled from the end */
	uint32_t count;
	bool is_full;
	/* The nearest `return` of each value that was needed so far. */
	struct {
		uint32_t value, position;
	} returns[RETURNS_MAX];
	uint32_t return_count;
};

static struct target to_return(uint32_t value)
{
	return (struct target){.is_return = true, .value = value};
}

static struct target to_position(uint32_t position)
{
	return (struct target){.value = position};
}

static bool is_same(struct target a, struct target b)
{
	return a.is_return == b.is_return && a.value == b.value;
}

/* Put an instruction before all others, and return its position. */
static uint32_t emit(struct builder *builder, uint16_t code, uint32_t k, uint32_t if_true, uint32_t if_false)
{
	if (builder->count == BPF_MAXINSNS) {
		builder->is_full = true;
		builder->count = 0; /* what follows is of no use, and must not run over */
		builder->return_count = 0;
	}
	builder->code[BPF_MAXINSNS - 1 - builder->count] = (struct sock_filter){
	    .code = code, .jt = (uint8_t)if_true, .jf = (uint8_t)if_false, .k = k};
	return builder->count++;
}

static bool is_near(const struct builder *builder, uint32_t position)
{
	return builder->count - position <= REACH;
}

/* How many instructions a jump that is emitted next skips on its way to a position. */
static uint32_t distance(const struct builder *builder, uint32_t position)
{
	return builder->count - position - 1;
}

static uint32_t place_return(struct builder *builder, uint32_t value)
{
	uint32_t i = 0;
	while (i < builder->return_count && builder->returns[i].value != value)
		i++;
	if (i < builder->return_count && is_near(builder, builder->returns[i].position))
		return builder->returns[i].position;
	uint32_t position = emit(builder, BPF_RET | BPF_K, value, 0, 0);
	/* Where the table is full, a value simply has more returns. */
	if (i < RETURNS_MAX) {
		builder->returns[i].value = value;
		builder->returns[i].position = position;
		if (i >= builder->return_count)
			builder->return_count = i + 1;
	}
	return position;
}

/* Return a position within reach of the next jump that leads to the target. */
static uint32_t place(struct builder *builder, struct target target)
{
	if (target.is_return)
		return place_return(builder, target.value);
	if (is_near(builder, target.value))
		return target.value;
	return emit(builder, BPF_JMP | BPF_JA, distance(builder, target.value), 0, 0);
}

/* `if (A condition k) goto if_true; else goto if_false;` */
static uint32_t emit_jump(struct builder *builder, uint16_t condition, uint32_t k, struct target if_true,
                          struct target if_false)
{
	uint32_t near_true = place(builder, if_true);
	uint32_t near_false = place(builder, if_false);
	return emit(builder, BPF_JMP | condition | BPF_K, k, distance(builder, near_true),
	            distance(builder, near_false));
}

static struct target emit_load(struct builder *builder, size_t offset)
{
	return to_position(emit(builder, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0));
}

/* ---- Comparisons ---- */

/* Load half an argument; x86-64 has the lower one first. */
static struct target emit_load_half(struct builder *builder, uint8_t argument, bool upper)
{
	size_t offset = offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t);
	return emit_load(builder, offset + (upper ? sizeof(uint32_t) : 0));
}

/* The lower half decides: compare it, cut to the bits that the kernel looks at. */
static struct target compare_lower(struct builder *builder, const struct policy_comparison *comparison,
                                   uint16_t condition, uint32_t k, struct target if_true, struct target if_false)
{
	emit_jump(builder, condition, k, if_true, if_false);
	if (comparison->bits < 32)
		emit(builder, BPF_ALU | BPF_AND | BPF_K, (1u << comparison->bits) - 1, 0, 0);
	return emit_load_half(builder, comparison->argument, false);
}

static struct target compare_equal(struct builder *builder, const struct policy_comparison *comparison,
                                   struct target if_true, struct target if_false)
{
	struct target lower = compare_lower(builder, comparison, BPF_JEQ, (uint32_t)comparison->value, if_true,
	                                    if_false);
	if (comparison->bits <= 32)
		return lower;
	emit_jump(builder, BPF_JEQ, (uint32_t)(comparison->value >> 32), lower, if_false);
	return emit_load_half(builder, comparison->argument, true);
}

/* Above the value, or, with BPF_JGE, at it too: the upper half decides, and if it is equal, the lower one. */
static struct target compare_order(struct builder *builder, const struct policy_comparison *comparison,
                                   uint16_t condition, struct target if_true, struct target if_false)
{
	uint32_t upper = (uint32_t)(comparison->value >> 32);
	struct target lower = compare_lower(builder, comparison, condition, (uint32_t)comparison->value, if_true,
	                                    if_false);
	if (comparison->bits <= 32)
		return lower;
	struct target is_equal = to_position(emit_jump(builder, BPF_JEQ, upper, lower, if_false));
	emit_jump(builder, BPF_JGT, upper, if_true, is_equal);
	return emit_load_half(builder, comparison->argument, true);
}

/* Has the argument any of these bits? A half without one is not looked at. */
static struct target compare_bits(struct builder *builder, const struct policy_comparison *comparison,
                                  uint64_t bits, struct target if_true, struct target if_false)
{
	struct target next = if_false;
	if ((uint32_t)bits != 0)
		next = compare_lower(builder, comparison, BPF_JSET, (uint32_t)bits, if_true, if_false);
	if (bits >> 32 == 0)
		return next;
	emit_jump(builder, BPF_JSET, (uint32_t)(bits >> 32), if_true, next);
	return emit_load_half(builder, comparison->argument, true);
}

static struct target compile_comparison(struct builder *builder, const struct policy_comparison *comparison,
                                        struct target if_true, struct target if_false)
{
	uint64_t top = UINT64_MAX >> (64 - comparison->bits);
	switch (comparison->op) {
	case POLICY_EQUAL:
		return compare_equal(builder, comparison, if_true, if_false);
	case POLICY_NOT_EQUAL:
		return compare_equal(builder, comparison, if_false, if_true);
	case POLICY_GREATER:
		return compare_order(builder, comparison, BPF_JGT, if_true, if_false);
	case POLICY_LESS_EQUAL:
		return compare_order(builder, comparison, BPF_JGT, if_false, if_true);
	case POLICY_GREATER_EQUAL:
		return compare_order(builder, comparison, BPF_JGE, if_true, if_false);
	case POLICY_LESS:
		return compare_order(builder, comparison, BPF_JGE, if_false, if_true);
	case POLICY_ANY_BIT:
		return compare_bits(builder, comparison, comparison->value, if_true, if_false);
	case POLICY_ONLY_BITS:
		return compare_bits(builder, comparison, ~comparison->value & top, if_false, if_true);
	}
	abort();
}

/* ---- Rules ---- */

static struct target compile_rule(struct builder *builder, const struct policy *policy,
                                  const struct policy_rule *rule, struct target refused)
{
	const struct target allowed = to_return(SECCOMP_RET_ALLOW);
	if (rule->kind == POLICY_ALLOW)
		return allowed;
	if (rule->error != 0)
		refused = to_return(SECCOMP_RET_ERRNO | (uint32_t)rule->error);
	/* From the last comparison to the first: where a group fails the next one begins. */
	struct target next = refused, next_group = refused;
	for (uint32_t i = rule->count; rule->kind == POLICY_WHEN && i > 0; i--) {
		const struct policy_comparison *comparison = &policy->comparisons[rule->first + i - 1];
		if (comparison->ends_group) {
			next_group = next;
			next = allowed;
		}
		next = compile_comparison(builder, comparison, next, next_group);
	}
	return next;
}

/* From this number up to the next span's: there. */
struct span {
	uint32_t number;
	struct target target;
};

/* Halve the spans until one is left. */
static struct target compile_search(struct builder *builder, const struct span *spans, size_t count)
{
	if (count == 1)
		return spans[0].target;
	size_t half = count / 2;
	struct target above = compile_search(builder, spans + half, count - half);
	struct target below = compile_search(builder, spans, half);
	return to_position(emit_jump(builder, BPF_JGE, spans[half].number, above, below));
}

static struct target compile_numbers(struct builder *builder, const struct policy *policy)
{
	/* One span for each number at most, and one for all those that are too high. */
	struct span spans[SYSCALLS_NUMBER_END + 1];
	size_t count = 0;
	for (int number = 0; number <= SYSCALLS_NUMBER_END; number++) {
		const struct policy_rule *rule = policy_find(policy, number);
		struct target target = to_return(SECCOMP_RET_USER_NOTIF);
		if (rule)
			target = compile_rule(builder, policy, rule, target);
		if (count == 0 || !is_same(spans[count - 1].target, target))
			spans[count++] = (struct span){.number = (uint32_t)number, .target = target};
	}
	return compile_search(builder, spans, count);
}

int filter_compile(const struct policy *policy, struct filter *out_filter, struct plugvm_error *out_error)
{
	struct builder builder = {.code = out_filter->code};
	const struct target killed = to_return(SECCOMP_RET_KILL_PROCESS);
	struct target numbers = compile_numbers(&builder, policy);
	/* Numbers mean nothing before the architecture is known. */
	emit_jump(&builder, BPF_JGE, X32_BIT, killed, numbers);
	struct target number = emit_load(&builder, offsetof(struct seccomp_data, nr));
	emit_jump(&builder, BPF_JEQ, AUDIT_ARCH_X86_64, number, killed);
	emit_load(&builder, offsetof(struct seccomp_data, arch));
	if (builder.is_full)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, E2BIG,
		                       "the policy makes a filter of more than %d instructions", BPF_MAXINSNS);
	out_filter->count = (uint16_t)builder.count;
	memmove(out_filter->code, out_filter->code + BPF_MAXINSNS - builder.count,
	        builder.count * sizeof(out_filter->code[0]));
	return 0;
}
