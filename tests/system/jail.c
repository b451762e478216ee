/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the jail around real processes, from outside and, by jailprobe, from inside: what the plugin is and sees,
 * that each step that fails is named and that nothing runs then, how ends are told, and that nothing stays. Needs no KVM.
 *
 * Built twice: as whoever runs the tests, and as an ordinary user (AS_USER).
 */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "host/process.h"
#include "jail/jail.h"

#define ORDINARY_ID 54321

/* For any one wait on a loaded machine, and for what should be at once. */
#define DEADLINE_MS 60000
#define PROMPT_MS   3000

#define SHELL(text) ((const char *const[]){"sh", "-c", text, NULL})

struct rig {
	int fds_before;
	char *mounts_before;
	int socket[2];
	int output[2];
	struct plugvm_jail *jail;
	struct plugvm_plugin_config config;
	struct process process;
	struct plugvm_error error;
	char log[4096];
};

static char *read_file(const char *path)
{
	static const size_t capacity = 1 << 16;
	char *text = calloc(1, capacity);
	assert_non_null(text);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t size = 0;
	while (fd >= 0 && (size = read(fd, text + used, capacity - 1 - used)) > 0)
		used += (size_t)size;
	fd_close(&fd);
	return text;
}

static void keep_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct rig *rig = context;
	(void)level;
	size_t used = strlen(rig->log);
	snprintf(rig->log + used, sizeof(rig->log) - used, "%s\n", line);
}

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.mounts_before = read_file("/proc/self/mountinfo");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rig.socket), 0);
	assert_int_equal(pipe2(rig.output, O_CLOEXEC), 0);
	assert_int_equal(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &rig.jail, NULL), 0);
	rig.config = (struct plugvm_plugin_config){.size = sizeof(rig.config),
	                                           .path = "/bin/sh",
	                                           .vcpu_count = 1,
	                                           .stdin_fd = -1,
	                                           .stdout_fd = rig.output[1],
	                                           .stderr_fd = -1,
	                                           .jail = rig.jail,
	                                           .log = keep_log,
	                                           .context = &rig};
	*state = &rig;
	return 0;
}

/* Nothing stays: no fd, no mount, no process. */
static int teardown(void **state)
{
	struct rig *rig = *state;
	plugvm_jail_free(&rig->jail);
	fd_close_pair(rig->socket);
	fd_close_pair(rig->output);
	assert_int_equal(count_open_fds(), rig->fds_before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	char *mounts = read_file("/proc/self/mountinfo");
	assert_string_equal(mounts, rig->mounts_before);
	free(mounts);
	free(rig->mounts_before);
	return 0;
}

static void spawn(struct rig *rig, const char *const *argv)
{
	rig->config.argv = argv;
	int result = process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
	if (result < 0)
		fail_msg("%s", rig->error.text);
	fd_close(&rig->output[1]);
}

/* Read what the plugin writes until `text` is there (NULL: until its end). Returns false after `timeout_ms`. */
static bool await_output(struct rig *rig, char *out_text, size_t capacity, const char *text, int timeout_ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)timeout_ms * 1000000;
	size_t used = 0;
	for (;;) {
		struct pollfd output = {.fd = rig->output[0], .events = POLLIN};
		uint64_t now = clock_ns();
		if (now >= deadline || poll(&output, 1, (int)((deadline - now) / 1000000) + 1) == 0)
			return false;
		ssize_t size = read(rig->output[0], out_text + used, capacity - 1 - used);
		used += size > 0 ? (size_t)size : 0;
		out_text[used] = '\0';
		if (size <= 0)
			return text == NULL;
		if (text && strstr(out_text, text))
			return true;
	}
}

static void expect_end(struct rig *rig, enum plugvm_plugin_state state, int value)
{
	struct plugvm_plugin_status status;
	assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
	if (status.state != state || status.value != value)
		fail_msg("it ended as %d with %d instead of %d with %d", (int)status.state, status.value,
		         (int)state, value);
	process_fini(&rig->process);
}

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

static char *proc_file(const struct rig *rig, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", rig->process.plugin_pid, name);
	return read_file(path);
}

static void expect_proc(const struct rig *rig, const char *name, const char *expected)
{
	char *text = proc_file(rig, name);
	if (strcmp(text, expected) != 0)
		fail_msg("%s is '%s'", name, text);
	free(text);
}

