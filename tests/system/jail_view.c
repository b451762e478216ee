/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what a jail is, from outside and, by jailprobe, from inside, and what an operator can show the plugin in it.
 * Needs no KVM.
 */
#include "jail_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

/* ---- What it is ---- */

static void expect_line(const char *text, const char *name, const char *value)
{
	const char *line = strstr(text, name);
	assert_non_null(line);
	line += strlen(name);
	line += strspn(line, " \t");
	if (strncmp(line, value, strlen(value)) != 0)
		fail_msg("%s is %.40s", name, line);
}

static char *proc_file(const struct jail_rig *rig, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", rig->process.plugin_pid, name);
	return read_file(path);
}

static void expect_proc(const struct jail_rig *rig, const char *name, const char *expected)
{
	char *text = proc_file(rig, name);
	if (strcmp(text, expected) != 0)
		fail_msg("%s is '%s'", name, text);
	free(text);
}

/* Root's plugin has none; others keep the user's, as the documents say. */
static void expect_groups(const char *status)
{
	char text[1024] = "";
	gid_t groups[64];
	int count = geteuid() == 0 ? 0 : getgroups(64, groups);
	size_t used = 0;
	for (int i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%u ", groups[i]);
	snprintf(text + used, sizeof(text) - used, "\n");
	expect_line(status, "\nGroups:", text);
}

static void check_status_file(const struct jail_rig *rig)
{
	char *status = proc_file(rig, "status");
	expect_line(status, "\nCapInh:", "0000000000000000\n");
	expect_line(status, "\nCapPrm:", "0000000000000000\n");
	expect_line(status, "\nCapEff:", "0000000000000000\n");
	expect_line(status, "\nCapBnd:", "0000000000000000\n");
	expect_line(status, "\nCapAmb:", "0000000000000000\n");
	expect_line(status, "\nNoNewPrivs:", "1\n");
	expect_line(status, "\nSeccomp:", "2\n");
	expect_groups(status);
	char pids[64];
	snprintf(pids, sizeof(pids), "%d\t2\n", rig->process.plugin_pid);
	expect_line(status, "\nNSpid:", pids);
	free(status);
}

static void check_namespaces(const struct jail_rig *rig)
{
	static const char *const names[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[64], ours[64] = "", theirs[64] = "";
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", rig->process.plugin_pid, names[i]);
		assert_true(readlink(path, theirs, sizeof(theirs) - 1) > 0);
		assert_string_not_equal(ours, theirs);
	}
}

/* Each mount is below what the profile names, and read-only unless it is /tmp. */
static void check_mounts(const struct jail_rig *rig)
{
	static const char *const known[] = {"/",         "/plugin/sh", "/tmp",          "/dev/null",
	                                    "/dev/zero", "/dev/full",  "/dev/urandom",  "/etc/ld.so.cache",
	                                    "/lib",      "/usr/lib",   "/usr/local/lib"};
	char *mounts = proc_file(rig, "mountinfo");
	unsigned count = 0;
	char *rest = mounts;
	for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
		char target[256], flags[256];
		assert_int_equal(sscanf(line, "%*u %*u %*s %*s %255s %255s", target, flags), 2);
		bool is_known = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			size_t length = strlen(known[i]);
			/* The second: /lib64, or what lies below. */
			is_known = is_known || strcmp(target, known[i]) == 0 ||
			           (strstr(known[i], "lib") && strncmp(target, known[i], length) == 0);
		}
		if (!is_known || !strstr(flags, "nosuid") ||
		    (strcmp(target, "/tmp") != 0 && strncmp(flags, "ro", 2) != 0))
			fail_msg("%s", line);
		count++;
	}
	assert_true(count >= 8);
	free(mounts);
}

