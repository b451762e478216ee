/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of `plugvm run`: what the operator asks for, as a configuration of the library.
 */
#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum option_id {
	OPTION_CPUS = 'c',
	OPTION_HELP = 'h',
	OPTION_QUIET = 'q',
	OPTION_VERBOSE = 'v',
	OPTION_KVM_DEVICE = 256,
	OPTION_IRQCHIP,
	OPTION_DISABLE_SANDBOX,
	OPTION_JAIL,
	OPTION_JAIL_UID,
	OPTION_PLUGIN_ROOT,
	OPTION_PLUGIN_MOUNT,
	OPTION_PLUGIN_MOUNT_FILE,
	OPTION_PLUGIN_GID_MAP,
	OPTION_PLUGIN_GID_MAP_FILE,
	OPTION_SECCOMP_POLICY,
	OPTION_SECCOMP_POLICY_DIR,
	OPTION_SECCOMP_LOG_FAILURES,
	OPTION_ALLOW_JIT,
	OPTION_LIMIT,
	OPTION_ENV,
	OPTION_FILE,
	OPTION_STDIN,
	OPTION_STDOUT,
	OPTION_GRACE,
	OPTION_START_TIMEOUT,
	OPTION_ANSWER_TIMEOUT,
	OPTION_SPIN,
	OPTION_NET,
	OPTION_TAP_NAME,
	OPTION_TAP_FD,
	OPTION_HOST_IP,
	OPTION_NETMASK,
	OPTION_MAC,
};

static const struct option long_options[] = {
    {"cpus", required_argument, NULL, OPTION_CPUS},
    {"help", no_argument, NULL, OPTION_HELP},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"kvm-device", required_argument, NULL, OPTION_KVM_DEVICE},
    {"irqchip", required_argument, NULL, OPTION_IRQCHIP},
    {"disable-sandbox", no_argument, NULL, OPTION_DISABLE_SANDBOX},
    {"jail", required_argument, NULL, OPTION_JAIL},
    {"jail-uid", required_argument, NULL, OPTION_JAIL_UID},
    {"plugin-root", required_argument, NULL, OPTION_PLUGIN_ROOT},
    {"plugin-mount", required_argument, NULL, OPTION_PLUGIN_MOUNT},
    {"plugin-mount-file", required_argument, NULL, OPTION_PLUGIN_MOUNT_FILE},
    {"plugin-gid-map", required_argument, NULL, OPTION_PLUGIN_GID_MAP},
    {"plugin-gid-map-file", required_argument, NULL, OPTION_PLUGIN_GID_MAP_FILE},
    {"seccomp-policy", required_argument, NULL, OPTION_SECCOMP_POLICY},
    {"seccomp-policy-dir", required_argument, NULL, OPTION_SECCOMP_POLICY_DIR},
    {"seccomp-log-failures", no_argument, NULL, OPTION_SECCOMP_LOG_FAILURES},
    {"allow-jit", no_argument, NULL, OPTION_ALLOW_JIT},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"env", required_argument, NULL, OPTION_ENV},
    {"file", required_argument, NULL, OPTION_FILE},
    {"stdin", required_argument, NULL, OPTION_STDIN},
    {"stdout", required_argument, NULL, OPTION_STDOUT},
    {"grace", required_argument, NULL, OPTION_GRACE},
    {"start-timeout", required_argument, NULL, OPTION_START_TIMEOUT},
    {"answer-timeout", required_argument, NULL, OPTION_ANSWER_TIMEOUT},
    {"spin", required_argument, NULL, OPTION_SPIN},
    {"net", required_argument, NULL, OPTION_NET},
    {"tap-name", required_argument, NULL, OPTION_TAP_NAME},
    {"tap-fd", required_argument, NULL, OPTION_TAP_FD},
    {"host-ip", required_argument, NULL, OPTION_HOST_IP},
    {"netmask", required_argument, NULL, OPTION_NETMASK},
    {"mac", required_argument, NULL, OPTION_MAC},
    {NULL, 0, NULL, 0},
};

