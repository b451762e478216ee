/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks one side of the hand-over, step by step, with system calls that are counted, that fail, or in which the other side
 * acts: when there is a call and when not, what ends a wait, and what happens on kernels without futex_waitv(2).
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/handover.h"

static struct page_words host_words, plugin_words;
static struct handover host, plugin;

static uint64_t now_ns, last_until_ns, last_for_ns;
static unsigned int waitv_calls, wait_calls, wake_calls;
static int waitv_result, wait_result;
static int cpu;
static bool host_dead;
static unsigned int times_asked;
static void (*in_sleep)(void);     /* what the other side does meanwhile */
static void (*before_sleep)(void); /* and before this one is really asleep */

static int fake_waitv(struct futex_waitv *words, unsigned int count, uint64_t until_ns)
{
	waitv_calls++;
	assert_int_equal(count, 2);
	last_until_ns = until_ns;
	if (waitv_result)
		return waitv_result;
	if (before_sleep)
		before_sleep();
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(words[i].flags, i == 0 ? FUTEX_32 : FUTEX_32 | FUTEX_PRIVATE_FLAG);
		if (atomic_load((_Atomic(uint32_t) *)(uintptr_t)words[i].uaddr) != words[i].val)
			return -EAGAIN;
	}
	if (in_sleep) {
		in_sleep();
		return 0;
	}
	/* Nobody wakes this one. */
	assert_true(until_ns > 0);
	now_ns = until_ns;
	return -ETIMEDOUT;
}

static int fake_wait(const _Atomic(uint32_t) *word, uint32_t value, uint64_t for_ns)
{
	wait_calls++;
	last_for_ns = for_ns;
	if (wait_result)
		return wait_result;
	if (atomic_load(word) != value)
		return -EAGAIN;
	if (in_sleep)
		in_sleep();
	now_ns += for_ns;
	return -ETIMEDOUT;
}

static void fake_wake(_Atomic(uint32_t) *word, bool is_shared)
{
	wake_calls++;
	assert_true(is_shared == (word == &host_words.sequence || word == &plugin_words.sequence));
}

static uint64_t fake_clock(void)
{
	return now_ns += 100;
}

static int fake_getcpu(void)
{
	return cpu;
}

static bool is_dead(void *context)
{
	assert_ptr_equal(context, &host_dead);
	times_asked++;
	return host_dead;
}

static const struct handover_bound bound = {500000000, is_dead, &host_dead};

static int setup(void **state)
{
	static struct channel_calls real;
	real = channel_calls;
	*state = &real;
	channel_calls.futex_waitv = fake_waitv;
	channel_calls.futex_wait = fake_wait;
	channel_calls.futex_wake = fake_wake;
	channel_calls.clock_ns = fake_clock;
	channel_calls.getcpu = fake_getcpu;
	now_ns = 1000;
	waitv_calls = wait_calls = wake_calls = times_asked = 0;
	waitv_result = wait_result = 0;
	cpu = 0;
	host_dead = false;
	in_sleep = before_sleep = NULL;
	memset(&host_words, 0, sizeof(host_words));
	memset(&plugin_words, 0, sizeof(plugin_words));
	const struct spin_setting never = {SPIN_FIXED, 0};
	handover_init(&host, &host_words, &plugin_words, never, NULL);
	handover_init(&plugin, &plugin_words, &host_words, never, &bound);
	return 0;
}

static int teardown(void **state)
{
	channel_calls = *(struct channel_calls *)*state;
	return 0;
}

static void plugin_posts(void)
{
	handover_post(&plugin);
}

static void host_posts(void)
{
	handover_post(&host);
}

static void kick_plugin(void)
{
	handover_kick(&plugin);
}

static void kick_host(void)
{
	handover_kick(&host);
}

/* Both awake: no system call. */
static void test_awake(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		handover_look(&host);
		handover_post(&plugin);
		assert_int_equal(handover_wait(&host, 0), 0);
		handover_look(&plugin);
		handover_post(&host);
		assert_int_equal(handover_wait(&plugin, 0), 0);
	}
	assert_int_equal(waitv_calls + wait_calls + wake_calls, 0);
}

static void test_sleep(void **state)
{
	(void)state;
	handover_look(&host);
	in_sleep = plugin_posts;
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(waitv_calls, 1);
	assert_int_equal(last_until_ns, 0);
	assert_int_equal(wake_calls, 1);
	assert_int_equal(atomic_load(&host_words.sleeping), 0);
	/* What comes before it is asleep needs the kernel to notice. */
	handover_look(&host);
	in_sleep = NULL;
	before_sleep = plugin_posts;
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(waitv_calls, 2);
}

