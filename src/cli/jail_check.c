/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `plugvm jail-check`: runs the plugin jailprobe with the operator's options, without a VM, and prints its lines. Each
 * item has a jail of its own, because what a filter ends is over.
 */
#include "cli/jail_check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/options.h"
#include "cli/report.h"

#define ITEM_TIMEOUT_MS 60000
#define OUTPUT_MAX      16384
#define WORDS_MAX       300

/* How many items do not hold. */
static unsigned failures;

void jail_check_line(bool holds, const char *name, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	printf("%s %s: ", holds ? "ok" : "not ok", name);
	vprintf(format, arguments);
	printf("\n");
	fflush(stdout);
	va_end(arguments);
	failures += !holds;
}

struct checker {
	struct options options;
	struct jail_shown shown;
	const char *const *words; /* the operator's, for the probe */
	char socket_word[128];
	int socket; /* that the plugin must not reach */
};

/* A run of the probe. */
struct probe {
	struct plugvm_plugin *plugin;
	int input, output; /* our ends */
	char text[OUTPUT_MAX];
	size_t size;
	struct plugvm_plugin_status status;
};

/* ---- One run ---- */

/* Start the probe with these words and what is always said. Returns STATUS_OK, or another with the reason printed. */
static int probe_start(struct checker *c, struct probe *probe, const char *word, const char *argument)
{
	const char *argv[WORDS_MAX] = {"jailprobe"};
	size_t count = 1;
	argv[count++] = word;
	if (argument)
		argv[count++] = argument;
	if (geteuid() != 0)
		argv[count++] = "--unprivileged";
	if (c->socket >= 0)
		argv[count++] = c->socket_word;
	for (size_t i = 0; i < c->shown.count && count < WORDS_MAX - 1; i++)
		argv[count++] = c->shown.words[i];
	for (size_t i = 0; c->words[i] && count < WORDS_MAX - 1; i++)
		argv[count++] = c->words[i];

	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC) < 0)
		goto fail;
	if (pipe2(out, O_CLOEXEC) < 0) {
		fd_close_pair(in);
		goto fail;
	}
	*probe = (struct probe){.input = in[1], .output = out[0]};
	const struct plugvm_machine_config *machine = &c->options.machine;
	struct plugvm_plugin_config config = {.size = sizeof(config),
	                                      .path = machine->path,
	                                      .argv = argv,
	                                      .env = machine->env,
	                                      .vcpu_count = machine->vcpu_count,
	                                      .stdin_fd = in[0],
	                                      .stdout_fd = out[1],
	                                      .stderr_fd = out[1],
	                                      .jail = machine->jail,
	                                      .die_with_thread = true};
	struct plugvm_error error;
	int result = plugvm_plugin_new(&config, &probe->plugin, &error);
	fd_close(&in[0]);
	fd_close(&out[1]);
	if (result == 0)
		return STATUS_OK;
	fd_close(&probe->input);
	fd_close(&probe->output);
	return report_error(&c->options, &error);
fail:
	fprintf(stderr, "plugvm: a pipe for jailprobe: %s\n", strerror(errno));
	return STATUS_ENVIRONMENT;
}

static long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serve it until its output has this text (NULL: until it has ended). What it prints too much is dropped. */
static void probe_serve(struct probe *probe, const char *text)
{
	long deadline = now_ms() + ITEM_TIMEOUT_MS;
	bool is_open = true;
	while (probe->status.state == PLUGVM_PLUGIN_RUNNING || is_open) {
		struct pollfd fds[] = {{.fd = plugvm_plugin_poll_fd(probe->plugin), .events = POLLIN},
		                       {.fd = plugvm_plugin_pidfd(probe->plugin), .events = POLLIN},
		                       {.fd = is_open ? probe->output : -1, .events = POLLIN}};
		/* Readable for ever once it has ended. */
		nfds_t first = probe->status.state == PLUGVM_PLUGIN_RUNNING ? 0 : 2;
		long left = deadline - now_ms();
		if (left <= 0) {
			plugvm_plugin_kill(probe->plugin);
			deadline += ITEM_TIMEOUT_MS;
			continue;
		}
		poll(fds + first, 3 - first, (int)left);
		if (first == 0) {
			plugvm_plugin_dispatch(probe->plugin, NULL);
			plugvm_plugin_try_wait(probe->plugin, &probe->status);
		}
		if (is_open && fds[2].revents) {
			char dropped[256];
			bool is_full = probe->size == OUTPUT_MAX - 1;
			ssize_t size = read(probe->output, is_full ? dropped : probe->text + probe->size,
			                    is_full ? sizeof(dropped) : OUTPUT_MAX - 1 - probe->size);
			is_open = size > 0;
			probe->size += size > 0 && !is_full ? (size_t)size : 0;
			probe->text[probe->size] = '\0';
			if (text && strstr(probe->text, text))
				return;
		}
	}
}

