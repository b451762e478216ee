/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks whole runs of a machine on a fake KVM: every way to end and what the result says, timeouts and grace,
 * stopping at every stage, and that nothing is left of any of them.
 */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "role.h"

struct machine_rig {
	int fds_before;
	struct plugvm_machine_config config;
	struct plugvm_machine *machine;
	struct plugvm_result result;
	struct plugvm_error error;
	int run_result;
	pthread_t thread;
	int plugin_lines, error_lines;
	char last_line[256];
};

static void on_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct machine_rig *rig = context;
	rig->error_lines += level == PLUGVM_LOG_ERROR;
	if (level != PLUGVM_LOG_PLUGIN)
		return;
	rig->plugin_lines++;
	strncpy(rig->last_line, line, sizeof(rig->last_line) - 1);
}

static int setup(void **state)
{
	static struct machine_rig rig;
	memset(&rig, 0, sizeof(rig));
	fake_kvm_install();
	rig.fds_before = count_open_fds();
	rig.config = role_machine("serve", on_log, &rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct machine_rig *rig = *state;
	plugvm_machine_free(&rig->machine);
	assert_null(rig->machine);
	plugvm_machine_free(&rig->machine);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	/* Neither a child nor a zombie. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

static void *run_in_thread(void *argument)
{
	struct machine_rig *rig = argument;
	rig->run_result = plugvm_machine_run(rig->machine, &rig->result, &rig->error);
	return NULL;
}

static void make(struct machine_rig *rig)
{
	assert_int_equal(plugvm_machine_new(&rig->config, &rig->machine, &rig->error), 0);
}

/* The plugin lives as long as the thread that started it: the thread must be joined after the end only. */
static void begin(struct machine_rig *rig)
{
	make(rig);
	assert_int_equal(pthread_create(&rig->thread, NULL, run_in_thread, rig), 0);
}

static void expect_end(struct machine_rig *rig, enum plugvm_end end, int value, const char *text)
{
	if (rig->run_result < 0)
		print_message("# %s\n", rig->error.text);
	assert_int_equal(rig->run_result, 0);
	if (rig->result.end != end || !strstr(rig->result.text, text))
		print_message("# %s\n", rig->result.text);
	assert_int_equal(rig->result.end, end);
	assert_int_equal(rig->result.value, value);
	assert_non_null(strstr(rig->result.text, text));
}

static void end(struct machine_rig *rig)
{
	pthread_join(rig->thread, NULL);
}

static void run(struct machine_rig *rig)
{
	make(rig);
	run_in_thread(rig);
}

static void set_shell(struct machine_rig *rig, const char *script)
{
	static const char *argv[] = {"sh", "-c", NULL, NULL};
	argv[2] = script;
	rig->config.path = "/bin/sh";
	rig->config.argv = argv;
}

/* Wait until the fake guest of every vCPU runs. */
static _Atomic int guests_running;

static int run_and_tell(struct fake_vcpu *vcpu)
{
	atomic_fetch_add(&guests_running, 1);
	return fake_kvm_idle(vcpu);
}

static void await_guests(int count)
{
	for (int i = 0; i < PATIENCE_MS && atomic_load(&guests_running) < count; i++)
		usleep(1000);
	assert_true(atomic_load(&guests_running) >= count);
}

/* ---- The plugin ends ---- */

static void test_plugin_exits(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.path = "/bin/true";
	rig->config.argv = NULL;
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, 0, "the plugin exited");
	assert_int_equal(rig->result.plugin.state, PLUGVM_PLUGIN_EXITED);
	assert_int_equal(rig->result.cpu, -1);
	assert_false(rig->result.grace_over);
	assert_int_equal(plugvm_machine_exit_counts(rig->machine, NULL, 0), 0);
}

static void test_plugin_exits_with_status(void **state)
{
	struct machine_rig *rig = *state;
	set_shell(rig, "echo one >&2; printf two >&2; exit 42");
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, 42, "the plugin exited with status 42");
	assert_int_equal(rig->plugin_lines, 2);
	assert_string_equal(rig->last_line, "two");
}

static void test_plugin_killed(void **state)
{
	struct machine_rig *rig = *state;
	set_shell(rig, "kill -KILL $$");
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_KILLED, SIGKILL, "signal 9 (SIGKILL)");
	assert_false(rig->result.grace_over);
}

