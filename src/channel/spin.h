/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long one waiter of the channel spins before it sleeps. A waiter is a thread of the host or of the plugin, and a
 * struct spin is its own; it trusts nothing but its own clock. No system calls: the caller brings the time.
 *
 * To spin saves the wake-up, which costs more than most answers take, but it only helps if the other side runs meanwhile.
 * So in mode auto a waiter spins within the limit that the host gives it (tokens.h), and learns whether that helps. From
 * time to time it tries both, spinning and sleeping at once, and keeps what has the lower median. A few spins in a row
 * that end in a sleep all the same switch it off for a while, longer each time: a guest that is idle costs nothing.
 */
#ifndef PLUGVM_CHANNEL_SPIN_H
#define PLUGVM_CHANNEL_SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum spin_mode {
	SPIN_AUTO,
	SPIN_FIXED, /* always as long as somebody said; 0: never */
};

struct spin_setting {
	enum spin_mode mode;
	uint32_t fixed_ns;
};

/* How long a waiter that is allowed to does spin: twice what a guest does between exits that come fast. */
#define SPIN_BUDGET_NS 400000
/* The longest that somebody can ask for. */
#define SPIN_FIXED_NS_MAX 1000000000

/*
 * In struct page_words.spin_ns: it is the operator's word; nothing is learned, and who has a number of its own takes the
 * lesser.
 */
#define SPIN_WORD_FIXED UINT32_C(0x80000000)

/* The same place: the host goes, and there is nothing to wait for. */
#define SPIN_WORD_CLOSED UINT32_MAX

/* Waits of a comparison, half of them spinning. */
#define SPIN_TRIALS 16
/* Spins in a row that end in a sleep, after which it sleeps at once for a number of waits, and for how many at first and
 * at last. */
#define SPIN_FAILURES_MAX 3
#define SPIN_REST_FIRST   16
#define SPIN_REST_LAST    4096
/* Between two comparisons, at first and at last. */
#define SPIN_INTERVAL_FIRST_NS UINT64_C(250000000)
#define SPIN_INTERVAL_LAST_NS  UINT64_C(2000000000)
/* How often a waiter that needs no clock for itself looks whether the next comparison is due. */
#define SPIN_WAITS_PER_LOOK 256

struct spin {
	struct spin_setting setting;
	bool spins;                         /* what the last comparison says */
	uint32_t trial;                     /* the wait of this comparison; SPIN_TRIALS: there is none now */
	uint64_t times[2][SPIN_TRIALS / 2]; /* of waits that slept at once, of waits that spun */
	uint64_t interval_ns;
	uint64_t next_trial_ns;
	uint32_t waits; /* since the clock was looked at */
	uint32_t failures;
	uint32_t rest; /* waits that it still sleeps through */
	uint32_t next_rest;
};

/* What to do in one wait. */
struct spin_plan {
	uint32_t budget_ns; /* 0: sleep at once */
	bool is_trial;
	bool timed; /* spin_end() wants to know how long it took */
};

void spin_init(struct spin *spin, struct spin_setting setting);

/*
 * Decide about a wait. `limit` is what the host allows, as in the page: nanoseconds, and SPIN_WORD_FIXED. A waiter
 * whose peer last ran on its own CPU would only keep it from running.
 */
struct spin_plan spin_begin(struct spin *spin, uint32_t limit, bool same_cpu);

/* Tell how it went: whether it came to a sleep, and, if the plan is timed, how long it took and what time it is. */
void spin_end(struct spin *spin, struct spin_plan plan, bool slept, uint64_t waited_ns, uint64_t now_ns);

/* Read a setting, "auto" or a number of microseconds. Returns 0 or -EINVAL. */
int spin_parse(const char *text, struct spin_setting *out_setting);

#endif