static void probe_end(struct probe *probe)
{
	fd_close(&probe->input);
	plugvm_plugin_free(&probe->plugin, NULL);
	fd_close(&probe->output);
}

/* ---- Items ---- */

static void print_item(const struct probe *probe, const char *name, bool may_end)
{
	const struct plugvm_plugin_status *status = &probe->status;
	bool is_line = strncmp(probe->text, "ok ", 3) == 0 || strncmp(probe->text, "skip ", 5) == 0;
	/* A kernel without 32-bit calls has none to refuse. */
	bool is_refused = status->state == PLUGVM_PLUGIN_SIGNALED &&
	                  (status->value == SIGSYS || (may_end && status->value == SIGSEGV));
	if (is_refused && may_end) {
		jail_check_line(true, name, "ends the plugin");
	} else if (is_refused) {
		printf("skip %s: the filter ends who looks\n", name);
	} else if (status->state == PLUGVM_PLUGIN_EXITED && probe->size > 0) {
		fputs(probe->text, stdout);
		failures += !is_line || status->value != 0;
	} else {
		jail_check_line(false, name, "the probe ended by %s %d",
		                status->state == PLUGVM_PLUGIN_EXITED ? "status" : "signal", status->value);
	}
	fflush(stdout);
}

static int check_item(struct checker *c, const char *name, bool may_end)
{
	struct probe probe;
	int status = probe_start(c, &probe, "--item", name);
	if (status != STATUS_OK)
		return status;
	probe_serve(&probe, NULL);
	print_item(&probe, name, may_end);
	probe_end(&probe);
	return STATUS_OK;
}

static int check_items(struct checker *c)
{
	struct probe list;
	int status = probe_start(c, &list, "--list", NULL);
	if (status != STATUS_OK)
		return status;
	probe_serve(&list, NULL);
	probe_end(&list);
	if (list.status.state != PLUGVM_PLUGIN_EXITED || list.status.value != 0) {
		list.text[strcspn(list.text, "\n")] = '\0';
		jail_check_line(false, "jailprobe", "it cannot run in this jail (%s %d): %s",
		                list.status.state == PLUGVM_PLUGIN_EXITED ? "status" : "signal", list.status.value,
		                list.text);
		return STATUS_OK;
	}
	char *rest = list.text;
	for (char *line = strsep(&rest, "\n"); line && *line && status == STATUS_OK; line = strsep(&rest, "\n")) {
		bool may_end = strncmp(line, "call ", 5) == 0;
		if (may_end || strncmp(line, "look ", 5) == 0)
			status = check_item(c, line + 5, may_end);
	}
	return status;
}

static int check_outside(struct checker *c)
{
	struct probe probe;
	int status = probe_start(c, &probe, "--wait", NULL);
	if (status != STATUS_OK)
		return status;
	probe_serve(&probe, "ready\n");
	if (probe.status.state == PLUGVM_PLUGIN_RUNNING)
		jail_outside_check(plugvm_plugin_pid(probe.plugin), c->options.machine.jail != NULL, &c->shown);
	else
		jail_check_line(false, "jailprobe", "it cannot run in this jail");
	probe_end(&probe);
	return STATUS_OK;
}

