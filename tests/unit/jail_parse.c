/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what an operator writes about a jail: mounts and gid maps, in options and in files; that each mistake is refused
 * with where it is, and that nothing of it is kept.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/jail.h"

static int setup(void **state)
{
	struct plugvm_jail *jail;
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &jail, NULL), 0);
	*state = jail;
	return 0;
}

static int teardown(void **state)
{
	struct plugvm_jail *jail = *state;
	plugvm_jail_free(&jail);
	assert_null(jail);
	return 0;
}

static void test_mounts(void **state)
{
	struct plugvm_jail *jail = *state;
	static const struct {
		const char *text, *source, *target;
		bool writable;
	} cases[] = {
	    {"/etc", "/etc", "/etc", false},
	    {"/etc:", "/etc", "/etc", false},
	    {"/etc:/a/b", "/etc", "/a/b", false},
	    {"/etc:/a:false", "/etc", "/a", false},
	    {"/etc:/a:true", "/etc", "/a", true},
	    {"/etc::true", "/etc", "/etc", true},
	    {"/etc//passwd", "/etc//passwd", "/etc//passwd", false},
	    {"/:/host", "/", "/host", false},
	    {"/etc:/plugins", "/etc", "/plugins", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plugvm_error error;
		if (plugvm_jail_parse_mount(jail, cases[i].text, &error) < 0)
			fail_msg("%s", error.text);
		assert_int_equal(jail->mount_count, i + 1);
		assert_string_equal(jail->mounts[i].source, cases[i].source);
		assert_string_equal(jail->mounts[i].target, cases[i].target);
		assert_int_equal(jail->mounts[i].writable, cases[i].writable);
	}
}

static void test_wrong_mounts(void **state)
{
	struct plugvm_jail *jail = *state;
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"", "absolute"},
	    {":/a", "absolute"},
	    {"etc", "absolute"},
	    {"./etc:/a", "absolute"},
	    {"/nonexistent/file", "ENOENT"},
	    {"/etc:a", "target"},
	    {"/etc:/", "target"},
	    {"/", "target"},
	    {"/etc:/a/../b", "target"},
	    {"/etc:/a/./b", "target"},
	    {"/etc:/..", "target"},
	    {"/etc:/plugin", "other than /plugin"},
	    {"/etc://plugin/", "other than /plugin"},
	    {"/etc:/plugin/name", "other than /plugin"},
	    {"/etc:/a:", "true or false"},
	    {"/etc:/a:yes", "true or false"},
	    {"/etc:/a:True", "true or false"},
	    {"/etc:/a:true:", "at most"},
	    {"/etc:/a:true:x", "at most"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plugvm_error error = {.text = ""};
		assert_int_equal(plugvm_jail_parse_mount(jail, cases[i].text, &error), -EINVAL);
		assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
		assert_int_equal(strncmp(error.text, "--plugin-mount: ", 16), 0);
		if (!strstr(error.text, cases[i].why))
			fail_msg("'%s' lacks '%s'", error.text, cases[i].why);
		/* Nor does it need somebody to tell. */
		assert_int_equal(plugvm_jail_parse_mount(jail, cases[i].text, NULL), -EINVAL);
	}
	assert_int_equal(jail->mount_count, 0);
}

static void test_gid_maps(void **state)
{
	struct plugvm_jail *jail = *state;
	static const struct {
		const char *text;
		struct plan_id_line line;
	} cases[] = {
	    {"5", {5, 5, 1}},       {"6:", {6, 6, 1}},           {"7:70", {7, 70, 1}},
	    {"8:80:2", {8, 80, 2}}, {"100::10", {100, 100, 10}}, {"4294967294", {4294967294u, 4294967294u, 1}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(plugvm_jail_parse_gid_map(jail, cases[i].text, NULL), 0);
		assert_int_equal(jail->gid_line_count, i + 1);
		assert_memory_equal(&jail->gid_lines[i], &cases[i].line, sizeof(cases[i].line));
	}
}

static void test_wrong_gid_maps(void **state)
{
	struct plugvm_jail *jail = *state;
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"", "decimal"},
	    {":", "decimal"},
	    {"-1", "decimal"},
	    {"+1", "decimal"},
	    {" 1", "decimal"},
	    {"0x10", "decimal"},
	    {"1:a", "decimal"},
	    {"1:2:", "decimal"},
	    {"1:2:0", "not that many"},
	    {"1:2:3:4", "at most"},
	    {"4294967296", "decimal"},
	    {"4294967295", "not that many"},
	    {"4294967290:1:6", "not that many"},
	    {"1:4294967290:6", "not that many"},
	    {"1000", "gid 1000"},
	    {"999:5:2", "gid 1000"},
	    {"20:900", "overlaps"},
	    {"900:20:5", "overlaps"},
	    {"19:5:5", "overlaps"},
	};
	assert_int_equal(plugvm_jail_parse_gid_map(jail, "20:20:10", NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plugvm_error error = {.text = ""};
		assert_int_equal(plugvm_jail_parse_gid_map(jail, cases[i].text, &error), -EINVAL);
		assert_int_equal(strncmp(error.text, "--plugin-gid-map: ", 18), 0);
		if (!strstr(error.text, cases[i].why))
			fail_msg("'%s' lacks '%s'", error.text, cases[i].why);
	}
	assert_int_equal(jail->gid_line_count, 1);
}

