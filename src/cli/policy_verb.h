/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `plugvm policy`: policies of system calls explained, shown and learned.
 */
#ifndef PLUGVM_CLI_POLICY_VERB_H
#define PLUGVM_CLI_POLICY_VERB_H

/* Carry out the words from `policy` on. Returns an exit status. */
int policy_verb(int argc, char **argv);

#endif
