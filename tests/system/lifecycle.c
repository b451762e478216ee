/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that a run ends cleanly whatever the plugin does and whenever it does it: with the right status and text,
 * in bounded time, and with no process left (run_finish() sees to that in each test).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* A grace time that is seen in the measured time, and one that a test never waits for. */
#define SHORT_GRACE_MS 200
#define SHORT_GRACE    "200"
#define LONG_GRACE     "60000"

#define RUN PLUGVM, "run"

/* In the order of a plugin's life. */
static const char *const steps[] = {"begin", "connected", "started", "init", "event"};
#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))

static bool is_before_start(size_t step)
{
	return step < 2;
}

/* ---- The plugin ends ---- */

static void expect_at_each_step(const char *deed, int status, const char *text)
{
	for (size_t i = 0; i < STEP_COUNT; i++)
		run_check(WORDS(RUN, "--", ACTOR, "life", steps[i], deed), status, text);
}

static void test_exit_0(void **state)
{
	(void)state;
	expect_at_each_step("exit-0", 0, "plugvm: the plugin exited\n");
}

static void test_exit_3(void **state)
{
	(void)state;
	expect_at_each_step("exit-3", 1, "plugvm: the plugin exited with status 3\n");
}

static void test_sigkill(void **state)
{
	(void)state;
	expect_at_each_step("sigkill", 4, "plugvm: the plugin was killed by signal 9 (SIGKILL)\n");
}

static void test_sigsegv(void **state)
{
	(void)state;
	expect_at_each_step("sigsegv", 4, "plugvm: the plugin was killed by signal 11 (SIGSEGV)\n");
}

static void test_children_of_the_plugin(void **state)
{
	(void)state;
	/* The default policy allows no processes. */
	for (size_t i = 0; i < STEP_COUNT; i++)
		run_check(WORDS(RUN, "--disable-sandbox", "--", ACTOR, "life", steps[i], "fork"), 0,
		          "plugvm: the plugin exited\n");
}

/* ---- The plugin does not go on ---- */

/* Wait until the actor is there, send the signal, and expect the end that it leads to. */
static void expect_stop(const char *const *words, int signal, unsigned least_ms, unsigned most_ms,
                        const char *text)
{
	struct run run;
	char by[32];
	run_start(&run, NULL, words);
	run_await(&run, "ready");
	run_signal(&run, signal);
	run_finish(&run);
	run_expect_status(&run, 128 + signal);
	snprintf(by, sizeof(by), "the VM was stopped by SIG%s", sigabbrev_np(signal));
	run_expect_err(&run, by);
	if (text)
		run_expect_err(&run, text);
	else
		run_expect_no_err(&run, "was killed");
	if (run.stop_ms < least_ms || run.stop_ms > most_ms)
		fail_msg("it took %u ms to stop, not %u to %u", run.stop_ms, least_ms, most_ms);
	run_fini(&run);
}

#define GRACE_TEXT "; the plugin did not exit within " SHORT_GRACE " ms and was killed\n"

static void test_rest_then_sigterm(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++)
		expect_stop(WORDS(RUN, "--grace", SHORT_GRACE, "--", ACTOR, "life", steps[i], "rest"), SIGTERM,
		            SHORT_GRACE_MS, SHORT_GRACE_MS + PROMPT_MS, GRACE_TEXT);
}

static void test_sigstop_then_sigterm(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++)
		expect_stop(WORDS(RUN, "--grace", SHORT_GRACE, "--", ACTOR, "life", steps[i], "stop"), SIGTERM,
		            SHORT_GRACE_MS, SHORT_GRACE_MS + PROMPT_MS, GRACE_TEXT);
}

static void test_sigint_and_sighup(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--", ACTOR, "spin"), SIGINT, 0, PROMPT_MS, NULL);
	expect_stop(WORDS(RUN, "--", ACTOR, "spin"), SIGHUP, 0, PROMPT_MS, NULL);
}

static void test_no_grace(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++)
		expect_stop(WORDS(RUN, "--grace", "0", "--", ACTOR, "life", steps[i], "rest"), SIGTERM, 0,
		            PROMPT_MS, "; the plugin did not exit within 0 ms and was killed\n");
}

