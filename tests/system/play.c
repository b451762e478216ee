/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plays an act of the actor as a test.
 */
#include "play.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"

/* What an actor says that cannot play here. */
#define SKIP "skip: "

void play_test(void **state)
{
	const struct play *play = *state;
	struct run run;
	static char reason[128];
	const char *const *words = WORDS(PLUGVM, "run", play->unjailed ? "--disable-sandbox" : "--jail=default",
	                                 "--cpus", play->cpus ? play->cpus : "1", "--irqchip",
	                                 play->irqchip ? play->irqchip : "kernel", "--", ACTOR, play->act);
	run_words(&run, words);
	if (run.status == 0 && strncmp(run.out.text, SKIP, strlen(SKIP)) == 0) {
		snprintf(reason, sizeof(reason), "%s", run.out.text + strlen(SKIP));
		reason[strcspn(reason, "\n")] = '\0';
		run_fini(&run);
		test_skip(reason);
	}
	run_expect_status(&run, 0);
	run_expect_err(&run, "plugvm: the plugin exited\n");
	run_expect_no_err(&run, "plugin: ");
	for (char *line = strtok(run.out.text, "\n"); line; line = strtok(NULL, "\n"))
		print_message("# %s\n", line);
	run_fini(&run);
}
