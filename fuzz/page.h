/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's page that one side fuzzes and the other reads: what the other side does comes from the input, in small steps, one
 * at each sleep and one before each call. System calls are replaced; the clock is a number.
 */
#ifndef PLUGVM_FUZZ_PAGE_H
#define PLUGVM_FUZZ_PAGE_H

#include "channel/layout.h"
#include "fuzz.h"

extern struct vcpu_page *page;
extern uint64_t page_now_ns;

/* Replace the system calls. `done` is called by a sleep when the input is at its end: it has to end the wait. */
void page_install(void (*done)(void));

/* Begin with a page of zeros and an input. */
void page_begin(struct input *input);

/* Write a word: one of the 64 bytes at `offset`, which are the other side's own, or any. */
void page_lie(struct input *input, size_t offset);

/* What the other side does next; the target's own. */
void page_answer(struct input *input);

#endif
