/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exit/oversubscribed-VMSxVCPUS: exits per second of everything together, when vCPUs and plugins want more CPUs than
 * there are, so that a side that spins takes the other's. Nothing is pinned.
 */
#include <stdio.h>

#include "guest.h"
#include "whole.h"

#define BLOCKS       40
#define QUICK_BLOCKS 1
#define VMS_MAX      4

enum { AUTO, NEVER, PIPE, WAYS };
static const char *const ways[WAYS] = {"", "/spin-0", "/pipe"};

static const struct shape {
	const char *name;
	unsigned int vms, vcpus;
} shapes[] = {
    {"exit/oversubscribed-1x2", 1, 2},
    {"exit/oversubscribed-2x2", 2, 2},
    {"exit/oversubscribed-4x4", 4, 4},
    {"exit/oversubscribed-4vms", 4, 1},
};

/* All machines of a way at once. Returns exits per millisecond. */
static double run_window(struct machine *const *machines, unsigned int vms)
{
	uint64_t exits, sum = 0;
	for (unsigned int vm = 0; vm < vms; vm++)
		machine_order(machines[vm], ORDER_EXITS_FOR);
	for (unsigned int vm = 0; vm < vms; vm++) {
		machine_take(machines[vm], &exits, sizeof(exits));
		sum += exits;
	}
	return (double)sum / (WINDOW_NS / 1000000.0);
}

static void print_shape(struct whole *whole, const struct shape *shape, double values[WAYS][BLOCKS], size_t blocks)
{
	double ratios[WAYS] = {1};
	for (int way = NEVER; way < WAYS; way++) {
		double by_block[BLOCKS];
		for (size_t block = 0; block < blocks; block++)
			by_block[block] = values[AUTO][block] / values[way][block];
		ratios[way] = median_of(by_block, blocks);
	}
	for (int way = 0; way < WAYS; way++) {
		char name[64];
		snprintf(name, sizeof(name), "%s%s", shape->name, ways[way]);
		figure_print(whole, &(struct figure){name, "exits/ms", values[way], blocks,
		                                     way == AUTO ? NULL : shape->name, 1 / ratios[way]});
	}
	figure_judge(whole, shape->name, ratios[PIPE], ">= the baseline channel's times", 1.0);
	figure_judge(whole, shape->name, ratios[NEVER], ">= those of --spin 0 times", 0.95);
}

static void run_shape(struct whole *whole, const struct shape *shape)
{
	struct machine *machines[WAYS][VMS_MAX];
	static double values[WAYS][BLOCKS];
	size_t blocks = whole->quick ? QUICK_BLOCKS : BLOCKS;
	for (int way = 0; way < WAYS; way++) {
		const struct machine_config config = {.mode = "crowd",
		                                      .vcpus = shape->vcpus,
		                                      .number = 1,
		                                      .is_loose = true,
		                                      .is_packets = way == PIPE,
		                                      .spin = way == NEVER ? "0" : "auto"};
		for (unsigned int vm = 0; vm < shape->vms; vm++)
			machines[way][vm] = machine_start(whole->config, &config);
	}
	/* The first of each is not counted. */
	for (size_t block = 0; block <= blocks; block++) {
		for (int way = 0; way < WAYS; way++)
			values[way][block > 0 ? block - 1 : 0] = run_window(machines[way], shape->vms);
	}
	for (int way = 0; way < WAYS; way++) {
		for (unsigned int vm = 0; vm < shape->vms; vm++)
			machine_free(machines[way][vm]);
	}
	print_shape(whole, shape, values, blocks);
}

bool crowd_run(struct whole *whole)
{
	bool found = false;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!whole_wants(whole, shapes[i].name) && !whole->is_wanted(whole->wanted, "exit") &&
		    !whole->is_wanted(whole->wanted, "exit/oversubscribed"))
			continue;
		found = true;
		run_shape(whole, &shapes[i]);
	}
	return found;
}
