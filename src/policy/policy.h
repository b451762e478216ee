/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that a jailed process may make, parsed from a text: plugvm-policy(5). The text is the operator's
 * and trusted, but not to be without mistakes: each is told with file, line and column. Any process, any thread.
 */
#ifndef PLUGVM_POLICY_POLICY_H
#define PLUGVM_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugvm.h"
#include "wire/limits.h"

/* Of a file's name its end is kept, in this many bytes with a zero byte. */
#define POLICY_NAME_MAX 101

/* How an argument is compared with a value; all unsigned. */
enum policy_operator {
	POLICY_EQUAL,
	POLICY_NOT_EQUAL,
	POLICY_LESS,
	POLICY_LESS_EQUAL,
	POLICY_GREATER,
	POLICY_GREATER_EQUAL,
	POLICY_ANY_BIT,   /* `&`: has at least one of the value's bits */
	POLICY_ONLY_BITS, /* `in`: has none but the value's bits */
};

/*
 * `argN OP VALUE`. The comparisons of a rule stand in a row. Those up to one that ends its group must all be true,
 * and of the groups one: the expression's && and ||. No comparison is true or false of every argument.
 */
struct policy_comparison {
	uint64_t value; /* fits `bits` */
	enum policy_operator op;
	uint8_t argument;
	uint8_t bits; /* how many the kernel looks at: 16, 32 or 64 */
	bool ends_group;
};

enum policy_rule_kind {
	POLICY_ALLOW, /* `1` */
	POLICY_WHEN,  /* an expression: allowed when it is true */
	POLICY_NEVER, /* only `return`: not even made */
};

struct policy_rule {
	int number; /* of the system call */
	enum policy_rule_kind kind;
	int error;             /* errno where it is not allowed; 0: as for a call without a rule */
	uint32_t first, count; /* comparisons, of POLICY_WHEN */
	uint32_t file, line;   /* where it stands; file 0 is the first that was read */
};

struct policy {
	struct policy_rule rules[LIMIT_POLICY_RULES];
	uint32_t rule_count;
	struct policy_comparison comparisons[LIMIT_POLICY_COMPARISONS];
	uint32_t comparison_count;
	char files[LIMIT_POLICY_FILES][POLICY_NAME_MAX]; /* what policy_rule.file counts */
};

/*
 * Parse a file and what it includes. `./` of an @include is the directory of the file that it stands in.
 *   -EINVAL and others  *out_error (may be NULL) says where and why; *out_policy is of no use
 */
int policy_load(const char *path, struct policy *out_policy, struct plugvm_error *out_error);

/* Parse a text, called `name` in errors. It cannot include files. */
int policy_parse(const char *name, const char *text, size_t size, struct policy *out_policy,
                 struct plugvm_error *out_error);

/* Return the rule of a system call, or NULL. */
const struct policy_rule *policy_find(const struct policy *, int number);

/* Is a comparison true of this value, of which there are no more bits than it looks at? */
bool policy_holds(const struct policy_comparison *, uint64_t value);

#endif
