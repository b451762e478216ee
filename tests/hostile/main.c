/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hostile plugin's main program: hostile CASE [NUMBER], and hostile list.
 */
#include <signal.h>
#include <string.h>

#include "raw.h"

static const struct hostile_case *const tables[] = {packet_cases,  memory_cases, vcpu_cases, flood_cases,
                                                    process_cases, area_cases,   page_cases, wait_cases};

static const struct hostile_case *find(const char *name)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct hostile_case *c = tables[t]; c->name; c++) {
			if (strcmp(name, "list") == 0)
				puts(c->name);
			else if (strcmp(name, c->name) == 0)
				return c;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	run_alone(argc > 1 ? argv[1] : "");
	const struct hostile_case *found = find(argc > 1 ? argv[1] : "list");
	if (!found)
		return argc > 1 && strcmp(argv[1], "list") != 0;
	option = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	signal(SIGPIPE, SIG_IGN);
	enter(found->state);
	lives(); /* the host is past its start */
	mark("ready");
	found->run();
	lives();
	mark("done");
	hang();
}
