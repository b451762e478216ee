/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin in a jail, without a VM: started, watched from outside, and held to what every end promises: no process, mount or
 * fd stays. The programs that use it are built twice: as whoever runs the tests, and as an ordinary user (AS_USER).
 */
#ifndef PLUGVM_TESTS_SYSTEM_JAIL_RIG_H
#define PLUGVM_TESTS_SYSTEM_JAIL_RIG_H

#include "test.h"

#include "host/process.h"
#include "jail/jail.h"

#define ORDINARY_ID 54321

/* For any one wait on a loaded machine, and for what should be at once. */
#define DEADLINE_MS 60000
#define PROMPT_MS   3000

#define SHELL(text) ((const char *const[]){"sh", "-c", text, NULL})

struct jail_rig {
	int fds_before;
	char *mounts_before;
	int socket[2];
	int output[2]; /* the plugin's stdout */
	struct plugvm_jail *jail;
	struct plugvm_plugin_config config; /* of /bin/sh in the default jail, with a wide policy */
	struct process process;
	struct plugvm_error error;
	char log[4096];
};

int jail_rig_setup(void **state);
int jail_rig_teardown(void **state);
#define JAIL_TEST(name) cmocka_unit_test_setup_teardown(name, jail_rig_setup, jail_rig_teardown)

/* Take another jail, with its profile's policy. */
void jail_rig_renew_jail(struct jail_rig *rig, enum plugvm_jail_profile profile);
/*
 * Let programs be jailed that are no plugins: a policy with all that a policy can allow, but not the call `without` (-1:
 * none), for which there may be another rule.
 */
void jail_rig_set_wide_policy(struct jail_rig *rig, int without, const char *rule);

/* Return a file's text, for free(); "" if there is none. */
char *read_file(const char *path);

/* Start the plugin with these arguments. */
void jail_rig_spawn(struct jail_rig *rig, const char *const *argv);
/* Read what the plugin writes until `text` is there (NULL: until its end). Returns false after `timeout_ms`. */
bool jail_rig_await_output(struct jail_rig *rig, char *out_text, size_t capacity, const char *text,
                           int timeout_ms);
/* Make a new pipe for the stdout of another plugin. */
void jail_rig_renew_output(struct jail_rig *rig);
/* Wait for the end, which must be this, and free the process. */
void jail_rig_expect_end(struct jail_rig *rig, enum plugvm_plugin_state state, int value);
/* Expect that the start is refused with this, and that nothing ran. */
void jail_rig_expect_refusal(struct jail_rig *rig, enum plugvm_error_kind kind, int code, const char *text);

/* For a group of tests: have some groups, and become an ordinary user if AS_USER is 1. */
int become_ordinary(void **state);

#endif
