/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Level 2 of plugvm.h: a whole run, as its main thread sees it.
 */
#include "host/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/jail.h"
#include "jail/privileges.h"
#include "kvm/kvm.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* A kick can come just between a vCPU's last look and KVM_RUN of an older kernel: so until it is done, again. */
#define KICK_INTERVAL_MS 10

/* After SIGKILL, how long the kernel may take to end the plugin. One that hangs in the kernel is left to it. */
#define GIVE_UP_MS 2000

void plugvm_version(unsigned int *out_major, unsigned int *out_minor, unsigned int *out_patch)
{
	*out_major = PLUGVM_VERSION_MAJOR;
	*out_minor = PLUGVM_VERSION_MINOR;
	*out_patch = PLUGVM_VERSION_PATCH;
}

/* ---- The end ---- */

/* Write down how the run ends, unless something ended it before that explains it as well or better. */
static bool set_end(struct plugvm_machine *machine, enum plugvm_end end, int value, bool is_weak,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

static bool set_end(struct plugvm_machine *machine, enum plugvm_end end, int value, bool is_weak,
                    const char *format, ...)
{
	if (machine->stopping && (!machine->end_is_weak || is_weak))
		return false;
	machine->end_is_weak = is_weak;
	machine->result.end = end;
	machine->result.value = value;
	machine->result.cpu = -1;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(machine->result.text, sizeof(machine->result.text), format, arguments);
	va_end(arguments);
	return true;
}

/* Begin to stop, if that has not begun: tell the plugin, end the channels, get the vCPUs out of the guest. */
static void begin_stop(struct plugvm_machine *machine)
{
	if (machine->stopping)
		return;
	machine->stopping = true;
	machine->kill_ns = clock_ns() + machine->config.grace_ms * NS_PER_MS;
	plugvm_plugin_set_end(machine->plugin, machine->result.end, machine->result.value, machine->result.cpu,
	                      machine->result.text);
	plugvm_plugin_signal_kill(machine->plugin);
	machine_cancel_barrier(machine);
}

static void kill_plugin(struct plugvm_machine *machine)
{
	if (machine->killed || machine->result.plugin.state != PLUGVM_PLUGIN_RUNNING)
		return;
	machine->killed = true;
	machine->give_up_ns = clock_ns() + GIVE_UP_MS * NS_PER_MS;
	machine->result.grace_over = true;
	plugvm_plugin_kill(machine->plugin);
}

static void note_plugin_exit(struct plugvm_machine *machine)
{
	const struct plugvm_plugin_status *status = &machine->result.plugin;
	char why[JAIL_WHY_BYTES];
	if (status->state == PLUGVM_PLUGIN_EXITED)
		set_end(machine, PLUGVM_END_PLUGIN_EXITED, status->value, false,
		        status->value == 0 ? "the plugin exited" : "the plugin exited with status %d",
		        status->value);
	else if (!machine->killed)
		set_end(machine, PLUGVM_END_PLUGIN_KILLED, status->value, false,
		        "the plugin was killed by signal %d (SIG%s)%s", status->value,
		        sigabbrev_np(status->value) ? sigabbrev_np(status->value) : "?",
		        jail_process_explain(&machine->plugin->process.jail, why));
	begin_stop(machine);
}

static void note_vcpu_end(struct plugvm_machine *machine, struct machine_vcpu *vcpu)
{
	const struct vcpu_end *end = &vcpu->end;
	vcpu->collected = true;
	if (end->cancelled)
		return;
	if (set_end(machine, end->end, end->value, end->is_weak, "%s vCPU %u: %s",
	            end->end == PLUGVM_END_GUEST_CRASHED ? "the guest crashed on" : "the VM failed on", vcpu->cpu,
	            end->text)) {
		machine->result.cpu = (int)vcpu->cpu;
		machine->result.has_registers = end->has_registers;
		machine->result.regs = end->regs;
		machine->result.sregs = end->sregs;
	}
	begin_stop(machine);
}

/* ---- The loop ---- */

static void take_plugin_exit(struct plugvm_machine *machine)
{
	if (machine->result.plugin.state != PLUGVM_PLUGIN_RUNNING)
		return;
	if (plugvm_plugin_try_wait(machine->plugin, &machine->result.plugin) == 0 &&
	    machine->result.plugin.state != PLUGVM_PLUGIN_RUNNING)
		note_plugin_exit(machine);
}

static void take_requests(struct plugvm_machine *machine)
{
	/* What a plugin asked for before it was gone is of no use to anybody. */
	if (machine->result.plugin.state != PLUGVM_PLUGIN_RUNNING)
		return;
	int left = plugvm_plugin_dispatch(machine->plugin, machine->vm);
	if (left == 0 && !plugvm_plugin_is_started(machine->plugin) && !machine->stopping) {
		set_end(machine, PLUGVM_END_PROTOCOL_ERROR, EPIPE, true,
		        "the plugin closed its last connection and had not started the VM");
		begin_stop(machine);
	}
}

static void take_vcpu_ends(struct plugvm_machine *machine)
{
	uint64_t ignored;
	ssize_t size = read(machine->vcpu_event, &ignored, sizeof(ignored));
	(void)size;
	for (uint32_t cpu = 0; cpu < machine->config.vcpu_count; cpu++) {
		struct machine_vcpu *vcpu = &machine->vcpus[cpu];
		if (atomic_load(&vcpu->done) && !vcpu->collected)
			note_vcpu_end(machine, vcpu);
	}
}

static void take_stop(struct plugvm_machine *machine)
{
	uint64_t ignored;
	ssize_t size = read(machine->stop_event, &ignored, sizeof(ignored));
	(void)size;
	unsigned count = atomic_load(&machine->stop_count);
	if (count == 0)
		return;
	set_end(machine, PLUGVM_END_STOPPED, atomic_load(&machine->stop_value), false, "the VM was stopped");
	begin_stop(machine);
	if (count > 1 && machine->kill_ns > 0) {
		machine->kill_ns = 0;
		machine->result.grace_cut = true;
	}
}

static void take_deadlines(struct plugvm_machine *machine)
{
	uint64_t now = clock_ns();
	if (!machine->stopping && machine->start_ns && !plugvm_plugin_is_started(machine->plugin) &&
	    now >= machine->start_ns) {
		set_end(machine, PLUGVM_END_PROTOCOL_ERROR, ETIMEDOUT, false,
		        "the plugin did not start the VM within %u ms", machine->config.start_timeout_ms);
		begin_stop(machine);
	}
	if (!machine->stopping)
		return;
	if (now >= machine->kill_ns)
		kill_plugin(machine);
	for (uint32_t cpu = 0; cpu < machine->config.vcpu_count; cpu++)
		machine_kick_vcpu(machine, cpu);
}

static bool all_vcpus_done(const struct plugvm_machine *machine)
{
	for (uint32_t cpu = 0; cpu < machine->config.vcpu_count; cpu++) {
		if (atomic_load(&machine->vcpus[cpu].running) && !atomic_load(&machine->vcpus[cpu].done))
			return false;
	}
	return true;
}

static bool plugin_is_awaited(const struct plugvm_machine *machine)
{
	bool gave_up = machine->killed && clock_ns() >= machine->give_up_ns;
	return machine->result.plugin.state == PLUGVM_PLUGIN_RUNNING && !gave_up;
}

/* Returns when something is due by itself, by clock_ns(); UINT64_MAX: nothing is. */
static uint64_t next_due_ns(const struct plugvm_machine *machine)
{
	uint64_t due_ns = UINT64_MAX;
	if (machine->stopping) {
		if (!all_vcpus_done(machine))
			due_ns = clock_ns() + KICK_INTERVAL_MS * NS_PER_MS;
		uint64_t plugin_ns = machine->killed ? machine->give_up_ns : machine->kill_ns;
		if (plugin_is_awaited(machine) && plugin_ns < due_ns)
			due_ns = plugin_ns;
	} else if (machine->start_ns && !plugvm_plugin_is_started(machine->plugin)) {
		due_ns = machine->start_ns;
	}
	return due_ns;
}

/* Wait until something can be done. Meanwhile a plugin whose share is used up is not heard. */
static void await_events(struct plugvm_machine *machine)
{
	bool plugin_runs = machine->result.plugin.state == PLUGVM_PLUGIN_RUNNING;
	uint64_t due_ns = next_due_ns(machine);
	uint64_t now_ns = clock_ns();
	bool rests = plugin_runs && pace_next_ns(&machine->pace) > now_ns;
	if (rests && pace_next_ns(&machine->pace) < due_ns)
		due_ns = pace_next_ns(&machine->pace);
	struct pollfd fds[] = {
	    {.fd = machine->stop_event, .events = POLLIN},
	    {.fd = machine->vcpu_event, .events = POLLIN},
	    {.fd = plugin_runs && !rests ? plugvm_plugin_poll_fd(machine->plugin) : -1, .events = POLLIN},
	    {.fd = rests ? -1 : machine->plugin_log.fd, .events = POLLIN},
	    /* A process that has exited stays readable. */
	    {.fd = plugin_runs ? plugvm_plugin_pidfd(machine->plugin) : -1, .events = POLLIN},
	    {.fd = plugin_runs ? plugin_lifeline(machine->plugin) : -1, .events = POLLIN},
	};
	uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S)};
	ppoll(fds, sizeof(fds) / sizeof(fds[0]), due_ns == UINT64_MAX ? NULL : &left, NULL);
}

