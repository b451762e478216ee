/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what API 0.23 adds, with real guests: acts of the actor, and runs whose end matters.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "play.h"

#define RUN PLUGVM, "run"

/* The usual limit of fds, which 256 vCPUs are above. */
#define USUAL_FDS 1024

/* How long a VM of 256 vCPUs may take to stop: on a real machine, and where all is emulated. */
#define STOP_MS     1000
#define LAB_STOP_MS 20000

/* ---- Many vCPUs ---- */

static void lower_fd_limit(void *context)
{
	(void)context;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = USUAL_FDS;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct setup few_fds = {.in_child = lower_fd_limit};

static void skip_without_fds(void)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 4 * USUAL_FDS)
		test_skip("the hard limit of open files is too low for so many vCPUs");
}

static void test_256_vcpus(void **state)
{
	(void)state;
	struct run run;
	skip_without_fds();
	run_start(&run, &few_fds, WORDS(RUN, "--cpus", "256", "--", ACTOR, "ext-many"));
	run_finish(&run);
	run_expect_status(&run, 0);
	run_fini(&run);
}

static void test_256_vcpus_stop(void **state)
{
	(void)state;
	unsigned best = UINT32_MAX, most = getenv("PLUGVM_LAB") ? LAB_STOP_MS : STOP_MS;
	skip_without_fds();
	for (int turn = 0; turn < 3 && best > most; turn++) {
		struct run run;
		run_start(&run, &few_fds, WORDS(RUN, "--cpus", "256", "--", ACTOR, "ext-many-for-ever"));
		run_await(&run, "ready");
		run_signal(&run, SIGTERM);
		run_finish(&run);
		run_expect_status(&run, 128 + SIGTERM);
		run_expect_no_err(&run, "was killed");
		best = run.stop_ms < best ? run.stop_ms : best;
		run_fini(&run);
	}
	print_message("# 256 vCPUs stop within %u ms\n", best);
	assert_in_range(best, 0, most);
}

/* ---- The end ---- */

/* Run the failing guest; returns all that was said about it, to be freed by run_fini(). */
static void run_failing(struct run *run, const char *guest, const char *deed)
{
	run_words(run, WORDS(RUN, "--", ACTOR, "ext-fail", guest, deed));
	run_expect_status(run, 5);
	run_expect_err(run, "plugvm: the guest crashed on vCPU 0: ");
	run_expect_no_err(run, "was killed");
}

/* A plugin that was asked and says nothing changes nothing, not even the words. */
static void test_failure_is_the_same(void **state)
{
	const char *guest = *state;
	static const char *const deeds[] = {"resume", "change"};
	struct run unasked;
	run_failing(&unasked, guest, "unasked");
	for (size_t i = 0; i < 2; i++) {
		struct run asked;
		run_failing(&asked, guest, deeds[i]);
		assert_string_equal(asked.err.text, unasked.err.text);
		run_fini(&asked);
	}
	run_fini(&unasked);
}

static void test_end_of_crash(void **state)
{
	(void)state;
	struct run run;
	char text[256];
	run_words(&run, WORDS(RUN, "--", ACTOR, "ext-end-of-crash"));
	run_expect_status(&run, 5);
	/* The plugin was told the words that the host says. */
	static const char prefix[] = "reason 2, vCPU 0: ";
	assert_int_equal(strncmp(run.out.text, prefix, strlen(prefix)), 0);
	snprintf(text, sizeof(text), "plugvm: %s", run.out.text + strlen(prefix));
	run_expect_err(&run, text);
	run_fini(&run);
}

static void test_end_of_stop(void **state)
{
	(void)state;
	struct run run;
	run_start(&run, NULL, WORDS(RUN, "--", ACTOR, "ext-end-of-stop"));
	run_await(&run, "ready");
	run_signal(&run, SIGTERM);
	run_finish(&run);
	run_expect_status(&run, 128 + SIGTERM);
	run_expect_out(&run, "reason 5, vCPU -1: the VM was stopped\n");
	run_fini(&run);
}

static void test_end_wakes(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--cpus", "3", "--", ACTOR, "ext-end-wakes"), 5,
	          "plugvm: the guest crashed on vCPU 0: ");
}

static void test_after_end(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--", ACTOR, "ext-after-end"), 5, "plugvm: the guest crashed on vCPU 0: ");
}

static void test_hlt_unasked(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--irqchip", "none", "--", ACTOR, "ext-hlt-unasked"), 5,
	          "plugvm: the guest crashed on vCPU 0: halted with nothing to wake it (KVM_EXIT_HLT)\n");
}

/* ---- Snapshots ---- */

/* The state of one VM's vCPU, in a file, for another VM's. */
static void test_restore_elsewhere(void **state)
{
	const char *irqchip = *state;
	char path[] = "/tmp/plugvm-snapshot-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	/* A root's plugin is another user. */
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
	char mount[64];
	snprintf(mount, sizeof(mount), "%s::true", path);
	static const char *const acts[] = {"ext-save", "ext-restore"};
	struct run runs[2];
	for (int i = 0; i < 2; i++)
		run_words(&runs[i],
		          WORDS(RUN, "--irqchip", irqchip, "--plugin-mount", mount, "--", ACTOR, acts[i], path));
	unlink(path);
	for (int i = 0; i < 2; i++) {
		run_expect_status(&runs[i], 0);
		run_fini(&runs[i]);
	}
}