static void check_status_file(const struct rig *rig)
{
	char *status = proc_file(rig, "status");
	expect_line(status, "\nCapInh:", "0000000000000000\n");
	expect_line(status, "\nCapPrm:", "0000000000000000\n");
	expect_line(status, "\nCapEff:", "0000000000000000\n");
	expect_line(status, "\nCapBnd:", "0000000000000000\n");
	expect_line(status, "\nCapAmb:", "0000000000000000\n");
	expect_line(status, "\nNoNewPrivs:", "1\n");
	expect_line(status, "\nSeccomp:", "2\n");
	if (geteuid() == 0)
		expect_line(status, "\nGroups:", "\n");
	char pids[64];
	snprintf(pids, sizeof(pids), "%d\t2\n", rig->process.plugin_pid);
	expect_line(status, "\nNSpid:", pids);
	free(status);
}

static void check_namespaces(const struct rig *rig)
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
static void check_mounts(const struct rig *rig)
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
	struct rig *rig = *state;
	char text[256], map[64];
	spawn(rig, SHELL("echo up; while :; do :; done"));
	assert_true(await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
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
	expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
}

/* ---- From inside ---- */

static const char *built(const char *relative)
{
	static char path[PATH_MAX];
	const char *root = getenv("PLUGVM_BUILD_ROOT");
	snprintf(path, sizeof(path), "%s/%s", root ? root : BUILD_ROOT, relative);
	return path;
}

