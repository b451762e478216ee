/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A leaky bucket: work fills it, time empties it by the share.
 */
#include "host/pace.h"

/* Work that may be done in one go after a rest: some dozen requests, and a small part of a scheduler's slice. */
#define BURST_NS UINT64_C(50000)

/* The longest rest, as long as the cgroup's period: one slow request must not silence a plugin for long. */
#define REST_MAX_NS UINT64_C(100000000)

uint64_t pace_next_ns(const struct pace *pace)
{
	return pace->due_ns > BURST_NS ? pace->due_ns - BURST_NS : 0;
}

void pace_spend(struct pace *pace, uint64_t begin_ns, uint64_t end_ns)
{
	if (pace->percent == 0 || end_ns <= begin_ns)
		return;
	uint64_t from_ns = pace->due_ns > begin_ns ? pace->due_ns : begin_ns;
	uint64_t work_ns = end_ns - begin_ns;
	uint64_t last_ns = end_ns + REST_MAX_NS;
	/* Where the product would wrap, the rest is the longest in any case. */
	uint64_t due_ns = work_ns < UINT64_MAX / 200 ? from_ns + work_ns * 100 / pace->percent : last_ns;
	pace->due_ns = due_ns < last_ns ? due_ns : last_ns;
}
