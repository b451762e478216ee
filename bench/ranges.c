/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an exit costs when 1, 100 and 10,000 ranges are reserved. The guests write to the same ports in the same order,
 * all over the ranges; what differs is into how many ranges the plugin divides these ports. With two vCPUs, each has
 * its ports and half of the ranges.
 */
#include <stdio.h>

#include "cases.h"
#include "guest.h"

#define SIZES 3

static struct machine_order machines[MACHINE_VCPUS_MAX][SIZES];

static size_t ranges_open(const struct bench_config *config, struct bench_case *out_cases)
{
	static const unsigned int sizes[MACHINE_VCPUS_MAX][SIZES] = {{1, 100, 10000}, {2, 100, 10000}};
	static const char *const names[MACHINE_VCPUS_MAX][SIZES] = {
	    {"ranges/1", "ranges/100", "ranges/10000"},
	    {"ranges/2-vcpus/2", "ranges/2-vcpus/100", "ranges/2-vcpus/10000"},
	};
	size_t count = 0;
	for (unsigned int v = 0; v < MACHINE_VCPUS_MAX; v++) {
		size_t first = count;
		for (size_t i = 0; i < SIZES; i++, count++) {
			machines[v][i] = (struct machine_order){machine_new(config, v + 1, "ports", sizes[v][i]),
			                                        ORDER_EXITS};
			out_cases[count] = (struct bench_case){
			    .name = names[v][i],
			    .block = machine_block,
			    .context = &machines[v][i],
			    .events = 1,
			    /* Two vCPUs also to one, and more ranges to few. */
			    .against = i > 0 ? first : 0,
			    .limit = i > 0 ? 1.2 : 0,
			};
		}
	}
	return count;
}

static void ranges_close(void)
{
	for (size_t v = 0; v < MACHINE_VCPUS_MAX; v++) {
		for (size_t i = 0; i < SIZES; i++)
			machine_free(machines[v][i].machine);
	}
}

const struct family ranges_family = {"ranges", ranges_open, ranges_close};
