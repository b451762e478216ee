/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may spin.
 */
#include "channel/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/calls.h"

void tokens_init(struct tokens *tokens, struct spin_setting setting, unsigned int usable, int loadavg)
{
	memset(tokens, 0, sizeof(*tokens));
	tokens->setting = setting;
	tokens->usable = usable;
	tokens->most = TOKENS_MAX;
	int online = channel_calls.online();
	tokens->online = online > 0 ? (unsigned int)online : usable;
	tokens->loadavg = loadavg;
}

void tokens_add_vcpus(struct tokens *tokens, uint32_t count)
{
	atomic_fetch_add_explicit(&tokens->vcpus, count, memory_order_relaxed);
}

void token_init(struct token *token, struct tokens *tokens)
{
	*token = (struct token){.tokens = tokens};
}

/* How many there are when nobody else wants a CPU. */
static uint32_t tokens_most(const struct tokens *tokens)
{
	uint32_t vcpus = atomic_load_explicit(&tokens->vcpus, memory_order_relaxed);
	uint32_t most = tokens->usable > vcpus ? tokens->usable - vcpus : 0;
	return most < tokens->most ? most : tokens->most;
}

static uint32_t tokens_now(const struct tokens *tokens)
{
	uint32_t most = tokens_most(tokens);
	uint32_t withdrawn = atomic_load_explicit(&tokens->withdrawn, memory_order_relaxed);
	return most > withdrawn ? most - withdrawn : 0;
}

/* Read how many threads of the machine run or want to: "0.20 0.18 0.12 RUNNING/ALL PID". Returns -1 if that fails. */
static long read_running(int loadavg)
{
	char text[128];
	ssize_t size = channel_calls.pread(loadavg, text, sizeof(text) - 1, 0);
	if (size <= 0)
		return -1;
	text[size] = '\0';
	const char *slash = strchr(text, '/');
	while (slash && slash > text && slash[-1] != ' ')
		slash--;
	return slash ? strtol(slash, NULL, 10) : -1;
}

/*
 * How many tokens come back. As many as there are idle CPUs; and one now and then where all are busy and no more want to run:
 * a plugin that is woken for each message runs whenever its vCPU looks.
 */
static uint32_t back_after(struct tokens *tokens, uint32_t idle)
{
	if (atomic_fetch_add_explicit(&tokens->calm, 1, memory_order_relaxed) + 1 < TOKENS_CALM)
		return idle;
	atomic_store_explicit(&tokens->calm, 0, memory_order_relaxed);
	return idle > 0 ? idle : 1;
}

/* How many are withdrawn more. A single look may meet a thread that runs for a moment. */
static uint32_t away_after(struct tokens *tokens, uint32_t over)
{
	atomic_store_explicit(&tokens->calm, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&tokens->crowded, 1, memory_order_relaxed) + 1 >= TOKENS_LOOKS ? over : 0;
}

/* One look at the machine. */
static void look(struct tokens *tokens)
{
	long running = read_running(tokens->loadavg);
	if (running < 0)
		return;
	uint32_t withdrawn = atomic_load_explicit(&tokens->withdrawn, memory_order_relaxed);
	long over = running - (long)tokens->online;
	if (over <= 0) {
		atomic_store_explicit(&tokens->crowded, 0, memory_order_relaxed);
		uint32_t back = back_after(tokens, (uint32_t)-over);
		withdrawn -= back < withdrawn ? back : withdrawn;
	} else {
		uint32_t most = tokens_most(tokens), left = most > withdrawn ? most - withdrawn : 0;
		uint32_t away = away_after(tokens, (uint32_t)over);
		withdrawn += away < left ? away : left;
	}
	atomic_store_explicit(&tokens->withdrawn, withdrawn, memory_order_relaxed);
}

/* One of the vCPUs looks, for all. */
static void look_if_due(struct tokens *tokens, uint64_t now_ns)
{
	uint64_t due = atomic_load_explicit(&tokens->next_look_ns, memory_order_relaxed);
	if (tokens->loadavg < 0 || now_ns < due)
		return;
	if (atomic_compare_exchange_strong(&tokens->next_look_ns, &due, now_ns + TOKENS_LOOK_NS))
		look(tokens);
}

static bool take_place(struct token *token, uint32_t place, uint64_t expected, uint64_t now_ns)
{
	if (!atomic_compare_exchange_strong(&token->tokens->leases[place], &expected, now_ns + TOKEN_LEASE_NS))
		return false;
	token->place = place;
	token->until_ns = now_ns + TOKEN_LEASE_NS;
	return true;
}

static bool take_lease(struct token *token, uint64_t now_ns)
{
	struct tokens *tokens = token->tokens;
	uint32_t count = tokens_now(tokens);
	/* Its own again, unless somebody has taken it over. */
	if (token->until_ns > 0 && token->place < count &&
	    take_place(token, token->place, token->until_ns, now_ns))
		return true;
	token->until_ns = 0;
	for (uint32_t place = 0; place < count; place++) {
		uint64_t until = atomic_load_explicit(&tokens->leases[place], memory_order_relaxed);
		if (until <= now_ns && take_place(token, place, until, now_ns))
			return true;
	}
	return false;
}

uint32_t token_renew(struct token *token, uint64_t now_ns)
{
	struct tokens *tokens = token->tokens;
	token->events = 0;
	if (tokens->setting.mode == SPIN_FIXED) {
		token->limit = tokens->setting.fixed_ns | SPIN_WORD_FIXED;
	} else {
		look_if_due(tokens, now_ns);
		token->limit = take_lease(token, now_ns) ? SPIN_BUDGET_NS : 0;
	}
	return token->limit;
}

uint32_t token_limit(struct token *token)
{
	if (token->until_ns > 0 && ++token->events < TOKEN_EVENTS)
		return token->limit;
	/* Without a token nothing is fast anyway, and the clock costs little. */
	return token->tokens->setting.mode == SPIN_FIXED ? token_renew(token, 0)
	                                                 : token_renew(token, channel_calls.clock_ns());
}
