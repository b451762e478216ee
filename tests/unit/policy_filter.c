/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the compiler of filters, without the kernel: random policies and calls against a model that knows neither
 * parser nor compiler; the built-in policies, of which every instruction is executed, against a direct evaluation;
 * changed policies and programs, each of which must be noticed; and how large a filter can be.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "policy/filter.h"
#include "policy/profiles.h"
#include "policy/syscalls.h"
#include "policy_bpf.h"
#include "policy_model.h"

static void compile(const struct policy *policy, struct filter *out_filter)
{
	struct plugvm_error error = {0};
	if (filter_compile(policy, out_filter, &error) != 0)
		fail_msg("%s", error.text);
	assert_true(bpf_is_valid(out_filter));
}

static void parse(const char *text, struct policy *out_policy)
{
	struct plugvm_error error = {0};
	if (policy_parse("test", text, strlen(text), out_policy, &error) != 0)
		fail_msg("%s\n%s", error.text, text);
}

/* ---- Random policies ---- */

static void test_model(void **state)
{
	(void)state;
	static struct policy policy;
	static struct filter filter;
	static struct model model;
	struct random random = {.state = 1};
	long verdicts[4] = {0};
	for (int round = 0; round < 1500; round++) {
		model_make(&model, &random);
		parse(model.text, &policy);
		assert_int_equal(policy.rule_count, model.rule_count);
		compile(&policy, &filter);
		for (int call = 0; call < 300; call++) {
			struct seccomp_data data = model_random_call(&model, &random);
			uint32_t wanted = model_verdict(&model, &data);
			uint32_t got = bpf_run(&filter, &data, NULL);
			if (got != wanted)
				fail_msg(
				    "round %d: call %d(0x%llx, 0x%llx, 0x%llx, 0x%llx) gives 0x%x, not 0x%x:\n%s",
				    round, data.nr, data.args[0], data.args[1], data.args[2], data.args[3], got,
				    wanted, model.text);
			verdicts[wanted == SECCOMP_RET_ALLOW          ? 0
			         : wanted == SECCOMP_RET_USER_NOTIF   ? 1
			         : wanted == SECCOMP_RET_KILL_PROCESS ? 2
			                                              : 3]++;
		}
	}
	/* Chance did not leave anything out. */
	for (int i = 0; i < 4; i++)
		assert_true(verdicts[i] > 10000);
}

/* ---- Calls that try a whole policy ---- */

#define CALLS_PER_RULE 4000
#define CALLS_MAX      (CALLS_PER_RULE * 40 + 2000)

struct trial {
	const struct policy *policy;
	struct seccomp_data calls[CALLS_MAX];
	uint32_t verdicts[CALLS_MAX];
	size_t count;
};

static void add_call(struct trial *trial, struct seccomp_data data)
{
	assert_true(trial->count < CALLS_MAX);
	trial->calls[trial->count] = data;
	trial->verdicts[trial->count++] = bpf_verdict(trial->policy, &data);
}

/* Give an argument a value that makes a comparison true, if what comes later lets it be. */
static void satisfy(const struct policy_comparison *comparison, struct random *random, struct seccomp_data *data)
{
	__u64 *argument = &data->args[comparison->argument];
	switch (comparison->op) {
	case POLICY_ANY_BIT:
		*argument |= comparison->value;
		break;
	case POLICY_ONLY_BITS:
		*argument = comparison->value & (random_below(random, 2) ? random_next(random) : UINT64_MAX);
		break;
	case POLICY_EQUAL:
	case POLICY_LESS_EQUAL:
	case POLICY_GREATER_EQUAL:
		*argument = comparison->value;
		break;
	case POLICY_NOT_EQUAL:
		*argument += *argument == comparison->value;
		break;
	case POLICY_GREATER:
		*argument = comparison->value + 1;
		break;
	case POLICY_LESS:
		*argument = comparison->value - 1;
		break;
	}
}