static void test_plugin_crashes_started(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("crash");
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_KILLED, SIGABRT, "SIGABRT");
}

static void test_plugin_file(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.path = "/nonexistent/plugin";
	make(rig);
	for (int i = 0; i < 3; i++) {
		memset(&rig->result, 0x55, sizeof(rig->result));
		assert_int_equal(plugvm_machine_run(rig->machine, &rig->result, &rig->error), -ENOENT);
		assert_int_equal(rig->error.kind, PLUGVM_ERROR_PLUGIN_FILE);
		assert_int_equal(rig->result.cpu, 0x55555555);
	}
	/* Each try leaves as many fds as the one before. */
	plugvm_machine_free(&rig->machine);
	assert_int_equal(count_open_fds(), rig->fds_before);
}

static void test_runs_once(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.path = "/bin/true";
	rig->config.argv = NULL;
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, 0, "");
	assert_int_equal(plugvm_machine_run(rig->machine, &rig->result, &rig->error), -EINVAL);
	assert_int_equal(rig->error.kind, PLUGVM_ERROR_CONFIG);
}

static void test_plugin_closes_its_connection(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("close");
	rig->config.grace_ms = 0;
	run(rig);
	expect_end(rig, PLUGVM_END_PROTOCOL_ERROR, EPIPE, "closed its last connection");
	assert_true(rig->result.grace_over);
	assert_int_equal(rig->result.plugin.state, PLUGVM_PLUGIN_SIGNALED);
}

static void test_start_timeout(void **state)
{
	struct machine_rig *rig = *state;
	set_shell(rig, "exec sleep 1000");
	rig->config.grace_ms = 0;
	rig->config.start_timeout_ms = 50;
	run(rig);
	expect_end(rig, PLUGVM_END_PROTOCOL_ERROR, ETIMEDOUT, "50 ms");
	assert_true(rig->result.grace_over);
}

/* ---- The guest ends ---- */

static int triple_fault(struct fake_vcpu *vcpu)
{
	vcpu->regs.rip = 0x7c00;
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return vcpu->id == 1 ? 0 : fake_kvm_idle(vcpu);
}

static void test_guest_crashes(void **state)
{
	struct machine_rig *rig = *state;
	fake_kvm.run = triple_fault;
	run(rig);
	expect_end(rig, PLUGVM_END_GUEST_CRASHED, KVM_EXIT_SHUTDOWN, "the guest crashed on vCPU 1: triple fault");
	assert_int_equal(rig->result.cpu, 1);
	assert_true(rig->result.has_registers);
	assert_int_equal(rig->result.regs.rip, 0x7c00);
	assert_int_equal(rig->result.plugin.state, PLUGVM_PLUGIN_EXITED);
	assert_false(rig->result.grace_over);
}

static int fault(struct fake_vcpu *vcpu)
{
	vcpu->run->exit_reason = 0;
	return EFAULT;
}

static void test_kvm_error(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.vcpu_count = 1;
	fake_kvm.run = fault;
	run(rig);
	expect_end(rig, PLUGVM_END_KVM_ERROR, EFAULT, "the VM failed on vCPU 0: KVM_RUN: EFAULT");
	assert_int_equal(rig->result.cpu, 0);
}

/* Write 0x3f of a range, read from it, touch what is nobody's, and end. */
static int do_accesses(struct fake_vcpu *vcpu)
{
	static const struct {
		uint16_t port;
		uint8_t direction;
	} accesses[] = {
	    {0x100, KVM_EXIT_IO_OUT}, {0x10f, KVM_EXIT_IO_IN}, {0x100, KVM_EXIT_IO_OUT}, {0x200, KVM_EXIT_IO_IN}};
	size_t step = vcpu->regs.rax++;
	if (step >= sizeof(accesses) / sizeof(accesses[0])) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	vcpu->run->exit_reason = KVM_EXIT_IO;
	vcpu->run->io.direction = accesses[step].direction;
	vcpu->run->io.port = accesses[step].port;
	vcpu->run->io.size = 1;
	vcpu->run->io.count = 1;
	vcpu->run->io.data_offset = FAKE_IO_OFFSET;
	return 0;
}

