/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the plan of a jail: that what is written is what the helper reads, that it is sealed, and that its reader
 * accepts no offset that leads out of it, whichever byte is wrong.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/plan_write.h"
#include "policy_bpf.h"

static char *const argv[] = {"first", "", "third with blanks", NULL};
static char *const env[] = {"A=1", "B=", NULL};
static const struct plugvm_fd_map fds[] = {{-1, 2}, {-1, 0}, {-1, 1}, {-1, 3}, {-1, 77}};
static const struct jail_limits limits = {.fds = 1111, .processes = 22, .file_bytes = UINT64_C(3) << 32};

static const struct log no_log = {.sink = NULL};

static struct launch launch_of(const char *path)
{
	return (struct launch){.path = path,
	                       .argv = (char **)argv,
	                       .env = (char **)env,
	                       .fds = (struct plugvm_fd_map *)fds,
	                       .fd_count = 5,
	                       .die_with_thread = true};
}

static struct plugvm_jail *make_jail(enum plugvm_jail_profile profile)
{
	struct plugvm_jail *jail;
	assert_int_equal(plugvm_jail_new(profile, &jail, NULL), 0);
	return jail;
}

/* Write a plan and return it in memory of exactly its size, so that a sanitizer sees every byte too far. */
static struct plan *write_plan(const struct plugvm_jail *jail, const char *path, size_t *out_size)
{
	struct launch launch = launch_of(path);
	struct plugvm_error error;
	struct stat status;
	FD_AUTO fd = -1;
	if (plan_write(jail, &launch, &limits, &no_log, &fd, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(fstat(fd, &status), 0);
	struct plan *plan = malloc((size_t)status.st_size);
	assert_non_null(plan);
	assert_int_equal(pread(fd, plan, (size_t)status.st_size, 0), status.st_size);
	*out_size = (size_t)status.st_size;
	return plan;
}

static void test_contents(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_STRICT);
	size_t size;
	assert_int_equal(plugvm_jail_parse_mount(jail, "/etc:/data", NULL), 0);
	assert_int_equal(plugvm_jail_parse_mount(jail, "/dev/null:/null:true", NULL), 0);
	assert_int_equal(plugvm_jail_parse_mount(jail, "/tmp::true", NULL), 0);
	assert_int_equal(plugvm_jail_set_rlimit(jail, RLIMIT_NPROC, 5, NULL), 0);
	assert_int_equal(plugvm_jail_set_rlimit(jail, RLIMIT_AS, 1 << 30, NULL), 0);
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	assert_true(plan_check(plan, size));

	assert_string_equal(plan_string(plan, plan->executable), "/bin/sh");
	assert_string_equal(plan_string(plan, plan->executable_name), "sh");
	assert_string_equal(plan_string(plan, plan->hostname), "plugvm");
	assert_true(plan->uid == 1000 && plan->gid == 1000 && plan->outer_uid != 0);
	assert_int_equal(plan->flags & ~(uint32_t)PLAN_UNPRIVILEGED, PLAN_DIE_WITH_PARENT);
	assert_int_equal(plan->fail_step, STEP_NONE);
	assert_int_equal(plan->argv.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_string_equal(plan_text(plan, plan->argv, i), argv[i]);
	assert_int_equal(plan->env.count, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_string_equal(plan_text(plan, plan->env, i), env[i]);
	static const uint32_t numbers[] = {0, 1, 2, 3, 77};
	assert_int_equal(plan->fds.count, 5);
	assert_memory_equal(plan_items(plan, plan->fds), numbers, sizeof(numbers));
	assert_true(plan->filter.count > 50);
	assert_int_equal(plan->refusal, PLAN_KILL);
	assert_int_equal(plan->exec_error, 0);
	assert_true(plan->never[SYS_ptrace / 32] >> SYS_ptrace % 32 & 1);
	assert_false(plan->never[SYS_read / 32] >> SYS_read % 32 & 1);

	const struct plan_entry *entries = plan_items(plan, plan->entries);
	static const uint32_t flags[] = {PLAN_EXEC, PLAN_DEVICE | PLAN_WRITABLE, PLAN_WRITABLE};
	static const char *const targets[] = {"/data", "/null", "/tmp"};
	assert_int_equal(plan->entries.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(entries[i].kind, PLAN_BIND);
		assert_int_equal(entries[i].flags, flags[i]);
		assert_string_equal(plan_string(plan, entries[i].target), targets[i]);
	}
	const struct plan_rlimit *rlimits = plan_items(plan, plan->rlimits);
	unsigned found = 0;
	for (uint32_t i = 0; i < plan->rlimits.count; i++) {
		found += rlimits[i].resource == RLIMIT_NPROC && rlimits[i].value == 5;
		found += rlimits[i].resource == RLIMIT_AS && rlimits[i].value == 1 << 30;
		found += rlimits[i].resource == RLIMIT_NOFILE && rlimits[i].value == limits.fds;
		found += rlimits[i].resource == RLIMIT_FSIZE && rlimits[i].value == limits.file_bytes;
		found += rlimits[i].resource == RLIMIT_CORE && rlimits[i].value == 0;
	}
	assert_int_equal(found, 5);
	free(plan);
	plugvm_jail_free(&jail);
}

static bool has_entry(const struct plan *plan, uint32_t kind, const char *target)
{
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	for (uint32_t i = 0; i < plan->entries.count; i++) {
		if (entries[i].kind == kind && strcmp(plan_string(plan, entries[i].target), target) == 0)
			return true;
	}
	return false;
}

static void test_default_profile(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_DEFAULT);
	size_t size;
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	assert_true(plan_check(plan, size));
	assert_true(has_entry(plan, PLAN_BIND, "/usr/lib"));
	assert_true(has_entry(plan, PLAN_SYMLINK, "/lib64") || has_entry(plan, PLAN_BIND, "/lib64"));
	assert_true(has_entry(plan, PLAN_BIND, "/dev/null"));
	assert_true(has_entry(plan, PLAN_TMPFS, "/tmp"));
	assert_false(has_entry(plan, PLAN_BIND, "/etc"));
	free(plan);
	plugvm_jail_free(&jail);
}

static const char *write_policy(const char *text)
{
	static char path[64];
	static int fd = -1;
	fd_close(&fd);
	fd = memfd_create("policy", MFD_CLOEXEC);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static uint32_t verdict(const struct plan *plan, struct seccomp_data data)
{
	static struct filter filter;
	filter.count = (uint16_t)plan->filter.count;
	memcpy(filter.code, plan_items(plan, plan->filter), filter.count * sizeof(filter.code[0]));
	data.arch = AUDIT_ARCH_X86_64;
	return bpf_run(&filter, &data, NULL);
}

static void expect_refusal(const struct plugvm_jail *jail, enum plan_refusal refusal)
{
	size_t size;
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	assert_int_equal(plan->refusal, refusal);
	free(plan);
}

static void watch(void *context, const struct plugvm_jail_call *call)
{
	(void)context;
	(void)call;
}

static void test_policies(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_DEFAULT);
	struct plugvm_error error;
	size_t size;
	expect_refusal(jail, PLAN_ANSWER);
	/* A mistake leaves what was there. */
	assert_int_equal(plugvm_jail_set_policy(jail, write_policy("read: 1\nwrite: arg9 == 1\n"), &error),
	                 -EINVAL);
	assert_non_null(strstr(error.text, ":2:8: "));
	expect_refusal(jail, PLAN_ANSWER);
	assert_int_equal(plugvm_jail_set_policy(jail, write_policy("read: 1\nexecveat: return EPERM\n"), &error),
	                 0);
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	assert_int_equal(plan->refusal, PLAN_KILL);
	/* Init is asked for the start, and answers any other. */
	assert_int_equal(plan->exec_error, EPERM);
	assert_int_equal(verdict(plan, (struct seccomp_data){.nr = SYS_execveat}), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(verdict(plan, (struct seccomp_data){.nr = SYS_read}), SECCOMP_RET_ALLOW);
	assert_int_equal(verdict(plan, (struct seccomp_data){.nr = SYS_write}), SECCOMP_RET_USER_NOTIF);
	free(plan);
	plugvm_jail_log_failures(jail);
	expect_refusal(jail, PLAN_LET);
	plugvm_jail_observe(jail, watch, NULL);
	plan = write_plan(jail, "/bin/sh", &size);
	assert_int_equal(plan->refusal, PLAN_OBSERVE);
	assert_int_equal(verdict(plan, (struct seccomp_data){.nr = SYS_read}), SECCOMP_RET_USER_NOTIF);
	free(plan);
	plugvm_jail_free(&jail);
}

static void test_jit(void **state)
{
	(void)state;
	static const struct seccomp_data calls[] = {
	    {.nr = SYS_mmap, .args = {0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS}},
	    {.nr = SYS_mprotect, .args = {0, 4096, 7}},
	};
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_DEFAULT);
	struct plugvm_error error;
	struct launch launch = launch_of("/bin/sh");
	size_t size;
	int fd;
	for (int jit = 0; jit < 2; jit++) {
		struct plan *plan = write_plan(jail, "/bin/sh", &size);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(verdict(plan, calls[i]),
			                 jit ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EACCES);
		struct seccomp_data huge = calls[0];
		huge.args[3] |= MAP_HUGETLB;
		assert_int_equal(verdict(plan, huge), SECCOMP_RET_ERRNO | EACCES);
		free(plan);
		assert_int_equal(plugvm_jail_allow_jit(jail, NULL), 0);
	}
	assert_int_equal(plugvm_jail_set_policy(jail, write_policy("read: 1\n"), &error), 0);
	assert_int_equal(plan_write(jail, &launch, &limits, &no_log, &fd, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	plugvm_jail_free(&jail);
}

/* Read everything that a plan's offsets lead to; a sanitizer or valgrind sees what is outside. */
static size_t walk(const struct plan *plan)
{
	const struct plan_array strings[] = {plan->argv, plan->env, plan->cgroups};
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	const char *filter = plan_items(plan, plan->filter), *lines = plan_items(plan, plan->gid_lines);
	const struct plan_rlimit *rlimits = plan_items(plan, plan->rlimits);
	size_t sum = strlen(plan_string(plan, plan->hostname)) + strlen(plan_string(plan, plan->executable)) +
	             strlen(plan_string(plan, plan->executable_name));
	for (size_t i = 0; i < 3; i++) {
		for (uint32_t n = 0; n < strings[i].count; n++)
			sum += strlen(plan_text(plan, strings[i], n));
	}
	for (uint32_t i = 0; i < plan->entries.count; i++) {
		sum += strlen(plan_string(plan, entries[i].target));
		if (entries[i].kind == PLAN_SYMLINK || entries[i].kind == PLAN_BIND)
			sum += strlen(plan_string(plan, entries[i].source));
	}
	for (size_t i = 0; i < plan->filter.count * sizeof(struct sock_filter); i++)
		sum += (size_t)filter[i];
	for (size_t i = 0; i < plan->gid_lines.count * sizeof(struct plan_id_line); i++)
		sum += (size_t)lines[i];
	for (uint32_t i = 0; i < plan->rlimits.count; i++)
		sum += rlimits[i].value;
	return sum;
}

static void test_wrong_bytes(void **state)
{
	(void)state;
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_DEFAULT);
	size_t size, refused = 0;
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	char *bytes = (char *)plan;
	for (size_t i = 0; i < size; i++) {
		char right = bytes[i];
		for (size_t v = 0; v < sizeof(values); v++) {
			bytes[i] = (char)values[v];
			if (plan_check(plan, size))
				assert_true(walk(plan) < SIZE_MAX);
			else
				refused++;
		}
		bytes[i] = right;
	}
	assert_true(plan_check(plan, size));
	/* At least most of the header's. */
	assert_true(refused > sizeof(*plan));
	free(plan);
	plugvm_jail_free(&jail);
}

static void test_wrong_sizes(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_STRICT);
	size_t size;
	struct plan *plan = write_plan(jail, "/bin/sh", &size);
	for (size_t shorter = 0; shorter < size; shorter++) {
		char *copy = malloc(shorter ? shorter : 1);
		assert_non_null(copy);
		memcpy(copy, plan, shorter);
		assert_false(plan_check(copy, shorter));
		/* The same with the size that it has. */
		if (shorter >= sizeof(*plan)) {
			((struct plan *)(void *)copy)->size = (uint32_t)shorter;
			if (plan_check(copy, shorter))
				walk((struct plan *)(void *)copy);
		}
		free(copy);
	}
	free(plan);
	plugvm_jail_free(&jail);
}

static void test_too_large(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_STRICT);
	struct launch launch = launch_of("/bin/sh");
	struct plugvm_error error;
	int fd;
	char *word = malloc(PLAN_BYTES_MAX);
	assert_non_null(word);
	memset(word, 'x', PLAN_BYTES_MAX - 1);
	word[PLAN_BYTES_MAX - 1] = '\0';
	launch.argv = (char *[]){word, NULL};
	assert_int_equal(plan_write(jail, &launch, &limits, &no_log, &fd, &error), -E2BIG);
	assert_int_equal(error.kind, PLUGVM_ERROR_JAIL);
	free(word);
	plugvm_jail_free(&jail);
}

/* Each of several VMs of one host has a uid of its own. */
static void test_uids(void **state)
{
	(void)state;
	struct plugvm_jail *jail = make_jail(PLUGVM_JAIL_STRICT);
	size_t size;
	struct plan *first = write_plan(jail, "/bin/sh", &size), *second = write_plan(jail, "/bin/sh", &size);
	if (geteuid() == 0) {
		assert_true(first->outer_uid >= 0x70000000u && second->outer_uid >= 0x70000000u);
		assert_int_not_equal(first->outer_uid, second->outer_uid);
		assert_int_equal(plugvm_jail_set_uid(jail, 4711, NULL), 0);
		free(second);
		second = write_plan(jail, "/bin/sh", &size);
		assert_true(second->outer_uid == 4711 && second->outer_gid == 4711);
		assert_int_equal(plugvm_jail_set_uid(jail, 0, NULL), -EINVAL);
	} else {
		assert_int_equal(first->outer_uid, geteuid());
		assert_int_equal(plugvm_jail_set_uid(jail, geteuid() + 1, NULL), -EPERM);
	}
	free(first);
	free(second);
	plugvm_jail_free(&jail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_contents),    cmocka_unit_test(test_default_profile),
	    cmocka_unit_test(test_wrong_bytes), cmocka_unit_test(test_wrong_sizes),
	    cmocka_unit_test(test_too_large),   cmocka_unit_test(test_uids),
	    cmocka_unit_test(test_policies),    cmocka_unit_test(test_jit),
	};
	return cmocka_run_group_tests_name("jail_plan", tests, NULL, NULL);
}
