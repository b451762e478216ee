/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run of plugvm in which one process is killed, after some time or when it makes its nth system call, or in which its
 * nth call fails.
 */
#ifndef PLUGVM_TESTS_KILL_RUN_H
#define PLUGVM_TESTS_KILL_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In the order in which the processes of a run appear; without a jail there is no builder and no init. */
enum victim { VICTIM_HOST, VICTIM_BUILDER, VICTIM_INIT, VICTIM_PLUGIN, VICTIMS, VICTIM_NONE = VICTIMS };

extern const char *const victim_names[VICTIMS];

/* Numbers of system calls, of those that we make. */
#define CALLS_MAX 512
#define ANY_CALL  -1

struct point {
	enum victim victim;
	bool is_jailed;
	bool is_limited; /* by control groups, where they can be had */
	/* 0: by time. Else all is traced, and it happens as the victim makes this call: the nth, or the nth of a kind. */
	unsigned call;
	int number;     /* ANY_CALL, or the kind */
	unsigned steps; /* so many instructions of that thread later, system calls being one each */
	/* 0: the victim dies. Else the call fails with this; only our own calls count, not those of loader and plugin. */
	int error;
	uint64_t delay_ns; /* from the begin of the victim's life; for the host that is its exec */
};

struct outcome {
	bool was_killed; /* the point was reached */
	pid_t host;
	int status;       /* the host's exit status, or the negated signal that killed it */
	unsigned host_us; /* from the kill to the end of the host */
	unsigned all_us;  /* from the kill to the end of all processes; without a kill, from the end of the host */
	uint64_t life_ns; /* the run's length, if nobody was killed */
	uint64_t plugin_life_ns; /* the same from where the plugin was seen; not traced */
	unsigned calls[VICTIMS]; /* traced: how many each of them has made, and how many of each kind */
	unsigned kinds[VICTIMS][CALLS_MAX];
	bool is_hung;     /* the host did not end */
	bool has_orphan;  /* a process was there after `limit_ms` */
	char text[16384]; /* what was printed */
};

/* Run the words, which are a host and its plugin. Ends the program if it cannot. */
void run_with(const struct point *point, const char *const *words, unsigned limit_ms, struct outcome *out_outcome);

#endif
