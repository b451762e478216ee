/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that plugins of each make run in the default jail, without a word about it: static, dynamic, a script with its
 * interpreter; wherever they lie; and that a debugger can have one outside it.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define RUN    PLUGVM, "run"
#define HELLO  built("examples/hello/hello")
#define PYTHON "/usr/bin/python3"

/* ---- Files of the test's own ---- */

/* A directory into which nobody but this user may look, laid out like a build tree. */
struct private
{
	char directory[32];
	char hello[96], library[96];
};

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat file;
	assert_true(in >= 0 && out >= 0 && fstat(in, &file) == 0);
	assert_int_equal(sendfile(out, in, NULL, (size_t)file.st_size), file.st_size);
	close(in);
	close(out);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static const char *below(const struct private *private, const char *name)
{
	static char path[96];
	snprintf(path, sizeof(path), "%s/%s", private->directory, name);
	return path;
}

static void private_init(struct private *private)
{
	static const char *const directories[] = {"src", "examples", "examples/hello"};
	strcpy(private->directory, "/tmp/plugvm-XXXXXX");
	assert_non_null(mkdtemp(private->directory));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(mkdir(below(private, directories[i]), 0755), 0);
	snprintf(private->hello, sizeof(private->hello), "%s/examples/hello/hello", private->directory);
	snprintf(private->library, sizeof(private->library), "%s/src/libcrosvm_plugin.so.0", private->directory);
	copy_file(HELLO, private->hello);
	copy_file(built("src/libcrosvm_plugin.so.0"), private->library);
}

static void private_fini(const struct private *private)
{
	static const char *const names[] = {"examples/hello", "examples", "src"};
	unlink(private->hello);
	unlink(private->library);
	for (size_t i = 0; i < 3; i++)
		rmdir(below(private, names[i]));
	assert_int_equal(rmdir(private->directory), 0);
}

static void expect(const char *const *words, const char *output)
{
	struct run run;
	run_words(&run, words);
	run_expect_status(&run, 0);
	run_expect_out(&run, output);
	assert_string_equal(run.err.text, "plugvm: the plugin exited\n");
	run_fini(&run);
}

/* ---- Kinds ---- */

static void test_static(void **state)
{
	(void)state;
	expect(WORDS(RUN, "--", built("tests/system/plain")), "plain\n");
}

