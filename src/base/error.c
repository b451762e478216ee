/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one way to fail with words.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *error_name(int code)
{
	const char *name = strerrorname_np(code);
	return name ? name : "unknown error";
}

static void fill(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format,
                 va_list arguments) __attribute__((format(printf, 4, 0)));

static void fill(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format,
                 va_list arguments)
{
	if (!out_error)
		return;
	out_error->code = code;
	out_error->kind = kind;
	vsnprintf(out_error->text, sizeof(out_error->text), format, arguments);
	/* One printable line, whatever a file is called. */
	for (char *c = out_error->text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

int error_set(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fill(out_error, kind, code, format, arguments);
	va_end(arguments);
	if (out_error) {
		size_t used = strlen(out_error->text);
		snprintf(out_error->text + used, sizeof(out_error->text) - used, ": %s (%s)",
		         strerrordesc_np(code) ? strerrordesc_np(code) : "unknown error", error_name(code));
	}
	return -code;
}

int error_set_plain(struct plugvm_error *out_error, enum plugvm_error_kind kind, int code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fill(out_error, kind, code, format, arguments);
	va_end(arguments);
	return -code;
}