static void test_exit_counts(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.vcpu_count = 1;
	rig->config.measure = true;
	fake_kvm.run = do_accesses;
	run(rig);
	expect_end(rig, PLUGVM_END_GUEST_CRASHED, KVM_EXIT_SHUTDOWN, "");
	struct plugvm_exit_count lines[8];
	size_t count = plugvm_machine_exit_counts(rig->machine, lines, 8);
	assert_int_equal(count, 5);
	assert_int_equal(plugvm_machine_exit_counts(rig->machine, lines, 1), 5);
	plugvm_machine_exit_counts(rig->machine, lines, 8);
	assert_string_equal(lines[0].kind, "port read");
	assert_int_equal(lines[0].count, 1);
	assert_int_equal(lines[0].start, 0x100);
	assert_int_equal(lines[0].last, 0x10f);
	assert_string_equal(lines[1].kind, "port write");
	assert_int_equal(lines[1].count, 2);
	assert_true(lines[1].total_ns > 0 && lines[1].max_ns <= lines[1].total_ns);
}

/* ---- The protocol ends ---- */

static void test_garbage(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("garbage");
	rig->config.grace_ms = 0;
	run(rig);
	expect_end(rig, PLUGVM_END_PROTOCOL_ERROR, EPROTO, "the VM failed on vCPU 0: a request of 1 bytes");
}

static void test_closed_vcpus(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("close-vcpus");
	rig->config.grace_ms = 0;
	run(rig);
	expect_end(rig, PLUGVM_END_PROTOCOL_ERROR, EPIPE, "the plugin has closed the channel");
	assert_true(rig->result.cpu >= 0);
}

static void test_answer_timeouts(void **state)
{
	struct machine_rig *rig = *state;
	static const char *const roles[] = {"no-init", "no-resume", "no-answer"};
	for (int i = 0; i < 3; i++) {
		rig->config.argv = role_argv(roles[i]);
		rig->config.vcpu_count = 1;
		rig->config.grace_ms = 0;
		rig->config.answer_timeout_ms = 60;
		fake_kvm.run = do_accesses;
		run(rig);
		expect_end(rig, PLUGVM_END_PROTOCOL_ERROR, ETIMEDOUT, "did not answer for 60 ms");
		assert_int_equal(rig->result.cpu, 0);
		plugvm_machine_free(&rig->machine);
	}
}

/* ---- The start fails ---- */

static void test_start_refused(void **state)
{
	struct machine_rig *rig = *state;
	static const struct {
		unsigned long request;
		unsigned int nth;
	} cases[] = {{KVM_CREATE_VCPU, 1}, {KVM_CREATE_VCPU, 2}, {FAKE_MAP, 1}, {FAKE_MAP, 2}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->config.argv = role_argv("refused");
		fake_kvm_fail(cases[i].request, ENOSPC, cases[i].nth);
		run(rig);
		expect_end(rig, PLUGVM_END_PLUGIN_EXITED, ENOSPC, "");
		plugvm_machine_free(&rig->machine);
		assert_int_equal(count_open_fds(), rig->fds_before);
	}
}

/* A plugin that asks again costs the host nothing more, and no line in the log. */
static void test_start_refused_again(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("insist");
	fake_kvm_fail(KVM_CREATE_VCPU, ENOSPC, 2);
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, ENOSPC, "");
	assert_int_equal(rig->error_lines, 1);
}

static void test_kvm_unusable(void **state)
{
	struct machine_rig *rig = *state;
	static const unsigned long requests[] = {FAKE_OPEN, KVM_GET_API_VERSION, KVM_CREATE_VM,
	                                         KVM_CREATE_IRQCHIP};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		fake_kvm_fail(requests[i], EACCES, 0);
		assert_int_equal(plugvm_machine_new(&rig->config, &rig->machine, &rig->error), -EACCES);
		assert_null(rig->machine);
		assert_int_equal(count_open_fds(), rig->fds_before);
	}
}

