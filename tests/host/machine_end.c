/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that a plugin which asks why its VM ends is told what the run's result says, and before that nothing.
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "role.h"

struct end_rig {
	int fds_before;
	struct plugvm_machine *machine;
	struct plugvm_result result;
	char line[512]; /* of the plugin's stderr, the last one */
};

static void on_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct end_rig *rig = context;
	if (level == PLUGVM_LOG_PLUGIN)
		snprintf(rig->line, sizeof(rig->line), "%s", line);
}

static int setup(void **state)
{
	static struct end_rig rig;
	memset(&rig, 0, sizeof(rig));
	fake_kvm_install();
	rig.fds_before = count_open_fds();
	struct plugvm_machine_config config = role_machine("end", on_log, &rig);
	assert_int_equal(plugvm_machine_new(&config, &rig.machine, NULL), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct end_rig *rig = *state;
	plugvm_machine_free(&rig->machine);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

/* Run to the end; the plugin was told the same as we. (It exits with EAGAIN if it was told nothing.) */
static void check(struct end_rig *rig, enum plugvm_end end)
{
	char expected[512];
	assert_int_equal(plugvm_machine_run(rig->machine, &rig->result, NULL), 0);
	assert_int_equal(rig->result.end, end);
	assert_int_equal(rig->result.plugin.state, PLUGVM_PLUGIN_EXITED);
	assert_int_equal(rig->result.plugin.value, 0);
	snprintf(expected, sizeof(expected), "%d %d %d %s", (int)rig->result.end, rig->result.value,
	         rig->result.cpu, rig->result.text);
	assert_non_null(strstr(rig->line, expected));
}

static int triple_fault(struct fake_vcpu *vcpu)
{
	if (vcpu->id == 0)
		return fake_kvm_idle(vcpu);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static void test_crash(void **state)
{
	struct end_rig *rig = *state;
	fake_kvm.run = triple_fault;
	check(rig, PLUGVM_END_GUEST_CRASHED);
	assert_int_equal(rig->result.cpu, 1);
}

static int fail_entry(struct fake_vcpu *vcpu)
{
	return vcpu->id == 0 ? ENXIO : fake_kvm_idle(vcpu);
}

static void test_kvm_error(void **state)
{
	struct end_rig *rig = *state;
	fake_kvm.run = fail_entry;
	check(rig, PLUGVM_END_KVM_ERROR);
	assert_int_equal(rig->result.value, ENXIO);
	assert_int_equal(rig->result.cpu, 0);
}

static struct plugvm_machine *to_stop;

static int unknown_exit(struct fake_vcpu *vcpu)
{
	if (vcpu->id == 0)
		return fake_kvm_idle(vcpu);
	vcpu->run->exit_reason = 50;
	return 0;
}

static void test_unknown_exit(void **state)
{
	struct end_rig *rig = *state;
	fake_kvm.run = unknown_exit;
	check(rig, PLUGVM_END_KVM_ERROR);
	assert_int_equal(rig->result.value, ENOTSUP);
	assert_int_equal(rig->result.cpu, 1);
	assert_non_null(strstr(rig->result.text, "reason 50"));
}

/* An event that waits for its answer when the VM is stopped: the plugin is told, and the vCPU is done. */
static atomic_bool is_stopped;

static int read_msr(struct fake_vcpu *vcpu)
{
	if (vcpu->id == 0) {
		/* Time for the other's event, which nobody answers; the end is the same without it. */
		usleep(20000);
		if (!atomic_exchange(&is_stopped, true))
			plugvm_machine_stop(to_stop, 5);
		return fake_kvm_idle(vcpu);
	}
	vcpu->run->exit_reason = KVM_EXIT_X86_RDMSR;
	return 0;
}

static void test_stopped_at_event(void **state)
{
	struct end_rig *rig = *state;
	to_stop = rig->machine;
	atomic_store(&is_stopped, false);
	fake_kvm.run = read_msr;
	check(rig, PLUGVM_END_STOPPED);
	assert_int_equal(rig->result.value, 5);
}

static int stop(struct fake_vcpu *vcpu)
{
	if (vcpu->id == 0)
		plugvm_machine_stop(to_stop, -77);
	return fake_kvm_idle(vcpu);
}

static void test_stopped(void **state)
{
	struct end_rig *rig = *state;
	to_stop = rig->machine;
	fake_kvm.run = stop;
	check(rig, PLUGVM_END_STOPPED);
	assert_int_equal(rig->result.value, -77);
	assert_int_equal(rig->result.cpu, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	role_main(argc, argv);
	const struct CMUnitTest tests[] = {
	    TEST(test_crash),        TEST(test_kvm_error),        TEST(test_stopped),
	    TEST(test_unknown_exit), TEST(test_stopped_at_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