/* A limit of its own ends the VM where the plugin stays at one step. */
static void test_timeouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++) {
		bool before = is_before_start(i);
		run_check(WORDS(RUN, "--grace", "0", before ? "--start-timeout" : "--answer-timeout", "100", "--",
		                ACTOR, "life", steps[i], "rest"),
		          7,
		          before ? "the plugin did not start the VM within 100 ms"
		                 : "the plugin did not answer for 100 ms");
	}
}

/* Timeouts that do not pass change nothing. */
static void test_timeouts_that_are_kept(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--start-timeout", "50000", "--answer-timeout", "50000", "--",
	                built("examples/hello/hello")),
	          0, "plugvm: the plugin exited\n");
}

/* Nothing can come from a plugin that has closed all it had: the VM ends by itself. */
static void test_close_everything(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++) {
		struct run run;
		run_words(&run, WORDS(RUN, "--grace", SHORT_GRACE, "--", ACTOR, "life", steps[i], "close-all"));
		run_expect_status(&run, 7);
		run_expect_err(&run, is_before_start(i)
		                         ? "the plugin closed its last connection and had not started the VM"
		                         : "the VM failed on vCPU 0: the plugin has closed the channel");
		run_expect_err(&run, GRACE_TEXT);
		assert_in_range(run.wall_ms, SHORT_GRACE_MS, SHORT_GRACE_MS + PROMPT_MS);
		run_fini(&run);
	}
}

/* ---- The shutdown eventfd ---- */

static void test_obey(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--grace", LONG_GRACE, "--", ACTOR, "obey"), SIGTERM, 0, PROMPT_MS, NULL);
}

static void test_second_signal_ends_grace(void **state)
{
	(void)state;
	struct run run;
	run_start(&run, NULL, WORDS(RUN, "--grace", LONG_GRACE, "--", ACTOR, "disobey"));
	run_await(&run, "ready");
	run_signal(&run, SIGINT);
	run_await(&run, "told to exit");
	run_signal(&run, SIGINT);
	run_finish(&run);
	run_expect_status(&run, 128 + SIGINT);
	run_expect_err(&run, "was killed");
	assert_in_range(run.stop_ms, 0, PROMPT_MS);
	run_fini(&run);
}

static void test_saturated_eventfd(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--grace", SHORT_GRACE, "--", ACTOR, "saturate"), SIGTERM, SHORT_GRACE_MS,
	            SHORT_GRACE_MS + PROMPT_MS, GRACE_TEXT);
}

/* ---- Guests that run when the stop comes ---- */

static void test_stop_busy_guest(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--grace", LONG_GRACE, "--", ACTOR, "spin"), SIGTERM, 0, PROMPT_MS, NULL);
}

static void test_stop_halted_guest(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--grace", LONG_GRACE, "--", ACTOR, "halt"), SIGTERM, 0, PROMPT_MS, NULL);
}

static void test_stop_at_the_barrier(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--cpus", "2", "--grace", LONG_GRACE, "--", ACTOR, "barrier"), SIGTERM, 0,
	            PROMPT_MS, NULL);
}

/* The vCPU waits for a plugin that does not take its events. */
static void test_stop_at_a_full_channel(void **state)
{
	(void)state;
	expect_stop(WORDS(RUN, "--grace", LONG_GRACE, "--", ACTOR, "async-rest"), SIGTERM, 0, PROMPT_MS, NULL);
}

/* The usual time, once more and without the slack for a loaded machine: the best of a few. */
static void test_stop_is_quick(void **state)
{
	(void)state;
	static const char *const guests[] = {"spin", "halt"};
	for (size_t i = 0; i < 2; i++) {
		unsigned best = UINT32_MAX;
		for (int turn = 0; turn < 5; turn++) {
			struct run run;
			run_start(&run, NULL, WORDS(RUN, "--", ACTOR, guests[i]));
			run_await(&run, "ready");
			run_signal(&run, SIGTERM);
			run_finish(&run);
			best = run.stop_ms < best ? run.stop_ms : best;
			run_fini(&run);
		}
		print_message("# a %s guest stops within %u ms\n", guests[i], best);
		assert_in_range(best, 0, 500);
	}
}

/* ---- The guest or KVM ends it ---- */

