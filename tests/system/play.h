/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A test that is an act of the actor: it runs the built plugvm with it, and the actor checks from the inside.
 */
#ifndef PLUGVM_TESTS_SYSTEM_PLAY_H
#define PLUGVM_TESTS_SYSTEM_PLAY_H

#include <stdbool.h>

struct play {
	const char *act;
	const char *cpus;    /* NULL: one */
	const char *irqchip; /* NULL: the kernel's */
	bool unjailed;       /* it does what no jail lets it do */
};

/* Run the struct play at *state: it must end well, or say why it cannot be played here. */
void play_test(void **state);

#endif
