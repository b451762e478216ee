/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hand-over between the two sides of a vCPU's page.
 *
 * HANDOVER_MUTANT_POST makes it wrong on purpose: the litmus test shows that it notices.
 */
#include "channel/handover.h"

#include <errno.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/cpu_x86.h"

/* The word "sleeping": how the side waits, and in the bits above what it has seen of the other's sequence. */
#define SLEEP_FUTEX     UINT32_C(1)
#define SLEEP_POLLS     UINT32_C(2)
#define SLEEP_SEEN_MASK UINT32_C(0x3fffffff)

/*
 * Looks between two readings of the clock. After each a PAUSE: without it the looks take the line from the other side
 * while that writes, and the round trip of an awake peer takes half as long again.
 */
#define SPIN_LOOKS 16

void handover_init(struct handover *handover, struct page_words *mine, const struct page_words *peer,
                   struct spin_setting setting, const struct handover_bound *bound)
{
	memset(handover, 0, sizeof(*handover));
	handover->mine = mine;
	handover->peer = peer;
	handover->bound = bound;
	atomic_init(&handover->has_waitv, true);
	atomic_init(&handover->kick, 0);
	spin_init(&handover->spin, setting);
}

/* The poster's half of the argument above; the waiter's is announce_sleep(). */
static void publish_sequence(struct handover *handover)
{
	handover->sequence++;
#ifdef HANDOVER_MUTANT_POST
	atomic_store_explicit(&handover->mine->sequence, handover->sequence, memory_order_release);
#else
	atomic_exchange(&handover->mine->sequence, handover->sequence);
#endif
}

bool handover_post(struct handover *handover)
{
	publish_sequence(handover);
	uint32_t peer_sleep = atomic_load(&handover->peer->sleeping);
	/*
	 * One wake-up ends a sleep, also if the sleeper has not run yet and the word still says it: from now on the kernel
	 * lets nobody sleep on what it saw then. One who saw what was posted now sleeps until the next post.
	 */
	if (peer_sleep == 0)
		handover->woken = 0;
	if (peer_sleep == handover->woken || peer_sleep >> 2 == (handover->sequence & SLEEP_SEEN_MASK))
		return false;
	handover->woken = peer_sleep;
	if (peer_sleep & SLEEP_POLLS)
		return true;
	channel_calls.futex_wake(&handover->mine->sequence, true);
	return false;
}

void handover_alarm(struct handover *handover)
{
	/* The poster's own next number may be the same: what was seen of this one was seen. */
	atomic_fetch_add(&handover->mine->sequence, 1);
	channel_calls.futex_wake(&handover->mine->sequence, true);
}

void handover_look(struct handover *handover)
{
	handover->seen = atomic_load_explicit(&handover->peer->sequence, memory_order_acquire);
}

static bool was_posted(const struct handover *handover)
{
	return atomic_load_explicit(&handover->peer->sequence, memory_order_acquire) != handover->seen;
}

/* Pairs with handover_kick(). */
static bool was_kicked(const struct handover *handover)
{
	return atomic_load(&handover->kick) != handover->kicks_seen;
}

/* Returns -EINTR, and the kick is over. */
static int take_kick(struct handover *handover)
{
	handover->kicks_seen = atomic_load(&handover->kick);
	return -EINTR;
}

void handover_kick(struct handover *handover)
{
	atomic_fetch_add(&handover->kick, 1);
	if (handover->bound)
		channel_calls.futex_wake((_Atomic(uint32_t) *)&handover->peer->sequence, true);
	else
		channel_calls.futex_wake(&handover->kick, false);
}

/* The waiter's half; the poster's is publish_sequence(). Returns whether there is a reason not to sleep. */
static bool announce_sleep(struct handover *handover, uint32_t kind)
{
	atomic_exchange(&handover->mine->sleeping, handover->seen << 2 | kind);
	return atomic_load(&handover->peer->sequence) != handover->seen || was_kicked(handover);
}

static void end_sleep(struct handover *handover)
{
	atomic_store_explicit(&handover->mine->sleeping, 0, memory_order_relaxed);
}

bool handover_arm(struct handover *handover)
{
	handover->armed = true;
	if (!announce_sleep(handover, SLEEP_POLLS))
		return false;
	handover->armed = false;
	end_sleep(handover);
	return true;
}

