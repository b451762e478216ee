/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs the built plugvm with real guests, and holds every run to what all of them promise: it ends before a
 * deadline and leaves no process behind.
 *
 * The programs are found under PLUGVM_BUILD_ROOT, laid out as in the build tree; without it, in the build tree
 * that the test came from.
 */
#ifndef PLUGVM_TESTS_SYSTEM_HARNESS_H
#define PLUGVM_TESTS_SYSTEM_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "test.h"

/* For any one wait, on a machine that has other work as well or is an emulated one. */
#define DEADLINE_MS 200000

/* How long "at once" may take on such a machine. */
#define PROMPT_MS 3000

/* The words of a command line, NULL-terminated. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What a run has printed: at most a bounded number of bytes is kept, and then a zero byte. */
struct capture {
	int fd;
	char *text;
	size_t size;
};

/* How to start a run, where it is not in the ordinary way. Zeroes are the ordinary way. */
struct setup {
	int stdin_fd;                    /* 0: /dev/null */
	int stdout_fd;                   /* 0: into run.out */
	const char *const *env;          /* NULL: the test's own */
	void (*in_child)(void *context); /* the last call before exec */
	void *context;
};

struct run {
	pid_t pid;
	int pidfd;
	struct capture out, err;
	uint64_t begin_ns, signal_ns;

	/* After run_finish(): */
	int status;       /* exit status, or the negated signal that killed it */
	unsigned wall_ms; /* from start to end */
	unsigned stop_ms; /* from the last run_signal() to the end */
};

/* Return the path of a built program, such as "src/plugvm". Valid until the program ends. */
const char *built(const char *relative);
#define PLUGVM built("src/plugvm")
#define ACTOR  built("tests/system/actor")

/* Start the program words[0]. */
void run_start(struct run *run, const struct setup *setup, const char *const *words);
/* Wait until `text` has appeared on stdout or stderr; fails the test if the run ends before. */
void run_await(struct run *run, const char *text);
void run_signal(struct run *run, int signal);
/* Wait for the end, and for that of every process that came from it. */
void run_finish(struct run *run);
/* Fail the test, with all that the run has printed, unless it ended like this. */
void run_expect_status(const struct run *run, int status);
void run_expect_err(const struct run *run, const char *text);
void run_expect_no_err(const struct run *run, const char *text);
void run_expect_out(const struct run *run, const char *expected);
void run_fini(struct run *run);

/* Run to the end in the ordinary way. */
void run_words(struct run *run, const char *const *words);
/* Run to the end, expect this status and, on stderr, this text; free it. */
void run_check(const char *const *words, int status, const char *text);

/* Return how often `text` occurs in a capture. */
unsigned count_text(const struct capture *capture, const char *text);

/* Return what --kvm-device is in an ordinary run: a node, or an fd that an ordinary user's runs are given. */
const char *kvm_device(void);

/* Make an unlinked file of the bytes, open for reading and writing at its start. */
int file_with(const void *data, size_t size);

/*
 * Run the tests, or skip them all if there is no KVM. After each test, what it has left running is killed. Returns
 * main's status. With AS_USER in the environment, root's tests are those of an ordinary user, who cannot open KVM but
 * has an fd of it.
 */
int system_main(const char *name, struct CMUnitTest *tests, size_t count);
#define SYSTEM_MAIN(name, tests) system_main(name, tests, sizeof(tests) / sizeof((tests)[0]))

#endif
