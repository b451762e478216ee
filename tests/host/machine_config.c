/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that a machine refuses a wrong configuration, each kind by itself, says that it is one, and leaves nothing.
 */
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct plugvm_machine_config good = {
    .size = sizeof(good),
    .kvm_fd = -1,
    .vcpu_count = 1,
    .path = "/bin/true",
    .stdin_fd = -1,
    .stdout_fd = -1,
};

static int setup(void **state)
{
	(void)state;
	fake_kvm_install();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_kvm_remove();
	return 0;
}

/* What plugvm_machine_new() sees. */
static void test_machine(void **state)
{
	(void)state;
	struct plugvm_machine_config wrong[6];
	for (size_t i = 0; i < 6; i++)
		wrong[i] = good;
	wrong[0].size--;
	wrong[1].size = 0;
	wrong[2].vcpu_count = 0;
	wrong[3].vcpu_count = LIMIT_VCPUS + 1;
	wrong[4].kick_signal = SIGTERM;
	wrong[5].kick_signal = SIGRTMAX + 1;

	int fds_before = count_open_fds();
	for (size_t i = 0; i < 6; i++) {
		struct plugvm_machine *machine = NULL;
		struct plugvm_error error;
		assert_int_equal(plugvm_machine_new(&wrong[i], &machine, &error), -EINVAL);
		assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
		assert_null(machine);
		assert_int_equal(count_open_fds(), fds_before);
	}
}

/* What only the start of the plugin sees. */
static void test_plugin(void **state)
{
	(void)state;
	static const struct plugvm_fd_map socket_number = {.fd = 0, .number = 3};
	static struct plugvm_tap *const no_tap;
	static const int codes[] = {EINVAL, EINVAL, EINVAL, EINVAL, EINVAL};
	struct plugvm_machine_config wrong[5];
	for (size_t i = 0; i < 5; i++)
		wrong[i] = good;
	wrong[0].path = NULL;
	wrong[1].path = "";
	wrong[2].fds = &socket_number;
	wrong[2].fd_count = 1;
	wrong[3].tap_count = 1;
	wrong[4].taps = &no_tap;
	wrong[4].tap_count = 1;

	int fds_before = count_open_fds();
	for (size_t i = 0; i < 5; i++) {
		struct plugvm_machine *machine;
		struct plugvm_result result;
		struct plugvm_error error;
		assert_int_equal(plugvm_machine_new(&wrong[i], &machine, &error), 0);
		assert_int_equal(plugvm_machine_run(machine, &result, &error), -codes[i]);
		assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
		plugvm_machine_free(&machine);
		assert_int_equal(count_open_fds(), fds_before);
	}
}

/* A kernel that takes fewer vCPUs says so at once, and not when the plugin has set everything up. */
static void test_max_vcpus(void **state)
{
	(void)state;
	static const struct {
		int most;
		uint32_t count;
		bool fits;
	} cases[] = {{1, 1, true},       {1, 2, false},      {288, 288, true}, {288, 289, false},
	             {1024, 1024, true}, {4096, 1024, true}, {1, 1024, false}, {0, 1024, true}};
	int fds_before = count_open_fds();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plugvm_machine_config config = good;
		struct plugvm_machine *machine = NULL;
		struct plugvm_error error;
		config.vcpu_count = cases[i].count;
		fake_kvm.max_vcpus = cases[i].most;
		assert_int_equal(plugvm_machine_new(&config, &machine, &error), cases[i].fits ? 0 : -EINVAL);
		if (!cases[i].fits) {
			char text[32];
			assert_null(machine);
			assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
			snprintf(text, sizeof(text), "at most %d", cases[i].most);
			assert_non_null(strstr(error.text, text));
		}
		plugvm_machine_free(&machine);
		assert_int_equal(count_open_fds(), fds_before);
	}
}

/* Which interrupt controllers there are is the configuration's. */
static void test_irqchip(void **state)
{
	(void)state;
	struct plugvm_machine_config config = good;
	struct plugvm_machine *machine = NULL;
	struct plugvm_error error;
	config.irqchip = PLUGVM_IRQCHIP_SPLIT;
	assert_int_equal(plugvm_machine_new(&config, &machine, &error), 0);
	assert_int_equal(fake_kvm.capability.cap, KVM_CAP_SPLIT_IRQCHIP);
	plugvm_machine_free(&machine);
	config.irqchip = (enum plugvm_irqchip)3;
	assert_int_equal(plugvm_machine_new(&config, &machine, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_plugin, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_max_vcpus, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_irqchip, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