/* A call that one group of a rule allows, or nearly so. */
static struct seccomp_data make_call(const struct policy *policy, const struct policy_rule *rule,
                                     struct random *random)
{
	struct seccomp_data data = {.nr = rule->number, .arch = AUDIT_ARCH_X86_64};
	const struct policy_comparison *comparisons = &policy->comparisons[rule->first];
	for (int i = 0; i < 6 && random_below(random, 4) == 0; i++)
		data.args[i] = random_next(random) & 0xf0000000f;
	/* Where groups overlap, the others must not be true as well: their masks have none of what they may have. */
	for (uint32_t i = 0; i < rule->count; i++) {
		if (comparisons[i].op == POLICY_ONLY_BITS && random_below(random, 2))
			data.args[comparisons[i].argument] = ~comparisons[i].value;
	}
	uint32_t first = (uint32_t)random_below(random, rule->count);
	while (first > 0 && !comparisons[first - 1].ends_group)
		first--;
	uint32_t last = first;
	for (;; last++) {
		satisfy(&comparisons[last], random, &data);
		if (comparisons[last].ends_group)
			break;
	}
	if (random_below(random, 2)) {
		uint32_t spoilt = first + (uint32_t)random_below(random, last - first + 1);
		__u64 *argument = &data.args[comparisons[spoilt].argument];
		switch (random_below(random, 4)) {
		case 0:
			*argument = ~*argument;
			break;
		case 1:
			*argument = comparisons[spoilt].value;
			break;
		case 2:
			*argument ^= UINT64_C(1) << random_below(random, 16);
			break;
		default:
			*argument = random_near(random, *argument);
		}
	}
	/* What is above an argument's width is often not 0: it must not matter. */
	for (unsigned int i = 0; random_below(random, 2) && i < 6; i++) {
		unsigned int bits = syscalls_argument_bits(rule->number, i);
		data.args[i] |= bits > 0 && bits < 64 ? random_next(random) << bits : 0;
	}
	return data;
}

/* Try every number, and where there are comparisons, many arguments. */
static void trial_make(struct trial *trial, const struct policy *policy)
{
	struct random random = {.state = 2};
	trial->policy = policy;
	trial->count = 0;
	for (int number = -2; number < 600; number++) {
		struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64};
		add_call(trial, data);
		data.nr |= 0x40000000;
		add_call(trial, data);
	}
	add_call(trial, (struct seccomp_data){.nr = SYS_read, .arch = AUDIT_ARCH_I386});
	for (uint32_t r = 0; r < policy->rule_count; r++) {
		for (int i = 0; policy->rules[r].kind == POLICY_WHEN && i < CALLS_PER_RULE; i++)
			add_call(trial, make_call(policy, &policy->rules[r], &random));
	}
}

/* Does the filter do something else than the policy says? */
static bool trial_notices(const struct trial *trial, const struct filter *filter)
{
	for (size_t i = 0; i < trial->count; i++) {
		if (bpf_run(filter, &trial->calls[i], NULL) != trial->verdicts[i])
			return true;
	}
	return false;
}

/* Each way to compare, for each width; no group is true when another is. */
static const char all_operators[] =
    "pread64: arg2 == 0x100000004 && arg3 != 0x100000002 || arg2 < 0x100000002 && arg3 == 5 || \\\n"
    "         arg1 > 0xfffffff100000000 && arg3 == 6; return 9\n"
    "lseek: arg1 <= 0x500000005 && arg2 & 6 || arg1 >= 0xff0000000000 && arg0 in 6\n"
    "mremap: arg1 & 0x800000001 || arg2 & 0x80000000 || arg3 & 0x100000000 || \\\n"
    "        arg0 in 0x300000003 && arg4 in 0xffffffff00000000 && arg4 != 0\n"
    "ioctl: arg0 == 3 && arg1 != 4 || arg0 < 7 && arg2 == 1 || arg0 > 0x80000000 && arg2 == 2 || \\\n"
    "       arg1 <= 2 && arg2 == 3 || arg1 >= 0x90000000 && arg2 == 4; return 8\n"
    "fchmod: arg1 == 7 && arg0 == 1 || arg1 & 0x800 && arg0 == 2 || arg1 in 0x1f8 && arg0 == 3 || \\\n"
    "        arg1 > 0xff00 && arg0 == 4\n"
    "ptrace: return 3\n400: 1\n401: 1\n511: 1\n";

