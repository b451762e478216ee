/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an exit costs: against a KVM loop without a plugin, and without KVM.
 */
#include "cases.h"
#include "guest.h"

static struct bare *bare;
static struct channel *channel;
static struct machine_order machine;

static size_t exit_open(const struct bench_config *config, struct bench_case *out_cases)
{
	bare = bare_new();
	machine = (struct machine_order){machine_new(config, 1, "ports", 1), ORDER_EXITS};
	channel = channel_new(config);
	out_cases[0] = (struct bench_case){"exit/bare", bare_block, bare, 1, 0, 0};
	out_cases[1] = (struct bench_case){"exit/channel", machine_block, &machine, 1, 0, 0};
	out_cases[2] = (struct bench_case){"channel/alone", channel_block, channel, 1, 0, 0};
	return 3;
}

static void exit_close(void)
{
	channel_free(channel);
	machine_free(machine.machine);
	bare_free(bare);
}

const struct family exit_family = {"exit", exit_open, exit_close};
