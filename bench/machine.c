/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine under `plugvm run`. The plugin measures, and says so through its stdout.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "samples.h"

struct machine {
	pid_t pid;
	int orders;  /* one byte: run a block */
	int results; /* BLOCK_EVENTS times */
};

/* Bind the host's thread of a vCPU, which has a name, to a CPU. */
static void pin_vcpu(pid_t pid, const char *thread, int cpu)
{
	char path[64], name[16];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		err(1, "%s", path);
	for (struct dirent *entry; (entry = readdir(tasks));) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", (int)pid, entry->d_name);
		FILE *file = fopen(path, "r");
		if (file && fgets(name, sizeof(name), file) && strncmp(name, thread, strlen(thread)) == 0 &&
		    name[strlen(thread)] == '\n')
			pin_task_to_cpu(atoi(entry->d_name), cpu);
		if (file)
			fclose(file);
	}
	closedir(tasks);
}

/* Allow all CPUs. */
static void unpin(void)
{
	cpu_set_t all;
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
}

__attribute__((noreturn)) static void execute(const struct bench_config *config, const struct machine_config *this)
{
	char cpus[64], spin[64], vcpus[16], number[16];
	snprintf(cpus, sizeof(cpus), "PLUGVM_BENCH_PLUGIN_CPUS=%d,%d",
	         this->is_loose ? -1 : (this->is_across ? config->other_cpu : config->plugin_cpu),
	         config->other_cpu);
	const char *spin_text = this->spin ? this->spin : config->spin;
	snprintf(spin, sizeof(spin), "PLUGVM_SPIN=%s", spin_text);
	snprintf(vcpus, sizeof(vcpus), "%u", this->vcpus);
	snprintf(number, sizeof(number), "%u", this->number);
	/* A process that may use one CPU only never spins: threads go to theirs later. */
	if (this->is_loose || this->is_across)
		unpin();
	else
		pin_to_cpu(config->host_cpu);
	execl(config->plugvm, config->plugvm, "run", "-q", "--cpus", vcpus, "--spin", spin_text, "--env", cpus,
	      "--env", spin, "--env", this->is_packets ? "PLUGVM_CHANNEL=packets" : "PLUGVM_BENCH=1", "--stdin",
	      "inherit", "--", config->plugin, this->mode, vcpus, number, (char *)NULL);
	err(1, "%s", config->plugvm);
}

struct machine *machine_start(const struct bench_config *config, const struct machine_config *this)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int orders[2], results[2];
	if (!machine || pipe2(orders, O_CLOEXEC) < 0 || pipe2(results, O_CLOEXEC) < 0)
		err(1, "pipes");
	machine->pid = fork();
	if (machine->pid < 0)
		err(1, "fork");
	if (machine->pid == 0) {
		dup2(orders[0], STDIN_FILENO);
		dup2(results[1], STDOUT_FILENO);
		execute(config, this);
	}
	close(orders[0]);
	close(results[1]);
	machine->orders = orders[1];
	machine->results = results[0];
	char greeting;
	if (read(machine->results, &greeting, 1) != 1)
		errx(1, "the machine has not started");
	if (this->is_across)
		pin_vcpu(machine->pid, "vcpu0", config->host_cpu);
	else if (this->vcpus > 1 && !this->is_loose)
		pin_vcpu(machine->pid, "vcpu1", config->other_cpu);
	return machine;
}

struct machine *machine_new(const struct bench_config *config, unsigned int vcpus, const char *mode,
                            unsigned int number)
{
	return machine_start(config, &(struct machine_config){.mode = mode, .number = number, .vcpus = vcpus});
}

pid_t machine_pid(const struct machine *machine)
{
	return machine->pid;
}

void machine_order(const struct machine *machine, char order)
{
	if (write(machine->orders, &order, 1) != 1)
		err(1, "telling the plugin to run a block");
}

void machine_take(const struct machine *machine, void *out, size_t wanted)
{
	for (size_t have = 0; have < wanted;) {
		ssize_t size = read(machine->results, (char *)out + have, wanted - have);
		if (size <= 0)
			errx(1, "the machine has ended");
		have += (size_t)size;
	}
}

void machine_block(void *context, uint64_t *times)
{
	const struct machine_order *order = context;
	machine_order(order->machine, order->order);
	machine_take(order->machine, times, BLOCK_EVENTS * sizeof(times[0]));
}

void machine_free(struct machine *machine)
{
	/* The end of its input ends the plugin, and with it the machine. */
	close(machine->orders);
	int status;
	while (waitpid(machine->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(machine->results);
	if (status != 0)
		errx(1, "plugvm ended with status 0x%x", status);
	free(machine);
}
