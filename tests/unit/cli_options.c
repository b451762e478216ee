/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the command line of `plugvm run`: every option, its edges, what it leaves at its default, how the plugin
 * is found, and which environment it gets.
 */
#include "test.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/options.h"
#include "jail/jail.h"

#define WORDS_MAX 40

struct rig {
	int fds_before;
	struct options options;
	int saved[2]; /* stdout and stderr, which are not for the test's output */
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	unsetenv("CROSVM_STATS");
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static void silence(struct rig *rig)
{
	fflush(stdout);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		rig->saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 10);
		dup2(null, i + 1);
	}
	fd_close(&null);
}

static void speak(struct rig *rig)
{
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		dup2(rig->saved[i], i + 1);
		fd_close(&rig->saved[i]);
	}
}

/* Parse the words, which are separated by one blank each, and return the status. */
static int parse(struct rig *rig, const char *words)
{
	static char text[512];
	static char *argv[WORDS_MAX + 1];
	int argc = 1;
	snprintf(text, sizeof(text), "%s", words);
	argv[0] = "plugvm";
	for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	/* What getopt() remembers of the words before points into them. */
	optind = 0;
	getopt(1, argv, "+");
	silence(rig);
	int status = options_parse(&rig->options, argc, argv);
	speak(rig);
	return status;
}

static void expect_status(struct rig *rig, const char *words, int status)
{
	int got = parse(rig, words);
	options_fini(&rig->options);
	if (got != status)
		print_message("# %s\n", words);
	assert_int_equal(got, status);
}

static void test_defaults(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(parse(rig, "-- /bin/true a -v --cpus"), STATUS_OK);
	const struct plugvm_machine_config *machine = &rig->options.machine;
	assert_int_equal(machine->size, sizeof(*machine));
	assert_string_equal(machine->path, "/bin/true");
	assert_string_equal(machine->argv[0], "/bin/true");
	assert_string_equal(machine->argv[1], "a");
	assert_string_equal(machine->argv[2], "-v");
	assert_string_equal(machine->argv[3], "--cpus");
	assert_null(machine->argv[4]);
	assert_int_equal(machine->vcpu_count, 1);
	assert_int_equal(machine->irqchip, PLUGVM_IRQCHIP_KERNEL);
	assert_int_equal(machine->kvm_fd, -1);
	assert_null(machine->kvm_path);
	assert_int_equal(machine->stdin_fd, -1);
	assert_int_equal(machine->stdout_fd, -1);
	assert_int_equal(machine->grace_ms, 1000);
	assert_int_equal(machine->start_timeout_ms, 0);
	assert_int_equal(machine->answer_timeout_ms, 0);
	assert_true(machine->die_with_thread);
	assert_false(machine->measure);
	assert_false(rig->options.inherit_stdin);
	assert_true(rig->options.inherit_stdout);
	assert_false(rig->options.disable_sandbox);
	assert_non_null(machine->jail);
	assert_int_equal(machine->jail->profile, PLUGVM_JAIL_DEFAULT);
	assert_int_equal(rig->options.verbosity, NORMAL);
	options_fini(&rig->options);
}

static void test_every_option(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(
	    parse(rig, "--cpus 1024 --irqchip split --kvm-device fd:7 --disable-sandbox --env A=b --stdin inherit "
	               "--stdout null --grace 0 --start-timeout 5 --answer-timeout=2147483647 -v "
	               "/bin/true"),
	    STATUS_OK);
	const struct plugvm_machine_config *machine = &rig->options.machine;
	assert_int_equal(machine->vcpu_count, 1024);
	assert_int_equal(machine->irqchip, PLUGVM_IRQCHIP_SPLIT);
	assert_int_equal(machine->kvm_fd, 7);
	assert_int_equal(machine->grace_ms, 0);
	assert_int_equal(machine->start_timeout_ms, 5);
	assert_int_equal(machine->answer_timeout_ms, INT_MAX);
	assert_true(machine->measure);
	assert_true(rig->options.disable_sandbox);
	assert_null(machine->jail);
	assert_true(rig->options.inherit_stdin);
	assert_false(rig->options.inherit_stdout);
	assert_int_equal(rig->options.verbosity, VERBOSE);
	options_fini(&rig->options);

	assert_int_equal(parse(rig, "-q --kvm-device fd:7 --kvm-device /dev/other /bin/true -c"), STATUS_OK);
	assert_string_equal(rig->options.machine.kvm_path, "/dev/other");
	assert_int_equal(rig->options.machine.kvm_fd, -1);
	assert_int_equal(rig->options.verbosity, QUIET);
	options_fini(&rig->options);
}

