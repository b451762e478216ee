/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that takes the place of the vCPUs' packets.
 */
#include "host/vcpu_area.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"
#include "channel/cpus.h"
#include "host/link_page.h"
#include "jail/cgroup_find.h"

static unsigned int count_usable_cpus(void)
{
	struct cgroup_hierarchy found[CGROUP_HIERARCHIES_MAX];
	size_t count = cgroup_find("/proc/self", found);
	unsigned int cpus = cpus_usable(NULL);
	for (size_t i = 0; i < count; i++) {
		struct cpus_cgroup cgroup = {.top = found[i].top, .home = found[i].home, .is_v2 = found[i].is_v2};
		if (found[i].controllers & CGROUP_CPU)
			cpus = cpus_usable(&cgroup);
		cgroup_hierarchy_fini(&found[i]);
	}
	return cpus;
}

int vcpu_area_init(struct vcpu_area *area, uint32_t vcpu_count, struct spin_setting setting, unsigned plugin_cpus)
{
	*area = (struct vcpu_area){.area.fd = -1, .loadavg = -1, .vcpu_count = vcpu_count};
	pthread_mutex_init(&area->lock, NULL);
	/* Not there in every container: then nobody looks. */
	if (setting.mode == SPIN_AUTO)
		area->loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	tokens_init(&area->tokens, setting, setting.mode == SPIN_AUTO ? count_usable_cpus() : 0, area->loadavg);
	/* What it spins away of less than a CPU it lacks for its work. */
	if (area->tokens.most > plugin_cpus)
		area->tokens.most = plugin_cpus;
	area->ends = calloc(vcpu_count, sizeof(area->ends[0]));
	if (!area->ends)
		return -ENOMEM;
	int result = area_new(vcpu_count, &area->area);
	for (uint32_t cpu = 0; cpu < vcpu_count && result == 0; cpu++)
		host_end_init(&area->ends[cpu], area_page(&area->area, cpu), &area->tokens);
	return result;
}

void vcpu_area_fini(struct vcpu_area *area)
{
	fd_close(&area->loadavg);
	if (area->area.memory)
		area_fini(&area->area);
	free(area->ends);
	area->ends = NULL;
	pthread_mutex_destroy(&area->lock);
}

void vcpu_area_begin(struct vcpu_area *area)
{
	pthread_mutex_lock(&area->lock);
	area->begun = true;
	pthread_mutex_unlock(&area->lock);
}

static int hand_over(struct vcpu_area *area, struct vcpu_link *links, int *out_fd)
{
	if (area->area.fd < 0)
		return -EALREADY;
	if (area->begun)
		return -EBUSY;
	tokens_add_vcpus(&area->tokens, area->vcpu_count);
	for (uint32_t cpu = 0; cpu < area->vcpu_count; cpu++)
		link_use_page(&links[cpu], &area->ends[cpu]);
	*out_fd = fd_take(&area->area.fd);
	return 0;
}

int vcpu_area_hand_over(struct vcpu_area *area, struct vcpu_link *links, int *out_fd)
{
	pthread_mutex_lock(&area->lock);
	int result = hand_over(area, links, out_fd);
	pthread_mutex_unlock(&area->lock);
	return result;
}
