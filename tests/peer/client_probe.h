/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of client_probe share: the handles, and the words about a step.
 */
#ifndef PLUGVM_TESTS_PEER_CLIENT_PROBE_H
#define PLUGVM_TESTS_PEER_CLIENT_PROBE_H

#include <crosvm.h>
#include <stddef.h>
#include <stdio.h>

#define PAGE 4096

struct step {
	const char *name;
	int (*run)(void); /* its result is printed */
};

#define STEP(name)                 \
	{                          \
#name, step_##name \
	}

extern struct crosvm *vm;
extern struct crosvm_memory *memory;
extern struct crosvm_io *io;
extern struct crosvm_irq *irq;
extern struct crosvm_vcpu *vcpu;
extern struct crosvm_vcpu_event event;

/* What is to be told of a step beside what it returned. */
extern char details[256];

#define TELL(...) snprintf(details, sizeof(details), __VA_ARGS__)

/* Tell the event that a wait, which returned `result`, has brought. */
int tell_event(int result);
int set_routing(uint32_t count, uint32_t kind);

/* ---- client_probe_additions.c ---- */

/* The steps of API 0.23; ends with a name that is NULL. */
extern const struct step additions[];

void tell_addition(void);
void answer_addition(void);

#endif