static void test_triple_fault(void **state)
{
	(void)state;
	struct run run;
	run_words(&run, WORDS(RUN, "--", ACTOR, "triple-fault"));
	run_expect_status(&run, 5);
	run_expect_err(&run, "plugvm: the guest crashed on vCPU 0: ");
	/* Which values depends: AMD's KVM has reset the vCPU by then. */
	run_expect_err(&run, "\n  rip  ");
	run_expect_err(&run, "\n  cs  ");
	run_expect_no_err(&run, "was killed");
	run_fini(&run);
}

static void test_kvm_error(void **state)
{
	(void)state;
	struct run run;
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "re");
	int pages = 0;
	if (file) {
		if (fscanf(file, "%d", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	if (pages > 0)
		test_skip("this machine has huge pages, and the test needs them to run out");
	run_words(&run, WORDS(RUN, "--", ACTOR, "absent-memory"));
	bool is_emulator = run.status == 5 && strstr(run.err.text, "KVM_EXIT_INTERNAL_ERROR");
	if (!is_emulator) {
		run_expect_status(&run, 6);
		run_expect_err(&run, "plugvm: the VM failed on vCPU 0: KVM_RUN: EFAULT");
	}
	run_fini(&run);
	if (is_emulator)
		test_skip("to this machine's KVM, absent memory is an instruction that it cannot emulate");
}

/* ---- Against the rules ---- */

/* The tags of a wait, a resume and a get-state request. */
#define TAG_WAIT   "0x0a"
#define TAG_RESUME "0x12"
#define TAG_GET    "0x1a"

static void test_resume_while_running(void **state)
{
	(void)state;
	run_check(WORDS(RUN, "--", ACTOR, "break-rules", TAG_RESUME, "1"), 7,
	          "the VM failed on vCPU 0: the plugin resumed a vCPU that was running\n");
}

/* Other requests are refused, up to a limit. */
static void test_requests_while_running(void **state)
{
	(void)state;
	static const char *const tags[] = {TAG_WAIT, TAG_GET};
	for (size_t i = 0; i < 2; i++) {
		run_check(WORDS(RUN, "--", ACTOR, "break-rules", tags[i], "63"), 0, "plugvm: the plugin exited\n");
		run_check(WORDS(RUN, "--", ACTOR, "break-rules", tags[i], "64"), 7,
		          "64 requests came while the vCPU was running\n");
	}
}

/* ---- plugvm itself is killed ---- */

static void test_plugvm_is_killed(void **state)
{
	(void)state;
	for (size_t i = 0; i < STEP_COUNT; i++) {
		struct run run;
		run_start(&run, NULL, WORDS(RUN, "--", ACTOR, "life", steps[i], "rest"));
		run_await(&run, "ready");
		run_signal(&run, SIGKILL);
		run_finish(&run);
		run_expect_status(&run, -SIGKILL);
		run_fini(&run);
	}
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exit_0),
	    cmocka_unit_test(test_exit_3),
	    cmocka_unit_test(test_sigkill),
	    cmocka_unit_test(test_sigsegv),
	    cmocka_unit_test(test_children_of_the_plugin),
	    cmocka_unit_test(test_rest_then_sigterm),
	    cmocka_unit_test(test_sigstop_then_sigterm),
	    cmocka_unit_test(test_sigint_and_sighup),
	    cmocka_unit_test(test_no_grace),
	    cmocka_unit_test(test_timeouts),
	    cmocka_unit_test(test_timeouts_that_are_kept),
	    cmocka_unit_test(test_close_everything),
	    cmocka_unit_test(test_obey),
	    cmocka_unit_test(test_second_signal_ends_grace),
	    cmocka_unit_test(test_saturated_eventfd),
	    cmocka_unit_test(test_stop_busy_guest),
	    cmocka_unit_test(test_stop_halted_guest),
	    cmocka_unit_test(test_stop_at_the_barrier),
	    cmocka_unit_test(test_stop_at_a_full_channel),
	    cmocka_unit_test(test_stop_is_quick),
	    cmocka_unit_test(test_triple_fault),
	    cmocka_unit_test(test_kvm_error),
	    cmocka_unit_test(test_resume_while_running),
	    cmocka_unit_test(test_requests_while_running),
	    cmocka_unit_test(test_plugvm_is_killed),
	};
	return SYSTEM_MAIN("lifecycle", tests);
}
