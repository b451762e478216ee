/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The account of a vCPU's exits.
 */
#include "host/counts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int counts_init(struct counts *counts, bool measure)
{
	memset(counts, 0, sizeof(*counts));
	if (!measure)
		return 0;
	counts->by_range = calloc(COUNTED_RANGES + 1, sizeof(counts->by_range[0]));
	return counts->by_range ? 0 : -ENOMEM;
}

void counts_fini(struct counts *counts)
{
	free(counts->by_range);
	counts->by_range = NULL;
}

uint64_t counts_now(const struct counts *counts)
{
	return counts->by_range ? clock_ns() : 0;
}

static void tally_add(struct tally *tally, uint64_t ns)
{
	tally->count++;
	tally->total_ns += ns;
	if (ns > tally->max_ns)
		tally->max_ns = ns;
}

void counts_note(struct counts *counts, enum address_space space, bool is_write, const struct range *range,
                 uint64_t begin_ns)
{
	uint64_t ns = counts->by_range ? clock_ns() - begin_ns : 0;
	if (!range) {
		tally_add(&counts->unclaimed[space][is_write], ns);
		return;
	}
	tally_add(&counts->claimed[space][is_write], ns);
	if (counts->by_range)
		tally_add(&counts->by_range[range->id < COUNTED_RANGES ? range->id : COUNTED_RANGES][is_write],
		          ns);
}

void range_names_note(struct range_names *names, uint32_t id, enum address_space space, uint64_t start,
                      uint64_t length)
{
	if (id >= COUNTED_RANGES)
		return;
	names->entries[id].space = space;
	names->entries[id].start = start;
	names->entries[id].last = start + length - 1;
	names->count = id + 1;
}

struct report {
	struct plugvm_exit_count *lines;
	size_t capacity;
	size_t count;
};

static void report_line(struct report *report, const struct plugvm_exit_count *line)
{
	if (line->count == 0)
		return;
	if (report->count < report->capacity)
		report->lines[report->count] = *line;
	report->count++;
}

static void line_add(struct plugvm_exit_count *line, const struct tally *tally)
{
	line->count += tally->count;
	line->total_ns += tally->total_ns;
	if (tally->max_ns > line->max_ns)
		line->max_ns = tally->max_ns;
}

static void report_ranges(struct report *report, const struct counts *const *counts, size_t vcpus,
                          const struct range_names *names)
{
	static const char *const kinds[ADDRESS_SPACE_COUNT][2] = {{"port read", "port write"},
	                                                          {"MMIO read", "MMIO write"}};
	for (uint32_t id = 0; id < names->count; id++) {
		enum address_space space = names->entries[id].space;
		for (int is_write = 0; is_write < 2; is_write++) {
			struct plugvm_exit_count line = {.kind = kinds[space][is_write],
			                                 .has_range = true,
			                                 .is_port = space == ADDRESS_SPACE_PORT,
			                                 .start = names->entries[id].start,
			                                 .last = names->entries[id].last};
			for (size_t v = 0; v < vcpus; v++)
				line_add(&line, &counts[v]->by_range[id][is_write]);
			report_line(report, &line);
		}
	}
	struct plugvm_exit_count rest = {.kind = "accesses to later ranges"};
	for (size_t v = 0; v < vcpus; v++) {
		line_add(&rest, &counts[v]->by_range[COUNTED_RANGES][0]);
		line_add(&rest, &counts[v]->by_range[COUNTED_RANGES][1]);
	}
	report_line(report, &rest);
}

size_t counts_report(const struct counts *const *counts, size_t vcpus, const struct range_names *names,
                     struct plugvm_exit_count *lines, size_t capacity)
{
	static const char *const claimed[ADDRESS_SPACE_COUNT][2] = {{"all port reads", "all port writes"},
	                                                            {"all MMIO reads", "all MMIO writes"}};
	static const char *const unclaimed[ADDRESS_SPACE_COUNT][2] = {
	    {"unclaimed port reads", "unclaimed port writes"}, {"unclaimed MMIO reads", "unclaimed MMIO writes"}};

	struct report report = {.lines = lines, .capacity = capacity};
	if (vcpus > 0 && counts[0]->by_range)
		report_ranges(&report, counts, vcpus, names);
	for (int space = 0; space < ADDRESS_SPACE_COUNT; space++) {
		for (int is_write = 0; is_write < 2; is_write++) {
			struct plugvm_exit_count taken = {.kind = claimed[space][is_write]};
			struct plugvm_exit_count missed = {.kind = unclaimed[space][is_write]};
			for (size_t v = 0; v < vcpus; v++) {
				line_add(&taken, &counts[v]->claimed[space][is_write]);
				line_add(&missed, &counts[v]->unclaimed[space][is_write]);
			}
			report_line(&report, &taken);
			report_line(&report, &missed);
		}
	}
	return report.count;
}