static void probe(struct rig *rig, enum plugvm_jail_profile profile, const char *program)
{
	if (access(program, X_OK) < 0)
		test_skip("this user cannot reach the build directory");
	plugvm_jail_free(&rig->jail);
	assert_int_equal(plugvm_jail_new(profile, &rig->jail, NULL), 0);
	rig->config.jail = rig->jail;
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
	assert_true(await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	if (strstr(text, "FAIL") || !strstr(text, "capabilities: ok\n") || status.state != PLUGVM_PLUGIN_EXITED ||
	    status.value != 0)
		fail_msg("it ended with %d after\n%.600s ...\n%s", status.value, text,
		         strstr(text, "FAIL") ? strstr(text, "FAIL") : "");
}

static void test_probe_default(void **state)
{
	probe(*state, PLUGVM_JAIL_DEFAULT, built("plugins/jailprobe/jailprobe"));
}

static void test_probe_strict(void **state)
{
	probe(*state, PLUGVM_JAIL_STRICT, built("plugins/jailprobe/jailprobe-static"));
}

/* ---- Failures ---- */

static void expect_refusal(struct rig *rig, enum plugvm_error_kind kind, int code, const char *text)
{
	char output[64] = "";
	int before = count_open_fds();
	int result = process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
	if (result != -code || rig->error.kind != kind || !strstr(rig->error.text, text))
		fail_msg("%d, kind %d: %s, instead of %s", result, (int)rig->error.kind, rig->error.text, text);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	/* It never ran, and nobody has its stdout. */
	fd_close(&rig->output[1]);
	assert_true(await_output(rig, output, sizeof(output), NULL, PROMPT_MS));
	assert_string_equal(output, "");
	fd_close_pair(rig->output);
	assert_int_equal(pipe2(rig->output, O_CLOEXEC), 0);
	rig->config.stdout_fd = rig->output[1];
}

static void test_each_step(void **state)
{
	struct rig *rig = *state;
	static const char *const names[] = {
#define STEP_TEXT(name, text) [STEP_##name] = text,
	    PLAN_STEPS(STEP_TEXT)
#undef STEP_TEXT
	};
	bool is_root = geteuid() == 0;
	rig->config.argv = SHELL("echo it ran");
	rig->config.die_with_thread = true;
	for (enum plan_step step = STEP_NONE + 1; step < STEP_COUNT; step++) {
		if (is_root ? step == STEP_BUILDER_USER_NS || step == STEP_BUILDER_MAPS : step == STEP_GROUPS)
			continue;
		rig->jail->fail_step = step;
		if (step == STEP_EXEC)
			expect_refusal(rig, PLUGVM_ERROR_PLUGIN_FILE, EIO, "cannot execute /bin/sh");
		else
			expect_refusal(rig, PLUGVM_ERROR_JAIL, EIO, names[step]);
	}
}

static void test_executables_that_are_none(void **state)
{
	struct rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", no_format[64], no_loader[64];
	assert_non_null(mkdtemp(directory));
	snprintf(no_format, sizeof(no_format), "%s/no-format", directory);
	snprintf(no_loader, sizeof(no_loader), "%s/no-loader", directory);
	for (int i = 0; i < 2; i++) {
		int fd = open(i ? no_loader : no_format, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
		const char *text = i ? "#!/bin/sh\necho it ran\n" : "no program";
		assert_true(write(fd, text, strlen(text)) > 0);
		fd_close(&fd);
	}
	const struct {
		const char *path;
		int code;
	} cases[] = {{"/nonexistent/plugin", ENOENT}, {"/etc/passwd/x", ENOTDIR}, {directory, EACCES},
	             {"/etc/passwd", EACCES},         {no_format, ENOEXEC},       {no_loader, ENOENT}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->config.path = cases[i].path;
		expect_refusal(rig, PLUGVM_ERROR_PLUGIN_FILE, cases[i].code, cases[i].path);
	}
	/* A mount that is gone by now, or has no place: the step and the path. */
	rig->config.path = "/bin/sh";
	assert_int_equal(plugvm_jail_mount(rig->jail, no_format, "/file", false, NULL), 0);
	unlink(no_format);
	expect_refusal(rig, PLUGVM_ERROR_JAIL, ENOENT, no_format);
	unlink(no_loader);
	rmdir(directory);
}

/* ---- Ends ---- */

static void test_statuses(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *script;
		enum plugvm_plugin_state state;
		int value;
	} cases[] = {
	    {"exit 0", PLUGVM_PLUGIN_EXITED, 0},
	    {"exit 7", PLUGVM_PLUGIN_EXITED, 7},
	    {"exit 255", PLUGVM_PLUGIN_EXITED, 255},
	    {"kill -9 $$", PLUGVM_PLUGIN_SIGNALED, SIGKILL},
	    {"kill -TERM $$", PLUGVM_PLUGIN_SIGNALED, SIGTERM},
	    {"kill -SEGV $$", PLUGVM_PLUGIN_SIGNALED, SIGSEGV},
	    /* What it leaves behind ends with it; init itself cannot be ended from inside. */
	    {"(while :; do :; done) & exit 3", PLUGVM_PLUGIN_EXITED, 3},
	    {"kill -9 1; kill -STOP 1; exit 4", PLUGVM_PLUGIN_EXITED, 4},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		spawn(rig, SHELL(cases[i].script));
		expect_end(rig, cases[i].state, cases[i].value);
		assert_true(await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
		fd_close_pair(rig->output);
		assert_int_equal(pipe2(rig->output, O_CLOEXEC), 0);
		rig->config.stdout_fd = rig->output[1];
	}
}

static void test_killed_from_outside(void **state)
{
	struct rig *rig = *state;
	char text[64];
	spawn(rig, SHELL("(while :; do :; done) & echo up; while :; do :; done"));
	assert_true(await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	assert_int_equal(kill(rig->process.plugin_pid, SIGUSR1), 0);
	expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGUSR1);
	assert_true(await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
}

/* The host, killed: its init and all of the plugin end. */
static void test_host_killed(void **state)
{
	struct rig *rig = *state;
	char text[64];
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t host = fork();
	if (host == 0) {
		rig->config.argv = SHELL("(trap '' TERM HUP; while :; do :; done) & echo up; while :; do :; done");
		if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	fd_close(&rig->output[1]);
	assert_true(await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	kill(host, SIGKILL);
	uint64_t begin = clock_ns();
	assert_true(await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
	/* The orphans are this process's: the host, init with everything in it, perhaps the builder. */
	pid_t pid = 0;
	while (pid >= 0 && clock_ns() - begin < PROMPT_MS * UINT64_C(1000000)) {
		pid = waitpid(-1, NULL, WNOHANG);
		if (pid == 0)
			poll(NULL, 0, 2);
	}
	print_message("# all gone after %u ms\n", (unsigned)((clock_ns() - begin) / 1000000));
	assert_int_equal(pid, -1);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void *spawn_and_end(void *context)
{
	struct rig *rig = context;
	return (void *)(intptr_t)process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
}

static void test_thread_ends(void **state)
{
	struct rig *rig = *state;
	pthread_t thread;
	void *result;
	rig->config.die_with_thread = true;
	rig->config.argv = SHELL("while :; do :; done");
	assert_int_equal(pthread_create(&thread, NULL, spawn_and_end, rig), 0);
	pthread_join(thread, &result);
	assert_null(result);
	expect_end(rig, PLUGVM_PLUGIN_SIGNALED, SIGKILL);
}

/* ---- Mounts, groups, filter ---- */

static void test_mounts(void **state)
{
	struct rig *rig = *state;
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
	spawn(
	    rig,
	    SHELL(
	        "read a < /one/file; echo $a; cd /data/sub && echo new > made && echo writable;"
	        "cd $0 || cd /tmp/plugvm-test* && { read b < file; echo $b; echo x > other || echo read-only; }"));
	assert_true(await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "content\nwritable\ncontent\nread-only\n");
	process_wait(&rig->process, DEADLINE_MS, &(struct plugvm_plugin_status){.value = 0});
	process_fini(&rig->process);
	unlink(file);
	snprintf(file, sizeof(file), "%s/made", directory);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_prepared_root(void **state)
{
	struct rig *rig = *state;
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
	spawn(
	    rig,
	    SHELL("read a < /note; echo $a; test -d /usr/lib || echo no libraries; echo x > /note || echo kept"));
	assert_true(await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "prepared\nno libraries\nkept\n");
	process_wait(&rig->process, DEADLINE_MS, &(struct plugvm_plugin_status){.value = 0});
	process_fini(&rig->process);
	unlink(path);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]);
		rmdir(path);
	}
	assert_int_equal(rmdir(directory), 0);
}

static void test_gid_maps(void **state)
{
	struct rig *rig = *state;
	char text[64];
	assert_int_equal(plugvm_jail_parse_gid_map(rig->jail, "5:4242:2", NULL), 0);
	if (geteuid() != 0) {
		rig->config.argv = SHELL("echo it ran");
		expect_refusal(rig, PLUGVM_ERROR_CONFIG, EPERM, "--plugin-gid-map needs CAP_SETGID");
		return;
	}
	spawn(rig, SHELL("echo up; while :; do :; done"));
	assert_true(await_output(rig, text, sizeof(text), "up", DEADLINE_MS));
	char *map = proc_file(rig, "gid_map");
	assert_non_null(strstr(map, "         5       4242          2\n"));
	free(map);
	process_fini(&rig->process);
}

/* The executable, where nobody but its owner may look. */
static void test_private_directory(void **state)
{
	struct rig *rig = *state;
	char directory[] = "/tmp/plugvm-test-XXXXXX", command[128], path[64], text[64];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/sh", directory);
	snprintf(command, sizeof(command), "cp /bin/sh %s", path);
	assert_int_equal(system(command), 0);
	assert_int_equal(chmod(directory, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(directory, ORDINARY_ID, ORDINARY_ID), 0);
	rig->config.path = path;
	spawn(rig, SHELL("echo up"));
	assert_true(await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "up\n");
	expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	unlink(path);
	rmdir(directory);
}

static void test_notification(void **state)
{
	struct rig *rig = *state;
	const struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_times, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	char text[16384], line[64];
	assert_int_equal(plugvm_jail_set_filter(rig->jail, filter, 4, true, NULL), 0);
	spawn(rig, SHELL("i=0; while [ $i -lt 200 ]; do times; i=$((i+1)); done > /dev/null 2>&1; echo done"));
	assert_true(await_output(rig, text, sizeof(text), NULL, DEADLINE_MS));
	assert_string_equal(text, "done\n");
	expect_end(rig, PLUGVM_PLUGIN_EXITED, 0);
	/* Told a few times, not two hundred. */
	unsigned told = 0;
	snprintf(line, sizeof(line), "system call %d with ENOSYS", SYS_times);
	for (const char *at = strstr(rig->log, line); at; at = strstr(at + 1, line))
		told++;
	if (told == 0 || told > 60)
		fail_msg("%u times: %s", told, rig->log);
}

/* A filter that kills its own set-up: nothing runs, and the host knows. */
static void test_filter_that_kills(void **state)
{
	struct rig *rig = *state;
	struct plugvm_plugin_status status;
	const struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
	char text[64] = "";
	assert_int_equal(plugvm_jail_set_filter(rig->jail, filter, 1, false, NULL), 0);
	rig->config.argv = SHELL("echo it ran");
	if (process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error) == 0) {
		assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
		assert_int_equal(status.state, PLUGVM_PLUGIN_SIGNALED);
		assert_int_equal(status.value, SIGSYS);
		process_fini(&rig->process);
	}
	fd_close(&rig->output[1]);
	assert_true(await_output(rig, text, sizeof(text), NULL, PROMPT_MS));
	assert_string_equal(text, "");
}

/* ---- The program ---- */

static int become_ordinary(void **state)
{
	(void)state;
	if (!AS_USER || geteuid() != 0)
		return 0;
	return setgroups(0, NULL) < 0 || setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 ||
	       setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0;
}

#define JAIL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    JAIL_TEST(test_seen_from_outside),
	    JAIL_TEST(test_probe_default),
	    JAIL_TEST(test_probe_strict),
	    JAIL_TEST(test_each_step),
	    JAIL_TEST(test_executables_that_are_none),
	    JAIL_TEST(test_statuses),
	    JAIL_TEST(test_killed_from_outside),
	    JAIL_TEST(test_host_killed),
	    JAIL_TEST(test_thread_ends),
	    JAIL_TEST(test_mounts),
	    JAIL_TEST(test_prepared_root),
	    JAIL_TEST(test_gid_maps),
	    JAIL_TEST(test_private_directory),
	    JAIL_TEST(test_notification),
	    JAIL_TEST(test_filter_that_kills),
	};
	return cmocka_run_group_tests_name(AS_USER ? "jail_user" : "jail", tests, become_ordinary, NULL);
}
