/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugvm: the program around libplugvm. Options in, a run, an exit status out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/jail_check.h"
#include "cli/options.h"
#include "cli/policy_verb.h"
#include "cli/pump.h"
#include "cli/report.h"
#include "cli/run.h"

/* For the signal handler; NULL while there is nothing to stop. */
static _Atomic(struct plugvm_machine *) the_machine;

/* One that came before there was a machine. */
static atomic_int early_signal;

static void on_stop_signal(int number)
{
	struct plugvm_machine *machine = atomic_load(&the_machine);
	if (machine)
		plugvm_machine_stop(machine, number);
	else
		atomic_store(&early_signal, number);
}

static void install_signal_handlers(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_stop_signal};
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;
		/* What the caller ignores (nohup, a background job of a script) stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
	/* Its end is how the plugin's status is known: not to be ignored, even if the caller does. */
	action.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &action, NULL);
	/* A log that nobody reads any more is no reason to die. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

/* Fds 0 to 2 must be something, or what is opened next would become the operator's stdio. */
static void occupy_stdio(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

static int run_machine(struct options *options, struct plugvm_machine *machine)
{
	struct plugvm_error error;
	struct plugvm_result result;
	atomic_store(&the_machine, machine);
	int early = atomic_exchange(&early_signal, 0);
	if (early)
		plugvm_machine_stop(machine, early);
	int failed = plugvm_machine_run(machine, &result, &error);
	atomic_store(&the_machine, NULL);
	if (failed)
		return report_error(options, &error);
	int status = report_result(options, &result);
	if (options->verbosity == VERBOSE)
		report_exit_counts(machine);
	return status;
}

static int run_with_stdio(struct options *options)
{
	struct plugvm_error error;
	struct plugvm_machine *machine;
	struct net_taps taps;
	if (net_taps_open(&taps, &options->net, &error) < 0)
		return report_error(options, &error);
	options->machine.taps = taps.taps;
	options->machine.tap_count = taps.count;
	int status;
	if (plugvm_machine_new(&options->machine, &machine, &error) < 0) {
		status = report_error(options, &error);
	} else {
		status = run_machine(options, machine);
		plugvm_machine_free(&machine);
	}
	net_taps_fini(&taps);
	return status;
}

/* Have as many fds as this machine may need, if the hard limit allows it; the plugin inherits the limit. */
static void raise_fd_limit(const struct options *options)
{
	rlim_t needed = PLUGVM_FDS_NEEDED((rlim_t)options->machine.vcpu_count);
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int run_plugin(struct options *options)
{
	struct pump input = {.running = false}, output = {.running = false};
	int status;
	options->machine.log = report_log;
	options->machine.context = options;
	options->machine.drop_privileges = true;
	if (options->disable_sandbox && options->verbosity != QUIET)
		fprintf(stderr,
		        "plugvm: warning: --disable-sandbox: the plugin has no jail, but all your rights\n");

	int result = 0;
	if (options->inherit_stdin)
		result = pump_input(&input, STDIN_FILENO);
	if (result == 0 && options->inherit_stdout)
		result = pump_output(&output, STDOUT_FILENO);
	if (options->inherit_stdin)
		options->machine.stdin_fd = input.plugin_end;
	if (options->inherit_stdout)
		options->machine.stdout_fd = output.plugin_end;

	raise_fd_limit(options);
	install_signal_handlers();
	if (result < 0) {
		fprintf(stderr, "plugvm: the plugin's stdio: %s\n", strerror(-result));
		status = STATUS_ENVIRONMENT;
	} else {
		status = run_with_stdio(options);
	}
	/* These are the pumps', which close them. */
	if (options->inherit_stdin)
		options->machine.stdin_fd = -1;
	if (options->inherit_stdout)
		options->machine.stdout_fd = -1;
	pump_fini(&input);
	pump_fini(&output);
	return status;
}

static int run(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, argc, argv);
	if (status == STATUS_OK && options.path)
		status = run_plugin(&options);
	options_fini(&options);
	return status;
}

static void print_limits(void)
{
	for (const struct plugvm_limit *limit = plugvm_limits(); limit->name; limit++)
		printf("%-26s %10llu %-11s %s\n", limit->name, (unsigned long long)limit->value, limit->unit,
		       limit->reason);
}

int main(int argc, char **argv)
{
	occupy_stdio();
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "run") == 0)
		return run(argc - 1, argv + 1);
	if (strcmp(verb, "jail-check") == 0)
		return jail_check(argc - 1, argv + 1);
	if (strcmp(verb, "policy") == 0)
		return policy_verb(argc - 1, argv + 1);
	if (strcmp(verb, "--version") == 0) {
		unsigned major, minor, patch;
		plugvm_version(&major, &minor, &patch);
		printf("plugvm %u.%u.%u\n", major, minor, patch);
		return STATUS_OK;
	}
	if (strcmp(verb, "limits") == 0 && argc == 2) {
		print_limits();
		return STATUS_OK;
	}
	if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
		options_print_usage();
		return STATUS_OK;
	}
	if (strcmp(verb, "limits") == 0) {
		fprintf(stderr, "plugvm: `plugvm limits` takes nothing more\nplugvm: try `plugvm help`\n");
		return STATUS_USAGE;
	}
	fprintf(stderr,
	        verb[0] ? "plugvm: there is no verb '%s'; try `plugvm help`\n"
	                : "plugvm: what shall I do? Try `plugvm help`\n",
	        verb);
	return STATUS_USAGE;
}
