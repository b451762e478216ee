/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugvm-bench: what exits and requests cost. docs/performance.md says how the figures are taken and what they were.
 */
#include <err.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "life.h"
#include "samples.h"
#include "whole.h"

#define BLOCKS       60
#define QUICK_BLOCKS 4
#define WARM_UP      2 /* blocks of each case that are not counted */
#define ATTEMPTS     3
/* A case measured against itself must come out as 1, give or take this, or the machine was too restless. */
#define SELF_CONTROL_TOLERANCE 0.02

static const struct family *const families[] = {&transport_family, &exit_family, &ranges_family, &lookup_family,
                                                &request_family};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

struct bench {
	struct bench_config config;
	const char *wanted; /* a family, a case, or how the names of some begin; NULL: all */
	bool json;
	bool lab; /* what is missed is said, and is no failure */
	size_t blocks;
	bool over_limit;

	/* The family that is measured. */
	struct bench_case cases[FAMILY_CASES_MAX];
	struct samples samples[FAMILY_CASES_MAX];
	struct samples control;           /* of the first case, once more */
	bool is_needed[FAMILY_CASES_MAX]; /* wanted, or what one that is wanted is compared to, or the first */
	size_t count;
};

static void measure(struct bench *bench)
{
	static uint64_t times[BLOCK_EVENTS];
	for (int block = -WARM_UP; block < (int)bench->blocks; block++) {
		for (size_t i = 0; i <= bench->count; i++) {
			/* The control comes right after what it controls. */
			size_t which = i > 0 ? i - 1 : 0;
			struct samples *samples = i == 1 ? &bench->control : &bench->samples[which];
			if (!bench->is_needed[which])
				continue;
			bench->cases[which].block(bench->cases[which].context, times);
			if (block >= 0)
				samples_store(samples, (size_t)block, times);
		}
	}
}

static double self_control(const struct bench *bench)
{
	return samples_ratio(&bench->control, &bench->samples[0]).median;
}

static bool is_restless(const struct bench *bench)
{
	return bench->blocks == BLOCKS && fabs(self_control(bench) - 1) > SELF_CONTROL_TOLERANCE;
}

static void print_case(struct bench *bench, size_t which)
{
	const struct bench_case *this = &bench->cases[which], *other = &bench->cases[this->against];
	const struct samples *samples = &bench->samples[which];
	struct quartiles ratio = samples_ratio(samples, &bench->samples[this->against]);
	/* Per thing that happens; ratios are of what is timed, which may be more than one. */
	double p50 = samples_quantile(samples, 0.5) / this->events;
	double p99 = samples_quantile(samples, 0.99) / this->events;
	double scale = (double)other->events / this->events;
	double added = samples_difference(samples, 1.0 / this->events, &bench->samples[this->against],
	                                  1.0 / other->events);
	ratio = (struct quartiles){ratio.low * scale, ratio.median * scale, ratio.high * scale};
	size_t count = samples->blocks * BLOCK_EVENTS * this->events;
	if (bench->json)
		printf(
		    "{\"case\": \"%s\", \"unit\": \"ns\", \"p50\": %.1f, \"p99\": %.1f, \"per_second\": %.0f, "
		    "\"n\": %zu, \"ratio_to\": \"%s\", \"ratio\": %.3f, \"ratio_q1\": %.3f, \"ratio_q3\": %.3f, "
		    "\"added\": %.1f, \"self_control\": %.3f, \"host_cpu\": %d, \"plugin_cpu\": %d, "
		    "\"other_cpu\": %d}\n",
		    this->name, p50, p99, 1e9 / p50, count, other->name, ratio.median, ratio.low, ratio.high,
		    added, self_control(bench), bench->config.host_cpu, bench->config.plugin_cpu,
		    bench->config.other_cpu);
	else
		printf("%-28s median %9.1f ns  p99 %9.1f ns  %9.0f/s  %6.3f of %s (quartiles %.3f to %.3f), "
		       "%+.0f ns\n",
		       this->name, p50, p99, 1e9 / p50, ratio.median, other->name, ratio.low, ratio.high, added);
	if (this->limit > 0 && ratio.median > this->limit && bench->blocks == BLOCKS) {
		warnx("%s takes more than %.2f times as long as %s", this->name, this->limit, other->name);
		bench->over_limit = true;
	}
	if (this->most_ns > 0 && p50 > this->most_ns && bench->blocks == BLOCKS) {
		warnx("%s takes more than %.0f ns", this->name, this->most_ns);
		bench->over_limit = true;
	}
	if (this->limit_ns > 0 && added > this->limit_ns && bench->blocks == BLOCKS) {
		warnx("%s takes more than %.0f ns longer than %s", this->name, this->limit_ns, other->name);
		bench->over_limit = true;
	}
}

/* Whether `wanted` is the name, or the name goes on after it with a part of its own. */
static bool is_wanted(const char *wanted, const char *name)
{
	size_t length = wanted ? strlen(wanted) : 0;
	return !wanted || (strncmp(wanted, name, length) == 0 && (name[length] == '\0' || name[length] == '/'));
}