struct subject {
	struct policy policy;
	struct filter filter;
	struct trial trial;
};

static struct subject subjects[3];

static int make_subjects(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct subject *subject = &subjects[i];
		const struct profile *profile = i < 2 ? profiles_find(i == 0 ? "default" : "strict") : NULL;
		parse(profile ? profile->text : all_operators, &subject->policy);
		compile(&subject->policy, &subject->filter);
		trial_make(&subject->trial, &subject->policy);
	}
	return 0;
}

static void test_every_instruction(void **state)
{
	(void)state;
	for (int s = 0; s < 3; s++) {
		const struct subject *subject = &subjects[s];
		uint32_t hits[BPF_MAXINSNS] = {0};
		for (size_t i = 0; i < subject->trial.count; i++) {
			const struct seccomp_data *data = &subject->trial.calls[i];
			uint32_t got = bpf_run(&subject->filter, data, hits);
			if (got != subject->trial.verdicts[i])
				fail_msg("call %d(0x%llx, 0x%llx, 0x%llx, 0x%llx) gives 0x%x, not 0x%x", data->nr,
				         data->args[0], data->args[1], data->args[2], data->args[3], got,
				         subject->trial.verdicts[i]);
		}
		for (uint32_t i = 0; i < subject->filter.count; i++) {
			if (hits[i] == 0)
				fail_msg("filter %d: instruction %u of %u is never executed", s, i,
				         subject->filter.count);
		}
		print_message("# filter %d has %u instructions\n", s, subject->filter.count);
	}
}

/* ---- Mutants ---- */

static void must_notice(const struct subject *subject, const struct policy *mutant, const char *what,
                        uint32_t which)
{
	static struct filter filter;
	compile(mutant, &filter);
	if (!trial_notices(&subject->trial, &filter))
		fail_msg("policy %d, %s %u: not noticed", (int)(subject - subjects), what, which);
}

/* A policy with one change is another policy, and the trial finds where. */
static void test_changed_policies(void **state)
{
	(void)state;
	static struct policy mutant;
	for (int s = 0; s < 3; s++) {
		const struct subject *subject = &subjects[s];
		const struct policy *policy = &subject->policy;
		assert_false(trial_notices(&subject->trial, &subject->filter));
		for (uint32_t i = 0; i < policy->rule_count; i++) {
			mutant = *policy;
			mutant.rules[i] = mutant.rules[--mutant.rule_count];
			must_notice(subject, &mutant, "without rule", i);
		}
		for (uint32_t i = 0; i < policy->comparison_count; i++) {
			const struct policy_comparison *comparison = &policy->comparisons[i];
			mutant = *policy;
			/* == and !=, < and <=, > and >=, & and in */
			mutant.comparisons[i].op = (enum policy_operator)(comparison->op ^ 1);
			must_notice(subject, &mutant, "other operator in comparison", i);

			mutant = *policy;
			/* One bit more; but of `&`, all: one may be a bit that a neighbour rules out. */
			uint64_t more = comparison->op == POLICY_ANY_BIT ? UINT32_MAX >> 1 : comparison->value + 1;
			mutant.comparisons[i].value |= more;
			must_notice(subject, &mutant, "wider mask in comparison", i);

			mutant = *policy;
			mutant.comparisons[i].bits = 64;
			/* `&` looks for bits of its value only, wherever an argument ends. */
			if (comparison->bits < 64 && comparison->op != POLICY_ANY_BIT)
				must_notice(subject, &mutant, "64 bits in comparison", i);
		}
	}
}

static const struct policy_rule *rule_of(const struct policy *policy, int number)
{
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		if (policy->rules[i].number == number)
			return &policy->rules[i];
	}
	return NULL;
}

static bool is_same_rule(const struct policy *policy, const struct policy_rule *a, const struct policy_rule *b)
{
	if (!a || !b || a->kind != b->kind || a->error != b->error || a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct policy_comparison *x = &policy->comparisons[a->first + i];
		const struct policy_comparison *y = &policy->comparisons[b->first + i];
		if (x->value != y->value || x->op != y->op || x->argument != y->argument || x->bits != y->bits ||
		    x->ends_group != y->ends_group)
			return false;
	}
	return true;
}

