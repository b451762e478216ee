/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's end of the memory that the vCPUs' messages are in, by hand. What it looks like is all that is taken from the
 * sources; turns, sequences and futexes are ours. Cases begin where the memory can still be had, and go on to the state that
 * they are about.
 */
#ifndef PLUGVM_TESTS_HOSTILE_PAGE_H
#define PLUGVM_TESTS_HOSTILE_PAGE_H

#include "channel/layout.h"
#include "raw.h"

#define EVENT_DEADLINE_S 20

extern int area_fd;
extern uint8_t *area;
extern size_t area_size;
extern struct vcpu_page *page; /* of vCPU 0 */
extern uint32_t my_turn;

void get_area(void);

/* Begin at the memory, and go to a state. */
void begin(enum state state);

long futex(_Atomic(uint32_t) *word, int operation, uint32_t value, const void *more, void *other);

/* Something is new, or not: wake the host. */
void post(void);

/* Take the next turn of ours, with whatever is in the page. */
void take_turn(void);
void answer(struct page_answer answer);
void resume(void);

void await_event(void);
struct page_event event_now(void);

/* Have the host look at a vCPU that runs. */
void pause_it(void);

#endif