static void machine_loop(struct plugvm_machine *machine)
{
	while (plugin_is_awaited(machine) || !all_vcpus_done(machine)) {
		await_events(machine);

		uint64_t begin_ns = clock_ns();
		bool serves = begin_ns >= pace_next_ns(&machine->pace);
		if (serves)
			plugin_log_drain(&machine->plugin_log);
		/* The plugin's exit before what follows from it. */
		take_plugin_exit(machine);
		if (serves) {
			take_requests(machine);
			pace_spend(&machine->pace, begin_ns, clock_ns());
		}
		take_vcpu_ends(machine);
		take_stop(machine);
		take_deadlines(machine);
	}
	/* What a vCPU said last may explain a weak end. */
	take_vcpu_ends(machine);
}

/* ---- Life ---- */

static int on_start(void *context)
{
	struct plugvm_machine *machine = context;
	/* Once, since a plugin can ask for ever, and each time costs vCPUs and a line in the log. */
	if (machine->start_error)
		return machine->start_error;
	int result = machine_start_vcpus(machine);
	if (result == 0)
		result = privileges_narrow(HOST_FILTER_MAIN);
	machine->start_error = result;
	bool has_threads = atomic_load(&machine->vcpus[0].running);
	if (result < 0 && has_threads) {
		/* Some threads run, and cannot wait for those that do not. */
		set_end(machine, PLUGVM_END_KVM_ERROR, -result, false, "the vCPUs could not be started: %s",
		        error_name(-result));
		begin_stop(machine);
	}
	return result;
}

