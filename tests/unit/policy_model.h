/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random policies, each made twice: as a text for the parser, and as a model that says by itself what shall become of
 * a call. It knows neither the parser nor the compiler.
 */
#ifndef PLUGVM_TESTS_UNIT_POLICY_MODEL_H
#define PLUGVM_TESTS_UNIT_POLICY_MODEL_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/filter.h"

/* Random numbers: deterministic, the same everywhere. */
struct random {
	uint64_t state;
};
uint64_t random_next(struct random *);
static inline uint64_t random_below(struct random *random, uint64_t end)
{
	return random_next(random) % end;
}

#define MODEL_COMPARISONS 6
#define MODEL_RULES       40
#define MODEL_VALUES      (MODEL_RULES * MODEL_COMPARISONS)

/* The calls that models have rules for: none does harm, if no fd is open. Widths as in prototypes of the kernel. */
struct model_call {
	const char *name;
	int number;
	const char *widths; /* h 16, i 32, l 64 bits */
};
extern const struct model_call model_calls[];
extern const size_t model_call_count;

struct model_comparison {
	unsigned int argument;
	int op; /* index of == != < <= > >= & in */
	uint64_t value;
	bool ends_group;
};

struct model_rule {
	const struct model_call *call; /* NULL: of the number, always allowed */
	int number;
	struct model_comparison comparisons[MODEL_COMPARISONS];
	size_t count; /* 0: always, unless there is an error */
	int error;
};

struct model {
	struct model_rule rules[MODEL_RULES];
	size_t rule_count;
	char text[16384];
};

/* Make a random policy. Calls that are no model_calls[] may have a rule too: 1. */
void model_make(struct model *, struct random *);

/* Return what a filter of the policy shall return. */
uint32_t model_verdict(const struct model *, const struct seccomp_data *);

/* Make a random call that comes near what the policy says. */
struct seccomp_data model_random_call(const struct model *, struct random *);

/* Return a value that differs from this one in an interesting way, or not at all. */
uint64_t random_near(struct random *, uint64_t value);

#endif
