/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a policy must know of system calls: numbers, how wide the kernel takes their arguments, and which of them no
 * policy can allow. x86-64. Any process, any thread; no state.
 */
#ifndef PLUGVM_POLICY_SYSCALLS_H
#define PLUGVM_POLICY_SYSCALLS_H

#include <stdbool.h>

/* Arguments that a system call can have. */
#define SYSCALLS_ARGUMENTS 6

/*
 * The first number that no rule can be for: 512 and up are handlers of the x32 ABI, which some kernels let a 64-bit
 * program reach.
 */
#define SYSCALLS_NUMBER_END 512

/* Return a system call's number, or -1 if x86-64 has none of this name. */
int syscalls_number(const char *name);

/* Write "'NAME' (NUMBER)", or what is known of it. */
#define SYSCALLS_SHOWN_BYTES 64
void syscalls_show(int number, char out_text[SYSCALLS_SHOWN_BYTES]);

/* Return how many arguments the kernel takes, or -1 if that is not known of this call. */
int syscalls_argument_count(int number);

/* Return how many of an argument's 64 bits the kernel looks at, from the lowest: 16, 32 or 64; 0 if there is none. */
unsigned int syscalls_argument_bits(int number, unsigned int argument);

/* Is this a call that no policy can allow? */
bool syscalls_is_never(int number);

#endif