/* One test for each act, under its name, on a VM of so many vCPUs and such an irqchip. */
#define ACT_ON(name, act, cpus, irqchip)                    \
	{                                                   \
		name, play_test, NULL, NULL, &(struct play) \
		{                                           \
			act, cpus, irqchip, false           \
		}                                           \
	}
#define ACT(act)                  ACT_ON(act, act, NULL, NULL)
#define ACT_OF_IRQCHIP(act, chip) ACT_ON(act "-" chip, act, NULL, chip)

int main(void)
{
	static char kernel[] = "kernel", split[] = "split", none[] = "none";
	static char triple_fault[] = "triple-fault", absent_memory[] = "absent-memory";
	struct CMUnitTest tests[] = {
	    ACT("ext-info-kernel"),
	    ACT_ON("ext-info-split", "ext-info-split", NULL, "split"),
	    ACT_ON("ext-info-none", "ext-info-none", NULL, "none"),
	    ACT_ON("ext-info-many", "ext-info-many", "64", NULL),
	    ACT("ext-info-sizes"),
	    ACT_ON("ext-17-vcpus", "ext-many", "17", NULL),
	    ACT_ON("ext-64-vcpus", "ext-many", "64", NULL),
	    cmocka_unit_test(test_256_vcpus),
	    cmocka_unit_test(test_256_vcpus_stop),
	    ACT("ext-wait-timeout"),
	    ACT_ON("ext-poll-loop", "ext-poll-loop", "8", NULL),
	    ACT("ext-poll-late"),
	    ACT("ext-poll-refused"),
	    ACT("ext-poll-async"),
	    ACT("ext-io-any-data"),
	    ACT("ext-io-any-data-errno"),
	    ACT("ext-edge-irq"),
	    ACT("ext-edge-irq-errno"),
	    ACT("ext-msi"),
	    ACT("ext-msi-blocked"),
	    ACT_ON("ext-msi-none", "ext-msi-none", NULL, "none"),
	    ACT("ext-log-to"),
	    ACT("ext-log-to-errno"),
	    ACT("ext-log-sparse"),
	    ACT("ext-msr-filter"),
	    ACT("ext-msr-unknown"),
	    ACT("ext-msr-filter-errno"),
	    ACT("ext-xsave"),
	    ACT("ext-tsc-khz"),
	    ACT("ext-nested"),
	    ACT("ext-msrs-counted"),
	    ACT("ext-busy"),
	    {"ext-failure-triple-fault", test_failure_is_the_same, NULL, NULL, triple_fault},
	    {"ext-failure-absent-memory", test_failure_is_the_same, NULL, NULL, absent_memory},
	    ACT("ext-go-on-after-shutdown"),
	    ACT("ext-go-on-after-error"),
	    cmocka_unit_test(test_end_of_crash),
	    cmocka_unit_test(test_end_of_stop),
	    cmocka_unit_test(test_end_wakes),
	    cmocka_unit_test(test_after_end),
	    ACT("ext-not-connected"),
	    ACT("ext-single-step"),
	    ACT("ext-steps-end"),
	    ACT("ext-hardware-breakpoint"),
	    ACT("ext-software-breakpoint"),
	    ACT("ext-debug-errno"),
	    ACT("ext-translate"),
	    ACT("ext-irqchip-kernel"),
	    ACT_ON("ext-irqchip-split", "ext-irqchip-split", NULL, "split"),
	    ACT_ON("ext-irqchip-none", "ext-irqchip-none", NULL, "none"),
	    ACT_OF_IRQCHIP("ext-no-chips", "split"),
	    ACT_OF_IRQCHIP("ext-no-chips", "none"),
	    cmocka_unit_test(test_hlt_unasked),
	    ACT_ON("ext-split-msi", "ext-split-msi", NULL, "split"),
	    ACT_ON("ext-ioapic-eoi", "ext-ioapic-eoi", NULL, "split"),
	    ACT("ext-replay"),
	    ACT_OF_IRQCHIP("ext-replay", "split"),
	    ACT_OF_IRQCHIP("ext-replay", "none"),
	    ACT("ext-replay-control"),
	    {"ext-restore-kernel", test_restore_elsewhere, NULL, NULL, kernel},
	    {"ext-restore-split", test_restore_elsewhere, NULL, NULL, split},
	    {"ext-restore-none", test_restore_elsewhere, NULL, NULL, none},
	    ACT("ext-deferred"),
	    ACT("ext-corrupt"),
	    ACT_OF_IRQCHIP("ext-corrupt", "none"),
	    ACT("ext-roll-back"),
	    ACT("ext-cpuid-flags"),
	};
	return SYSTEM_MAIN("ext", tests);
}
