/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual machine as the plugin sees it, and the registry of the process: the only global state of the
 * library. Runs in the plugin, on any thread.
 */
#include "plugin/machine.h"

#include <errno.h>
#include <stdlib.h>

#include "plugin/vcpu.h"

static struct {
	atomic_bool claimed;
	/*
	 * The machines that were, which keeps their vCPUs reachable. Belongs to whoever has the claim: the
	 * release of one claim and the next claim order the accesses.
	 */
	struct machine *retired;
} registry;

bool machine_claim(void)
{
	return !atomic_exchange(&registry.claimed, true);
}

void machine_unclaim(void)
{
	atomic_store(&registry.claimed, false);
}

int machine_new(const struct crosvm_info *info, int *fds, const struct area *area, struct machine **out_machine)
{
	size_t vcpu_count = info->vcpu_count;
	struct machine *machine = calloc(1, sizeof(*machine) + vcpu_count * sizeof(struct crosvm_vcpu *));
	if (!machine)
		return -ENOMEM;
	atomic_init(&machine->connections, 1);
	atomic_init(&machine->next_object, 0);
	machine->info = *info;

	for (; machine->vcpu_count < vcpu_count; machine->vcpu_count++) {
		size_t id = machine->vcpu_count;
		struct vcpu_page *page = area ? area_page(area, (uint32_t)id) : NULL;
		int error = vcpu_new(machine, &fds[2 * id], page, &machine->vcpus[id]);
		if (!error)
			continue;
		while (machine->vcpu_count > 0)
			vcpu_free(machine->vcpus[--machine->vcpu_count]);
		free(machine);
		return error;
	}
	atomic_init(&machine->area_users, (unsigned int)vcpu_count);
	if (area)
		machine->area = *area;
	*out_machine = machine;
	return 0;
}

void machine_leave_area(struct machine *machine)
{
	if (atomic_fetch_sub(&machine->area_users, 1) == 1 && machine->area.memory)
		area_fini(&machine->area);
}

void machine_ref(struct machine *machine)
{
	atomic_fetch_add(&machine->connections, 1);
}

void machine_unref(struct machine *machine)
{
	if (atomic_fetch_sub(&machine->connections, 1) != 1)
		return;
	for (size_t i = 0; i < machine->vcpu_count; i++)
		vcpu_retire(machine->vcpus[i]);
	machine->next = registry.retired;
	registry.retired = machine;
	machine_unclaim();
}