static void on_kick(void *context, uint32_t cpu)
{
	machine_kick_vcpu(context, cpu);
}

static void on_log(void *context, enum plugvm_log_level level, const char *line)
{
	const struct plugvm_machine *machine = context;
	log_line(&machine->log, level, "%s", line);
}

static int drop_privileges(struct plugvm_machine *machine, struct plugvm_error *out_error)
{
	int result = plugvm_drop_privileges(out_error);
	if (result < 0) {
		plugvm_plugin_free(&machine->plugin, NULL);
		return result;
	}
	log_line(&machine->log, PLUGVM_LOG_DEBUG, "the host's own filter is %s",
	         result > 0 ? "on" : "off: this is a build with a sanitizer or for coverage");
	return 0;
}

static int start_plugin(struct plugvm_machine *machine, struct plugvm_error *out_error)
{
	const struct plugvm_machine_config *config = &machine->config;
	FD_AUTO stderr_fd = -1;
	int result = plugin_log_init(&machine->plugin_log, &machine->log, &stderr_fd);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -result, "a pipe for the plugin's stderr");
	struct plugvm_plugin_config plugin_config = {
	    .size = sizeof(plugin_config),
	    .path = config->path,
	    .argv = config->argv,
	    .env = config->env,
	    .vcpu_count = config->vcpu_count,
	    .stdin_fd = config->stdin_fd,
	    .stdout_fd = config->stdout_fd,
	    .stderr_fd = stderr_fd,
	    .fds = config->fds,
	    .fd_count = config->fd_count,
	    .jail = config->jail,
	    .taps = config->taps,
	    .tap_count = config->tap_count,
	    .answer_timeout_ms = config->answer_timeout_ms,
	    .spin_us = config->spin_us,
	    .die_with_thread = config->die_with_thread,
	    .start = on_start,
	    .kick = on_kick,
	    .log = on_log,
	    .context = machine,
	};
	/* With as much as the plugin both together would keep a CPU more from others than the operator has allowed. */
	machine->pace.percent = config->jail ? (config->jail->limits[PLUGVM_LIMIT_CPU] + 1) / 2 : 0;
	result = plugin_new(&plugin_config, config->measure, &machine->plugin, out_error);
	if (result == 0 && config->drop_privileges)
		result = drop_privileges(machine, out_error);
	if (result < 0)
		plugin_log_fini(&machine->plugin_log);
	return result;
}