/* '+': the plugin's own options are not ours. */
#define OPTION_LETTERS "+:c:hqv"

void options_print_usage(void)
{
	printf(
	    "usage: plugvm run [OPTION...] -- PLUGIN [ARGUMENT...]\n"
	    "       plugvm policy check FILE | plugvm policy show default|strict\n"
	    "       plugvm policy learn [--output FILE] [--merge] [OPTION...] -- PLUGIN [ARGUMENT...]\n"
	    "       plugvm jail-check [OPTION...] [-- EXPECTATION...]\n"
	    "       plugvm limits | plugvm help | plugvm --version\n"
	    "\n"
	    "Run a virtual machine whose brain is the program PLUGIN.\n"
	    "\n"
	    "  -c, --cpus N             number of vCPUs, 1 to 1024 (1); above 16 only for plugins with plugvm's\n"
	    "                           own client library\n"
	    "      --kvm-device PATH    the KVM device (/dev/kvm); fd:N for one that is open as fd N\n"
	    "      --irqchip kernel|split|none\n"
	    "                           the interrupt controllers that are KVM's: all, the local APICs, none\n"
	    "                           (kernel); the plugin emulates the others\n"
	    "      --jail default|strict\n"
	    "                           what confines the plugin (default); strict: static plugins only\n"
	    "      --disable-sandbox    no jail: run the plugin with all your rights\n"
	    "      --jail-uid UID       who the plugin is outside its jail; for root\n"
	    "      --plugin-root DIR    what the plugin sees as its root, instead of the system's libraries\n"
	    "      --plugin-mount SOURCE[:[TARGET][:true|false]]\n"
	    "                           show the plugin a file or directory; true: writable\n"
	    "      --plugin-mount-file FILE\n"
	    "                           the same for each line of FILE\n"
	    "      --plugin-gid-map INNER[:[OUTER][:COUNT]], --plugin-gid-map-file FILE\n"
	    "                           groups that exist in the jail; for root\n"
	    "      --seccomp-policy FILE\n"
	    "                           the system calls that the plugin may make: plugvm-policy(5)\n"
	    "      --seccomp-policy-dir DIR\n"
	    "                           the same from DIR/plugin.policy\n"
	    "      --seccomp-log-failures\n"
	    "                           let the plugin make others too, and log them\n"
	    "      --allow-jit          let memory be written and executed at once\n"
	    "      --limit memory=SIZE,pids=N,fds=N,cpu=SHARE\n"
	    "                           what a jailed plugin can use; SIZE: 512M, SHARE of a CPU: 0.5 or 50%%\n"
	    "      --env NAME[=VALUE]   give the plugin an environment variable; without VALUE, this\n"
	    "                           program's own. CROSVM_STATS and PLUGVM_* are given by themselves\n"
	    "      --file NAME=PATH[:rw]\n"
	    "                           open a file for the plugin, whose fd number is in PLUGVM_FD_NAME;\n"
	    "                           read-only unless :rw\n"
	    "      --stdin null|inherit|FILE\n"
	    "                           what the plugin reads (null)\n"
	    "      --stdout null|inherit|FILE\n"
	    "                           where the plugin's output goes (inherit)\n"
	    "      --grace MS           between asking the plugin to exit and killing it (1000)\n"
	    "      --start-timeout MS   end the VM if the plugin has not started it by then (0: never)\n"
	    "      --answer-timeout MS  end the VM if the plugin takes longer for an event (0: never)\n"
	    "      --spin auto|US       look so long for the other side's message before sleeping (auto)\n"
	    "      --net host-ip=A,netmask=A,mac=M | tap-name=NAME | tap-fd=N\n"
	    "                           give the plugin a network tap: a new one, an existing one, an open one\n"
	    "      --tap-name, --tap-fd, --host-ip, --netmask, --mac\n"
	    "                           older ways to say the same\n"
	    "  -v, --verbose            say more, and account for the exits at the end\n"
	    "  -q, --quiet              only errors\n"
	    "  -h, --help               this text\n"
	    "\n"
	    "Exit status: 0 the plugin exited with 0; 1 with another status; 2 usage; 3 environment;\n"
	    "4 plugin killed by a signal; 5 guest crashed; 6 KVM error; 7 protocol error or timeout;\n"
	    "8 jail; 9 plugin not found or not executable; 128+N stopped by signal N.\n");
}

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "plugvm: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\nplugvm: try `plugvm run --help`\n");
	va_end(arguments);
	return STATUS_USAGE;
}