static void test_seen_from_outside(void **state)
{
	struct jail_rig *rig = *state;
	char text[256], map[64];
	jail_rig_spawn(rig, SHELL("echo up; while :; do :; done"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	check_status_file(rig);
	check_namespaces(rig);
	check_mounts(rig);
	uint32_t uid = geteuid() == 0 ? 0x70000000u + (uint32_t)getpid() : geteuid();
	snprintf(map, sizeof(map), "%10u %10u %10u\n", 1000, uid, 1);
	/* As many VMs as were started before from this process have other uids. */
	if (geteuid() != 0)
		expect_proc(rig, "uid_map", map);
	char *uids = proc_file(rig, "uid_map");
	unsigned inner, outer, count;
	assert_int_equal(sscanf(uids, "%u %u %u", &inner, &outer, &count), 3);
	assert_true(inner == 1000 && count == 1 && (outer & 0x3fffff) == (uid & 0x3fffff) && outer != 0);
	free(uids);
	expect_proc(rig, "setgroups", "deny\n");
	expect_proc(rig, "oom_score_adj", "1000\n");
	process_kill(&rig->process);
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
}

/* ---- From inside ---- */

static const char *built(const char *relative)
{
	static char path[PATH_MAX];
	const char *root = getenv("PLUGVM_BUILD_ROOT");
	snprintf(path, sizeof(path), "%s/%s", root ? root : BUILD_ROOT, relative);
	return path;
}

static void probe(struct jail_rig *rig, enum plugvm_jail_profile profile, const char *program)
{
	if (access(program, X_OK) < 0)
		test_skip("this user cannot reach the build directory");
	jail_rig_renew_jail(rig, profile);
	jail_rig_set_wide_policy(rig, -1, "");
	rig->config.path = program;
	rig->config.argv = geteuid() == 0 ? (const char *const[]){"jailprobe", NULL}
	                                  : (const char *const[]){"jailprobe", "--unprivileged", NULL};
	struct plugvm_plugin *plugin;
	if (plugvm_plugin_new(&rig->config, &plugin, &rig->error) < 0)
		fail_msg("%s", rig->error.text);
	fd_close(&rig->output[1]);

	struct plugvm_plugin_status status = {.state = PLUGVM_PLUGIN_RUNNING};
	while (status.state == PLUGVM_PLUGIN_RUNNING) {
		struct pollfd fds[] = {{.fd = plugvm_plugin_poll_fd(plugin), .events = POLLIN},
		                       {.fd = plugvm_plugin_pidfd(plugin), .events = POLLIN}};
		assert_true(poll(fds, 2, DEADLINE_MS) > 0);
		plugvm_plugin_dispatch(plugin, NULL);
		assert_int_equal(plugvm_plugin_try_wait(plugin, &status), 0);
	}
	plugvm_plugin_free(&plugin, NULL);

	static char text[16384];
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	const char *failed = strstr(text, "not ok");
	if (failed || !strstr(text, "\nok network namespace\n") || status.state != PLUGVM_PLUGIN_EXITED ||
	    status.value != 0)
		fail_msg("it ended with %d after\n%.600s ...\n%s", status.value, text, failed ? failed : "");
}

static void test_probe_default(void **state)
{
	probe(*state, PLUGVM_JAIL_DEFAULT, built("plugins/jailprobe/jailprobe"));
}

static void test_probe_strict(void **state)
{
	probe(*state, PLUGVM_JAIL_STRICT, built("plugins/jailprobe/jailprobe-static"));
}

/* ---- What the operator shows it ---- */

static void test_mounts(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", file[64], option[128], text[512];
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0777), 0);
	snprintf(file, sizeof(file), "%s/file", directory);
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "content\n", 8), 8);
	fd_close(&fd);
	snprintf(option, sizeof(option), "%s:/data/sub:true", directory);
	assert_int_equal(plugvm_jail_parse_mount(rig->jail, option, NULL), 0);
	snprintf(option, sizeof(option), "%s:/one/file", file);
	assert_int_equal(plugvm_jail_parse_mount(rig->jail, option, NULL), 0);
	assert_int_equal(plugvm_jail_parse_mount(rig->jail, directory, NULL), 0);
	jail_rig_spawn(
	    rig,
	    SHELL(
	        "read a < /one/file; echo $a; cd /data/sub && echo new > made && echo writable;"
	        "cd $0 || cd /tmp/plugvm-test* && { read b < file; echo $b; echo x > other || echo read-only; }"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "content\nwritable\ncontent\nread-only\n");
	process_wait(&rig->process, DEADLINE_MS, &(struct plugvm_plugin_status){.value = 0});
	process_fini(&rig->process);
	unlink(file);
	snprintf(file, sizeof(file), "%s/made", directory);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* What a plugin writes where it may is nobody's way to the user's rights. */
static void test_no_setuid_files(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", file[64], option[128], text[512];
	struct stat status;
	jail_rig_renew_jail(rig, PLUGVM_JAIL_DEFAULT);
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0777), 0);
	snprintf(option, sizeof(option), "%s:/data:true", directory);
	assert_int_equal(plugvm_jail_parse_mount(rig->jail, option, NULL), 0);
	assert_int_equal(plugvm_jail_mount(rig->jail, "/bin/chmod", "/chmod", false, NULL), 0);
	/* It can be made, and its mode be changed, but not to this. */
	jail_rig_spawn(rig, SHELL("cd /data; echo x > made; echo done; exec /chmod 4711 made 2> /dev/null"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "done\n");
	process_wait(&rig->process, DEADLINE_MS, &(struct plugvm_plugin_status){.value = 0});
	process_fini(&rig->process);
	snprintf(file, sizeof(file), "%s/made", directory);
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_prepared_root(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", path[64], text[512];
	static const char *const entries[] = {"lib", "lib64", "usr"};
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0755), 0);
	for (size_t i = 0; i < 3; i++) {
		char source[64];
		snprintf(source, sizeof(source), "/%s", entries[i]);
		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]);
		/* Links into the host's are links in the root, and dangle; so the libraries are mounted. */
		assert_int_equal(mkdir(path, 0755), 0);
		if (i < 2)
			assert_int_equal(plugvm_jail_mount(rig->jail, source, source, false, NULL), 0);
	}
	snprintf(path, sizeof(path), "%s/note", directory);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "prepared\n", 9), 9);
	fd_close(&fd);
	assert_int_equal(plugvm_jail_set_root(rig->jail, directory, NULL), 0);
	jail_rig_spawn(
	    rig,
	    SHELL("read a < /note; echo $a; test -d /usr/lib || echo no libraries; echo x > /note || echo kept; "
	          "echo /*"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "prepared\nno libraries\nkept\n/dev /lib /lib64 /note /plugin /tmp /usr\n");
	process_wait(&rig->process, DEADLINE_MS, &(struct plugvm_plugin_status){.value = 0});
	process_fini(&rig->process);
	unlink(path);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]);
		rmdir(path);
	}
	assert_int_equal(rmdir(directory), 0);
}

