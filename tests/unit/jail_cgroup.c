/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks a VM's cgroups in trees of files that look like the kernel's: both versions, what is written where, what is missing
 * or refused, and which cgroups of other hosts are taken for orphans.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/fd.h"
#include "jail/limit.h"

struct rig {
	int fds_before;
	char top[64];
	struct cgroup_system system;
	struct cgroup *cgroup;
	char log[2048];
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	strcpy(rig.top, "/tmp/plugvm-test-XXXXXX");
	assert_non_null(mkdtemp(rig.top));
	rig.system = (struct cgroup_system){.proc = rig.top, .open_flags = O_CREAT};
	*state = &rig;
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	cgroup_remove(&rig->cgroup);
	assert_int_equal(nftw(rig->top, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

/* ---- The tree ---- */

static const char *path_of(const struct rig *rig, const char *name)
{
	static char path[512];
	snprintf(path, sizeof(path), "%s/%s", rig->top, name);
	return path;
}

static void put_file(const struct rig *rig, const char *name, const char *text)
{
	FD_AUTO fd = open(path_of(rig, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void put_directory(const struct rig *rig, const char *name)
{
	assert_int_equal(mkdir(path_of(rig, name), 0755), 0);
}

/* Write mountinfo: `lines` with %s for the directory. */
static void put_mounts(const struct rig *rig, const char *const *lines)
{
	char text[2048] = "20 1 0:1 / / rw - ext4 /dev/root rw\nnot a mount\n";
	for (; *lines; lines++) {
		size_t used = strlen(text);
		const char *at = strchr(*lines, '@');
		snprintf(text + used, sizeof(text) - used, "%.*s%s%s\n", (int)(at - *lines), *lines, rig->top,
		         at + 1);
	}
	put_file(rig, "mountinfo", text);
}

/* Version 1: memory, pids, cpu with cpuacct in one, devices. */
static void make_v1(const struct rig *rig)
{
	put_mounts(rig, (const char *const[]){"31 1 0:5 / @/memory rw,relatime - cgroup cgroup rw,memory",
	                                      "32 1 0:6 / @/cpu rw shared:7 - cgroup cgroup rw,cpu,cpuacct",
	                                      "33 1 0:7 /outer @/pi\\040ds rw - cgroup cgroup rw,pids",
	                                      "34 1 0:8 / @/devices rw - cgroup cgroup rw,devices",
	                                      "35 1 0:9 / @/v2 rw - cgroup2 cgroup2 rw", NULL});
	put_file(
	    rig, "cgroup",
	    "5:name=systemd:/elsewhere\n4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/outer/c\n1:devices:/\n0::/\n");
	put_directory(rig, "memory");
	put_directory(rig, "memory/a");
	put_directory(rig, "memory/a/b");
	put_directory(rig, "cpu");
	put_directory(rig, "pi ds");
	put_directory(rig, "pi ds/c");
	put_directory(rig, "devices");
	put_directory(rig, "v2");
	put_file(rig, "v2/cgroup.controllers", "hugetlb\n");
}

/* Version 2, in a place of its own. */
static void make_v2(const struct rig *rig, const char *enabled, const char *procs)
{
	put_mounts(rig, (const char *const[]){"35 1 0:9 / @/v2 rw - cgroup2 cgroup2 rw", NULL});
	put_file(rig, "cgroup", "0::/slice/scope\n");
	put_directory(rig, "v2");
	put_directory(rig, "v2/slice");
	put_directory(rig, "v2/slice/scope");
	put_file(rig, "v2/slice/cgroup.subtree_control", "memory pids\n");
	put_file(rig, "v2/slice/scope/cgroup.controllers", "cpuset cpu io memory pids\n");
	put_file(rig, "v2/slice/scope/cgroup.subtree_control", enabled);
	put_file(rig, "v2/slice/scope/cgroup.procs", procs);
}

static const struct cgroup_request everything = {
    .memory = 64 << 20, .pids = 37, .cpu_percent = 50, .devices = "c 1:3 rw\nc 1:5 rw\n", .with_host = true};

static void make(struct rig *rig, const struct cgroup_request *request)
{
	assert_int_equal(cgroup_make(&rig->system, request, &rig->cgroup), 0);
}

static void expect_text(const struct rig *rig, const char *directory, const char *file, const char *wanted)
{
	char path[512], text[256] = "none";
	snprintf(path, sizeof(path), "%s/%s/%s/%s", rig->top, directory, rig->cgroup->name, file);
	cgroup_read(AT_FDCWD, path, text, sizeof(text));
	if (strcmp(text, wanted) != 0)
		fail_msg("%s is '%s' instead of '%s'", path, text, wanted);
}

/* ---- Tests ---- */

static void test_v1(void **state)
{
	struct rig *rig = *state;
	make_v1(rig);
	make(rig, &everything);
	assert_int_equal(rig->cgroup->controllers, CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU | CGROUP_DEVICES);
	assert_int_equal(rig->cgroup->part_count, 4);
	expect_text(rig, "memory/a/b", "memory.limit_in_bytes", "67108864");
	expect_text(rig, "memory/a/b", "memory.memsw.limit_in_bytes", "67108864");
	expect_text(rig, "memory/a/b", "host/cgroup.procs", "0");
	expect_text(rig, "pi ds/c", "plugin/pids.max", "37");
	expect_text(rig, "pi ds/c", "host/cgroup.procs", "none");
	expect_text(rig, "cpu", "plugin/cpu.cfs_period_us", "100000");
	expect_text(rig, "cpu", "plugin/cpu.cfs_quota_us", "50000");
	/* One write each, of which the last stands in a file. */
	expect_text(rig, "devices", "plugin/devices.deny", "a");
	expect_text(rig, "devices", "plugin/devices.allow", "c 1:5 rw");
	for (size_t i = 0; i < 4; i++)
		assert_non_null(strstr(rig->cgroup->procs[i], "/plugin/cgroup.procs"));
	assert_null(rig->cgroup->procs[4]);
}

/* A child without capabilities removes it, as a host does. Returns its exit status. */
static int remove_without_capabilities(struct rig *rig)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		capabilities_drop();
		cgroup_remove(&rig->cgroup);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* At the top of a hierarchy nobody may write: its mode stays, and yet nothing but one empty directory does. */
static void test_top(void **state)
{
	struct rig *rig = *state;
	struct stat status;
	const struct cgroup_request request = {.cpu_percent = 50};
	if (geteuid() != 0)
		test_skip("only root can make something in a directory that is writable for nobody");
	make_v1(rig);
	assert_int_equal(chmod(path_of(rig, "cpu"), 0555), 0);
	/* Other than the kernel's, the files of this tree do not go with their directory. */
	for (int i = 0; i < 2; i++) {
		make(rig, &request);
		assert_int_equal(rig->cgroup->controllers, CGROUP_CPU);
		assert_string_equal(rig->cgroup->parts[0].base, path_of(rig, "cpu/plugvm"));
		expect_text(rig, "cpu/plugvm", "plugin/cpu.cfs_quota_us", "50000");
		static const char *const files[] = {"cfs_quota_us", "cfs_period_us"};
		for (size_t j = 0; j < 2; j++) {
			char name[256];
			snprintf(name, sizeof(name), "cpu/plugvm/%s/plugin/cpu.%s", rig->cgroup->name, files[j]);
			assert_int_equal(unlink(path_of(rig, name)), 0);
		}
		char own[256];
		snprintf(own, sizeof(own), "cpu/plugvm/%s", rig->cgroup->name);
		assert_int_equal(remove_without_capabilities(rig), 0);
		assert_int_equal(access(path_of(rig, own), F_OK), -1);
		cgroup_remove(&rig->cgroup);
		assert_int_equal(stat(path_of(rig, "cpu"), &status), 0);
		assert_int_equal(status.st_mode & 07777, 0555);
	}
	/* Whoever is in such a place already goes beside it. */
	put_file(rig, "cgroup", "3:cpu,cpuacct:/plugvm/plugvm-1-2-3/host\n");
	make(rig, &request);
	assert_string_equal(rig->cgroup->parts[0].base, path_of(rig, "cpu/plugvm"));
}

/* Version 2: what is enabled on the way is as it was, in the end. */
static void test_top_v2(void **state)
{
	struct rig *rig = *state;
	char text[64];
	if (geteuid() != 0)
		test_skip("only root can make something in a directory that is writable for nobody");
	make_v2(rig, "\n", "1\n2\n");
	put_file(rig, "v2/slice/cgroup.subtree_control", "");
	assert_int_equal(chmod(path_of(rig, "v2/slice"), 0555), 0);
	make(rig, &(struct cgroup_request){.pids = 20});
	assert_int_equal(rig->cgroup->controllers, CGROUP_PIDS);
	expect_text(rig, "v2/slice/plugvm", "cgroup.subtree_control", "+pids");
	expect_text(rig, "v2/slice/plugvm/.", "../cgroup.subtree_control", "+pids");
	assert_int_equal(cgroup_read(AT_FDCWD, path_of(rig, "v2/slice/cgroup.subtree_control"), text, 64), 0);
	assert_string_equal(text, "+pids");
	cgroup_remove(&rig->cgroup);
	static const char *const files[] = {"v2/slice/cgroup.subtree_control",
	                                    "v2/slice/plugvm/cgroup.subtree_control"};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(cgroup_read(AT_FDCWD, path_of(rig, files[i]), text, sizeof(text)), 0);
		assert_string_equal(text, "+pids-pids");
	}
}

/* What is not asked for is not made. */
static void test_one_limit(void **state)
{
	struct rig *rig = *state;
	make_v1(rig);
	make(rig, &(struct cgroup_request){.cpu_percent = 150});
	assert_int_equal(rig->cgroup->controllers, CGROUP_CPU);
	assert_int_equal(rig->cgroup->part_count, 1);
	expect_text(rig, "cpu", "plugin/cpu.cfs_quota_us", "150000");
}

/* Where nothing of version 2 is enabled yet: in a place that is this process's alone, with the host in a leaf. */
static void test_v2_alone(void **state)
{
	struct rig *rig = *state;
	char own[16];
	snprintf(own, sizeof(own), "%d\n", (int)getpid());
	make_v2(rig, "\n", own);
	make(rig, &everything);
	assert_int_equal(rig->cgroup->controllers, CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU);
	expect_text(rig, "v2/slice/scope", "memory.max", "67108864");
	expect_text(rig, "v2/slice/scope", "memory.swap.max", "0");
	expect_text(rig, "v2/slice/scope", "host/cgroup.procs", "0");
	expect_text(rig, "v2/slice/scope", "plugin/pids.max", "37");
	expect_text(rig, "v2/slice/scope", "plugin/cpu.max", "50000 100000");
	expect_text(rig, "v2/slice/scope", "plugin/memory.oom.group", "1");
	expect_text(rig, "v2/slice/scope", "cgroup.subtree_control", "+memory+pids+cpu");
	expect_text(rig, "v2/slice/scope/.", "../cgroup.subtree_control", "+memory+pids+cpu");
}

/* Beside others: in the directory above, which has controllers for its children. */
static void test_v2_beside_others(void **state)
{
	struct rig *rig = *state;
	make_v2(rig, "\n", "1\n2\n");
	make(rig, &everything);
	assert_string_equal(rig->cgroup->parts[0].base, path_of(rig, "v2/slice"));
	expect_text(rig, "v2/slice", "memory.max", "67108864");
	expect_text(rig, "v2/slice", "host/cgroup.procs", "0");
}

static void test_v2_enabled(void **state)
{
	struct rig *rig = *state;
	make_v2(rig, "cpu memory pids\n", "");
	make(rig, &(struct cgroup_request){.memory = 1 << 24});
	assert_string_equal(rig->cgroup->parts[0].base, path_of(rig, "v2/slice/scope"));
	assert_int_equal(rig->cgroup->parts[0].enabled, 0);
	expect_text(rig, "v2/slice/scope", "memory.max", "16777216");
	expect_text(rig, "v2/slice/scope", "host/cgroup.procs", "none");
}

/* A process that is in a VM's cgroup makes the next beside it. */
static void test_own_place(void **state)
{
	struct rig *rig = *state;
	make_v1(rig);
	put_file(rig, "cgroup", "4:memory:/a/b/plugvm-1-2-3/host\n");
	make(rig, &everything);
	assert_int_equal(rig->cgroup->controllers, CGROUP_MEMORY);
	assert_string_equal(rig->cgroup->parts[0].base, path_of(rig, "memory/a/b"));
}

static void test_kill_count(void **state)
{
	struct rig *rig = *state;
	char name[256];
	make_v1(rig);
	make(rig, &everything);
	assert_false(cgroup_is_over_memory(rig->cgroup));
	snprintf(name, sizeof(name), "memory/a/b/%s/plugin/memory.oom_control", rig->cgroup->name);
	static const struct {
		const char *text;
		bool is_over;
	} cases[] = {{"oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", false},
	             {"oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", false},
	             {"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", true},
	             {"", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_file(rig, name, cases[i].text);
		fd_close(&rig->cgroup->events);
		rig->cgroup->events = open(path_of(rig, name), O_RDONLY | O_CLOEXEC);
		assert_int_equal(cgroup_is_over_memory(rig->cgroup), cases[i].is_over);
	}
}

/* ---- Faults ---- */

static void expect_failure(const struct rig *rig, size_t controller, const char *text)
{
	assert_false(rig->cgroup->controllers & (1u << controller));
	if (!strstr(rig->cgroup->failures[controller], text))
		fail_msg("%s instead of %s", rig->cgroup->failures[controller], text);
}

static void test_nothing_there(void **state)
{
	struct rig *rig = *state;
	make(rig, &everything);
	assert_int_equal(rig->cgroup->controllers, 0);
	assert_int_equal(rig->cgroup->part_count, 0);
	assert_null(rig->cgroup->procs[0]);
	expect_failure(rig, 0, "no hierarchy has this controller");
	assert_false(cgroup_is_over_memory(rig->cgroup));
}

/* Each hierarchy that cannot be used costs its own limit, not the others'. */
static void test_unusable(void **state)
{
	struct rig *rig = *state;
	make_v1(rig);
	assert_int_equal(rmdir(path_of(rig, "memory/a/b")), 0);
	assert_int_equal(rmdir(path_of(rig, "pi ds/c")), 0);
	put_file(rig, "pi ds/c", "");
	make(rig, &everything);
	assert_int_equal(rig->cgroup->controllers, CGROUP_CPU | CGROUP_DEVICES);
	expect_failure(rig, 0, "memory/a/b: ENOENT");
	expect_failure(rig, 1, "pi ds/c: ENOTDIR");
	assert_string_equal(rig->cgroup->parts[0].procs, rig->cgroup->procs[0]);
}

/* The kernel's files are not there: the limit cannot be written, and the directory does not stay. */
static void test_no_files(void **state)
{
	struct rig *rig = *state;
	make_v1(rig);
	rig->system.open_flags = 0;
	make(rig, &everything);
	assert_int_equal(rig->cgroup->part_count, 0);
	expect_failure(rig, 0, "ENOENT");
	expect_failure(rig, 1, "pids.max: ENOENT");
	expect_failure(rig, 2, "cpu.cfs_quota_us: ENOENT");
	assert_int_equal(rmdir(path_of(rig, "pi ds/c")), 0);
	assert_int_equal(rmdir(path_of(rig, "memory/a/b")), 0);
	assert_int_equal(rmdir(path_of(rig, "cpu")), 0);
}

/* ---- Orphans ---- */

static void test_orphans(void **state)
{
	struct rig *rig = *state;
	char alive[128], other[128], locked[] = "tree/plugvm-4194305-7-0";
	uint64_t start = process_start_time(getpid());
	assert_true(start > 0);
	assert_int_equal(process_start_time(4194305), 0);
	snprintf(alive, sizeof(alive), "tree/plugvm-%d-%llu-0", (int)getpid(), (unsigned long long)start);
	snprintf(other, sizeof(other), "tree/plugvm-%d-%llu-0", (int)getpid(), (unsigned long long)start + 1);
	static const char *const kept[] = {"tree/plugvm-4194305-7-0x",
	                                   "tree/plugvm-4194305-7",
	                                   "tree/plugvm--1-7-0",
	                                   "tree/plugvm-04194305-7-0",
	                                   "tree/other",
	                                   "tree/plugvm-0-1-2"};
	const size_t count = sizeof(kept) / sizeof(kept[0]);
	put_directory(rig, "tree");
	put_directory(rig, alive);
	put_directory(rig, other);
	put_directory(rig, locked);
	put_directory(rig, "tree/plugvm-4194305-7-1");
	put_directory(rig, "tree/plugvm-4194305-7-1/plugin");
	put_directory(rig, "tree/plugvm-4194305-7-1/host");
	for (size_t i = 0; i < count; i++)
		put_directory(rig, kept[i]);
	/* Its process cannot be seen from here, but it lives. */
	FD_AUTO lock = open(path_of(rig, locked), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	FD_AUTO tree = open(path_of(rig, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cgroup_remove_stale(tree);
	cgroup_remove_stale(tree);
	assert_int_equal(access(path_of(rig, alive), F_OK), 0);
	assert_int_equal(access(path_of(rig, locked), F_OK), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(access(path_of(rig, kept[i]), F_OK), 0);
	assert_int_equal(access(path_of(rig, other), F_OK), -1);
	assert_int_equal(access(path_of(rig, "tree/plugvm-4194305-7-1"), F_OK), -1);
	fd_close(&lock);
	cgroup_remove_stale(tree);
	assert_int_equal(access(path_of(rig, locked), F_OK), -1);
}

/* Make a leaf in a real cgroup, with a new process in it. Returns its pid, or -1. */
static pid_t put_process(int base, const char *leaf)
{
	char path[128], text[16];
	assert_int_equal(mkdirat(base, leaf, 0755), 0);
	pid_t pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "%s/cgroup.procs", leaf);
	snprintf(text, sizeof(text), "%d", (int)pid);
	FD_AUTO procs = openat(base, path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(procs, text, strlen(text)), (ssize_t)strlen(text));
	return pid;
}

/* What an orphan's plugin left is killed; what its host started goes on. */
static void test_alive_in_orphan(void **state)
{
	(void)state;
	struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX];
	size_t count = cgroup_find("/proc/self", hierarchies);
	int base = -1, status;
	const char *name = "plugvm-4194305-7-1";
	for (size_t i = 0; i < count; i++) {
		if (base < 0 && !hierarchies[i].is_v2)
			base = open(hierarchies[i].home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cgroup_hierarchy_fini(&hierarchies[i]);
	}
	if (base < 0 || mkdirat(base, name, 0755) < 0) {
		fd_close(&base);
		test_skip("no cgroup of version 1 can be made here");
	}
	pid_t plugin = put_process(base, "plugvm-4194305-7-1/plugin");
	pid_t other = put_process(base, "plugvm-4194305-7-1/host");
	cgroup_remove_stale(base);
	int result = waitpid(plugin, &status, WNOHANG), plugin_status = status;
	bool lives = waitpid(other, &status, WNOHANG) == 0;
	kill(plugin, SIGKILL);
	kill(other, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	unlinkat(base, "plugvm-4194305-7-1/plugin", AT_REMOVEDIR);
	unlinkat(base, "plugvm-4194305-7-1/host", AT_REMOVEDIR);
	unlinkat(base, name, AT_REMOVEDIR);
	assert_int_equal(faccessat(base, name, F_OK, 0), -1);
	fd_close(&base);
	assert_int_equal(result, plugin);
	assert_true(WIFSIGNALED(plugin_status));
	assert_true(lives);
}

/* ---- How limits are held ---- */

static void keep_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct rig *rig = context;
	size_t used = strlen(rig->log);
	snprintf(rig->log + used, sizeof(rig->log) - used, "%d %s\n", (int)level, line);
}

static void test_apply(void **state)
{
	struct rig *rig = *state;
	const struct log log = {.sink = keep_log, .context = rig};
	struct plugvm_error error;
	struct plugvm_jail *jail;
	struct jail_limits limits = limits_of_vm(1024);
	assert_int_equal(limits.fds, 6208);
	assert_int_equal(limits.processes, 4128);
	assert_int_equal(limits.file_bytes, UINT64_C(64) << 30);
	limits = limits_of_vm(1);
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_STRICT, &jail, NULL), 0);
	/* Nothing said: no cgroup. */
	make_v1(rig);
	assert_int_equal(limits_apply(jail, &rig->system, &limits, &rig->cgroup, &log, &error), 0);
	assert_null(rig->cgroup);
	assert_null(limits.cgroups);
	/* Too little and too much. */
	static const uint64_t bad[PLUGVM_LIMIT_COUNT][2] = {
	    {(4 << 20) - 1, UINT64_MAX}, {2, 1 << 23}, {15, 1 << 21}, {0, 1 << 20}};
	for (int i = 0; i < PLUGVM_LIMIT_COUNT; i++) {
		for (int j = 0; j < 2; j++)
			assert_int_equal(plugvm_jail_set_limit(jail, (enum plugvm_jail_limit)i, bad[i][j], &error),
			                 -EINVAL);
	}
	assert_int_equal(plugvm_jail_set_limit(jail, PLUGVM_LIMIT_COUNT, 100, &error), -EINVAL);
	assert_int_equal(plugvm_jail_set_limit(jail, PLUGVM_LIMIT_MEMORY, 4 << 20, &error), 0);
	assert_int_equal(plugvm_jail_set_limit(jail, PLUGVM_LIMIT_PIDS, 3, &error), 0);
	assert_int_equal(plugvm_jail_set_limit(jail, PLUGVM_LIMIT_FDS, 16, &error), 0);
	assert_int_equal(plugvm_jail_set_limit(jail, PLUGVM_LIMIT_CPU, 1, &error), 0);
	assert_int_equal(limits_apply(jail, &rig->system, &limits, &rig->cgroup, &log, &error), 0);
	assert_non_null(rig->cgroup);
	assert_int_equal(limits.address_space, 0);
	assert_true(limits.fds == 16 && limits.processes == 3 && limits.cgroups[0]);
	expect_text(rig, "pi ds/c", "plugin/pids.max", "4");
	assert_non_null(strstr(rig->log, "memory 4 MiB by cgroup, what the host touches not included"));
	assert_non_null(strstr(rig->log, "cpu 1 % by cgroup"));
	cgroup_remove(&rig->cgroup);
	/* In a cgroup of the caller's: what works without, and an error for the rest. */
	jail->cgroups[0] = strdup("/nowhere/cgroup.procs");
	assert_int_equal(limits_apply(jail, &rig->system, &limits, &rig->cgroup, &log, &error), -EOPNOTSUPP);
	assert_string_equal(
	    error.text,
	    "limit cpu: it needs a cgroup, and there is none (the jail is in a cgroup of the caller's)");
	assert_null(rig->cgroup);
	assert_int_equal(limits.address_space, 4 << 20);
	assert_int_equal(limits.file_bytes, 4 << 20);
	plugvm_jail_free(&jail);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_v1),         TEST(test_one_limit), TEST(test_v2_alone),   TEST(test_v2_beside_others),
	    TEST(test_v2_enabled), TEST(test_own_place), TEST(test_kill_count), TEST(test_nothing_there),
	    TEST(test_unusable),   TEST(test_no_files),  TEST(test_orphans),    TEST(test_alive_in_orphan),
	    TEST(test_apply),      TEST(test_top),       TEST(test_top_v2),
	};
	return cmocka_run_group_tests_name("jail_cgroup", tests, NULL, NULL);
}
