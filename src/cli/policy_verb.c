/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `plugvm policy`: what it prints goes to stdout, what is wrong to stderr.
 */
#include "cli/policy_verb.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/run.h"
#include "plugvm.h"

static int usage_error(const char *text)
{
	fprintf(stderr, "plugvm: %s\nplugvm: try `plugvm help`\n", text);
	return STATUS_USAGE;
}

static void print_line(void *context, const char *line)
{
	(void)context;
	puts(line);
}

/* What was printed counts only if it arrived. */
static int end_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_OK;
	fprintf(stderr, "plugvm: writing to stdout failed\n");
	return STATUS_ENVIRONMENT;
}

static int check(int argc, char **argv)
{
	struct plugvm_error error;
	if (argc != 2 || argv[1][0] == '-')
		return usage_error("`plugvm policy check` takes one file");
	if (plugvm_policy_explain(argv[1], print_line, NULL, &error) < 0) {
		fprintf(stderr, "plugvm: %s\n", error.text);
		return error.kind == PLUGVM_ERROR_CONFIG ? STATUS_USAGE : STATUS_ENVIRONMENT;
	}
	return end_output();
}

static int show(int argc, char **argv)
{
	const char *text = argc == 2 ? plugvm_policy_text(argv[1]) : NULL;
	if (!text)
		return usage_error("`plugvm policy show` takes default or strict");
	fputs(text, stdout);
	return end_output();
}

/* ---- Learning ---- */

static void write_line(void *file, const char *line)
{
	fprintf(file, "%s\n", line);
}

/* The process that writes the file: the host itself opens none once its plugin runs. */
struct output {
	const char *path; /* NULL: stdout, and no such process */
	int fd;           /* the text and a zero byte go out, an errno or 0 comes back */
};

/* Returns a positive errno; then there may be a part of it. */
static int write_in_place(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	bool is_written = file && fputs(text, file) >= 0 && fflush(file) == 0;
	int code = is_written ? 0 : errno;
	if (file && fclose(file) != 0 && code == 0)
		code = errno;
	return code;
}

/* Write beside the place, and then there: a policy is whole or not there. Returns a positive errno. */
static int write_beside(const char *path, const char *text)
{
	char *new_path = NULL;
	if (asprintf(&new_path, "%s.new", path) < 0)
		return ENOMEM;
	int code = write_in_place(new_path, text);
	if (code == 0 && rename(new_path, path) < 0)
		code = errno;
	if (code != 0)
		unlink(new_path);
	free(new_path);
	return code;
}

/* Where links lead. What is there and is no plain file, a device or a pipe say, is not replaced. Returns a positive errno. */
static int write_file(const char *path, const char *text)
{
	struct stat status;
	char *target = realpath(path, NULL);
	const char *place = target ? target : path;
	bool is_special = stat(place, &status) == 0 && !S_ISREG(status.st_mode);
	int code = is_special ? write_in_place(place, text) : write_beside(place, text);
	free(target);
	return code;
}

__attribute__((noreturn)) static void writer_main(const char *path, int fd)
{
	char *text = NULL;
	size_t size = 0;
	FILE *in = fdopen(fd, "r");
	/* A terminal's signals are for the host, and what it learned until then counts. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Without its end the text is not whole, and the host is gone. */
	ssize_t length = in ? getdelim(&text, &size, '\0', in) : -1;
	if (length > 0 && text[length - 1] == '\0') {
		int code = write_file(path, text);
		ssize_t ignored = write(fd, &code, sizeof(code));
		(void)ignored;
	}
	_exit(0);
}

/* Start it before there is a plugin; it ends with the host. */
static int output_init(struct output *out_output, const char *path)
{
	int fds[2];
	*out_output = (struct output){.path = path, .fd = -1};
	if (!path)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		writer_main(path, fds[1]);
	}
	int code = errno;
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -code;
	}
	out_output->fd = fds[0];
	return 0;
}

/* Returns a positive errno. */
static int hand_over(int fd, const char *text, size_t size)
{
	int code;
	for (size_t done = 0; done < size;) {
		ssize_t count = write(fd, text + done, size - done);
		if (count < 0 && errno != EINTR)
			return errno;
		done += count > 0 ? (size_t)count : 0;
	}
	ssize_t count;
	do {
		count = read(fd, &code, sizeof(code));
	} while (count < 0 && errno == EINTR);
	return count == (ssize_t)sizeof(code) ? code : EPIPE;
}