/* A name that is there in the host's network namespace, and not in the plugin's. */
static void listen_abstract(struct checker *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int size = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "plugvm-jail-check-%d", getpid());
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)size;
	snprintf(c->socket_word, sizeof(c->socket_word), "socket=%s", address.sun_path + 1);
	c->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->socket >= 0 &&
	    (bind(c->socket, (struct sockaddr *)&address, length) < 0 || listen(c->socket, 1) < 0))
		fd_close(&c->socket);
}

/* ---- The whole ---- */

/* Find a probe where it is installed, or beside this program in a build tree. */
static char *find_probe(const char *name)
{
	static const char *const places[] = {PLUGIN_DIRECTORY, "../plugins/jailprobe"};
	char program[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (size <= 0)
		return NULL;
	program[size] = '\0';
	const char *directory = dirname(program);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *path, *resolved;
		if (asprintf(&path, "%s/%s/%s", directory, places[i], name) < 0)
			return NULL;
		/* With the name that it has in the jail, and no `..` for the loader. */
		resolved = realpath(path, NULL);
		free(path);
		if (resolved)
			return resolved;
	}
	return NULL;
}

static bool are_expectations(const char *const *words)
{
	static const char known[] = "setuid=";
	for (; *words; words++) {
		if (strncmp(*words, known, strlen(known)) != 0) {
			fprintf(stderr, "plugvm: '%s' is no expectation of jail-check: it knows setuid=PATH\n",
			        *words);
			return false;
		}
	}
	return true;
}

/* Parse what `run` would be told, with the probe as the plugin. Words behind `--` are the probe's. */
static int parse_options(struct checker *c, int argc, char **argv)
{
	int words = 1;
	while (words < argc && strcmp(argv[words], "--") != 0)
		words++;
	char **own = calloc((size_t)words + 3, sizeof(own[0]));
	char separator[] = "--", nobody[] = "/proc/self/exe";
	if (!own)
		return STATUS_ENVIRONMENT;
	own[0] = argv[0];
	memcpy(own + 1, argv + 1, (size_t)(words - 1) * sizeof(own[0]));
	own[words] = separator;
	own[words + 1] = nobody;
	int status = options_parse(&c->options, words + 2, own);
	bool is_other = status == STATUS_OK && c->options.path && strcmp(c->options.path, nobody) != 0;
	free(own);
	if (status != STATUS_OK || !c->options.path)
		return status;
	if (is_other) {
		fprintf(stderr, "plugvm: jail-check takes the options of `run`, and no plugin\n");
		return STATUS_USAGE;
	}
	struct plugvm_machine_config *machine = &c->options.machine;
	if (c->options.disable_sandbox)
		plugvm_jail_free(&machine->jail);
	bool is_strict = machine->jail && plugvm_jail_get_profile(machine->jail) == PLUGVM_JAIL_STRICT;
	const char *name = is_strict ? "jailprobe-static" : "jailprobe";
	free(c->options.path);
	c->options.path = find_probe(name);
	machine->path = c->options.path;
	c->words = (const char *const *)argv + words + (words < argc);
	if (!are_expectations(c->words))
		return STATUS_USAGE;
	if (c->options.path)
		return STATUS_OK;
	fprintf(stderr, "plugvm: %s is not installed\n", name);
	return STATUS_ENVIRONMENT;
}

int jail_check(int argc, char **argv)
{
	struct checker *c = calloc(1, sizeof(*c));
	if (!c)
		return STATUS_ENVIRONMENT;
	c->socket = -1;
	int status = parse_options(c, argc, argv);
	if (status == STATUS_OK && c->options.path) {
		listen_abstract(c);
		status = check_outside(c);
		if (status == STATUS_OK)
			status = check_items(c);
		if (status == STATUS_OK && failures > 0) {
			fprintf(stderr, "plugvm: %u items of the jail do not hold\n", failures);
			status = STATUS_PLUGIN_FAILED;
		}
	}
	fd_close(&c->socket);
	for (size_t i = 0; i < c->shown.count; i++)
		free(c->shown.words[i]);
	options_fini(&c->options);
	free(c);
	return status;
}