static void plugin_posts_three(void)
{
	for (int i = 0; i < 3; i++)
		handover_post(&plugin);
}

/* A sleeper that does not run yet is woken once. */
static void test_one_wake(void **state)
{
	(void)state;
	handover_look(&host);
	in_sleep = plugin_posts_three;
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(wake_calls, 1);
	/* And the next sleep again. */
	handover_look(&host);
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(wake_calls, 2);
}

/*
 * A post that the sleeper had seen before it slept, and whose poster finds it asleep all the same, ends nothing: the next one
 * must wake it.
 */
static void test_wake_after_seen(void **state)
{
	(void)state;
	atomic_exchange(&plugin_words.sequence, ++plugin.sequence);
	handover_look(&host);
	in_sleep = plugin_posts;
	/* The second half of that post, when the host has announced its sleep and before it sleeps. */
	atomic_store(&host_words.sleeping, host.seen << 2 | 1);
	plugin.sequence--;
	assert_false(handover_post(&plugin));
	assert_int_equal(wake_calls, 0);
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(wake_calls, 1);
}

static void test_spin(void **state)
{
	(void)state;
	host.spin.setting.fixed_ns = 50000;
	cpu = 0;
	handover_look(&plugin);
	handover_post(&host);
	assert_int_equal(handover_wait(&plugin, 0), 0);
	/* On the same CPU: it sleeps at once. */
	handover_look(&host);
	in_sleep = plugin_posts;
	uint64_t begin_ns = now_ns;
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(now_ns, begin_ns);
	assert_int_equal(waitv_calls, 1);
	/* On another: it spins first. */
	cpu = 1;
	handover_look(&host);
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_true(now_ns - begin_ns > 50000 && now_ns - begin_ns < 60000);
	assert_int_equal(waitv_calls, 2);
	assert_int_equal(atomic_load(&host_words.cpu), 2);
	/* Not beyond the deadline. */
	in_sleep = NULL;
	handover_look(&host);
	begin_ns = now_ns;
	assert_int_equal(handover_wait(&host, now_ns + 10000), -ETIMEDOUT);
	assert_true(now_ns - begin_ns < 20000);
}

/* A kick while it spins: the clock of the spin brings it. */
static uint64_t kicking_clock(void)
{
	now_ns += 100;
	if (now_ns > 20000)
		handover_kick(&host);
	return now_ns;
}

static void test_kick(void **state)
{
	(void)state;
	/* Before, once. */
	handover_look(&host);
	handover_kick(&host);
	handover_kick(&host);
	assert_int_equal(handover_wait(&host, 0), -EINTR);
	assert_int_equal(waitv_calls, 0);
	/* Asleep, and just before. */
	in_sleep = kick_host;
	assert_int_equal(handover_wait(&host, 0), -EINTR);
	in_sleep = NULL;
	before_sleep = kick_host;
	assert_int_equal(handover_wait(&host, 0), -EINTR);
	assert_int_equal(waitv_calls, 2);
	/* Spinning. */
	host.spin.setting.fixed_ns = 1000000;
	cpu = 1;
	channel_calls.clock_ns = kicking_clock;
	assert_int_equal(handover_wait(&host, 0), -EINTR);
	assert_int_equal(waitv_calls, 2);
	assert_true(now_ns < 25000);
	/* Though the other side posts without end. */
	handover_post(&plugin);
	handover_kick(&host);
	assert_int_equal(handover_wait(&host, 0), -EINTR);
	assert_int_equal(handover_wait(&host, 0), 0);
}

static void test_deadline(void **state)
{
	(void)state;
	handover_look(&host);
	assert_int_equal(handover_wait(&host, 1000000), -ETIMEDOUT);
	assert_int_equal(last_until_ns, 1000000);
	assert_int_equal(handover_wait(&host, 1000000), -ETIMEDOUT);
	assert_int_equal(waitv_calls, 1);
	assert_int_equal(atomic_load(&host_words.sleeping), 0);
}

