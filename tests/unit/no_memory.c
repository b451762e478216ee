/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that jail and host survive every allocation that fails: -ENOMEM, a text, no fd and no process that is left. A
 * sanitizer sees what leaks. To be linked with -Wl,--wrap of all that allocates.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/published.h"
#include "jail/limit.h"
#include "jail/privileges.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
__attribute__((format(printf, 2, 3))) int __wrap_asprintf(char **out_text, const char *format, ...);

/* Allocations before the one that fails; negative: none fails. */
static int allocations_left = -1;

static bool may_allocate(void)
{
	if (allocations_left < 0)
		return true;
	if (allocations_left-- > 0)
		return true;
	errno = ENOMEM;
	return false;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *memory, size_t size)
{
	return may_allocate() ? __real_realloc(memory, size) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

char *__wrap_strdup(const char *text)
{
	return may_allocate() ? __real_strdup(text) : NULL;
}

/* As the C library's, which leaves nothing to be freed. */
int __wrap_asprintf(char **out_text, const char *format, ...)
{
	if (!may_allocate())
		return -1;
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(out_text, format, arguments);
	va_end(arguments);
	return length;
}

static char directory[] = "/tmp/plugvm-test-XXXXXX";
static char procs[64];

static int make_directory(void **state)
{
	(void)state;
	FILE *file;
	if (!mkdtemp(directory))
		return -1;
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", directory);
	file = fopen(procs, "we");
	return file ? fclose(file) : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(procs);
	return rmdir(directory);
}

/* Do something with its first allocation failing, with its second one, and so on, until it has no more. */
static void try_each(int (*operation)(struct plugvm_error *out_error), int least)
{
	int failures = 0;
	for (int good = 0;; good++) {
		struct plugvm_error error = {.text = ""};
		int fds_before = count_open_fds();
		allocations_left = good;
		int result = operation(&error);
		bool has_failed = allocations_left < 0;
		allocations_left = -1;
		assert_int_equal(count_open_fds(), fds_before);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_true(result == 0 || (has_failed && result == -ENOMEM));
		assert_int_equal(error.text[0] == '\0', result == 0);
		failures += result != 0;
		if (!has_failed)
			break;
	}
	if (failures < least)
		fail_msg("%d failures, not %d", failures, least);
}

/* ---- The jail ---- */

static int configure(struct plugvm_jail *jail, struct plugvm_error *out_error)
{
	int result = plugvm_jail_set_root(jail, "/tmp", out_error);
	if (result == 0)
		result = plugvm_jail_set_root(jail, directory, out_error);
	if (result == 0)
		result = plugvm_jail_mount(jail, "/etc", "/data", false, out_error);
	if (result == 0)
		result = plugvm_jail_mount(jail, "/dev/null", "/null", true, out_error);
	if (result == 0)
		result = plugvm_jail_join_cgroup(jail, directory, out_error);
	return result;
}

static int make_jail(struct plugvm_error *out_error)
{
	struct plugvm_jail *jail = NULL;
	int result = plugvm_jail_new(PLUGVM_JAIL_STRICT, &jail, out_error);
	if (result == 0)
		result = configure(jail, out_error);
	plugvm_jail_free(&jail);
	return result;
}

static void test_jail(void **state)
{
	(void)state;
	/* The jail, two roots, thrice two mounts, a cgroup. */
	try_each(make_jail, 10);
}

static struct plugvm_jail *jail;

static int write_plan(struct plugvm_error *out_error)
{
	static char *argv[] = {"plugin", "argument", NULL}, *env[] = {"LD_LIBRARY_PATH=/nowhere", "A=1", NULL};
	static struct plugvm_fd_map fds[] = {{-1, 0}, {-1, 1}};
	static const struct jail_limits limits = {.fds = 64, .processes = 8, .file_bytes = 1 << 20};
	const struct launch launch = {
	    .path = "/proc/self/exe", .argv = argv, .env = env, .fds = fds, .fd_count = 2};
	const struct log no_log = {.sink = NULL};
	int fd = -1;
	int result = plan_write(jail, &launch, &limits, &no_log, &fd, out_error);
	if (result == 0)
		close(fd);
	return result;
}

static void test_plan(void **state)
{
	(void)state;
	for (int has_root = 0; has_root <= 1; has_root++) {
		assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &jail, NULL), 0);
		if (has_root)
			assert_int_equal(configure(jail, NULL), 0);
		try_each(write_plan, 10);
		plugvm_jail_free(&jail);
	}
}

static int apply_limits(struct plugvm_error *out_error)
{
	/* No cgroups are to be found there. */
	const struct cgroup_system system = {.proc = directory};
	const struct log log = {.sink = NULL};
	struct jail_limits limits = {.fds = 64, .processes = 8, .file_bytes = 1 << 20};
	struct cgroup *cgroup = NULL;
	int result = limits_apply(jail, &system, &limits, &cgroup, &log, out_error);
	cgroup_remove(&cgroup);
	return result;
}

static void test_limits(void **state)
{
	(void)state;
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &jail, NULL), 0);
	jail->limits[PLUGVM_LIMIT_MEMORY] = 64 << 20;
	try_each(apply_limits, 1);
	plugvm_jail_free(&jail);
}

/* ---- The host ---- */

static int make_filters(struct plugvm_error *out_error)
{
	static struct filter filter;
	int result = host_filter_make(HOST_FILTER_ALL, &filter, out_error);
	if (result == 0)
		result = host_filter_make(HOST_FILTER_MAIN, &filter, out_error);
	if (result == 0)
		result = host_filter_make(HOST_FILTER_VCPU, &filter, out_error);
	return result;
}

static void test_filters(void **state)
{
	(void)state;
	try_each(make_filters, 3);
}

static int start_plugin(struct plugvm_error *out_error)
{
	const struct plugvm_plugin_config config = {.size = sizeof(config),
	                                            .path = "/bin/true",
	                                            .vcpu_count = 2,
	                                            .stdin_fd = -1,
	                                            .stdout_fd = -1,
	                                            .stderr_fd = -1};
	struct plugvm_plugin *plugin = NULL;
	struct plugvm_plugin_vcpu *vcpu = NULL;
	int result = plugvm_plugin_new(&config, &plugin, out_error);
	if (result == 0) {
		result = plugvm_plugin_vcpu_new(plugin, 1, &vcpu);
		if (result < 0)
			strcpy(out_error->text, "a vCPU");
	}
	plugvm_plugin_vcpu_free(&vcpu);
	/* With memory: without, its sockets stay open (foreign.h). */
	int left = allocations_left;
	allocations_left = -1;
	plugvm_plugin_free(&plugin, NULL);
	allocations_left = left;
	return result;
}

static void test_plugin(void **state)
{
	(void)state;
	try_each(start_plugin, 5);
}

static int publish(struct plugvm_error *out_error)
{
	struct published published;
	int result = published_init(&published, 3, free);
	if (result < 0)
		strcpy(out_error->text, "published");
	else
		published_fini(&published);
	return result;
}

static void test_published(void **state)
{
	(void)state;
	try_each(publish, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jail),    cmocka_unit_test(test_plan),   cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_filters), cmocka_unit_test(test_plugin), cmocka_unit_test(test_published),
	};
	return cmocka_run_group_tests_name("no_memory", tests, make_directory, remove_directory);
}