static void test_kvm_fd(void **state)
{
	struct machine_rig *rig = *state;
	int fd = kvm_backend.open("/dev/kvm");
	rig->config.kvm_fd = fd;
	rig->config.path = "/bin/true";
	rig->config.argv = NULL;
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, 0, "");
	plugvm_machine_free(&rig->machine);
	/* It was duplicated and is still the caller's. */
	assert_int_equal(close(fd), 0);
	rig->config.kvm_fd = 1000000;
	assert_int_equal(plugvm_machine_new(&rig->config, &rig->machine, &rig->error), -EBADF);
	assert_int_equal(rig->error.kind, PLUGVM_ERROR_CONFIG);
}

/* ---- Stopping ---- */

static void test_stop_running_guest(void **state)
{
	struct machine_rig *rig = *state;
	atomic_store(&guests_running, 0);
	fake_kvm.run = run_and_tell;
	begin(rig);
	await_guests(2);
	plugvm_machine_stop(rig->machine, SIGTERM);
	end(rig);
	expect_end(rig, PLUGVM_END_STOPPED, SIGTERM, "stopped");
	assert_int_equal(rig->result.plugin.state, PLUGVM_PLUGIN_EXITED);
	assert_false(rig->result.grace_over);
}

static void test_second_stop_ends_grace(void **state)
{
	struct machine_rig *rig = *state;
	atomic_store(&guests_running, 0);
	fake_kvm.run = run_and_tell;
	rig->config.argv = role_argv("stubborn");
	rig->config.grace_ms = 1000000;
	begin(rig);
	await_guests(2);
	plugvm_machine_stop(rig->machine, 1);
	plugvm_machine_stop(rig->machine, 2);
	end(rig);
	expect_end(rig, PLUGVM_END_STOPPED, 1, "stopped");
	assert_true(rig->result.grace_over);
	assert_int_equal(rig->result.plugin.value, SIGKILL);
}

static void test_grace_is_waited_for(void **state)
{
	struct machine_rig *rig = *state;
	atomic_store(&guests_running, 0);
	fake_kvm.run = run_and_tell;
	rig->config.argv = role_argv("stubborn");
	rig->config.grace_ms = 100;
	begin(rig);
	await_guests(2);
	uint64_t begin_ns = clock_ns();
	plugvm_machine_stop(rig->machine, 1);
	end(rig);
	assert_true(clock_ns() - begin_ns >= 99000000);
	assert_true(rig->result.grace_over);
}

static void test_stop_before_run(void **state)
{
	struct machine_rig *rig = *state;
	make(rig);
	plugvm_machine_stop(rig->machine, 7);
	run_in_thread(rig);
	expect_end(rig, PLUGVM_END_STOPPED, 7, "stopped");
}

/* plugvm.h: before run() it ends at once, so a plugin that does not listen must not make it wait for the grace. */
static void test_stop_before_run_is_at_once(void **state)
{
	struct machine_rig *rig = *state;
	set_shell(rig, "exec sleep 1000");
	rig->config.grace_ms = 2000;
	make(rig);
	plugvm_machine_stop(rig->machine, 7);
	uint64_t begin_ns = clock_ns();
	run_in_thread(rig);
	expect_end(rig, PLUGVM_END_STOPPED, 7, "stopped");
	assert_true(clock_ns() - begin_ns < UINT64_C(1500000000));
}

/* Wherever the plugin stands still. */
static void test_stop_at_every_stage(void **state)
{
	struct machine_rig *rig = *state;
	static const char *const roles[] = {"no-init", "no-resume", "no-answer"};
	for (int i = 0; i < 3; i++) {
		rig->config.argv = role_argv(roles[i]);
		rig->config.grace_ms = 0;
		fake_kvm.run = do_accesses;
		begin(rig);
		/* Where it is then does not matter: it must end from anywhere. */
		usleep(30000);
		plugvm_machine_stop(rig->machine, 5);
		end(rig);
		expect_end(rig, PLUGVM_END_STOPPED, 5, "stopped");
		plugvm_machine_free(&rig->machine);
	}
	set_shell(rig, "kill -STOP $$");
	begin(rig);
	usleep(10000);
	plugvm_machine_stop(rig->machine, 5);
	end(rig);
	expect_end(rig, PLUGVM_END_STOPPED, 5, "stopped");
}

