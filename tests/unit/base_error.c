/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how a struct plugvm_error is filled: every errno, NULL, and texts as long as the field and longer.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void test_every_errno(void **state)
{
	(void)state;
	for (int code = 1; code < 200; code++) {
		struct plugvm_error error;
		memset(&error, 0xaa, sizeof(error));
		assert_int_equal(error_set(&error, PLUGVM_ERROR_KVM, code, "step %d", code), -code);
		assert_int_equal(error.code, code);
		assert_int_equal(error.kind, PLUGVM_ERROR_KVM);
		assert_non_null(strstr(error.text, error_name(code)));
		assert_null(strchr(error.text, '\n'));
	}
	assert_string_equal(error_name(ENOENT), "ENOENT");
	assert_string_equal(error_name(-1), "unknown error");
	assert_string_equal(error_name(100000), "unknown error");
}

static void test_texts(void **state)
{
	(void)state;
	struct plugvm_error error;
	assert_int_equal(error_set(&error, PLUGVM_ERROR_ENVIRONMENT, ENOENT, "%s", "/dev/kvm"), -ENOENT);
	assert_string_equal(error.text, "/dev/kvm: No such file or directory (ENOENT)");
	assert_int_equal(error_set_plain(&error, PLUGVM_ERROR_CONFIG, EINVAL, "just %s", "this"), -EINVAL);
	assert_string_equal(error.text, "just this");
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_int_equal(error_set(NULL, PLUGVM_ERROR_CONFIG, EPERM, "nobody reads this"), -EPERM);
	assert_int_equal(error_set_plain(NULL, PLUGVM_ERROR_CONFIG, EPERM, "nobody reads this"), -EPERM);
}

static void test_long_texts(void **state)
{
	(void)state;
	char text[600];
	for (size_t length = 200; length < sizeof(text); length++) {
		struct plugvm_error *error = malloc(sizeof(*error)); /* so that a sanitizer sees its end */
		assert_non_null(error);
		memset(text, 'x', length);
		text[length] = '\0';
		error_set(error, PLUGVM_ERROR_CONFIG, ENOENT, "%s", text);
		assert_true(strlen(error->text) < sizeof(error->text));
		error_set_plain(error, PLUGVM_ERROR_CONFIG, ENOENT, "%s", text);
		size_t expected = length < sizeof(error->text) ? length : sizeof(error->text) - 1;
		assert_int_equal(strlen(error->text), expected);
		free(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_errno),
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_long_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
