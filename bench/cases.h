/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cases that are measured, in families. The cases of a family alternate in blocks of BLOCK_EVENTS in one run, so
 * that they can be compared. Everything here ends the program on failure.
 */
#ifndef PLUGVM_BENCH_CASES_H
#define PLUGVM_BENCH_CASES_H

#include <stddef.h>
#include <stdint.h>

struct bench_config {
	const char *plugvm; /* paths of the programs */
	const char *plugin;
	int host_cpu; /* where the host's threads run, and where the plugin's */
	int plugin_cpu;
	int other_cpu; /* where a second vCPU runs, with the plugin's thread for it, or a second reader */
};

struct bench_case {
	const char *name;
	/* Run one block and store what each event took, in nanoseconds. */
	void (*block)(void *context, uint64_t *times);
	void *context;
	unsigned int events; /* how many things happen in what is timed as one */
	size_t against;      /* the case that it is compared to, of the same family */
	double limit;        /* what the ratio to that must not exceed; 0: none */
};

#define FAMILY_CASES_MAX 16

struct family {
	const char *name;
	/* Set up, fill `out_cases` and return how many there are. The first is also measured against itself. */
	size_t (*open)(const struct bench_config *config, struct bench_case *out_cases);
	void (*close)(void);
};

extern const struct family exit_family;    /* exit.c: an exit */
extern const struct family ranges_family;  /* ranges.c: an exit with 1 to 10,000 reserved ranges */
extern const struct family lookup_family;  /* lookup.c: the table of ranges alone */
extern const struct family request_family; /* requests.c: requests on a main connection */

/* ---- bare.c: the guest on a KVM loop in this process ---- */

struct bare;
struct bare *bare_new(void);
void bare_block(void *bare, uint64_t *times);
void bare_free(struct bare *bare);

/* ---- machine.c: a machine under `plugvm run`, whose plugin measures ---- */

#define MACHINE_VCPUS_MAX 2

struct machine;
/* Start one of `vcpus`; `mode` and `number` are the plugin's arguments. */
struct machine *machine_new(const struct bench_config *config, unsigned int vcpus, const char *mode,
                            unsigned int number);
void machine_free(struct machine *machine);

/* What a block of a machine is. */
struct machine_order {
	struct machine *machine;
	char order; /* as in bench_plugin.c */
};
void machine_block(void *machine_order, uint64_t *times);

/* ---- channel.c: the host's library and a plugin, without KVM ---- */

struct channel;
struct channel *channel_new(const struct bench_config *config);
void channel_block(void *channel, uint64_t *times);
void channel_free(struct channel *channel);

#endif
