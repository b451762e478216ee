/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cases that are measured, in families. The cases of a family alternate in blocks of BLOCK_EVENTS in one run, so
 * that they can be compared. Everything here ends the program on failure.
 */
#ifndef PLUGVM_BENCH_CASES_H
#define PLUGVM_BENCH_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_config {
	const char *plugvm; /* paths of the programs */
	const char *plugin;
	int host_cpu; /* where the host's threads run, and where the plugin's */
	int plugin_cpu;
	const char *spin; /* --spin and PLUGVM_SPIN of machines that use the shared memory */
	const char *bare; /* the program that is in one process what plugvm and a plugin are in two */
	int other_cpu;    /* where a second vCPU runs, with the plugin's thread for it, or a second reader */
};

struct bench_case {
	const char *name;
	/* Run one block and store what each event took, in nanoseconds. */
	void (*block)(void *context, uint64_t *times);
	void *context;
	unsigned int events; /* how many things happen in what is timed as one */
	size_t against;      /* the case that it is compared to, of the same family */
	double limit;        /* what the ratio to that must not exceed; 0: none */
	double limit_ns;     /* how much longer its median may be; 0: as long as it likes */
	double most_ns;      /* what its median must not exceed; 0: anything */
};

#define FAMILY_CASES_MAX 16

struct family {
	const char *name;
	/* Set up, fill `out_cases` and return how many there are. The first is also measured against itself. */
	size_t (*open)(const struct bench_config *config, struct bench_case *out_cases);
	void (*close)(void);
};

extern const struct family transport_family; /* transport.c: an event to another process and back */
extern const struct family exit_family;      /* exit.c: an exit */
extern const struct family ranges_family;    /* ranges.c: an exit with 1 to 10,000 reserved ranges */
extern const struct family lookup_family;    /* lookup.c: the table of ranges alone */
extern const struct family request_family;   /* requests.c: requests on a main connection */

/* ---- bare.c: the guests on a KVM loop in this process ---- */

struct bare;
/* `is_posted`: the guest that writes GUEST_POSTED times to a port that nobody answers. */
struct bare *bare_new(bool is_posted);
/* Run to the next exit. */
void bare_run(struct bare *bare);
void bare_block(void *bare, uint64_t *times);
/* The registers are read and set in each exit, through struct kvm_run. */
void bare_regs_block(void *bare, uint64_t *times);
/* One more than GUEST_POSTED exits, in groups. */
void bare_posted_block(void *bare, uint64_t *times);
void bare_free(struct bare *bare);

/* ---- filtered.c: the same under plugvm's own filters ---- */

struct filtered;
struct filtered *filtered_new(const struct bench_config *config);
void filtered_block(void *filtered, uint64_t *times);
void filtered_free(struct filtered *filtered);

/* ---- machine.c: a machine under `plugvm run`, whose plugin measures ---- */

#define MACHINE_VCPUS_MAX 2 /* of those that are pinned */

struct machine;
/* Start one of `vcpus`; `mode` and `number` are the plugin's arguments. */
struct machine *machine_new(const struct bench_config *config, unsigned int vcpus, const char *mode,
                            unsigned int number);
void machine_free(struct machine *machine);

/* How else one may be started. */
struct machine_config {
	const char *mode; /* the plugin's arguments */
	unsigned int number;
	unsigned int vcpus;
	/* Packets instead of the shared memory. */
	bool is_packets;
	/* The vCPU on host_cpu, and the plugin's thread on other_cpu. */
	bool is_across;
	/* Nothing is pinned. */
	bool is_loose;
	const char *spin; /* NULL: as the configuration says */
};
struct machine *machine_start(const struct bench_config *config, const struct machine_config *machine_config);
pid_t machine_pid(const struct machine *machine);
/* Order something, and take what comes back. */
void machine_order(const struct machine *machine, char order);
void machine_take(const struct machine *machine, void *out, size_t size);

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
