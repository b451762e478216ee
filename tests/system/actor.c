/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The actor's command line and its way to say what is wrong.
 */
#include "actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void expect_at(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	exit(1);
}

void expect_result_at(long result, long wanted, const char *what, const char *file, int line)
{
	if (result == wanted)
		return;
	const char *name = result < 0 ? strerrorname_np((int)-result) : NULL;
	const char *wanted_name = wanted < 0 ? strerrorname_np((int)-wanted) : NULL;
	fprintf(stderr, "%s:%d: %s gives %ld (%s), not %ld (%s)\n", file, line, what, result,
	        name ? name : "no error", wanted, wanted_name ? wanted_name : "no error");
	exit(1);
}

void say(const char *text)
{
	dprintf(STDERR_FILENO, "%s\n", text);
}

void skip(const char *reason)
{
	printf("skip: %s\n", reason);
	exit(0);
}

void need_extension(struct crosvm *vm, uint32_t extension, const char *name)
{
	bool has;
	expect_result(crosvm_check_extension(vm, extension, &has), 0);
	if (has)
		return;
	char reason[64];
	snprintf(reason, sizeof(reason), "this machine's KVM has no %s", name);
	skip(reason);
}

void need_feature(struct crosvm *vm, uint64_t feature, const char *name)
{
	struct crosvm_info info = {.size = sizeof(info)};
	expect_result(crosvm_get_info(vm, &info), 0);
	if (info.features & feature)
		return;
	char reason[64];
	snprintf(reason, sizeof(reason), "this machine's KVM has no %s", name);
	skip(reason);
}

int main(int argc, char **argv)
{
	static const struct act *const lists[] = {
	    async_acts,       awake_acts,    errno_acts,       event_acts,      hint_acts,      hyperv_acts,
	    io_acts,          irq_acts,      life_acts,        memory_acts,     pause_acts,     platform_acts,
	    process_acts,     start_acts,    state_acts,       vcpu_acts,       ext_debug_acts, ext_event_acts,
	    ext_failure_acts, ext_info_acts, ext_irqchip_acts, ext_memory_acts, ext_msr_acts,   ext_snapshot_acts,
	    ext_state_acts,   ext_vcpu_acts,
	};
	for (size_t i = 0; i < COUNT(lists) && argc > 1; i++) {
		for (const struct act *act = lists[i]; act->name; act++) {
			if (strcmp(act->name, argv[1]) == 0)
				return act->play(argv + 2);
		}
	}
	fprintf(stderr, "actor: there is no act '%s'\n", argc > 1 ? argv[1] : "");
	return 2;
}
