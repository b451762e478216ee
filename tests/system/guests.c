/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what a plugin sees of a guest and what the guest sees of it, and every errno and limit that a plugin can
 * reach. Each test is an act of the actor, which checks from the inside and exits with 0 if all is well.
 */
#include <string.h>

#include "harness.h"

static void play(const char *act)
{
	struct run run;
	run_words(&run, WORDS(PLUGVM, "run", "--disable-sandbox", "--", ACTOR, act));
	run_expect_status(&run, 0);
	run_expect_err(&run, "plugvm: the plugin exited\n");
	run_expect_no_err(&run, "plugin: ");
	for (char *line = strtok(run.out.text, "\n"); line; line = strtok(NULL, "\n"))
		print_message("# %s\n", line);
	run_fini(&run);
}

static void test_act(void **state)
{
	play(*state);
}

/* One test for each act, under its name. */
#define ACT(act)                               \
	{                                      \
		act, test_act, NULL, NULL, act \
	}

int main(void)
{
	struct CMUnitTest tests[] = {
	    ACT("port-widths"),
	    ACT("mmio-widths"),
	    ACT("unclaimed"),
	    ACT("reserve-while-running"),
	    ACT("edges"),
	    ACT("memory-while-running"),
	    ACT("read-only-memory"),
	    ACT("strings"),
	    ACT("registers"),
	    ACT("bad-sregs"),
	    ACT("extensions"),
	    ACT("errno-connect"),
	    ACT("errno-memory"),
	    ACT("errno-ranges"),
	    ACT("errno-start"),
	    ACT("limit-ranges"),
	    ACT("limit-connections"),
	    ACT("limit-slots"),
	    ACT("limit-memory"),
	};
	return SYSTEM_MAIN("guests", tests);
}