/* There is a jail unless it is forbidden; the last profile counts, wherever it stands. */
static void test_jails(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *words;
		enum plugvm_jail_profile profile;
	} cases[] = {
	    {"--jail default --plugin-mount /etc /bin/true", PLUGVM_JAIL_DEFAULT},
	    {"--plugin-mount /etc --jail strict /bin/true", PLUGVM_JAIL_STRICT},
	    {"--plugin-mount=/etc --jail=default --jail=strict -- /bin/true", PLUGVM_JAIL_STRICT},
	    {"--jail strict --plugin-mount /etc --jail default /bin/true --jail strict", PLUGVM_JAIL_DEFAULT}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(rig, cases[i].words), STATUS_OK);
		assert_int_equal(rig->options.machine.jail->profile, cases[i].profile);
		assert_int_equal(rig->options.machine.jail->mount_count, 1);
		options_fini(&rig->options);
	}
	assert_int_equal(parse(rig, "--plugin-mount /etc --disable-sandbox /bin/true"), STATUS_OK);
	assert_null(rig->options.machine.jail);
	options_fini(&rig->options);
}

static void test_irqchips(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *words;
		enum plugvm_irqchip irqchip;
	} cases[] = {{"--irqchip kernel /bin/true", PLUGVM_IRQCHIP_KERNEL},
	             {"--irqchip=split /bin/true", PLUGVM_IRQCHIP_SPLIT},
	             {"--irqchip none /bin/true", PLUGVM_IRQCHIP_NONE},
	             {"--irqchip none --irqchip kernel /bin/true", PLUGVM_IRQCHIP_KERNEL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(rig, cases[i].words), STATUS_OK);
		assert_int_equal(rig->options.machine.irqchip, cases[i].irqchip);
		options_fini(&rig->options);
	}
}

static void test_network(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(parse(rig, "--net tap-name=a --net tap-fd=5 --tap-name b --tap-fd 6 --host-ip 10.0.0.1 "
	                            "--netmask 255.0.0.0 --mac 02:00:00:00:00:01 /bin/true"),
	                 STATUS_OK);
	const struct net_options *net = &rig->options.net;
	assert_int_equal(net->count, 2);
	assert_string_equal(net->requests[0].tap_name, "a");
	assert_string_equal(net->requests[1].tap_fd, "5");
	assert_string_equal(net->tap_name.tap_name, "b");
	assert_string_equal(net->tap_fd.tap_fd, "6");
	assert_string_equal(net->host_ip.host_ip, "10.0.0.1");
	assert_string_equal(net->host_ip.netmask, "255.0.0.0");
	assert_string_equal(net->host_ip.mac, "02:00:00:00:00:01");
	options_fini(&rig->options);
}