static void test_dynamic_in_private_directory(void **state)
{
	(void)state;
	struct private private;
	private_init(&private);
	expect(WORDS(RUN, "--", private.hello), "hello from the guest\n");
	/* Others really cannot get there. */
	struct stat status;
	assert_int_equal(stat(private.directory, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	private_fini(&private);
}

static void become_root_of_one_user(void *context)
{
	const char *const *maps = context;
	static const char *const files[] = {"/proc/self/setgroups", "/proc/self/uid_map", "/proc/self/gid_map"};
	if (unshare(CLONE_NEWUSER) < 0)
		_exit(126);
	for (int i = 0; i < 3; i++) {
		int fd = open(files[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, maps[i], strlen(maps[i])) < 0)
			_exit(125);
	}
}

/* As under `unshare --map-root-user`: a root with no other ids than its own. */
static void test_root_of_one_user(void **state)
{
	(void)state;
	char uid_map[32], gid_map[32];
	snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
	const char *maps[] = {"deny", uid_map, gid_map};
	struct run run;
	run_start(&run, &(struct setup){.in_child = become_root_of_one_user, .context = maps},
	          WORDS(RUN, "-v", "--", HELLO));
	run_finish(&run);
	if (run.status == 126)
		test_skip("a user namespace cannot be made");
	run_expect_status(&run, 0);
	run_expect_out(&run, "hello from the guest\n");
	run_expect_err(&run, "this user namespace has no ids to spare: the plugin has the caller's");
	run_fini(&run);
	/* One that is not there is told as such, before anything is done. */
	run_start(&run, &(struct setup){.in_child = become_root_of_one_user, .context = maps},
	          WORDS(RUN, "--jail-uid", "77", "--", HELLO));
	run_finish(&run);
	run_expect_status(&run, 2);
	run_expect_err(&run, "uid 77 for the plugin: this user namespace does not have it");
	run_fini(&run);
}

/* As in a container: root's ids end below where those of plugins are elsewhere. */
static void become_root_of_few_users(void *context)
{
	(void)context;
	int ready[2], status;
	char byte = 0, command[128];
	if (pipe(ready) < 0)
		_exit(125);
	snprintf(command, sizeof(command), "echo 0 0 65536 >/proc/%d/uid_map && echo 0 0 65536 >/proc/%d/gid_map",
	         getpid(), getpid());
	pid_t child = fork();
	if (child == 0) {
		close(ready[1]);
		_exit(read(ready[0], &byte, 1) == 1 && system(command) == 0 ? 0 : 1);
	}
	if (child < 0 || unshare(CLONE_NEWUSER) < 0)
		_exit(126);
	if (write(ready[1], &byte, 1) != 1 || waitpid(child, &status, 0) != child || status != 0)
		_exit(125);
	close(ready[0]);
	close(ready[1]);
}

static void test_root_of_few_users(void **state)
{
	(void)state;
	if (geteuid() != 0)
		test_skip("only root can map more than one id");
	struct run run;
	run_start(&run, &(struct setup){.in_child = become_root_of_few_users}, WORDS(RUN, "-v", "--", HELLO));
	run_finish(&run);
	if (run.status == 126)
		test_skip("a user namespace cannot be made");
	run_expect_status(&run, 0);
	run_expect_out(&run, "hello from the guest\n");
	run_expect_err(&run, "this user namespace has few ids: the plugin is user 6");
	run_fini(&run);
}

/* The script and what it imports: threads, temporary files, time, hashes. */
static const char script[] =
    "import hashlib, os, socket, sys, tempfile, threading, time\n"
    "seen = []\n"
    "thread = threading.Thread(target=lambda: seen.append(hashlib.sha256(b'x').hexdigest()[:8]))\n"
    "thread.start()\n"
    "thread.join()\n"
    "with tempfile.TemporaryFile() as file:\n"
    "    file.write(b'y' * 100)\n"
    "time.sleep(0.01)\n"
    "host = socket.socket(fileno=int(os.environ['CROSVM_SOCKET']))\n"
    "print(*seen, host.type == socket.SOCK_SEQPACKET, *sys.argv[1:])\n";

static void test_python(void **state)
{
	(void)state;
	struct private private;
	char path[96], mount[160];
	if (access(PYTHON, X_OK) < 0)
		test_skip("there is no " PYTHON);
	private_init(&private);
	snprintf(path, sizeof(path), "%s", below(&private, "plugin.py"));
	write_file(path, script);
	/* Where nobody may look, and at a place of its own. */
	expect(WORDS(RUN, "--plugin-mount", path, "--", PYTHON, path, "a"), "2d711642 True a\n");
	snprintf(mount, sizeof(mount), "%s:/srv/plugin.py", path);
	expect(WORDS(RUN, "--plugin-mount", mount, "--", PYTHON, "/srv/plugin.py", "b"), "2d711642 True b\n");
	unlink(path);
	/* Itself the plugin, with its interpreter beside it. */
	write_file(path, "#!" PYTHON "\nprint('as a program')\n");
	expect(WORDS(RUN, "--plugin-mount", PYTHON, "--", path), "as a program\n");
	run_check(WORDS(RUN, "--", path), 9, "in its jail");
	unlink(path);
	private_fini(&private);
}

/* What is in a prepared root is what the plugin sees. */
/* Threads of a run-time part that makes them by itself, timers and collected memory; with cgo, by the C library. */
#define GO_MAIN(more)                                                                            \
	"import (\"fmt\"; \"runtime\"; \"sync\"; \"time\")\n"                                    \
	"func main() {\n"                                                                        \
	"	var group sync.WaitGroup\n"                                                            \
	"	for i := 0; i < 100; i++ {\n"                                                          \
	"		group.Add(1)\n"                                                                       \
	"		go func() { runtime.LockOSThread(); time.Sleep(time.Millisecond); group.Done() }()\n" \
	"	}\n"                                                                                   \
	"	group.Wait()\n"                                                                        \
	"	runtime.GC()\n"                                                                        \
	"	fmt.Println(\"from Go\"" more ")\n"                                              \
	"}\n"

static void test_go(void **state)
{
	(void)state;
	static const struct {
		const char *source, *output;
	} kinds[] = {
	    {"package main\n" GO_MAIN(""), "from Go\n"},
	    {"package main\n// #include <unistd.h>\nimport \"C\"\n" GO_MAIN(", C.getpid()"), "from Go 2\n"}};
	char directory[] = "/tmp/plugvm-XXXXXX", source[64], program[64], command[512];
	if (system("go version >/dev/null 2>&1") != 0)
		test_skip("there is no Go compiler");
	assert_non_null(mkdtemp(directory));
	snprintf(source, sizeof(source), "%s/plugin.go", directory);
	snprintf(program, sizeof(program), "%s/plugin", directory);
	for (int i = 0; i < 2; i++) {
		write_file(source, kinds[i].source);
		snprintf(command, sizeof(command),
		         "cd %s && GO111MODULE=off GOFLAGS= GOPATH=$PWD/path GOCACHE=$PWD/cache CGO_ENABLED=%d "
		         "go build -o plugin plugin.go",
		         directory, i);
		assert_int_equal(system(command), 0);
		/* Each of the goroutines has a thread, and there may be only so many. */
		expect(WORDS(RUN, "--limit", "pids=200", "--", program), kinds[i].output);
		unlink(source);
	}
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

static void test_prepared_root(void **state)
{
	(void)state;
	struct private private;
	char hello[160];
	private_init(&private);
	snprintf(hello, sizeof(hello), "%s:/src/other", private.hello);
	/* The plugin finds its library by the operator's word, in the root, and the C library by mounts. */
	expect(WORDS(RUN, "--plugin-root", private.directory, "--plugin-mount", "/usr/lib", "--plugin-mount",
	             "/lib", "--plugin-mount", "/lib64", "--env", "LD_LIBRARY_PATH=/src", "--", HELLO),
	       "hello from the guest\n");
	private_fini(&private);
}

/* ---- A debugger ---- */

/*
 * What stands in for gdb: it says that it is there, asks for a command, and runs the words behind --args with the fds
 * and the environment that it has itself.
 */
static const char debugger[] = "#!/bin/sh\n"
                               "[ \"$1\" = --args ] || exit 1\n"
                               "shift\n"
                               "read -r command\n"
                               "echo \"(gdb) $command\"\n"
                               "exec \"$@\"\n";

static void test_under_a_debugger(void **state)
{
	(void)state;
	struct private private;
	char path[96];
	private_init(&private);
	snprintf(path, sizeof(path), "%s", below(&private, "gdb"));
	write_file(path, debugger);
	struct setup setup = {.stdin_fd = file_with("run\n", 4)};
	struct run run;
	run_start(&run, &setup,
	          WORDS(RUN, "--disable-sandbox", "--stdin", "inherit", "--stdout", "inherit", "--", path,
	                "--args", HELLO));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_expect_out(&run, "(gdb) run\nhello from the guest\n");
	run_expect_err(&run, "plugvm: warning: --disable-sandbox: ");
	run_fini(&run);
	close(setup.stdin_fd);
	unlink(path);
	private_fini(&private);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_static),           cmocka_unit_test(test_dynamic_in_private_directory),
	    cmocka_unit_test(test_python),           cmocka_unit_test(test_go),
	    cmocka_unit_test(test_root_of_one_user), cmocka_unit_test(test_root_of_few_users),
	    cmocka_unit_test(test_prepared_root),    cmocka_unit_test(test_under_a_debugger),
	};
	return SYSTEM_MAIN("kinds", tests);
}
