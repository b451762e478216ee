/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The things that are measured. Each is set up once and then run in blocks of BLOCK_EVENTS, alternating with
 * others. All of them end the program on failure.
 */
#ifndef PLUGVM_BENCH_CASES_H
#define PLUGVM_BENCH_CASES_H

#include <stdint.h>

struct bench_config {
	const char *plugvm; /* paths of the programs */
	const char *plugin;
	int host_cpu; /* where the host's threads run, and where the plugin's */
	int plugin_cpu;
};

struct bare;
struct channel;
struct machine;

/* exit/bare: the guest on a KVM loop in this process; an exit is answered by nobody. The lower bound. */
struct bare *bare_new(const struct bench_config *config);
void bare_block(struct bare *bare, uint64_t *times);
void bare_free(struct bare *bare);

/* exit/channel: the guest under `plugvm run`, each exit answered by the plugin through the vCPU channel. */
struct machine *machine_new(const struct bench_config *config);
void machine_block(struct machine *machine, uint64_t *times);
void machine_free(struct machine *machine);

/* channel/alone: the host's library and the plugin exchange the same events, without KVM. */
struct channel *channel_new(const struct bench_config *config);
void channel_block(struct channel *channel, uint64_t *times);
void channel_free(struct channel *channel);

#endif
