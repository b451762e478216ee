/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_plan - a block of bytes as the plan of a jail: plan_check() says what a check says that was written from the
 * description alone, and of a block that it takes everything can be read.
 *
 * Input: one byte of flags (FLAG_...), then the block.
 */
#include <linux/filter.h>
#include <string.h>

#include "fuzz.h"
#include "jail/plan.h"

#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define FLAG_RAW 0x01 /* else magic, version, size and the last byte are made right */

#define BLOCK_MAX 16384

static _Alignas(8) uint8_t block[BLOCK_MAX];

MODEL_BEGIN

/* ---- The check, again: from the comments of plan.h ---- */

static bool has_string(size_t size, uint32_t offset)
{
	for (size_t at = offset; at >= sizeof(struct plan) && at < size; at++) {
		if (block[at] == '\0')
			return true;
	}
	return false;
}

static bool has_array(size_t size, struct plan_array array, size_t item, size_t align)
{
	if (array.count == 0)
		return true;
	if (array.offset < sizeof(struct plan) || array.offset % align != 0 || array.offset > size)
		return false;
	return array.count <= (size - array.offset) / item;
}

static uint32_t number_at(struct plan_array array, uint32_t index)
{
	uint32_t number;
	memcpy(&number, block + array.offset + index * sizeof(number), sizeof(number));
	return number;
}

static bool has_strings(size_t size, struct plan_array array)
{
	if (!has_array(size, array, 4, 4))
		return false;
	for (uint32_t i = 0; i < array.count; i++) {
		if (!has_string(size, number_at(array, i)))
			return false;
	}
	return true;
}

static bool has_entries(size_t size, struct plan_array array)
{
	if (!has_array(size, array, sizeof(struct plan_entry), 8))
		return false;
	for (uint32_t i = 0; i < array.count; i++) {
		struct plan_entry entry;
		memcpy(&entry, block + array.offset + i * sizeof(entry), sizeof(entry));
		bool needs_source = entry.kind == PLAN_SYMLINK || entry.kind == PLAN_BIND;
		bool is_kind = needs_source || entry.kind == PLAN_DIRECTORY || entry.kind == PLAN_TMPFS;
		if (!is_kind || entry.flags > 15 || !has_string(size, entry.target) ||
		    block[entry.target] != '/' || (needs_source && !has_string(size, entry.source)))
			return false;
	}
	return true;
}

static bool has_fds(size_t size, struct plan_array array)
{
	if (!has_array(size, array, 4, 4))
		return false;
	int64_t last = -1;
	for (uint32_t i = 0; i < array.count; i++) {
		uint32_t fd = number_at(array, i);
		if (fd >= PLAN_FD || fd <= last)
			return false;
		last = fd;
	}
	return true;
}

static bool is_plan(size_t size)
{
	struct plan plan;
	if (size <= sizeof(plan))
		return false;
	memcpy(&plan, block, sizeof(plan));
	if (plan.flags & ~(uint32_t)(PLAN_UNPRIVILEGED | PLAN_DIE_WITH_PARENT))
		return false;
	if (plan.refusal < PLAN_ANSWER || plan.refusal > PLAN_OBSERVE)
		return false;
	return plan.magic == PLAN_MAGIC && plan.version == PLAN_VERSION && plan.size == size &&
	       block[size - 1] == '\0' && has_string(size, plan.hostname) && has_string(size, plan.executable) &&
	       has_string(size, plan.executable_name) &&
	       has_array(size, plan.gid_lines, sizeof(struct plan_id_line), 4) &&
	       has_entries(size, plan.entries) && has_array(size, plan.rlimits, sizeof(struct plan_rlimit), 8) &&
	       has_array(size, plan.filter, sizeof(struct sock_filter), 4) && plan.filter.count > 0 &&
	       plan.filter.count <= BPF_MAXINSNS && has_strings(size, plan.argv) && plan.argv.count > 0 &&
	       has_strings(size, plan.env) && has_fds(size, plan.fds) && has_strings(size, plan.cgroups);
}

/* ---- Everything, as the helper reads it ---- */

static uint64_t sum;

static void read_string(const struct plan *plan, uint32_t offset)
{
	sum += strlen(plan_string(plan, offset));
}

static void read_strings(const struct plan *plan, struct plan_array array)
{
	for (uint32_t i = 0; i < array.count; i++)
		sum += strlen(plan_text(plan, array, i));
}

static void read_array(const struct plan *plan, struct plan_array array, size_t item)
{
	const uint8_t *bytes = plan_items(plan, array);
	for (size_t i = 0; i < array.count * item; i++)
		sum += bytes[i];
}

static void read_plan(const struct plan *plan)
{
	read_string(plan, plan->hostname);
	read_string(plan, plan->executable);
	read_string(plan, plan->executable_name);
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	for (uint32_t i = 0; i < plan->entries.count; i++) {
		sum += entries[i].size;
		read_string(plan, entries[i].target);
		if (entries[i].kind == PLAN_SYMLINK || entries[i].kind == PLAN_BIND)
			read_string(plan, entries[i].source);
	}
	read_array(plan, plan->gid_lines, sizeof(struct plan_id_line));
	read_array(plan, plan->rlimits, sizeof(struct plan_rlimit));
	read_array(plan, plan->filter, sizeof(struct sock_filter));
	read_array(plan, plan->fds, sizeof(uint32_t));
	read_strings(plan, plan->argv);
	read_strings(plan, plan->env);
	read_strings(plan, plan->cgroups);
}

MODEL_END

static void make_right(size_t size)
{
	struct plan *plan = (struct plan *)block;
	if (size < sizeof(*plan))
		return;
	plan->magic = PLAN_MAGIC;
	plan->version = PLAN_VERSION;
	plan->size = (uint32_t)size;
	block[size - 1] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	if (input.size > sizeof(block))
		return 0;
	ASAN_UNPOISON_MEMORY_REGION(block, sizeof(block));
	if (input.size > 0)
		memcpy(block, input.data, input.size);
	ASAN_POISON_MEMORY_REGION(block + input.size, sizeof(block) - input.size);
	if (!(flags & FLAG_RAW))
		make_right(input.size);
	bool is_good = plan_check(block, input.size);
	REQUIRE(is_good == is_plan(input.size));
	if (is_good)
		read_plan((const struct plan *)block);
	return 0;
}