static int write_policy(struct plugvm_policy_learner *learner, const struct output *output)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	int code = file && plugvm_policy_learner_write(learner, write_line, file) == 0 ? 0 : ENOMEM;
	if (file && fclose(file) != 0)
		code = ENOMEM;
	if (code == 0 && output->path)
		code = hand_over(output->fd, text, size + 1);
	else if (code == 0 && (fputs(text, stdout) < 0 || fflush(stdout) != 0))
		code = errno;
	free(text);
	if (code == 0)
		return STATUS_OK;
	fprintf(stderr, "plugvm: writing the policy %s: %s\n", output->path ? output->path : "to stdout",
	        strerror(code));
	return STATUS_ENVIRONMENT;
}

/* What comes before the options of `run`. */
struct learn_options {
	const char *output;
	bool merges;
};

/* Returns the index of the first word that is not ours; 0: one of ours lacks its value. */
static int take_learn_options(struct learn_options *out_learn, int argc, char **argv)
{
	int next = 1;
	for (; next < argc; next++) {
		if (strcmp(argv[next], "--merge") == 0) {
			out_learn->merges = true;
		} else if (strncmp(argv[next], "--output=", 9) == 0) {
			out_learn->output = argv[next] + 9;
		} else if (strcmp(argv[next], "--output") == 0) {
			if (++next == argc)
				return 0;
			out_learn->output = argv[next];
		} else {
			break;
		}
	}
	return next;
}

/* The words of `run`, to be freed after the run. */
static char **make_run_words(int argc, char **argv)
{
	static char name[] = "run";
	char **words = calloc((size_t)argc + 2, sizeof(words[0]));
	if (!words)
		return NULL;
	words[0] = name;
	memcpy(words + 1, argv, (size_t)argc * sizeof(words[0]));
	return words;
}

static int learn_with(struct plugvm_policy_learner *learner, const struct learn_options *learn,
                      struct options *options)
{
	struct plugvm_error error;
	if (!options->machine.jail || options->disable_sandbox)
		return usage_error("a policy is learned in a jail; --disable-sandbox makes none");
	if (learn->merges && access(learn->output, F_OK) == 0 &&
	    plugvm_policy_learner_add_file(learner, learn->output, &error) < 0) {
		fprintf(stderr, "plugvm: %s\n", error.text);
		return STATUS_USAGE;
	}
	struct output output;
	int result = output_init(&output, learn->output);
	if (result < 0) {
		fprintf(stderr, "plugvm: the process that writes the policy: %s\n", strerror(-result));
		return STATUS_ENVIRONMENT;
	}
	plugvm_jail_observe(options->machine.jail, plugvm_policy_learn, learner);
	int status = run_plugin(options);
	/* Nothing was learned if nothing ran. */
	bool has_run = status != STATUS_USAGE && status != STATUS_ENVIRONMENT && status != STATUS_JAIL &&
	               status != STATUS_PLUGIN_FILE;
	int written = has_run ? write_policy(learner, &output) : STATUS_OK;
	if (output.fd >= 0)
		close(output.fd);
	return written == STATUS_OK ? status : written;
}

static int learn(int argc, char **argv)
{
	struct learn_options own = {.output = NULL};
	struct options options;
	struct plugvm_policy_learner *learner = NULL;
	int next = take_learn_options(&own, argc, argv);
	if (next == 0)
		return usage_error("option '--output' needs a value");
	if (own.merges && !own.output)
		return usage_error("--merge takes the file of --output");
	char **words = make_run_words(argc - next, argv + next);
	if (!words || plugvm_policy_learner_new(&learner) < 0) {
		free(words);
		return usage_error("out of memory");
	}
	int status = options_parse(&options, argc - next + 1, words);
	if (status == STATUS_OK && options.path)
		status = learn_with(learner, &own, &options);
	options_fini(&options);
	plugvm_policy_learner_free(&learner);
	free(words);
	return status;
}

int policy_verb(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "check") == 0)
		return check(argc - 1, argv + 1);
	if (strcmp(verb, "show") == 0)
		return show(argc - 1, argv + 1);
	if (strcmp(verb, "learn") == 0)
		return learn(argc - 1, argv + 1);
	return usage_error("`plugvm policy` takes check, show or learn");
}
