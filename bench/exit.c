/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an exit costs: against a KVM loop without a plugin, and without KVM. The vCPU's thread has one CPU and the
 * plugin's another, but where the name says otherwise.
 */
#include "cases.h"
#include "guest.h"

enum {
	BARE,
	FAST,
	PIPE,
	BARE_REGS,
	FAST_REGS,
	PIPE_REGS,
	BARE_POSTED,
	POSTED,
	POSTED_PIPE,
	FAST_SAME,
	PIPE_SAME,
	ALONE,
	FILTERED,
	EXIT_CASES
};

/* The machine of a case; those without a mode have none. */
static const struct machine_config configs[EXIT_CASES] = {
    [FAST] = {.mode = "ports", .is_across = true},
    [PIPE] = {.mode = "ports", .is_across = true, .is_packets = true},
    [FAST_REGS] = {.mode = "regs", .is_across = true},
    [PIPE_REGS] = {.mode = "regs", .is_across = true, .is_packets = true},
    [POSTED] = {.mode = "posted", .is_across = true},
    [POSTED_PIPE] = {.mode = "posted", .is_across = true, .is_packets = true},
    [FAST_SAME] = {.mode = "ports"},
    [PIPE_SAME] = {.mode = "ports", .is_packets = true},
};
static const struct bench_case cases[EXIT_CASES] = {
    [BARE] = {.name = "exit/bare", .block = bare_block, .against = BARE},
    [FAST] = {.name = "exit/fast", .against = BARE, .limit = 1.05, .limit_ns = 350},
    [PIPE] = {.name = "exit/pipe", .against = BARE},
    [BARE_REGS] = {.name = "exit/bare-regs", .block = bare_regs_block, .against = BARE_REGS},
    [FAST_REGS] = {.name = "exit/fast-regs", .against = BARE_REGS, .limit = 1.06, .limit_ns = 450},
    [PIPE_REGS] = {.name = "exit/pipe-regs", .against = BARE_REGS},
    [BARE_POSTED] = {.name = "exit/bare-posted", .block = bare_posted_block, .against = BARE_POSTED},
    [POSTED] = {.name = "exit/posted", .against = BARE_POSTED, .limit = 1.05},
    [POSTED_PIPE] = {.name = "exit/posted-pipe", .against = BARE_POSTED},
    [FAST_SAME] = {.name = "exit/fast-same", .against = BARE},
    [PIPE_SAME] = {.name = "exit/pipe-same", .against = BARE},
    [ALONE] = {.name = "channel/alone", .block = channel_block, .against = BARE},
    [FILTERED] = {.name = "exit/bare-filtered", .block = filtered_block, .against = BARE},
};

static struct bare *bare[EXIT_CASES];
static struct channel *channel;
static struct filtered *filtered;
static struct machine_order machines[EXIT_CASES];

static size_t exit_open(const struct bench_config *config, struct bench_case *out_cases)
{
	channel = channel_new(config);
	filtered = filtered_new(config);
	for (size_t i = 0; i < EXIT_CASES; i++) {
		out_cases[i] = cases[i];
		out_cases[i].events = 1;
		out_cases[i].context = i == FILTERED ? (void *)filtered : channel;
		if (configs[i].mode) {
			struct machine_config machine = configs[i];
			machine.vcpus = machine.number = 1;
			machines[i] = (struct machine_order){machine_start(config, &machine), ORDER_EXITS};
			out_cases[i].block = machine_block;
			out_cases[i].context = &machines[i];
		} else if (i < ALONE) {
			bare[i] = bare_new(i == BARE_POSTED);
			out_cases[i].context = bare[i];
		}
	}
	return EXIT_CASES;
}

static void exit_close(void)
{
	for (size_t i = 0; i < EXIT_CASES; i++) {
		if (configs[i].mode)
			machine_free(machines[i].machine);
		else if (i < ALONE)
			bare_free(bare[i]);
	}
	filtered_free(filtered);
	channel_free(channel);
}

const struct family exit_family = {"exit", exit_open, exit_close};