/* Parse a decimal number from `least` to `most`. */
static bool parse_number(const char *text, unsigned long least, unsigned long most, unsigned *out_number)
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	/* strtoul takes signs and blanks; an option does not. */
	if (text[0] < '0' || text[0] > '9' || *end || errno || number < least || number > most)
		return false;
	*out_number = (unsigned)number;
	return true;
}

static int take_number(const char *option, unsigned least, unsigned most, unsigned *out_number)
{
	if (parse_number(optarg, least, most, out_number))
		return STATUS_OK;
	return usage_error("%s takes a number from %u to %u, not '%s'", option, least, most, optarg);
}

static int take_spin(int *out_us)
{
	bool is_auto = strcmp(optarg, "auto") == 0;
	unsigned us = 0;
	if (!is_auto && !parse_number(optarg, 0, PLUGVM_SPIN_MAX, &us))
		return usage_error("--spin takes auto or microseconds from 0 to %d, not '%s'", PLUGVM_SPIN_MAX,
		                   optarg);
	*out_us = is_auto ? PLUGVM_SPIN_AUTO : us == 0 ? PLUGVM_SPIN_NEVER : (int)us;
	return STATUS_OK;
}

static int take_kvm_device(struct options *options)
{
	unsigned fd;
	if (!optarg[0])
		return usage_error("--kvm-device takes a path or fd:N");
	if (strncmp(optarg, "fd:", 3) != 0) {
		options->machine.kvm_path = optarg;
		options->machine.kvm_fd = -1;
		return STATUS_OK;
	}
	if (!parse_number(optarg + 3, 0, INT_MAX, &fd))
		return usage_error("--kvm-device fd:N takes a file descriptor number, not '%s'", optarg + 3);
	options->machine.kvm_fd = (int)fd;
	return STATUS_OK;
}

static int take_irqchip(struct options *options)
{
	static const char *const names[] = {
	    [PLUGVM_IRQCHIP_KERNEL] = "kernel", [PLUGVM_IRQCHIP_SPLIT] = "split", [PLUGVM_IRQCHIP_NONE] = "none"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(optarg, names[i]) == 0) {
			options->machine.irqchip = (enum plugvm_irqchip)i;
			return STATUS_OK;
		}
	}
	return usage_error("--irqchip takes kernel, split or none, not '%s'", optarg);
}

/* Add "NAME=VALUE", or put it in the place of another value of NAME. */
static bool add_env(struct options *options, const char *variable)
{
	size_t name = strcspn(variable, "=") + 1;
	for (size_t i = 0; i < options->env_count; i++) {
		if (strncmp(options->env[i], variable, name) == 0) {
			options->env[i] = variable;
			return true;
		}
	}
	const char **grown = realloc(options->env, (options->env_count + 2) * sizeof(grown[0]));
	if (!grown)
		return false;
	options->env = grown;
	options->env[options->env_count++] = variable;
	options->env[options->env_count] = NULL;
	return true;
}

/* Returns the "NAME=VALUE" of this process, or NULL. `length` is that of NAME. */
static const char *own_variable(const char *name, size_t length)
{
	for (char **variable = environ; variable && *variable; variable++) {
		if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
			return *variable;
	}
	return NULL;
}

static int take_env(struct options *options)
{
	size_t length = strcspn(optarg, "=");
	if (length == 0)
		return usage_error("--env takes NAME or NAME=VALUE, not '%s'", optarg);
	if (length == strlen("CROSVM_SOCKET") && strncmp(optarg, "CROSVM_SOCKET", length) == 0)
		return usage_error("CROSVM_SOCKET is for this program to set");
	const char *variable = optarg[length] ? optarg : own_variable(optarg, length);
	if (variable && !add_env(options, variable))
		return usage_error("out of memory");
	return STATUS_OK;
}