static bool is_case_wanted(const struct bench *bench, const struct family *family, size_t which)
{
	/* The name of a family stands for all of it: the channel alone is part of what an exit costs. */
	return is_wanted(bench->wanted, family->name) || is_wanted(bench->wanted, bench->cases[which].name);
}

static void measure_family(struct bench *bench, const struct family *family)
{
	for (size_t i = 0; i < bench->count; i++)
		samples_init(&bench->samples[i], bench->blocks);
	samples_init(&bench->control, bench->blocks);
	int attempts = 0;
	do {
		measure(bench);
	} while (++attempts < ATTEMPTS && is_restless(bench));

	if (!bench->json)
		printf("# host on CPU %d, plugin on CPU %d, a second vCPU or thread, and the plugin of cases "
		       "whose sides "
		       "are apart, on CPU %d; spin %s; %s against itself: "
		       "%.3f; %zu blocks of %d\n",
		       bench->config.host_cpu, bench->config.plugin_cpu, bench->config.other_cpu,
		       bench->config.spin, bench->cases[0].name, self_control(bench), bench->blocks, BLOCK_EVENTS);
	for (size_t i = 0; i < bench->count; i++) {
		if (is_case_wanted(bench, family, i))
			print_case(bench, i);
	}
	if (is_restless(bench))
		warnx("the machine was restless: %s against itself is %.3f after %d attempts",
		      bench->cases[0].name, self_control(bench), ATTEMPTS);
	fflush(stdout);

	for (size_t i = 0; i < bench->count; i++)
		samples_fini(&bench->samples[i]);
	samples_fini(&bench->control);
}

/* Returns whether it has a case that is wanted. */
static bool run_family(struct bench *bench, const struct family *family)
{
	bench->count = family->open(&bench->config, bench->cases);
	bool found = false;
	memset(bench->is_needed, 0, sizeof(bench->is_needed));
	bench->is_needed[0] = true;
	for (size_t i = 0; i < bench->count; i++) {
		if (!is_case_wanted(bench, family, i))
			continue;
		found = bench->is_needed[i] = bench->is_needed[bench->cases[i].against] = true;
	}
	if (found)
		measure_family(bench, family);
	family->close();
	return found;
}

/* The next CPU after `cpu` that this process may use; `cpu` itself if there is no other. */
static int next_cpu(int cpu)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		err(1, "sched_getaffinity");
	for (int i = 1; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET((size_t)((cpu + i) % CPU_SETSIZE), &set))
			return (cpu + i) % CPU_SETSIZE;
	}
	return cpu;
}

/* Returns whether there is such a case. */
static bool run_wanted(struct bench *bench)
{
	bool found = false;
	for (size_t i = 0; i < FAMILIES; i++)
		found = run_family(bench, families[i]) || found;
	found = life_run(&bench->config, bench->wanted, is_wanted, bench->json, bench->blocks != BLOCKS,
	                 &bench->over_limit) ||
	        found;
	struct whole whole = {&bench->config, bench->wanted,           is_wanted,
	                      bench->json,    bench->blocks != BLOCKS, false};
	found = crowd_run(&whole) || found;
	found = footprint_run(&whole) || found;
	bench->over_limit = bench->over_limit || whole.over_limit;
	return found;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"plugvm", required_argument, NULL, 'm'},
	    {"plugin", required_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},
	    {"quick", no_argument, NULL, 'q'},
	    {"cpus", required_argument, NULL, 'c'},
	    {"spin", required_argument, NULL, 's'},
	    {"bare", required_argument, NULL, 'b'},
	    {"lab", no_argument, NULL, 'l'},
	    {NULL, 0, NULL, 0},
	};
	static const char usage[] =
	    "usage: plugvm-bench --plugvm PATH --plugin PATH --bare PATH [--json] [--quick] [--lab] "
	    "[--cpus HOST,PLUGIN] [--spin auto|US] [channel | exit | ranges | requests | start | stop | idle | "
	    "memory | scale | "
	    "CASE]...";
	static struct bench bench = {.blocks = BLOCKS, .config.spin = "auto"};
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
			bench.json = true;
			break;
		case 'q':
			bench.blocks = QUICK_BLOCKS;
			break;
		case 'l':
			bench.lab = true;
			break;
		case 's':
			bench.config.spin = optarg;
			break;
		case 'b':
			bench.config.bare = optarg;
			break;
		case 'c':
			if (sscanf(optarg, "%d,%d", &bench.config.host_cpu, &bench.config.plugin_cpu) == 2)
				break;
			errx(2, "--cpus takes HOST,PLUGIN");
		default:
			errx(2, "%s", usage);
		}
	}
	if (!bench.config.plugvm || !bench.config.plugin || !bench.config.bare)
		errx(2, "%s", usage);

	bench.config.other_cpu = next_cpu(bench.config.host_cpu);
	pin_to_cpu(bench.config.host_cpu);
	/* Each that is wanted; nothing is all. */
	do {
		bench.wanted = optind < argc ? argv[optind] : NULL;
		if (!run_wanted(&bench))
			errx(2, "%s", usage);
	} while (++optind < argc);
	return bench.over_limit && !bench.lab;
}