/*
 * Is this the branch between two neighbours with the same rule, and nobody else comes here? Then either side does: chmod and
 * fchmod are such, where the tree of numbers happens to end at them.
 */
static bool parts_twins(const struct subject *subject, uint32_t instruction)
{
	int number = (int)subject->filter.code[instruction].k;
	const struct policy *policy = &subject->policy;
	if (BPF_OP(subject->filter.code[instruction].code) != BPF_JGE ||
	    !is_same_rule(policy, rule_of(policy, number - 1), rule_of(policy, number)))
		return false;
	for (size_t i = 0; i < subject->trial.count; i++) {
		const struct seccomp_data *data = &subject->trial.calls[i];
		uint32_t hits[BPF_MAXINSNS] = {0};
		if (data->nr == number || data->nr == number - 1)
			continue;
		bpf_run(&subject->filter, data, hits);
		if (hits[instruction] > 0)
			return false;
	}
	return true;
}

/* So is a program with one wrong instruction. */
static void test_changed_programs(void **state)
{
	(void)state;
	static struct filter mutant;
	for (int s = 0; s < 3; s++) {
		const struct subject *subject = &subjects[s];
		for (uint32_t i = 0; i < subject->filter.count; i++) {
			mutant = subject->filter;
			struct sock_filter *instruction = &mutant.code[i];
			bool is_branch = BPF_CLASS(instruction->code) == BPF_JMP &&
			                 BPF_OP(instruction->code) != BPF_JA;
			if (is_branch) {
				uint8_t jt = instruction->jt;
				instruction->jt = instruction->jf;
				instruction->jf = jt;
			} else if (BPF_CLASS(instruction->code) == BPF_RET) {
				instruction->k ^= 1;
			} else {
				continue;
			}
			if (!trial_notices(&subject->trial, &mutant) && !(is_branch && parts_twins(subject, i)))
				fail_msg("filter %d, instruction %u (0x%x, 0x%x, %u, %u): not noticed", s, i,
				         instruction->code, instruction->k, instruction->jt, instruction->jf);
		}
	}
}

/* ---- Size ---- */

/* `count` comparisons of one rule, of which the last can be reached only over all others. */
static int compile_long(const char *text, int count, struct policy *policy, struct filter *filter)
{
	static char buffer[LIMIT_POLICY_BYTES];
	char *end = buffer + sprintf(buffer, "read: 1\nlseek: ");
	for (int i = 0; i < count; i++)
		end += sprintf(end, "%s%s%d", i > 0 ? " || " : "", text, i + 1);
	sprintf(end, "; return 77\nwrite: arg0 == 1; return 78\nexit_group: 1\n");
	parse(buffer, policy);
	struct plugvm_error error = {0};
	int result = filter_compile(policy, filter, &error);
	if (result == 0) {
		assert_true(bpf_is_valid(filter));
	} else {
		assert_int_equal(result, -E2BIG);
		assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
		assert_string_equal(error.text, "the policy makes a filter of more than 4096 instructions");
	}
	return result;
}

static void check_long(const struct policy *policy, const struct filter *filter, int count)
{
	for (int number = 0; number < 10; number++) {
		for (int value = 0; value <= count + 1; value++) {
			struct seccomp_data data = {
			    .nr = number, .arch = AUDIT_ARCH_X86_64, .args = {(uint64_t)value}};
			data.args[1] = (uint64_t)value;
			assert_int_equal(bpf_run(filter, &data, NULL), bpf_verdict(policy, &data));
		}
	}
}

static void test_far_jumps(void **state)
{
	(void)state;
	static struct policy policy;
	static struct filter filter;
	/* Around the reach of a jump, and far beyond. */
	for (int count = 55; count < 135; count++) {
		assert_int_equal(compile_long("arg0 == ", count, &policy, &filter), 0);
		check_long(&policy, &filter, count);
		assert_int_equal(compile_long("arg1 == ", count, &policy, &filter), 0);
		check_long(&policy, &filter, count);
	}
	assert_int_equal(compile_long("arg0 == ", 1000, &policy, &filter), 0);
	assert_true(filter.count > 2000);
	check_long(&policy, &filter, 1000);
}

