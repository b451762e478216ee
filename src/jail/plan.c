/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's check of a plan. Runs in the helper, so it uses no library.
 */
#include "jail/plan.h"

#include <linux/filter.h>

static bool check_array(const struct plan *plan, struct plan_array array, size_t item, size_t align)
{
	uint64_t end = (uint64_t)array.offset + (uint64_t)array.count * item;
	return array.count == 0 ||
	       (array.offset >= sizeof(*plan) && array.offset % align == 0 && end <= plan->size);
}

/* The block ends with a zero byte, so every string in it ends. */
static bool check_string(const struct plan *plan, uint32_t offset)
{
	return offset >= sizeof(*plan) && offset < plan->size;
}

static bool check_strings(const struct plan *plan, struct plan_array array)
{
	if (!check_array(plan, array, sizeof(uint32_t), sizeof(uint32_t)))
		return false;
	const uint32_t *offsets = plan_items(plan, array);
	for (uint32_t i = 0; i < array.count; i++) {
		if (!check_string(plan, offsets[i]))
			return false;
	}
	return true;
}

static bool check_entries(const struct plan *plan)
{
	if (!check_array(plan, plan->entries, sizeof(struct plan_entry), sizeof(uint64_t)))
		return false;
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	for (uint32_t i = 0; i < plan->entries.count; i++) {
		const struct plan_entry *entry = &entries[i];
		bool has_source = entry->kind == PLAN_SYMLINK || entry->kind == PLAN_BIND;
		if (entry->kind < PLAN_DIRECTORY || entry->kind > PLAN_TMPFS ||
		    entry->flags & ~PLAN_ENTRY_FLAGS_ALL)
			return false;
		if (!check_string(plan, entry->target) || plan_string(plan, entry->target)[0] != '/')
			return false;
		if (has_source && !check_string(plan, entry->source))
			return false;
	}
	return true;
}

static bool check_fds(const struct plan *plan)
{
	if (!check_array(plan, plan->fds, sizeof(uint32_t), sizeof(uint32_t)))
		return false;
	const uint32_t *fds = plan_items(plan, plan->fds);
	for (uint32_t i = 0; i < plan->fds.count; i++) {
		if (fds[i] >= PLAN_FD || (i > 0 && fds[i] <= fds[i - 1]))
			return false;
	}
	return true;
}

bool plan_check(const void *block, size_t size)
{
	const struct plan *plan = block;
	if (size < sizeof(*plan) + 1 || size > PLAN_BYTES_MAX)
		return false;
	if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION || plan->size != size)
		return false;
	if (((const char *)block)[size - 1] != '\0' || plan->flags & ~(uint32_t)PLAN_FLAGS_ALL)
		return false;
	if (plan->refusal < PLAN_ANSWER || plan->refusal > PLAN_OBSERVE)
		return false;
	return check_string(plan, plan->hostname) && check_string(plan, plan->executable) &&
	       check_string(plan, plan->executable_name) &&
	       check_array(plan, plan->gid_lines, sizeof(struct plan_id_line), sizeof(uint32_t)) &&
	       check_entries(plan) &&
	       check_array(plan, plan->rlimits, sizeof(struct plan_rlimit), sizeof(uint64_t)) &&
	       check_array(plan, plan->filter, sizeof(struct sock_filter), sizeof(uint32_t)) &&
	       plan->filter.count > 0 && plan->filter.count <= BPF_MAXINSNS && check_strings(plan, plan->argv) &&
	       plan->argv.count > 0 && check_strings(plan, plan->env) && check_fds(plan) &&
	       check_strings(plan, plan->cgroups);
}