/* The plugin: one word, and a bound at which the host's life is asked for. */
static void test_bound(void **state)
{
	(void)state;
	handover_look(&plugin);
	/* The host lives, and the deadline comes. */
	assert_int_equal(handover_wait(&plugin, 1600000000), -ETIMEDOUT);
	assert_int_equal(times_asked, 4);
	host_dead = true;
	uint64_t begin_ns = now_ns;
	assert_int_equal(handover_wait(&plugin, 0), -ECONNRESET);
	assert_true(now_ns - begin_ns >= bound.sleep_ns && now_ns - begin_ns < 2 * bound.sleep_ns);
	/* Signals that come without end do not put that off. */
	wait_result = -EINTR;
	assert_int_equal(handover_wait(&plugin, 0), -ECONNRESET);
	/* What was posted comes first. */
	wait_result = 0;
	in_sleep = host_posts;
	assert_int_equal(handover_wait(&plugin, 0), 0);
	assert_int_equal(waitv_calls, 0);
	/* The kick wakes it where it sleeps. */
	handover_look(&plugin);
	wake_calls = 0;
	host_dead = false;
	in_sleep = kick_plugin;
	assert_int_equal(handover_wait(&plugin, 0), -EINTR);
	assert_int_equal(wake_calls, 1);
}

static void test_without_waitv(void **state)
{
	(void)state;
	static const int errors[] = {-ENOSYS, -EPERM};
	for (size_t i = 0; i < 2; i++) {
		setup(state);
		waitv_result = errors[i];
		handover_look(&host);
		in_sleep = plugin_posts;
		assert_int_equal(handover_wait(&host, 0), 0);
		assert_int_equal(wait_calls, 1);
		assert_int_equal(last_for_ns, HANDOVER_FALLBACK_NS);
		/* It is remembered. */
		assert_int_equal(waitv_calls, 1);
		handover_look(&host);
		in_sleep = kick_host;
		assert_int_equal(handover_wait(&host, 0), -EINTR);
		assert_int_equal(waitv_calls, 1);
		in_sleep = NULL;
		assert_int_equal(handover_wait(&host, now_ns + 50000000), -ETIMEDOUT);
	}
}

/* An error that would only come again ends the wait. */
static void test_errors(void **state)
{
	(void)state;
	handover_look(&host);
	waitv_result = -EFAULT;
	assert_int_equal(handover_wait(&host, 0), -EFAULT);
	assert_int_equal(atomic_load(&host_words.sleeping), 0);
	waitv_result = -ENOSYS;
	wait_result = -EFAULT;
	assert_int_equal(handover_wait(&host, 0), -EFAULT);
}

static int interrupted(struct futex_waitv *words, unsigned int count, uint64_t until_ns)
{
	(void)words;
	(void)count;
	(void)until_ns;
	if (++waitv_calls == 3)
		handover_post(&plugin);
	return -EINTR;
}

static void test_signals(void **state)
{
	(void)state;
	handover_look(&host);
	channel_calls.futex_waitv = interrupted;
	assert_int_equal(handover_wait(&host, 0), 0);
	assert_int_equal(waitv_calls, 3);
}

static void test_arm(void **state)
{
	(void)state;
	handover_look(&plugin);
	assert_false(handover_arm(&plugin));
	/* Told once, and never woken by a futex. */
	assert_true(handover_post(&host));
	assert_false(handover_post(&host));
	assert_int_equal(wake_calls, 0);
	/* Something is there already. */
	assert_true(handover_arm(&plugin));
	assert_int_equal(atomic_load(&plugin_words.sleeping), 0);
	handover_look(&plugin);
	assert_false(handover_arm(&plugin));
	assert_true(handover_post(&host));
	/* A wait is the end of it. */
	handover_look(&plugin);
	assert_false(handover_arm(&plugin));
	assert_int_equal(handover_wait(&plugin, 1), -ETIMEDOUT);
	assert_int_equal(atomic_load(&plugin_words.sleeping), 0);
	assert_false(handover_post(&host));
}

/* Whatever the other side writes: a wait ends or sleeps, a post wakes or not. */
static void test_odd_words(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t odd = i * 0x9e3779b9;
		atomic_store(&plugin_words.sleeping, odd);
		atomic_store(&plugin_words.cpu, ~odd);
		handover_post(&host);
		handover_look(&host);
		atomic_store(&plugin_words.sequence, odd + 1);
		assert_int_equal(handover_wait(&host, 0), 0);
	}
}

#define HANDOVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    HANDOVER_TEST(test_awake),           HANDOVER_TEST(test_sleep),   HANDOVER_TEST(test_one_wake),
	    HANDOVER_TEST(test_wake_after_seen), HANDOVER_TEST(test_spin),    HANDOVER_TEST(test_kick),
	    HANDOVER_TEST(test_deadline),        HANDOVER_TEST(test_bound),   HANDOVER_TEST(test_without_waitv),
	    HANDOVER_TEST(test_errors),          HANDOVER_TEST(test_signals), HANDOVER_TEST(test_arm),
	    HANDOVER_TEST(test_odd_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
