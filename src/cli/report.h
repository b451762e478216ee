/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What plugvm prints: log lines, errors with advice, how the VM ended.
 */
#ifndef PLUGVM_CLI_REPORT_H
#define PLUGVM_CLI_REPORT_H

#include "cli/options.h"

/* A plugvm_log_fn; `context` is a const struct options. Gives up on a line rather than wait for the terminal. */
void report_log(void *context, enum plugvm_log_level level, const char *line);

/* Print a failure of the library and, where there is some, advice. Returns the exit status. */
int report_error(const struct options *options, const struct plugvm_error *error);

/* Print how the VM ended. Returns the exit status. */
int report_result(const struct options *options, const struct plugvm_result *result);

/* Print the account of exits. */
void report_exit_counts(const struct plugvm_machine *machine);

#endif