/* More than this kernel takes would fail at the start, when the plugin has set everything up. */
static int check_vcpu_count(const struct plugvm_machine *machine, struct plugvm_error *out_error)
{
	int most = plugvm_kvm_check_extension(machine->kvm, KVM_CAP_MAX_VCPUS);
	if (most > 0 && machine->config.vcpu_count > (uint32_t)most)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "%u vCPUs: this kernel takes at most %d", machine->config.vcpu_count, most);
	return 0;
}

static int open_kvm(struct plugvm_machine *machine, struct plugvm_error *out_error)
{
	const struct plugvm_machine_config *config = &machine->config;
	int result;
	if (config->kvm_fd >= 0)
		result = kvm_from_fd(config->kvm_fd, &machine->kvm, out_error);
	else
		result = plugvm_kvm_open(config->kvm_path, &machine->kvm, out_error);
	if (result == 0)
		result = check_vcpu_count(machine, out_error);
	return result < 0 ? result : plugvm_vm_new(machine->kvm, config->irqchip, &machine->vm, out_error);
}

int plugvm_machine_new(const struct plugvm_machine_config *config, struct plugvm_machine **out_machine,
                       struct plugvm_error *out_error)
{
	if (config->size != sizeof(*config))
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "struct plugvm_machine_config has size %zu, this library's has %zu",
		                       config->size, sizeof(*config));
	if (config->vcpu_count == 0 || config->vcpu_count > LIMIT_VCPUS)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "%u vCPUs: it can be 1 to %d",
		                       config->vcpu_count, LIMIT_VCPUS);
	if (config->kick_signal != 0 && (config->kick_signal < SIGRTMIN || config->kick_signal > SIGRTMAX))
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "kick signal %d is not a real-time signal", config->kick_signal);
	struct plugvm_machine *machine = calloc(1, sizeof(*machine));
	if (!machine)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "making a machine");
	machine->config = *config;
	if (machine->config.kick_signal == 0)
		machine->config.kick_signal = SIGRTMIN;
	machine->log = (struct log){.sink = config->log, .context = config->context};
	machine->plugin_log.fd = -1;
	pthread_mutex_init(&machine->barrier.lock, NULL);
	pthread_cond_init(&machine->barrier.changed, NULL);
	machine->vcpu_event = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->stop_event = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->vcpus = calloc(config->vcpu_count, sizeof(machine->vcpus[0]));
	int result;
	if (machine->vcpu_event < 0 || machine->stop_event < 0 || !machine->vcpus) {
		result = error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, machine->vcpus ? errno : ENOMEM,
		                   "making a machine");
	} else {
		for (uint32_t cpu = 0; cpu < config->vcpu_count; cpu++) {
			machine->vcpus[cpu].machine = machine;
			machine->vcpus[cpu].cpu = cpu;
		}
		result = open_kvm(machine, out_error);
	}
	if (result < 0)
		plugvm_machine_free(&machine);
	else
		*out_machine = machine;
	return result;
}