/* As many as fit into the page that the kernel takes: one that is cut would be another map. */
static void test_long_gid_maps(void **state)
{
	struct plugvm_jail *jail = *state;
	struct plugvm_error error;
	unsigned count = 0;
	char text[64];
	int result = 0;
	for (; result == 0 && count < JAIL_GID_LINES_MAX; count++) {
		snprintf(text, sizeof(text), "%u:%u:10", 2000000000 + count * 10, 3000000000u + count * 10);
		result = plugvm_jail_parse_gid_map(jail, text, &error);
	}
	assert_int_equal(result, -EINVAL);
	assert_int_equal(count - 1, JAIL_GID_BYTES_MAX / 25);
	assert_non_null(strstr(error.text, "too many gid maps"));
}

static void test_gid_map_count(void **state)
{
	struct plugvm_jail *jail = *state;
	struct plugvm_error error;
	char text[32];
	for (unsigned i = 0; i < JAIL_GID_LINES_MAX; i++) {
		snprintf(text, sizeof(text), "%u", 2000 + i);
		assert_int_equal(plugvm_jail_parse_gid_map(jail, text, NULL), 0);
	}
	assert_int_equal(plugvm_jail_parse_gid_map(jail, "1", &error), -EINVAL);
	assert_non_null(strstr(error.text, "too many"));
}

/* Write a file, and hand it to a reader. */
static int read_text(struct plugvm_jail *jail, const void *text, size_t size,
                     int (*reader)(struct plugvm_jail *, const char *, struct plugvm_error *),
                     struct plugvm_error *out_error)
{
	char path[] = "/tmp/plugvm-test-XXXXXX";
	FD_AUTO fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), (ssize_t)size);
	int result = reader(jail, path, out_error);
	unlink(path);
	/* The name is not known; the line is what counts. */
	if (result < 0)
		assert_int_equal(strncmp(out_error->text, path, strlen(path)), 0);
	return result;
}

static void test_files(void **state)
{
	struct plugvm_jail *jail = *state;
	struct plugvm_error error;
	static const char good[] = "# mounts\n\n  /etc:/a   # one\n\t/tmp::true\r\n/usr";
	assert_int_equal(read_text(jail, good, strlen(good), plugvm_jail_read_mounts, &error), 0);
	assert_int_equal(jail->mount_count, 3);
	assert_string_equal(jail->mounts[0].target, "/a");
	assert_true(jail->mounts[1].writable);
	assert_string_equal(jail->mounts[2].source, "/usr");

	static const char bad[] = "/etc\n\n/etc:b # two\n/usr\n";
	assert_int_equal(read_text(jail, bad, strlen(bad), plugvm_jail_read_mounts, &error), -EINVAL);
	assert_non_null(strstr(error.text, ":3: '/etc:b': the target"));
	static const char zero[] = "/etc\n/e\0tc\n";
	assert_int_equal(read_text(jail, zero, sizeof(zero) - 1, plugvm_jail_read_mounts, &error), -EINVAL);
	assert_non_null(strstr(error.text, ":2: a zero byte"));

	static const char gids[] = "5:50\n6 # six\n";
	assert_int_equal(read_text(jail, gids, strlen(gids), plugvm_jail_read_gid_maps, &error), 0);
	assert_int_equal(jail->gid_line_count, 2);
	static const char bad_gids[] = "7\nx\n";
	assert_int_equal(read_text(jail, bad_gids, strlen(bad_gids), plugvm_jail_read_gid_maps, &error), -EINVAL);
	assert_non_null(strstr(error.text, ":2: 'x':"));

	assert_int_equal(plugvm_jail_read_mounts(jail, "/nonexistent/file", &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/file"));
	assert_int_equal(plugvm_jail_read_mounts(jail, "/", &error), -EISDIR);
}

static void test_others(void **state)
{
	struct plugvm_jail *jail = *state;
	struct plugvm_jail *none = NULL;
	assert_int_equal(plugvm_jail_new((enum plugvm_jail_profile)7, &none, NULL), -EINVAL);
	plugvm_jail_free(&none);
	assert_int_equal(plugvm_jail_set_root(jail, "relative", NULL), -EINVAL);
	assert_int_equal(plugvm_jail_set_root(jail, "/nonexistent", NULL), -ENOENT);
	assert_int_equal(plugvm_jail_set_root(jail, "/etc/passwd", NULL), -ENOTDIR);
	assert_int_equal(plugvm_jail_set_root(jail, "/etc", NULL), 0);
	assert_int_equal(plugvm_jail_set_root(jail, "/usr", NULL), 0);
	assert_string_equal(jail->root, "/usr");
	assert_int_equal(plugvm_jail_set_rlimit(jail, -1, 0, NULL), -EINVAL);
	assert_int_equal(plugvm_jail_set_rlimit(jail, RLIM_NLIMITS, 0, NULL), -EINVAL);
	assert_int_equal(plugvm_jail_join_cgroup(jail, "relative", NULL), -EINVAL);
	assert_int_equal(plugvm_jail_join_cgroup(jail, "/nonexistent", NULL), -ENOENT);
	assert_int_equal(plugvm_jail_set_policy(jail, "/nonexistent", NULL), -ENOENT);
	assert_int_equal(plugvm_jail_set_policy(jail, "/etc", NULL), -EISDIR);
	assert_null(jail->policy);
	assert_int_equal(plugvm_jail_allow_jit(jail, NULL), 0);
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_STRICT, &none, NULL), 0);
	assert_int_equal(plugvm_jail_allow_jit(none, NULL), -EINVAL);
	plugvm_jail_free(&none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_mounts),        TEST(test_wrong_mounts),  TEST(test_gid_maps), TEST(test_wrong_gid_maps),
	    TEST(test_gid_map_count), TEST(test_long_gid_maps), TEST(test_files),    TEST(test_others),
	};
	return cmocka_run_group_tests_name("jail_parse", tests, NULL, NULL);
}