static int take_file(struct options *options)
{
	const char *wrong;
	const char *variable = file_options_add(&options->files, optarg, &wrong);
	if (!variable)
		return usage_error("--file %s: %s", optarg, wrong);
	options->machine.fds = options->files.fds;
	options->machine.fd_count = options->files.count;
	return add_env(options, variable) ? STATUS_OK : usage_error("out of memory");
}

/* What the plugin gets without being told to: its own switches. */
static bool add_default_env(struct options *options)
{
	for (char **variable = environ; variable && *variable; variable++) {
		/* Numbers of fds are those of another run. */
		if (strncmp(*variable, "PLUGVM_FD_", 10) == 0)
			continue;
		if (strncmp(*variable, "PLUGVM_", 7) == 0 || strncmp(*variable, "CROSVM_STATS=", 13) == 0) {
			if (!add_env(options, *variable))
				return false;
		}
	}
	return true;
}

/* Note where the plugin's stdin or stdout goes; a file is opened when everything else is known to be right. */
static int take_stdio(const char **out_path, bool *out_inherit)
{
	*out_inherit = strcmp(optarg, "inherit") == 0;
	*out_path = *out_inherit || strcmp(optarg, "null") == 0 ? NULL : optarg;
	return STATUS_OK;
}

static int open_stdio(const char *option, const char *path, int flags, int *out_fd)
{
	if (!path)
		return STATUS_OK;
	*out_fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
	return *out_fd < 0 ? usage_error("%s %s: %s", option, path, strerror(errno)) : STATUS_OK;
}

static bool is_program(const char *path)
{
	struct stat file;
	return stat(path, &file) == 0 && S_ISREG(file.st_mode) && access(path, X_OK) == 0;
}

/* Find the plugin as a shell would: a name without a slash is looked up in PATH. */
static int take_plugin(struct options *options, const char *name)
{
	if (strchr(name, '/')) {
		options->path = strdup(name);
		return options->path ? STATUS_OK : usage_error("out of memory");
	}
	const char *path = getenv("PATH");
	while (path && name[0]) {
		size_t length = strcspn(path, ":");
		char *candidate;
		if (asprintf(&candidate, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name) < 0)
			return usage_error("out of memory");
		if (is_program(candidate)) {
			options->path = candidate;
			return STATUS_OK;
		}
		free(candidate);
		path = path[length] ? path + length + 1 : NULL;
	}
	fprintf(stderr, "plugvm: plugin '%s' was not found in PATH%s\n", name,
	        access(name, F_OK) == 0 ? "; the one in this directory would be ./NAME" : "");
	return STATUS_PLUGIN_FILE;
}

static int take_net(struct options *options)
{
	const char *wrong = net_options_add(&options->net, optarg);
	return wrong ? usage_error("--net %s: %s", optarg, wrong) : STATUS_OK;
}

static int take_limit(struct options *options)
{
	struct plugvm_error error;
	return limit_options_add(&options->limits, optarg, &error) < 0 ? usage_error("%s", error.text) : STATUS_OK;
}

/* ---- The jail ---- */

/* Find out which jail it is to be, and make that, before the options that say more of it are taken in their order. */
static int take_jail(struct options *options, int argc, char **argv)
{
	static const char *const profiles[] = {[PLUGVM_JAIL_DEFAULT] = "default", [PLUGVM_JAIL_STRICT] = "strict"};
	const char *name = NULL;
	enum plugvm_jail_profile profile = PLUGVM_JAIL_DEFAULT;
	struct plugvm_error error;
	int id;
	/* Not 1: getopt() is to forget what it was at. */
	optind = 0;
	while ((id = getopt_long(argc, argv, OPTION_LETTERS, long_options, NULL)) != -1) {
		options->disable_sandbox = options->disable_sandbox || id == OPTION_DISABLE_SANDBOX;
		name = id == OPTION_JAIL ? optarg : name;
	}
	if (name && options->disable_sandbox)
		return usage_error("--jail and --disable-sandbox contradict each other");
	if (name && strcmp(name, profiles[PLUGVM_JAIL_STRICT]) == 0)
		profile = PLUGVM_JAIL_STRICT;
	if (name && strcmp(name, profiles[profile]) != 0)
		return usage_error("--jail takes default or strict, not '%s'; none is --disable-sandbox", name);
	if (plugvm_jail_new(profile, &options->machine.jail, &error) < 0)
		return usage_error("%s", error.text);
	return STATUS_OK;
}

