/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exit/channel: the guest under `plugvm run`. The plugin measures, and says so through its stdout.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "samples.h"

struct machine {
	pid_t pid;
	int orders;  /* one byte: run a block */
	int results; /* BLOCK_EVENTS times */
};

struct machine *machine_new(const struct bench_config *config)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int orders[2], results[2];
	if (!machine || pipe2(orders, O_CLOEXEC) < 0 || pipe2(results, O_CLOEXEC) < 0)
		err(1, "pipes");
	machine->pid = fork();
	if (machine->pid < 0)
		err(1, "fork");
	if (machine->pid == 0) {
		char variable[64];
		snprintf(variable, sizeof(variable), "PLUGVM_BENCH_PLUGIN_CPU=%d", config->plugin_cpu);
		dup2(orders[0], STDIN_FILENO);
		dup2(results[1], STDOUT_FILENO);
		pin_to_cpu(config->host_cpu);
		execl(config->plugvm, config->plugvm, "run", "-q", "--env", variable, "--stdin", "inherit", "--",
		      config->plugin, (char *)NULL);
		err(1, "%s", config->plugvm);
	}
	close(orders[0]);
	close(results[1]);
	machine->orders = orders[1];
	machine->results = results[0];
	return machine;
}

void machine_block(struct machine *machine, uint64_t *times)
{
	if (write(machine->orders, "b", 1) != 1)
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