/* Sleep until a wake-up, a kick, a signal, or CLOCK_MONOTONIC is `deadline_ns` (0: no deadline). */
static int sleep_on_both(struct handover *handover, uint64_t deadline_ns)
{
	struct futex_waitv words[] = {
	    {.val = handover->seen, .uaddr = (uintptr_t)&handover->peer->sequence, .flags = FUTEX_32},
	    {.val = handover->kicks_seen,
	     .uaddr = (uintptr_t)&handover->kick,
	     .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
	};
	return channel_calls.futex_waitv(words, 2, deadline_ns);
}

/* The same for at most `for_ns`; a kick that comes just before may be seen only then. */
static int sleep_on_one(struct handover *handover, uint64_t for_ns, uint64_t deadline_ns)
{
	if (deadline_ns) {
		uint64_t now = channel_calls.clock_ns();
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		for_ns = deadline_ns - now < for_ns ? deadline_ns - now : for_ns;
	}
	return channel_calls.futex_wait(&handover->peer->sequence, handover->seen, for_ns);
}

static int sleep_once(struct handover *handover, uint64_t deadline_ns)
{
	if (handover->bound)
		return sleep_on_one(handover, handover->bound->sleep_ns, deadline_ns);
	int result = -ENOSYS;
	if (atomic_load_explicit(&handover->has_waitv, memory_order_relaxed))
		result = sleep_on_both(handover, deadline_ns);
	if (result == -ENOSYS || result == -EPERM) {
		/* An old kernel, or a filter that does not know it. */
		atomic_store_explicit(&handover->has_waitv, false, memory_order_relaxed);
		result = sleep_on_one(handover, HANDOVER_FALLBACK_NS, deadline_ns);
	}
	return result;
}

/* What the end of a sleep means: 0 to look again, or why there is no more waiting. */
static int judge_sleep(const struct handover *handover, int result)
{
	bool is_early = result == -EINTR || result == -ETIMEDOUT;
	/* Whatever comes beside these would only come again. */
	if (!is_early && result < 0 && result != -EAGAIN)
		return result;
	const struct handover_bound *bound = handover->bound;
	return is_early && bound && !was_posted(handover) && bound->is_dead(bound->context) ? -ECONNRESET : 0;
}

/* Until when to sleep now, 0: no bound; or -ETIMEDOUT in *out_result. */
static uint64_t sleep_end(const struct handover *handover, uint64_t deadline_ns, int *out_result)
{
	*out_result = 0;
	if (!deadline_ns && !handover->nap_ns)
		return 0;
	uint64_t now = channel_calls.clock_ns();
	if (deadline_ns && now >= deadline_ns)
		*out_result = -ETIMEDOUT;
	uint64_t nap_ns = handover->nap_ns ? now + handover->nap_ns : deadline_ns;
	return deadline_ns && deadline_ns < nap_ns ? deadline_ns : nap_ns;
}

static int sleep_until_posted(struct handover *handover, uint64_t deadline_ns)
{
	while (!was_posted(handover)) {
		int result;
		if (was_kicked(handover))
			return take_kick(handover);
		uint64_t end_ns = sleep_end(handover, deadline_ns, &result);
		if (result < 0)
			return result;
		int slept = 0;
		if (!announce_sleep(handover, SLEEP_FUTEX)) {
			slept = sleep_once(handover, end_ns);
			result = judge_sleep(handover, slept);
		}
		end_sleep(handover);
		if (result < 0)
			return result;
		if (slept == -ETIMEDOUT && handover->nap_ns && end_ns != deadline_ns && !was_posted(handover))
			return -EAGAIN;
	}
	return 0;
}

/* Returns whether there is a reason to wait no more. */
static bool look_some_times(const struct handover *handover)
{
	for (unsigned int i = 0; i < SPIN_LOOKS; i++) {
		if (was_posted(handover) || was_kicked(handover))
			return true;
		cpu_pause();
	}
	return false;
}

static bool spin_for(const struct handover *handover, uint32_t budget_ns, uint64_t begin_ns, uint64_t deadline_ns)
{
	/* Who is awake answers before the clock would have been read. */
	if (look_some_times(handover))
		return true;
	uint64_t until_ns = (begin_ns ? begin_ns : channel_calls.clock_ns()) + budget_ns;
	if (deadline_ns && deadline_ns < until_ns)
		until_ns = deadline_ns;
	while (channel_calls.clock_ns() < until_ns) {
		if (look_some_times(handover))
			return true;
	}
	return false;
}

/* Tell the other side where this one waits, and return whether it was there too. */
static bool publish_cpu(struct handover *handover)
{
	uint32_t cpu = (uint32_t)channel_calls.getcpu() + 1;
	if (cpu != handover->cpu) {
		handover->cpu = cpu;
		atomic_store_explicit(&handover->mine->cpu, cpu, memory_order_relaxed);
	}
	return cpu != 0 && atomic_load_explicit(&handover->peer->cpu, memory_order_relaxed) == cpu;
}

int handover_wait(struct handover *handover, uint64_t deadline_ns)
{
	if (handover->armed) {
		handover->armed = false;
		end_sleep(handover);
	}
	bool same_cpu = publish_cpu(handover);
	/* A kick first: a plugin that posts without end must not hide it. */
	if (was_kicked(handover))
		return take_kick(handover);
	if (was_posted(handover))
		return 0;
	struct spin_plan plan = spin_begin(&handover->spin, handover->limit, same_cpu);
	uint64_t begin_ns = plan.timed ? channel_calls.clock_ns() : 0;
	bool slept = !(plan.budget_ns && spin_for(handover, plan.budget_ns, begin_ns, deadline_ns));
	int result = slept                  ? sleep_until_posted(handover, deadline_ns)
	             : was_posted(handover) ? 0
	                                    : take_kick(handover);
	uint64_t end_ns = plan.timed ? channel_calls.clock_ns() : 0;
	spin_end(&handover->spin, plan, slept, end_ns - begin_ns, end_ns);
	return result;
}