static int set_policy_of(struct plugvm_jail *jail, const char *directory, struct plugvm_error *out_error)
{
	char path[PATH_MAX];
	if ((size_t)snprintf(path, sizeof(path), "%s/plugin.policy", directory) < sizeof(path))
		return plugvm_jail_set_policy(jail, path, out_error);
	snprintf(out_error->text, sizeof(out_error->text), "--seccomp-policy-dir: the path is too long");
	return -ENAMETOOLONG;
}

/* What says more of the jail. Checked even if there will be none. */
static int take_jail_option(struct options *options, int id)
{
	struct plugvm_jail *jail = options->machine.jail;
	struct plugvm_error error;
	unsigned uid;
	int result;
	if (id == OPTION_JAIL_UID) {
		if (!parse_number(optarg, 1, UINT32_MAX - 1, &uid))
			return usage_error("--jail-uid takes a uid other than 0, not '%s'", optarg);
		result = plugvm_jail_set_uid(jail, uid, &error);
	} else if (id == OPTION_PLUGIN_ROOT) {
		result = plugvm_jail_set_root(jail, optarg, &error);
	} else if (id == OPTION_PLUGIN_MOUNT) {
		result = plugvm_jail_parse_mount(jail, optarg, &error);
	} else if (id == OPTION_PLUGIN_MOUNT_FILE) {
		result = plugvm_jail_read_mounts(jail, optarg, &error);
	} else if (id == OPTION_PLUGIN_GID_MAP) {
		result = plugvm_jail_parse_gid_map(jail, optarg, &error);
	} else if (id == OPTION_SECCOMP_POLICY) {
		result = plugvm_jail_set_policy(jail, optarg, &error);
	} else if (id == OPTION_SECCOMP_POLICY_DIR) {
		result = set_policy_of(jail, optarg, &error);
	} else if (id == OPTION_SECCOMP_LOG_FAILURES) {
		plugvm_jail_log_failures(jail);
		result = 0;
	} else if (id == OPTION_ALLOW_JIT) {
		result = plugvm_jail_allow_jit(jail, &error);
	} else {
		result = plugvm_jail_read_gid_maps(jail, optarg, &error);
	}
	return result < 0 ? usage_error("%s", error.text) : STATUS_OK;
}

