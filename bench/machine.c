/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine under `plugvm run`. The plugin measures, and says so through its stdout.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
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

/* Bind the host's thread of the second vCPU, which has a name, to a CPU of its own. */
static void pin_second_vcpu(pid_t pid, int cpu)
{
	char path[64], name[16];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		err(1, "%s", path);
	for (struct dirent *entry; (entry = readdir(tasks));) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", (int)pid, entry->d_name);
		FILE *file = fopen(path, "r");
		if (file && fgets(name, sizeof(name), file) && strcmp(name, "vcpu1\n") == 0)
			pin_task_to_cpu(atoi(entry->d_name), cpu);
		if (file)
			fclose(file);
	}
	closedir(tasks);
}

struct machine *machine_new(const struct bench_config *config, unsigned int vcpus, const char *mode,
                            unsigned int number)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int orders[2], results[2];
	if (!machine || pipe2(orders, O_CLOEXEC) < 0 || pipe2(results, O_CLOEXEC) < 0)
		err(1, "pipes");
	machine->pid = fork();
	if (machine->pid < 0)
		err(1, "fork");
	if (machine->pid == 0) {
		char variable[64], vcpus_text[16], number_text[16];
		snprintf(variable, sizeof(variable), "PLUGVM_BENCH_PLUGIN_CPUS=%d,%d", config->plugin_cpu,
		         config->other_cpu);
		snprintf(vcpus_text, sizeof(vcpus_text), "%u", vcpus);
		snprintf(number_text, sizeof(number_text), "%u", number);
		dup2(orders[0], STDIN_FILENO);
		dup2(results[1], STDOUT_FILENO);
		pin_to_cpu(config->host_cpu);
		execl(config->plugvm, config->plugvm, "run", "-q", "--cpus", vcpus_text, "--env", variable,
		      "--stdin", "inherit", "--", config->plugin, mode, vcpus_text, number_text, (char *)NULL);
		err(1, "%s", config->plugvm);
	}
	close(orders[0]);
	close(results[1]);
	machine->orders = orders[1];
	machine->results = results[0];
	char greeting;
	if (read(machine->results, &greeting, 1) != 1)
		errx(1, "the machine has not started");
	if (vcpus > 1)
		pin_second_vcpu(machine->pid, config->other_cpu);
	return machine;
}

void machine_block(void *context, uint64_t *times)
{
	const struct machine_order *order = context;
	const struct machine *machine = order->machine;
	if (write(machine->orders, &order->order, 1) != 1)
		err(1, "telling the plugin to run a block");
	size_t wanted = BLOCK_EVENTS * sizeof(times[0]);
	for (size_t have = 0; have < wanted;) {
		ssize_t size = read(machine->results, (char *)times + have, wanted - have);
		if (size <= 0)
			errx(1, "the machine has ended");
		have += (size_t)size;
	}
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
