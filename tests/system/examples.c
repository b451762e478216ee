/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that each example prints what its `expected` file says, and that the firmware plugin boots real firmware.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define SEABIOS "/usr/share/seabios/"

/* expected.asm */
extern const char expected_hello[], expected_adder[], expected_two_vcpus[];
extern const char expected_irq[], expected_ioevent[], expected_dirty_log[], expected_pause[],
    expected_async_write[];

static void expect_output(const char *cpus, const char *program, const char *expected)
{
	struct run run;
	run_words(&run, WORDS(PLUGVM, "run", "--cpus", cpus, "--", built(program)));
	run_expect_status(&run, 0);
	run_expect_out(&run, expected);
	run_expect_err(&run, "plugvm: the plugin exited\n");
	run_fini(&run);
}

static void test_hello(void **state)
{
	(void)state;
	expect_output("1", "examples/hello/hello", expected_hello);
}

static void test_adder(void **state)
{
	(void)state;
	expect_output("1", "examples/adder/adder", expected_adder);
}

static void test_two_vcpus(void **state)
{
	(void)state;
	expect_output("2", "examples/two_vcpus/two_vcpus", expected_two_vcpus);
}

static void test_two_vcpus_want_two(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "run", "--", built("examples/two_vcpus/two_vcpus")), 1,
	          "the machine must have two vCPUs");
	run_check(WORDS(PLUGVM, "run", "--cpus", "3", "--", built("examples/two_vcpus/two_vcpus")), 1,
	          "the machine must have two vCPUs");
}

static void test_irq(void **state)
{
	(void)state;
	expect_output("1", "examples/irq/irq", expected_irq);
}

static void test_ioevent(void **state)
{
	(void)state;
	expect_output("1", "examples/ioevent/ioevent", expected_ioevent);
}

static void test_dirty_log(void **state)
{
	(void)state;
	expect_output("1", "examples/dirty_log/dirty_log", expected_dirty_log);
}

static void test_pause(void **state)
{
	(void)state;
	expect_output("1", "examples/pause/pause", expected_pause);
}

static void test_async_write(void **state)
{
	(void)state;
	expect_output("1", "examples/async_write/async_write", expected_async_write);
}

/* With a network it is tried in net.c. */
static void test_net_wants_a_tap(void **state)
{
	(void)state;
	run_check(WORDS(PLUGVM, "run", "--", built("examples/net/net")), 1,
	          "plugin: net: cannot get the network (plugvm run --net): No data available");
}

/* Started by hand, a plugin says what it lacks. */
static void test_without_a_host(void **state)
{
	(void)state;
	static const char *const nothing[] = {NULL};
	struct run run;
	run_start(&run, &(struct setup){.env = nothing}, WORDS(built("examples/hello/hello")));
	run_finish(&run);
	run_expect_status(&run, 1);
	run_expect_err(&run, "hello: cannot connect to the host");
	run_fini(&run);
}

/* ---- Firmware ---- */

/* An image that is there is shown to the plugin. */
static void run_firmware(struct run *run, const char *image, const char *timeout)
{
	const char *option = access(image, R_OK) == 0 ? "--plugin-mount" : "--env";
	const char *value = access(image, R_OK) == 0 ? image : "NONE";
	run_words(run, WORDS(PLUGVM, "run", "-v", option, value, "--", built("plugins/firmware/firmware"),
	                     "--timeout", timeout, image));
}

/*
 * In the lab one boot in a hundred goes astray while it waits for a key, and more where the machine below is busy: the BIOS
 * is found in real mode where it has no code (tests/lab/README.md). All of its code of real mode is in segment f000.
 */
static bool went_astray(const struct run *run)
{
	return getenv("PLUGVM_LAB") && strstr(run->out.text, "Press ESC for boot menu.") &&
	       strstr(run->err.text, "in real mode") && !strstr(run->err.text, "CS 0xf000");
}

static void expect_boot(const char *image)
{
	struct run run;
	if (access(image, R_OK) < 0)
		test_skip("SeaBIOS is not installed");
	const char *timeout = getenv("PLUGVM_LAB") ? "60" : "180";
	run_firmware(&run, image, timeout);
	for (int again = 0; again < 2 && went_astray(&run); again++) {
		print_message("# a boot went astray, as some do in the lab\n");
		run_fini(&run);
		run_firmware(&run, image, timeout);
	}
	run_expect_status(&run, 0);
	if (!strstr(run.out.text, "SeaBIOS (version") || !strstr(run.out.text, "No bootable device."))
		fail_msg("the log is not that of a boot: %s", run.out.text);
	run_expect_err(&run, "plugin: firmware: no bootable device");
	/* The account of exits has the firmware's accesses. */
	run_expect_err(&run, "port write               0000-ffff");
	run_fini(&run);
}

static void test_bios(void **state)
{
	(void)state;
	expect_boot(SEABIOS "bios.bin");
}

static void test_bios_256k(void **state)
{
	(void)state;
	expect_boot(SEABIOS "bios-256k.bin");
}

static void test_bios_microvm_waits(void **state)
{
	(void)state;
	struct run run;
	if (access(SEABIOS "bios-microvm.bin", R_OK) < 0)
		test_skip("SeaBIOS is not installed");
	run_firmware(&run, SEABIOS "bios-microvm.bin", "2");
	run_expect_status(&run, 1);
	run_expect_err(&run, "plugin: firmware: timeout: the firmware was still running after 2 s");
	run_expect_err(&run, "plugin: firmware: the processor was at 0x");
	run_fini(&run);
}

static void test_no_bios(void **state)
{
	(void)state;
	struct run run;
	run_firmware(&run, PLUGVM, "5");
	run_expect_status(&run, 1);
	run_expect_err(&run, "plugin: firmware: ");
	run_expect_err(&run, "the plugin exited with status 2");
	run_fini(&run);
	run_firmware(&run, "/nonexistent/bios", "5");
	run_expect_status(&run, 1);
	run_expect_err(&run, "/nonexistent/bios: No such file or directory");
	run_fini(&run);
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hello),
	    cmocka_unit_test(test_adder),
	    cmocka_unit_test(test_two_vcpus),
	    cmocka_unit_test(test_two_vcpus_want_two),
	    cmocka_unit_test(test_irq),
	    cmocka_unit_test(test_ioevent),
	    cmocka_unit_test(test_dirty_log),
	    cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_async_write),
	    cmocka_unit_test(test_net_wants_a_tap),
	    cmocka_unit_test(test_without_a_host),
	    cmocka_unit_test(test_bios),
	    cmocka_unit_test(test_bios_256k),
	    cmocka_unit_test(test_bios_microvm_waits),
	    cmocka_unit_test(test_no_bios),
	};
	return SYSTEM_MAIN("examples", tests);
}