static void test_largest(void **state)
{
	(void)state;
	static struct policy policy;
	static struct filter filter;
	int count = 900;
	while (count < 1020 && compile_long("arg1 == ", count, &policy, &filter) == 0)
		count++;
	assert_in_range(count, 901, 1019);
	assert_int_equal(compile_long("arg1 == ", count - 1, &policy, &filter), 0);
	assert_in_range(filter.count, BPF_MAXINSNS - 8, BPF_MAXINSNS);
	check_long(&policy, &filter, count - 1);
	assert_int_equal(compile_long("arg1 == ", 1020, &policy, &filter), -E2BIG);
	assert_int_equal(filter_compile(&policy, &filter, NULL), -E2BIG);
}

/* More different errnos than the compiler remembers. */
static void test_many_errors(void **state)
{
	(void)state;
	static struct policy policy;
	static struct filter filter;
	static char text[LIMIT_POLICY_BYTES];
	char *end = text;
	for (int number = 0; number < LIMIT_POLICY_RULES; number++)
		end += sprintf(end, "%d: return %d\n", number, 1 + number % 300);
	parse(text, &policy);
	compile(&policy, &filter);
	for (int number = 0; number < LIMIT_POLICY_RULES + 10; number++) {
		struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64};
		assert_int_equal(bpf_run(&filter, &data, NULL), bpf_verdict(&policy, &data));
	}
}

/* ---- What the built-in policies say ---- */

