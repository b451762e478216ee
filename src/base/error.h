/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one way to fail with words: fills a struct plugvm_error.
 */
#ifndef PLUGVM_BASE_ERROR_H
#define PLUGVM_BASE_ERROR_H

#include "plugvm.h"

/*
 * Fill *out_error (unless it is NULL) with the formatted text, ": " and the name of `code`, and return -code. The
 * text says which step failed and on what.
 */
int error_set(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same without the name of `code`, for a text that says it all. */
int error_set_plain(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Return the symbolic name of a positive errno ("ENOENT"), or "unknown error". Never NULL. */
const char *error_name(int code);

#endif