static int take_option(struct options *options, int id)
{
	struct plugvm_machine_config *machine = &options->machine;
	switch ((enum option_id)id) {
	case OPTION_CPUS:
		return take_number("--cpus", 1, PLUGVM_VCPUS_MAX, &machine->vcpu_count);
	case OPTION_KVM_DEVICE:
		return take_kvm_device(options);
	case OPTION_IRQCHIP:
		return take_irqchip(options);
	case OPTION_DISABLE_SANDBOX:
	case OPTION_JAIL:
		return STATUS_OK; /* take_jail() has seen them */
	case OPTION_JAIL_UID:
	case OPTION_PLUGIN_ROOT:
	case OPTION_PLUGIN_MOUNT:
	case OPTION_PLUGIN_MOUNT_FILE:
	case OPTION_PLUGIN_GID_MAP:
	case OPTION_PLUGIN_GID_MAP_FILE:
	case OPTION_SECCOMP_POLICY:
	case OPTION_SECCOMP_POLICY_DIR:
	case OPTION_SECCOMP_LOG_FAILURES:
	case OPTION_ALLOW_JIT:
		return take_jail_option(options, id);
	case OPTION_LIMIT:
		return take_limit(options);
	case OPTION_ENV:
		return take_env(options);
	case OPTION_FILE:
		return take_file(options);
	case OPTION_STDIN:
		return take_stdio(&options->stdin_path, &options->inherit_stdin);
	case OPTION_STDOUT:
		return take_stdio(&options->stdout_path, &options->inherit_stdout);
	case OPTION_GRACE:
		return take_number("--grace", 0, INT_MAX, &machine->grace_ms);
	case OPTION_START_TIMEOUT:
		return take_number("--start-timeout", 0, INT_MAX, &machine->start_timeout_ms);
	case OPTION_ANSWER_TIMEOUT:
		return take_number("--answer-timeout", 0, INT_MAX, &machine->answer_timeout_ms);
	case OPTION_SPIN:
		return take_spin(&machine->spin_us);
	case OPTION_NET:
		return take_net(options);
	case OPTION_TAP_NAME:
		options->net.tap_name.tap_name = optarg;
		return STATUS_OK;
	case OPTION_TAP_FD:
		options->net.tap_fd.tap_fd = optarg;
		return STATUS_OK;
	case OPTION_HOST_IP:
		options->net.host_ip.host_ip = optarg;
		return STATUS_OK;
	case OPTION_NETMASK:
		options->net.host_ip.netmask = optarg;
		return STATUS_OK;
	case OPTION_MAC:
		options->net.host_ip.mac = optarg;
		return STATUS_OK;
	case OPTION_QUIET:
		options->verbosity = QUIET;
		return STATUS_OK;
	case OPTION_VERBOSE:
		options->verbosity = VERBOSE;
		machine->measure = true;
		return STATUS_OK;
	case OPTION_HELP:
		break;
	}
	return STATUS_OK;
}

int options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){
	    .machine = {.size = sizeof(options->machine),
	                .kvm_fd = -1,
	                .vcpu_count = 1,
	                .stdin_fd = -1,
	                .stdout_fd = -1,
	                .die_with_thread = true,
	                .grace_ms = 1000},
	    .inherit_stdout = true,
	    .verbosity = NORMAL,
	};
	if (!add_default_env(options))
		return usage_error("out of memory");

	opterr = 0;
	int status = take_jail(options, argc, argv);
	if (status != STATUS_OK)
		return status;
	optind = 0;
	int id;
	while ((id = getopt_long(argc, argv, OPTION_LETTERS, long_options, NULL)) != -1) {
		if (id == '?')
			return optopt && optopt < 256
			           ? usage_error("there is no option '-%c'", optopt)
			           : usage_error("there is no option '%s', or it takes no value",
			                         argv[optind - 1]);
		if (id == ':')
			return usage_error("option '%s' needs a value", argv[optind - 1]);
		if (id == OPTION_HELP) {
			options_print_usage();
			return STATUS_OK;
		}
		status = take_option(options, id);
		if (status != STATUS_OK)
			return status;
	}
	struct plugvm_error error;
	if (limit_options_apply(&options->limits, options->disable_sandbox ? NULL : options->machine.jail,
	                        &error) < 0)
		return usage_error("%s", error.text);
	if (optind == argc || !argv[optind][0])
		return usage_error("no plugin was named");
	if (options->disable_sandbox)
		plugvm_jail_free(&options->machine.jail);
	status = take_plugin(options, argv[optind]);
	options->machine.path = options->path;
	options->machine.argv = (const char *const *)argv + optind;
	options->machine.env = options->env;
	if (status == STATUS_OK)
		status = open_stdio("--stdin", options->stdin_path, O_RDONLY, &options->machine.stdin_fd);
	if (status == STATUS_OK)
		status = open_stdio("--stdout", options->stdout_path, O_WRONLY | O_CREAT | O_TRUNC,
		                    &options->machine.stdout_fd);
	return status;
}

void options_fini(struct options *options)
{
	fd_close(&options->machine.stdin_fd);
	fd_close(&options->machine.stdout_fd);
	file_options_fini(&options->files);
	net_options_fini(&options->net);
	plugvm_jail_free(&options->machine.jail);
	free(options->path);
	free(options->env);
}
