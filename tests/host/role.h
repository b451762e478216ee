/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plugins for the tests of whole machines: the test program starts itself again with a role, and speaks the wire
 * without the client library.
 */
#ifndef PLUGVM_TESTS_HOST_ROLE_H
#define PLUGVM_TESTS_HOST_ROLE_H

#include "plugvm.h"

/* Play the role if the program was started with one; to be called first in main(). Does not return then. */
void role_main(int argc, char **argv);

/* The path and the arguments that make this program a plugin with that role. */
const char *role_path(void);
const char *const *role_argv(const char *role);
/* A machine of two vCPUs with such a plugin, which is given time. */
struct plugvm_machine_config role_machine(const char *role, plugvm_log_fn *log, void *context);

/*
 * The roles. All but the first two start the VM.
 *   close        close the connection and wait
 *   refused      exit with the error of start, 0 if there was none
 *   serve        answer everything; exit with 0 when told to
 *   end          the same, and say on stderr why the VM ends: reason, value, vCPU and text
 *   stubborn     as serve, but never exit
 *   no-init      never ask for INIT
 *   no-resume    ask for INIT and never resume
 *   no-answer    resume from INIT, and answer nothing after that
 *   deaf         resume from INIT, and read nothing after that; the range is one of writes that need no answer
 *   pause        resume from INIT, pause every vCPU twice, and exit with 0
 *   garbage      send nonsense on vCPU 0's channel
 *   close-vcpus  close the vCPU channels
 *   crash        abort once started
 */

#endif
