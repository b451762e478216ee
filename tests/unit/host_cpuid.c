/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks CPUID tables and the MSR list between wire and KVM: every field, the index and its flag, too many entries,
 * and a KVM that refuses.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"
#include "host/cpuid.h"
#include "wire/limits.h"

static void test_to_wire(void **state)
{
	(void)state;
	struct kvm_cpuid2 *cpuid = cpuid_new();
	assert_non_null(cpuid);
	assert_int_equal(cpuid->nent, LIMIT_CPUID_ENTRIES);
	cpuid->nent = 2;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = 7,
	                                              .index = 1,
	                                              .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	                                              .eax = 2,
	                                              .ebx = 3,
	                                              .ecx = 4,
	                                              .edx = 5};
	cpuid->entries[1] = (struct kvm_cpuid_entry2){.function = UINT32_MAX, .index = 9};
	wire_CpuidEntry entries[LIMIT_CPUID_ENTRIES];
	struct wire_array array;
	cpuid_to_wire(cpuid, entries, &array);
	assert_ptr_equal(array.items, entries);
	assert_int_equal(array.count, 2);
	assert_int_equal(entries[0].function, 7);
	assert_true(entries[0].has_index);
	assert_int_equal(entries[0].index, 1);
	assert_int_equal(entries[0].eax, 2);
	assert_int_equal(entries[0].ebx, 3);
	assert_int_equal(entries[0].ecx, 4);
	assert_int_equal(entries[0].edx, 5);
	assert_int_equal(entries[1].function, UINT32_MAX);
	assert_false(entries[1].has_index);

	/* The longest table, and a number beyond it that no KVM should give. */
	for (uint32_t count = LIMIT_CPUID_ENTRIES; count <= LIMIT_CPUID_ENTRIES + 1; count++) {
		cpuid->nent = count;
		cpuid_to_wire(cpuid, entries, &array);
		assert_int_equal(array.count, LIMIT_CPUID_ENTRIES);
	}
	cpuid->nent = 0;
	cpuid_to_wire(cpuid, entries, &array);
	assert_int_equal(array.count, 0);
	free(cpuid);
}

static void test_from_wire(void **state)
{
	(void)state;
	struct kvm_cpuid2 *cpuid = cpuid_new();
	assert_non_null(cpuid);
	const wire_CpuidEntry entries[] = {
	    {.function = 4, .has_index = true, .index = 2, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4},
	    {.function = 1, .index = 5, .edx = UINT32_MAX},
	};
	struct wire_array array = {.items = entries, .count = 2, .stored = 2};
	memset(cpuid->entries, 0xff, 2 * sizeof(cpuid->entries[0]));
	assert_int_equal(cpuid_from_wire(&array, cpuid), 0);
	assert_int_equal(cpuid->nent, 2);
	struct kvm_cpuid_entry2 expected = {.function = 4,
	                                    .index = 2,
	                                    .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	                                    .eax = 1,
	                                    .ebx = 2,
	                                    .ecx = 3,
	                                    .edx = 4};
	assert_memory_equal(&cpuid->entries[0], &expected, sizeof(expected));
	/* An index that is not said to be one is none, and nothing is left of what was there before. */
	expected = (struct kvm_cpuid_entry2){.function = 1, .edx = UINT32_MAX};
	assert_memory_equal(&cpuid->entries[1], &expected, sizeof(expected));
	free(cpuid);
}

static void test_from_wire_limit(void **state)
{
	(void)state;
	static const wire_CpuidEntry entries[LIMIT_CPUID_ENTRIES];
	struct kvm_cpuid2 *cpuid = cpuid_new();
	assert_non_null(cpuid);
	static const struct {
		uint32_t count, stored;
		int result;
	} cases[] = {
	    {0, 0, 0},
	    {LIMIT_CPUID_ENTRIES, LIMIT_CPUID_ENTRIES, 0},
	    {LIMIT_CPUID_ENTRIES, LIMIT_CPUID_ENTRIES - 1, -E2BIG},
	    {LIMIT_CPUID_ENTRIES + 1, LIMIT_CPUID_ENTRIES, -E2BIG},
	    {UINT32_MAX, LIMIT_CPUID_ENTRIES, -E2BIG},
	    {2, 0, -E2BIG},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_array array = {.items = entries, .count = cases[i].count, .stored = cases[i].stored};
		assert_int_equal(cpuid_from_wire(&array, cpuid), cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(cpuid->nent, cases[i].count);
	}
	free(cpuid);
}

static void test_msr_list(void **state)
{
	(void)state;
	int fds = count_open_fds();
	fake_kvm_install();
	struct plugvm_kvm *kvm;
	assert_int_equal(plugvm_kvm_open(NULL, &kvm, NULL), 0);
	struct kvm_msr_list *list = NULL;
	assert_int_equal(msr_index_list(kvm, &list), 0);
	assert_int_equal(list->nmsrs, FAKE_MSRS);
	for (uint32_t i = 0; i < FAKE_MSRS; i++)
		assert_int_equal(list->indices[i], FAKE_MSR_FIRST + i);
	free(list);
	/* The first call only asks how many there are: E2BIG is its answer, anything else an error. */
	list = NULL;
	fake_kvm_fail(KVM_GET_MSR_INDEX_LIST, EIO, 1);
	assert_int_equal(msr_index_list(kvm, &list), -EIO);
	fake_kvm_fail(KVM_GET_MSR_INDEX_LIST, E2BIG, 2);
	assert_int_equal(msr_index_list(kvm, &list), -E2BIG);
	assert_null(list);
	plugvm_kvm_free(&kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_to_wire),
	    cmocka_unit_test(test_from_wire),
	    cmocka_unit_test(test_from_wire_limit),
	    cmocka_unit_test(test_msr_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