void plugvm_machine_stop(struct plugvm_machine *machine, int value)
{
	int saved = errno;
	int none = 0;
	/* The value first: whoever sees the count sees it too. */
	atomic_compare_exchange_strong(&machine->stop_value, &none, value);
	atomic_fetch_add(&machine->stop_count, 1);
	uint64_t one = 1;
	ssize_t ignored = write(machine->stop_event, &one, sizeof(one));
	(void)ignored;
	errno = saved;
}

static void ignore_kick(int signal)
{
	(void)signal; /* its only purpose is to interrupt KVM_RUN */
}

static void keep_exit_counts(struct plugvm_machine *machine)
{
	size_t lines = plugin_exit_counts(machine->plugin, NULL, 0);
	machine->exit_counts = calloc(lines ? lines : 1, sizeof(machine->exit_counts[0]));
	if (machine->exit_counts)
		machine->exit_count_lines = plugin_exit_counts(machine->plugin, machine->exit_counts, lines);
}

int plugvm_machine_run(struct plugvm_machine *machine, struct plugvm_result *out_result,
                       struct plugvm_error *out_error)
{
	if (!machine->vm)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "a machine runs only once");
	/* Without SA_RESTART, though it makes no difference to KVM_RUN. */
	struct sigaction action = {.sa_handler = ignore_kick};
	sigemptyset(&action.sa_mask);
	if (sigaction(machine->config.kick_signal, &action, NULL) < 0)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "kick signal %d",
		                 machine->config.kick_signal);

	if (atomic_load(&machine->stop_count) > 0) {
		set_end(machine, PLUGVM_END_STOPPED, atomic_load(&machine->stop_value), false,
		        "the VM was stopped before it began");
		plugvm_vm_free(&machine->vm);
		*out_result = machine->result;
		return 0;
	}
	int result = start_plugin(machine, out_error);
	if (result < 0)
		return result;
	if (machine->config.start_timeout_ms)
		machine->start_ns = clock_ns() + machine->config.start_timeout_ms * NS_PER_MS;

	machine_loop(machine);

	machine_join_vcpus(machine);
	keep_exit_counts(machine);
	/* The VM goes first: taking slots out of a VM that nobody runs would only cost time. */
	plugvm_vm_free(&machine->vm);
	plugvm_plugin_free(&machine->plugin, NULL);
	plugin_log_fini(&machine->plugin_log);
	*out_result = machine->result;
	return 0;
}

size_t plugvm_machine_exit_counts(const struct plugvm_machine *machine, struct plugvm_exit_count *counts,
                                  size_t capacity)
{
	for (size_t i = 0; i < machine->exit_count_lines && i < capacity; i++)
		counts[i] = machine->exit_counts[i];
	return machine->exit_count_lines;
}

void plugvm_machine_free(struct plugvm_machine **machine)
{
	struct plugvm_machine *m = *machine;
	if (!m)
		return;
	fd_close(&m->vcpu_event);
	fd_close(&m->stop_event);
	fd_close(&m->plugin_log.fd);
	plugvm_vm_free(&m->vm);
	plugvm_kvm_free(&m->kvm);
	pthread_cond_destroy(&m->barrier.changed);
	pthread_mutex_destroy(&m->barrier.lock);
	free(m->vcpus);
	free(m->exit_counts);
	free(m);
	*machine = NULL;
}
