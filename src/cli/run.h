/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole run, for the verbs that make one.
 */
#ifndef PLUGVM_CLI_RUN_H
#define PLUGVM_CLI_RUN_H

#include "cli/options.h"

/* Run the plugin that the options name. Returns the exit status, with the reason printed. Once per process. */
int run_plugin(struct options *options);

#endif