static char swapped[64];

/* Called between the plan and its execution: what the plan has seen as a directory becomes a symlink. */
static int swap_and_make_pair(int domain, int type, int protocol, int fds[2])
{
	if (rmdir(swapped) < 0 || symlink("/etc", swapped) < 0)
		return -1;
	return socketpair(domain, type, protocol, fds);
}

/* Whoever owns a part of the prepared root cannot have root show something else. */
static void test_swapped_for_a_link(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX";
	assert_non_null(mkdtemp(directory));
	snprintf(swapped, sizeof(swapped), "%s/data", directory);
	assert_int_equal(mkdir(swapped, 0755), 0);
	assert_int_equal(plugvm_jail_set_root(rig->jail, directory, NULL), 0);
	rig->config.argv = SHELL("echo it ran");
	sys.socketpair = swap_and_make_pair;
	jail_rig_expect_refusal(rig, PLUGVM_ERROR_JAIL, ELOOP, swapped);
	sys.socketpair = socketpair;
	assert_int_equal(unlink(swapped), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_gid_maps(void **state)
{
	struct jail_rig *rig = *state;
	char text[64];
	assert_int_equal(plugvm_jail_parse_gid_map(rig->jail, "5:4242:2", NULL), 0);
	if (geteuid() != 0) {
		rig->config.argv = SHELL("echo it ran");
		jail_rig_expect_refusal(rig, PLUGVM_ERROR_CONFIG, EPERM, "--plugin-gid-map needs CAP_SETGID");
		return;
	}
	jail_rig_spawn(rig, SHELL("echo up; while :; do :; done"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	char *map = proc_file(rig, "gid_map");
	assert_non_null(strstr(map, "         5       4242          2\n"));
	free(map);
	process_fini(&rig->process);
}

#if !AS_USER /* who can make no cgroups */
/* A cgroup of version 1 or 2 that limits processes; NULL: this user can make none. */
static const char *make_pids_cgroup(void)
{
	static const char *const hierarchies[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup"};
	static char directory[128];
	for (size_t i = 0; i < 2; i++) {
		char path[160];
		snprintf(directory, sizeof(directory), "%s/plugvm-test-%d", hierarchies[i], getpid());
		if (mkdir(directory, 0755) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/pids.max", directory);
		FD_AUTO fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "6", 1) == 1)
			return directory;
		rmdir(directory);
	}
	return NULL;
}

static void test_cgroup(void **state)
{
	struct jail_rig *rig = *state;
	char text[256];
	const char *directory = make_pids_cgroup();
	if (!directory)
		test_skip("this user cannot make a cgroup that limits processes");
	assert_int_equal(plugvm_jail_join_cgroup(rig->jail, directory, NULL), 0);
	jail_rig_spawn(rig, SHELL("echo up; while :; do :; done"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	char *cgroup = proc_file(rig, "cgroup");
	assert_non_null(strstr(cgroup, strrchr(directory, '/')));
	free(cgroup);
	process_fini(&rig->process);

	jail_rig_renew_output(rig);
	jail_rig_spawn(rig, SHELL("for i in 1 2 3 4 5 6 7; do (while :; do :; done) & echo $i; done"));
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, 2);
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
	/* Beside init, the shell, and the builder for a moment. */
	assert_true(strlen(text) >= strlen("1\n2\n") && !strstr(text, "5"));
	assert_int_equal(rmdir(directory), 0);
}
#endif

/* The executable, where nobody but its owner may look. */
static void test_private_directory(void **state)
{
	struct jail_rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", command[128], path[64], text[64];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/sh", directory);
	snprintf(command, sizeof(command), "cp /bin/sh %s", path);
	assert_int_equal(system(command), 0);
	assert_int_equal(chmod(directory, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(directory, ORDINARY_ID, ORDINARY_ID), 0);
	rig->config.path = path;
	jail_rig_spawn(rig, SHELL("echo up"));
	assert_true(jail_rig_await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "up\n");
	jail_rig_expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JAIL_TEST(test_seen_from_outside),
		JAIL_TEST(test_probe_default),
		JAIL_TEST(test_probe_strict),
		JAIL_TEST(test_mounts),
		JAIL_TEST(test_no_setuid_files),
		JAIL_TEST(test_prepared_root),
		JAIL_TEST(test_swapped_for_a_link),
		JAIL_TEST(test_gid_maps),
		JAIL_TEST(test_private_directory),
#if !AS_USER
		JAIL_TEST(test_cgroup),
#endif
	};
	return cmocka_run_group_tests_name(AS_USER ? "jail_view_user" : "jail_view", tests, become_ordinary, NULL);
}
