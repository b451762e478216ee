/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugvm-bench: what an exit costs. docs/performance.md says how the figures are taken and what they were.
 */
#include <err.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "samples.h"

#define BLOCKS       60
#define QUICK_BLOCKS 4
#define WARM_UP      2 /* blocks of each case that are not counted */
#define ATTEMPTS     3
/* A case measured against itself must come out as 1, give or take this, or the machine was too restless. */
#define SELF_CONTROL_TOLERANCE 0.02

enum bench_case { EXIT_BARE, EXIT_BARE_AGAIN, EXIT_CHANNEL, CHANNEL_ALONE, CASES };

static const char *const case_names[CASES] = {"exit/bare", "exit/bare", "exit/channel", "channel/alone"};

struct bench {
	struct bench_config config;
	struct samples samples[CASES];
	struct bare *bare;
	struct machine *machine;
	struct channel *channel;
};

static void run_block(struct bench *bench, enum bench_case which, uint64_t *times)
{
	switch (which) {
	case EXIT_BARE:
	case EXIT_BARE_AGAIN:
		bare_block(bench->bare, times);
		break;
	case EXIT_CHANNEL:
		machine_block(bench->machine, times);
		break;
	case CHANNEL_ALONE:
		channel_block(bench->channel, times);
		break;
	case CASES:
		break;
	}
}

static void measure(struct bench *bench)
{
	static uint64_t times[BLOCK_EVENTS];
	for (int block = -WARM_UP; block < (int)bench->samples[0].blocks; block++) {
		for (enum bench_case which = 0; which < CASES; which++) {
			run_block(bench, which, times);
			if (block >= 0)
				samples_store(&bench->samples[which], (size_t)block, times);
		}
	}
}

static double self_control(const struct bench *bench)
{
	return samples_ratio(&bench->samples[EXIT_BARE_AGAIN], &bench->samples[EXIT_BARE]).median;
}

static void print_case(const struct bench *bench, enum bench_case which, bool json)
{
	const struct samples *samples = &bench->samples[which];
	double p50 = samples_quantile(samples, 0.5), p99 = samples_quantile(samples, 0.99);
	struct quartiles ratio = samples_ratio(samples, &bench->samples[EXIT_BARE]);
	size_t count = samples->blocks * BLOCK_EVENTS;
	if (json)
		printf("{\"case\": \"%s\", \"unit\": \"ns\", \"p50\": %.0f, \"p99\": %.0f, \"n\": %zu, \"ratio\": "
		       "%.3f, "
		       "\"ratio_q1\": %.3f, \"ratio_q3\": %.3f, \"self_control\": %.3f, \"host_cpu\": %d, "
		       "\"plugin_cpu\": %d}\n",
		       case_names[which], p50, p99, count, ratio.median, ratio.low, ratio.high,
		       self_control(bench), bench->config.host_cpu, bench->config.plugin_cpu);
	else
		printf(
		    "%-14s median %8.0f ns  p99 %8.0f ns  ratio to bare %6.3f (quartiles %.3f to %.3f)  n %zu\n",
		    case_names[which], p50, p99, ratio.median, ratio.low, ratio.high, count);
}

static void print_all(const struct bench *bench, const char *wanted, bool json)
{
	static const enum bench_case order[] = {EXIT_BARE, EXIT_CHANNEL, CHANNEL_ALONE};
	if (!json)
		printf("# host on CPU %d, plugin on CPU %d; exit/bare against itself: %.3f\n",
		       bench->config.host_cpu, bench->config.plugin_cpu, self_control(bench));
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		/* `exit` is the family of all three: the channel alone is part of what an exit costs. */
		bool is_wanted = !wanted || strcmp(wanted, "exit") == 0 ||
		                 strcmp(wanted, case_names[order[i]]) == 0;
		if (is_wanted)
			print_case(bench, order[i], json);
	}
}

static bool is_case(const char *name)
{
	bool found = strcmp(name, "exit") == 0;
	for (int which = 0; which < CASES; which++)
		found = found || strcmp(name, case_names[which]) == 0;
	return found;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"plugvm", required_argument, NULL, 'm'}, {"plugin", required_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},         {"quick", no_argument, NULL, 'q'},
	    {"cpus", required_argument, NULL, 'c'},   {NULL, 0, NULL, 0},
	};
	static const char usage[] = "usage: plugvm-bench --plugvm PATH --plugin PATH [--json] [--quick] "
	                            "[--cpus HOST,PLUGIN] [exit | exit/bare | exit/channel | channel/alone]";
	struct bench bench = {.config = {.host_cpu = 0, .plugin_cpu = 0}};
	bool json = false;
	size_t blocks = BLOCKS;
	int id;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (id) {
		case 'm':
			bench.config.plugvm = optarg;
			break;
		case 'p':
			bench.config.plugin = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'q':
			blocks = QUICK_BLOCKS;
			break;
		case 'c':
			if (sscanf(optarg, "%d,%d", &bench.config.host_cpu, &bench.config.plugin_cpu) == 2)
				break;
			errx(2, "--cpus takes HOST,PLUGIN");
		default:
			errx(2, "%s", usage);
		}
	}
	const char *wanted = optind < argc ? argv[optind] : NULL;
	if (!bench.config.plugvm || !bench.config.plugin || (wanted && !is_case(wanted)))
		errx(2, "%s", usage);

	pin_to_cpu(bench.config.host_cpu);
	for (int which = 0; which < CASES; which++)
		samples_init(&bench.samples[which], blocks);
	bench.bare = bare_new(&bench.config);
	bench.machine = machine_new(&bench.config);
	bench.channel = channel_new(&bench.config);

	int attempt = 0;
	do {
		measure(&bench);
	} while (blocks == BLOCKS && ++attempt < ATTEMPTS &&
	         fabs(self_control(&bench) - 1) > SELF_CONTROL_TOLERANCE);
	print_all(&bench, wanted, json);
	if (blocks == BLOCKS && fabs(self_control(&bench) - 1) > SELF_CONTROL_TOLERANCE)
		warnx("the machine was restless: exit/bare against itself is %.3f after %d attempts",
		      self_control(&bench), ATTEMPTS);

	channel_free(bench.channel);
	machine_free(bench.machine);
	bare_free(bench.bare);
	for (int which = 0; which < CASES; which++)
		samples_fini(&bench.samples[which]);
	return 0;
}
