/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls in words: their names, what their arguments are called, and values as a person would write them in a
 * policy. Any process, any thread; no state.
 */
#ifndef PLUGVM_POLICY_DECODE_H
#define PLUGVM_POLICY_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any name or value that is written here. */
#define DECODE_TEXT_MAX 512

/* An argument whose values have names. */
struct decode_argument {
	const char *call;
	uint8_t argument;
	bool narrows;       /* the call's number alone allows too much: a policy should look at this argument */
	const char *name;   /* as in the call's manual page */
	const char *values; /* names of constants, one of which it is; NULL: none has a name */
	const char
	    *flags; /* names of constants whose bits are added to that, wide ones before narrow ones; or NULL */
};

/* Return what is known of an argument of a call, or NULL. */
const struct decode_argument *decode_argument(int number, unsigned int argument);

/* Store the call's name, or its number in digits. */
void decode_call(int number, char out_text[DECODE_TEXT_MAX]);

/* Store an argument's value as constants with `|` between them as far as they are known, or as a number. */
void decode_value(int number, unsigned int argument, uint64_t value, char out_text[DECODE_TEXT_MAX]);

/* The same for a mask, of which each bit counts. */
void decode_bits(int number, unsigned int argument, uint64_t value, char out_text[DECODE_TEXT_MAX]);

#endif
