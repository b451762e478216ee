/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks who a plugin is outside its jail, by maps of ids as the kernel would show them to root in several places.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/identity.h"

struct rig {
	char proc[64];
	struct plugvm_jail *jail;
	char text[512]; /* the log's */
};

static void keep_line(void *context, enum plugvm_log_level level, const char *line)
{
	struct rig *rig = context;
	assert_int_equal(level, PLUGVM_LOG_INFO);
	snprintf(rig->text, sizeof(rig->text), "%s", line);
}

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	strcpy(rig.proc, "/tmp/plugvm-test-XXXXXX");
	assert_non_null(mkdtemp(rig.proc));
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &rig.jail, NULL), 0);
	*state = &rig;
	return 0;
}

static void path_of(const struct rig *rig, const char *name, char out_path[128])
{
	snprintf(out_path, 128, "%s/%s", rig->proc, name);
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	char path[128];
	plugvm_jail_free(&rig->jail);
	path_of(rig, "uid_map", path);
	unlink(path);
	path_of(rig, "gid_map", path);
	unlink(path);
	return rmdir(rig->proc);
}

static void put_map(const struct rig *rig, const char *name, const char *text)
{
	char path[128];
	path_of(rig, name, path);
	FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int choose(struct rig *rig, struct identity *out_identity, struct plugvm_error *out_error)
{
	const struct log log = {.sink = keep_line, .context = rig};
	rig->text[0] = '\0';
	return identity_choose(rig->proc, rig->jail, &log, out_identity, out_error);
}

static void skip_unless_root(void)
{
	if (geteuid() != 0)
		test_skip("only root gives ids away");
}

/* Expect ids of the range, and a line that has `text` (NULL: none). */
static void expect(struct rig *rig, uint32_t first, uint32_t end, const char *text)
{
	struct identity identity;
	assert_int_equal(choose(rig, &identity, NULL), 0);
	if (identity.uid < first || identity.uid >= end)
		fail_msg("%u is not from %u to %u", identity.uid, first, end);
	assert_int_equal(identity.gid, identity.uid);
	assert_int_equal(identity.is_own, identity.uid == 0);
	assert_true(text ? strstr(rig->text, text) != NULL : !rig->text[0]);
}

static void put_maps(const struct rig *rig, const char *text)
{
	put_map(rig, "uid_map", text);
	put_map(rig, "gid_map", text);
}

static void test_whole_machine(void **state)
{
	skip_unless_root();
	/* Without /proc as well. */
	expect(*state, 0x70000000, 0x7fffffff, NULL);
	put_maps(*state, "         0          0 4294967295\n");
	expect(*state, 0x70000000, 0x7fffffff, NULL);
	struct identity first, second;
	assert_int_equal(choose(*state, &first, NULL), 0);
	assert_int_equal(choose(*state, &second, NULL), 0);
	assert_int_not_equal(first.uid, second.uid);
}

static void test_container(void **state)
{
	skip_unless_root();
	put_maps(*state, "0 100000 65536\n");
	expect(*state, 60706, 61184, "few ids");
	/* As a user's containers are, with his own id as root's. */
	put_maps(*state, "0 1000 1\n1 100000 65536\n");
	expect(*state, 60706, 61184, "few ids");
	put_maps(*state, "0 100000 200000\n");
	expect(*state, 65536, 200000, "few ids");
	/* Groups too. */
	put_map(*state, "gid_map", "0 100000 65536\n");
	expect(*state, 60706, 61184, "few ids");
}

static void test_nothing_to_spare(void **state)
{
	skip_unless_root();
	static const char *const maps[] = {"0 1000 1\n", "0 1000 1000\n", "0 0 60706\n", ""};
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		put_maps(*state, maps[i]);
		expect(*state, 0, 1, "no ids to spare");
	}
}

static void test_operator(void **state)
{
	struct rig *rig = *state;
	struct identity identity;
	struct plugvm_error error;
	skip_unless_root();
	assert_int_equal(plugvm_jail_set_uid(rig->jail, 77, NULL), 0);
	put_maps(rig, "0 1000 1\n77 5000 1\n");
	expect(rig, 77, 78, NULL);
	put_map(rig, "gid_map", "0 1000 1\n");
	assert_int_equal(choose(rig, &identity, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_non_null(strstr(error.text, "uid 77 for the plugin: this user namespace does not have it"));
}

/* Whatever the maps say. */
static void test_ordinary_user(void **state)
{
	struct identity identity;
	put_maps(*state, "0 0 4294967295\n");
	if (geteuid() == 0)
		assert_int_equal(seteuid(54321), 0);
	int result = choose(*state, &identity, NULL);
	uint32_t user = geteuid();
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(result, 0);
	assert_true(identity.is_own && identity.uid == user && identity.gid == getegid());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_whole_machine), TEST(test_container),     TEST(test_nothing_to_spare),
	    TEST(test_operator),      TEST(test_ordinary_user),
	};
	return cmocka_run_group_tests_name("jail_identity", tests, NULL, NULL);
}