/* A guest that does nothing but write where no answer is needed. */
static int write_for_ever(struct fake_vcpu *vcpu)
{
	atomic_fetch_add(&guests_running, 1);
	vcpu->regs.rax = 0;
	return do_accesses(vcpu);
}

/* A plugin that does not read holds up the vCPUs, and no stop. */
static void test_stop_with_deaf_plugin(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("deaf");
	rig->config.grace_ms = 0;
	fake_kvm.run = write_for_ever;
	atomic_store(&guests_running, 0);
	begin(rig);
	await_guests(2 * 16);
	usleep(100000);
	plugvm_machine_stop(rig->machine, 5);
	end(rig);
	expect_end(rig, PLUGVM_END_STOPPED, 5, "stopped");
}

/* Guests that run are interrupted, and run on. */
static void test_pause(void **state)
{
	struct machine_rig *rig = *state;
	rig->config.argv = role_argv("pause");
	run(rig);
	expect_end(rig, PLUGVM_END_PLUGIN_EXITED, 0, "");
}

static void test_many_stops_at_once(void **state)
{
	struct machine_rig *rig = *state;
	unsigned int seed = 3;
	for (int i = 0; i < 20; i++) {
		rig->config.vcpu_count = 4;
		begin(rig);
		usleep((useconds_t)(rand_r(&seed) % 8000));
		plugvm_machine_stop(rig->machine, 5);
		end(rig);
		expect_end(rig, PLUGVM_END_STOPPED, 5, "stopped");
		plugvm_machine_free(&rig->machine);
	}
}

static int watched_run(void)
{
	struct plugvm_machine_config config = {.size = sizeof(config),
	                                       .kvm_fd = -1,
	                                       .vcpu_count = 1,
	                                       .path = "/bin/true",
	                                       .stdin_fd = -1,
	                                       .stdout_fd = -1,
	                                       .die_with_thread = true};
	struct plugvm_machine *machine;
	struct plugvm_result result;
	signal(SIGCHLD, SIG_IGN);
	alarm(5);
	if (plugvm_machine_new(&config, &machine, NULL) < 0)
		return 1;
	int run_result = plugvm_machine_run(machine, &result, NULL);
	plugvm_machine_free(&machine);
	return run_result < 0;
}

/* Who started us may have left SIGCHLD ignored, and then the kernel keeps no exit status: still there is an end. */
static void test_sigchld_ignored(void **state)
{
	(void)state;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(watched_run());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_several_machines_at_once(void **state)
{
	struct machine_rig *rig = *state;
	static struct machine_rig others[3];
	for (int i = 0; i < 3; i++) {
		others[i].config = rig->config;
		others[i].config.context = &others[i];
		begin(&others[i]);
	}
	for (int i = 0; i < 3; i++) {
		plugvm_machine_stop(others[i].machine, i + 1);
		end(&others[i]);
		expect_end(&others[i], PLUGVM_END_STOPPED, i + 1, "stopped");
		plugvm_machine_free(&others[i].machine);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	role_main(argc, argv);
	const struct CMUnitTest tests[] = {
	    TEST(test_plugin_exits),
	    TEST(test_plugin_exits_with_status),
	    TEST(test_plugin_killed),
	    TEST(test_plugin_crashes_started),
	    TEST(test_plugin_file),
	    TEST(test_runs_once),
	    TEST(test_plugin_closes_its_connection),
	    TEST(test_start_timeout),
	    TEST(test_guest_crashes),
	    TEST(test_kvm_error),
	    TEST(test_exit_counts),
	    TEST(test_garbage),
	    TEST(test_closed_vcpus),
	    TEST(test_answer_timeouts),
	    TEST(test_start_refused),
	    TEST(test_start_refused_again),
	    TEST(test_kvm_unusable),
	    TEST(test_kvm_fd),
	    TEST(test_stop_running_guest),
	    TEST(test_second_stop_ends_grace),
	    TEST(test_grace_is_waited_for),
	    TEST(test_stop_before_run),
	    TEST(test_stop_before_run_is_at_once),
	    TEST(test_stop_at_every_stage),
	    TEST(test_stop_with_deaf_plugin),
	    TEST(test_pause),
	    TEST(test_many_stops_at_once),
	    TEST(test_several_machines_at_once),
	    TEST(test_sigchld_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