static void test_profiles(void **state)
{
	(void)state;
	const uint64_t high = UINT64_C(0xabcdef01) << 32;
	const uint32_t allow = SECCOMP_RET_ALLOW, kill = SECCOMP_RET_KILL_PROCESS, notify = SECCOMP_RET_USER_NOTIF;
#define ERROR(code) (SECCOMP_RET_ERRNO | (code))
	const struct {
		int number;
		uint64_t args[6];
		uint32_t by_default, strict;
	} cases[] = {
	    {SYS_read, {0}, allow, allow},
	    {SYS_ptrace, {0}, notify, notify},
	    {SYS_io_uring_setup, {0}, notify, notify},
	    {SYS_seccomp, {0}, ERROR(EPERM), notify},
	    {SYS_setuid, {0}, ERROR(EPERM), notify},
	    {SYS_setfsuid, {0}, ERROR(EPERM), notify},
	    {SYS_setfsgid, {0}, ERROR(EPERM), notify},
	    {SYS_personality, {UINT32_MAX}, ERROR(EPERM), notify},
	    {SYS_setns, {0}, notify, notify},
	    {SYS_kill, {2}, allow, notify},
	    {SYS_kill, {1}, ERROR(EPERM), notify},
	    {SYS_kill, {UINT32_MAX}, ERROR(EPERM), notify},
	    {SYS_fork, {0}, notify, notify},
	    {SYS_clone3, {0}, ERROR(ENOSYS), ERROR(ENOSYS)},
	    {SYS_clone, {0x3d0f00}, allow, allow},
	    {SYS_clone, {0x3d0f00 | high}, allow, allow},
	    {SYS_clone, {SIGCHLD}, ERROR(EPERM), notify},
	    {SYS_clone, {0x3d0f00 | CLONE_NEWUSER}, ERROR(EPERM), notify},
	    {SYS_ioctl, {0, TIOCSTI}, ERROR(ENOTTY), ERROR(ENOTTY)},
	    {SYS_ioctl, {0, TIOCSTI | high}, ERROR(ENOTTY), ERROR(ENOTTY)},
	    {SYS_ioctl, {0, FIONREAD | high}, allow, ERROR(ENOTTY)},
	    {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}, allow, allow},
	    {SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE}, allow, notify},
	    {SYS_mmap, {0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE}, ERROR(EACCES), notify},
	    {SYS_mmap, {0, 4096, (PROT_WRITE | PROT_EXEC) | high, MAP_PRIVATE}, ERROR(EACCES), notify},
	    {SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_HUGETLB}, ERROR(EACCES), notify},
	    {SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, allow, notify},
	    {SYS_mprotect, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}, ERROR(EACCES), notify},
	    {SYS_futex, {0, FUTEX_WAIT}, allow, allow},
	    {SYS_futex, {0, FUTEX_WAKE_PRIVATE}, allow, allow},
	    {SYS_futex, {0, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME}, allow, allow},
	    {SYS_futex, {0, FUTEX_WAKE_BITSET}, allow, allow},
	    {SYS_futex, {0, FUTEX_REQUEUE}, ERROR(ENOSYS), notify},
	    {SYS_futex, {0, FUTEX_CMP_REQUEUE}, ERROR(ENOSYS), notify},
	    {SYS_futex, {0, FUTEX_CMP_REQUEUE_PRIVATE}, allow, allow},
	    {SYS_futex, {0, FUTEX_TRYLOCK_PI}, ERROR(ENOSYS), notify},
	    {SYS_tgkill, {2, 2, SIGABRT}, allow, allow},
	    {SYS_tgkill, {1, 1, SIGABRT}, ERROR(EPERM), notify},
	    {SYS_socket, {0}, ERROR(EACCES), ERROR(EACCES)},
	    {SYS_openat, {0}, allow, ERROR(ENOENT)},
	    {SYS_openat, {0, 0, O_RDONLY, 07777}, allow, ERROR(ENOENT)},
	    {SYS_openat, {0, 0, O_CREAT | O_RDWR, 0666 | high}, allow, ERROR(ENOENT)},
	    {SYS_openat, {0, 0, O_CREAT | O_RDWR, S_ISUID | 0755}, ERROR(EPERM), ERROR(ENOENT)},
	    {SYS_openat, {0, 0, O_TMPFILE | O_RDWR, S_ISGID | 0755}, ERROR(EPERM), ERROR(ENOENT)},
	    {SYS_open, {0, (O_CREAT | O_RDWR) | high, S_ISUID | 0755}, ERROR(EPERM), ERROR(ENOENT)},
	    {SYS_creat, {0, S_ISUID | 0755}, ERROR(EPERM), notify},
	    {SYS_chmod, {0, S_IFREG | 0755}, allow, notify},
	    {SYS_chmod, {0, S_ISUID | 0755}, ERROR(EPERM), notify},
	    {SYS_fchmod, {0, S_ISGID | 0755}, ERROR(EPERM), notify},
	    {SYS_fchmodat, {0, 0, S_ISUID | 0755}, ERROR(EPERM), notify},
	    {SYS_execveat, {0}, allow, notify},
	    {SYS_execve, {0}, allow, notify},
	    {SYS_prlimit64, {0, 7, 0, 1}, allow, allow},
	    {SYS_prlimit64, {0, 7, UINT64_C(1) << 32, 1}, ERROR(EPERM), ERROR(EPERM)},
	    {SYS_memfd_create, {0, 3}, allow, allow},
	    {SYS_memfd_create, {0, 4}, allow, notify},
	    {SYS_memfd_create, {0, 0x20}, ERROR(EINVAL), notify},
	    {SYS_getrandom | 0x40000000, {0}, kill, kill},
	    {450 + 60, {0}, notify, notify},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seccomp_data data = {.nr = cases[i].number, .arch = AUDIT_ARCH_X86_64};
		memcpy(data.args, cases[i].args, sizeof(data.args));
		uint32_t by_default = bpf_run(&subjects[0].filter, &data, NULL);
		uint32_t strict = bpf_run(&subjects[1].filter, &data, NULL);
		if (by_default != cases[i].by_default || strict != cases[i].strict)
			fail_msg("case %zu, call %d: 0x%x, 0x%x", i, data.nr, by_default, strict);
		data.arch = AUDIT_ARCH_I386;
		assert_int_equal(bpf_run(&subjects[0].filter, &data, NULL), kill);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_every_instruction),
	    cmocka_unit_test(test_changed_policies),
	    cmocka_unit_test(test_changed_programs),
	    cmocka_unit_test(test_far_jumps),
	    cmocka_unit_test(test_largest),
	    cmocka_unit_test(test_many_errors),
	    cmocka_unit_test(test_profiles),
	};
	return cmocka_run_group_tests(tests, make_subjects, NULL);
}