static void test_usage_errors(void **state)
{
	struct rig *rig = *state;
	static const char *const words[] = {
	    "",
	    "--",
	    "-v",
	    "--unknown /bin/true",
	    "-x /bin/true",
	    "--cpus",
	    "--cpus 0 /bin/true",
	    "--cpus 1025 /bin/true",
	    "--irqchip",
	    "--irqchip user /bin/true",
	    "--irqchip= /bin/true",
	    "--irqchip Kernel /bin/true",
	    "--irqchip kernels /bin/true",
	    "--cpus -1 /bin/true",
	    "--cpus +1 /bin/true",
	    "--cpus 1x /bin/true",
	    "--cpus= /bin/true",
	    "--cpus 0x1 /bin/true",
	    "--cpus 4294967297 /bin/true",
	    "--grace 2147483648 /bin/true",
	    "--grace 99999999999999999999 /bin/true",
	    "--start-timeout -1 /bin/true",
	    "--answer-timeout 1.5 /bin/true",
	    "--kvm-device fd: /bin/true",
	    "--jail",
	    "--jail none /bin/true",
	    "--jail Default /bin/true",
	    "--jail= /bin/true",
	    "--jail strict --disable-sandbox /bin/true",
	    "--disable-sandbox --jail default /bin/true",
	    "--disable-sandbox --plugin-mount etc /bin/true",
	    "--jail-uid 0 /bin/true",
	    "--kvm-device fd:-1 /bin/true",
	    "--kvm-device fd:3x /bin/true",
	    "--kvm-device fd:2147483648 /bin/true",
	    "--net",
	    "--net tap0 /bin/true",
	    "--net tap-name=a,tap-fd=3 /bin/true",
	    "--net host-ip=10.0.0.1 /bin/true",
	    "--mac",
	    "--env =x /bin/true",
	    "--env CROSVM_SOCKET=4 /bin/true",
	    "--env CROSVM_SOCKET /bin/true",
	    "--stdin /nonexistent/file /bin/true",
	    "--stdout /nonexistent/file /bin/true",
	    "--stdout / /bin/true",
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		expect_status(rig, words[i], STATUS_USAGE);
	expect_status(rig, "--env CROSVM_SOCKETS=4 /bin/true", STATUS_OK);
	expect_status(rig, "--env CROSVM_SOCKE=4 /bin/true", STATUS_OK);
}

static void test_help(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(parse(rig, "--help"), STATUS_OK);
	assert_null(rig->options.path);
	options_fini(&rig->options);
	expect_status(rig, "-h --unknown", STATUS_OK);
}

static void test_stdio_files(void **state)
{
	struct rig *rig = *state;
	char path[] = "/tmp/plugvm-test-XXXXXX";
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "old", 3), 3);
	fd_close(&fd);
	char words[256];
	snprintf(words, sizeof(words), "--stdin %s --stdin /dev/zero --stdout %s /bin/true", path, path);
	assert_int_equal(parse(rig, words), STATUS_OK);
	const struct plugvm_machine_config *machine = &rig->options.machine;
	assert_int_equal(fcntl(machine->stdin_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(machine->stdout_fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	struct stat file;
	assert_int_equal(fstat(machine->stdout_fd, &file), 0);
	assert_int_equal(file.st_size, 0);
	assert_false(rig->options.inherit_stdout);
	options_fini(&rig->options);
	/* The last one counts; what was open before is closed (teardown counts). */
	snprintf(words, sizeof(words), "--stdout %s --stdout inherit --stdin /dev/zero --stdin null /bin/true",
	         path);
	assert_int_equal(parse(rig, words), STATUS_OK);
	assert_int_equal(machine->stdout_fd, -1);
	assert_int_equal(machine->stdin_fd, -1);
	assert_true(rig->options.inherit_stdout);
	options_fini(&rig->options);
	unlink(path);
}

/* Returns the value that the plugin's getenv() gives, or NULL. */
static const char *plugin_getenv(const struct rig *rig, const char *name)
{
	size_t length = strlen(name);
	for (const char *const *variable = rig->options.machine.env; variable && *variable; variable++) {
		if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
			return *variable + length + 1;
	}
	return NULL;
}

static void test_environment(void **state)
{
	struct rig *rig = *state;
	setenv("PLUGVM_LEVEL", "own", 1);
	setenv("CROSVM_STATS", "stats", 1);
	setenv("CROSVM_STATSX", "no", 1);
	setenv("OTHER", "other", 1);
	setenv("CROSVM_SOCKET", "9", 1);
	assert_int_equal(parse(rig, "--env OTHER --env NEW=a=b --env EMPTY= --env NOT_THERE /bin/true"),
	                 STATUS_OK);
	assert_string_equal(plugin_getenv(rig, "PLUGVM_LEVEL"), "own");
	assert_string_equal(plugin_getenv(rig, "CROSVM_STATS"), "stats");
	assert_string_equal(plugin_getenv(rig, "OTHER"), "other");
	assert_string_equal(plugin_getenv(rig, "NEW"), "a=b");
	assert_string_equal(plugin_getenv(rig, "EMPTY"), "");
	assert_null(plugin_getenv(rig, "NOT_THERE"));
	assert_null(plugin_getenv(rig, "CROSVM_STATSX"));
	assert_null(plugin_getenv(rig, "CROSVM_SOCKET"));
	assert_null(plugin_getenv(rig, "PATH"));
	options_fini(&rig->options);
	unsetenv("CROSVM_STATS");
	unsetenv("CROSVM_STATSX");
	unsetenv("CROSVM_SOCKET");
	assert_int_equal(parse(rig, "/bin/true"), STATUS_OK);
	assert_null(plugin_getenv(rig, "OTHER"));
	options_fini(&rig->options);
	unsetenv("PLUGVM_LEVEL");
	unsetenv("OTHER");
}

/* What the operator says counts more than what the environment holds, and the last word most. */
static void test_environment_overridden(void **state)
{
	struct rig *rig = *state;
	setenv("PLUGVM_LEVEL", "own", 1);
	int status = parse(rig, "--env PLUGVM_LEVEL=said --env A=1 --env A=2 /bin/true");
	char level[16], a[16];
	snprintf(level, sizeof(level), "%s", plugin_getenv(rig, "PLUGVM_LEVEL"));
	snprintf(a, sizeof(a), "%s", plugin_getenv(rig, "A"));
	options_fini(&rig->options);
	unsetenv("PLUGVM_LEVEL");
	assert_int_equal(status, STATUS_OK);
	assert_string_equal(level, "said");
	assert_string_equal(a, "2");
}

static void test_files(void **state)
{
	struct rig *rig = *state;
	setenv("PLUGVM_FD_OLD", "17", 1);
	assert_int_equal(parse(rig, "--file A=/dev/null --file B_2=/dev/zero:rw /bin/true"), STATUS_OK);
	unsetenv("PLUGVM_FD_OLD");
	const struct plugvm_machine_config *machine = &rig->options.machine;
	assert_int_equal(machine->fd_count, 2);
	assert_int_equal(machine->fds[0].number, 4);
	assert_int_equal(machine->fds[1].number, 5);
	assert_int_equal(fcntl(machine->fds[0].fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	assert_int_equal(fcntl(machine->fds[1].fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	assert_int_equal(fcntl(machine->fds[0].fd, F_GETFD), FD_CLOEXEC);
	assert_string_equal(plugin_getenv(rig, "PLUGVM_FD_A"), "4");
	assert_string_equal(plugin_getenv(rig, "PLUGVM_FD_B_2"), "5");
	assert_null(plugin_getenv(rig, "PLUGVM_FD_OLD"));
	options_fini(&rig->options);

	expect_status(rig, "--file A=/dev/null --file A=/dev/zero /bin/true", STATUS_USAGE);
	expect_status(rig, "--file a=/dev/null /bin/true", STATUS_USAGE);
	expect_status(rig, "--file =/dev/null /bin/true", STATUS_USAGE);
	expect_status(rig, "--file A /bin/true", STATUS_USAGE);
	expect_status(rig, "--file A= /bin/true", STATUS_USAGE);
	expect_status(rig, "--file A=:rw /bin/true", STATUS_USAGE);
	expect_status(rig, "--file A=/ /bin/true", STATUS_USAGE);
	expect_status(rig, "--file A=/nowhere /bin/true", STATUS_USAGE);
}

static void test_file_limit(void **state)
{
	struct rig *rig = *state;
	struct file_options files = {.count = 0};
	const char *wrong;
	char text[32];
	for (int i = 0; i < FILES_MAX; i++) {
		snprintf(text, sizeof(text), "F%d=/dev/null", i);
		assert_non_null(file_options_add(&files, text, &wrong));
	}
	assert_null(file_options_add(&files, "ONE_MORE=/dev/null", &wrong));
	assert_string_equal(wrong, "there are 64 files already");
	file_options_fini(&files);
	(void)rig;
}

static void test_path_search(void **state)
{
	struct rig *rig = *state;
	char *old = strdup(getenv("PATH"));
	char directory[] = "/tmp/plugvm-test-XXXXXX", shadow[64], plain[64], path[256];
	assert_non_null(mkdtemp(directory));
	/* Neither a directory nor a file that cannot be executed is the program that a shell would find. */
	snprintf(shadow, sizeof(shadow), "%s/true", directory);
	snprintf(plain, sizeof(plain), "%s/false", directory);
	assert_int_equal(mkdir(shadow, 0755), 0);
	int fd = open(plain, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	fd_close(&fd);
	snprintf(path, sizeof(path), "/nonexistent:%s:/bin", directory);
	setenv("PATH", path, 1);
	char found_plain[64] = "", found_shadow[64] = "";
	assert_int_equal(parse(rig, "false x"), STATUS_OK);
	snprintf(found_plain, sizeof(found_plain), "%s", rig->options.path);
	assert_string_equal(rig->options.machine.argv[0], "false");
	options_fini(&rig->options);
	assert_int_equal(parse(rig, "true"), STATUS_OK);
	snprintf(found_shadow, sizeof(found_shadow), "%s", rig->options.path);
	options_fini(&rig->options);
	expect_status(rig, "no-such-plugin", STATUS_PLUGIN_FILE);
	unsetenv("PATH");
	expect_status(rig, "true", STATUS_PLUGIN_FILE);
	setenv("PATH", old, 1);
	free(old);
	unlink(plain);
	rmdir(shadow);
	rmdir(directory);
	/* A name with a slash is used as it is, even if nothing is there. */
	expect_status(rig, "./no-such-plugin", STATUS_OK);
	assert_string_equal(found_plain, "/bin/false");
	assert_string_equal(found_shadow, "/bin/true");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_defaults),
	    TEST(test_every_option),
	    TEST(test_usage_errors),
	    TEST(test_help),
	    TEST(test_stdio_files),
	    TEST(test_environment),
	    TEST(test_network),
	    TEST(test_irqchips),
	    TEST(test_jails),
	    TEST(test_path_search),
	    TEST(test_environment_overridden),
	    TEST(test_files),
	    TEST(test_file_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
