/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run of plugvm in which one process is killed, or one system call fails. This program is the subreaper of all that it starts, so a process
 * that outlives the host becomes its child: when it has none left, none is left.
 */
#include "run.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A run that is not over then never will be. */
#define HANG_MS 30000
/* Processes and threads of one run. */
#define TASKS_MAX 64

const char *const victim_names[VICTIMS] = {"host", "builder", "init", "plugin"};

struct task {
	pid_t tid;
	pid_t pid;
	enum victim role; /* VICTIM_NONE: of the plugin's family */
	bool is_gone;
	bool is_failing;              /* the call that it is in */
	unsigned steps;               /* until it dies */
	struct user_regs_struct regs; /* when that began */
};

struct run {
	const struct point *point;
	struct outcome *outcome;
	unsigned limit_ms;
	pid_t host;
	bool is_traced;
	bool is_host_begun;   /* by exec */
	bool is_in_main;      /* the host, where what it does is ours */
	bool is_plugin_begun; /* by exec, from where it is not */
	uint64_t begin_ns, plugin_ns, kill_ns, host_end_ns;
	struct task tasks[TASKS_MAX];
	size_t task_count;
	size_t process_count;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Who is who ---- */

static pid_t process_of(pid_t tid)
{
	char path[64], line[128];
	int pid = tid;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file) && sscanf(line, "Tgid: %d", &pid) != 1)
		;
	if (file)
		fclose(file);
	return pid;
}

static struct task *find_task(struct run *run, pid_t tid)
{
	for (size_t i = 0; i < run->task_count; i++) {
		if (run->tasks[i].tid == tid && !run->tasks[i].is_gone)
			return &run->tasks[i];
	}
	if (run->task_count == TASKS_MAX)
		errx(1, "too many threads and processes for a run");
	struct task *task = &run->tasks[run->task_count++];
	*task = (struct task){.tid = tid, .pid = process_of(tid), .role = VICTIM_NONE};
	for (struct task *other = run->tasks; other < task; other++) {
		if (other->pid == task->pid && !other->is_gone) {
			task->role = other->role;
			return task;
		}
	}
	size_t nth = run->process_count++;
	if (nth > 0 && !run->point->is_jailed)
		nth += VICTIM_PLUGIN - VICTIM_BUILDER;
	task->role = nth < VICTIMS ? (enum victim)nth : VICTIM_NONE;
	return task;
}

/* Return the first child of a process, or -1. */
static pid_t child_of(pid_t pid, pid_t after)
{
	char path[64];
	int child = -1;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *file = fopen(path, "re");
	while (file && fscanf(file, "%d", &child) == 1 && child <= after)
		child = -1;
	if (file)
		fclose(file);
	return child;
}

/* Return the plugin's pidfd as soon as there is a plugin; -1 if it comes to none. */
static int await_plugin(const struct run *run)
{
	const struct timespec turn = {.tv_nsec = 100000};
	for (;;) {
		for (pid_t child = child_of(run->host, 0); child > 0; child = child_of(run->host, child)) {
			pid_t plugin = run->point->is_jailed ? child_of(child, 0) : child;
			if (plugin > 0)
				return (int)syscall(SYS_pidfd_open, plugin, 0);
		}
		siginfo_t info = {.si_pid = 0};
		if (waitid(P_PID, (id_t)run->host, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0)
			return -1;
		nanosleep(&turn, NULL);
	}
}

/* ---- The kill ---- */

static void kill_by_time(struct run *run)
{
	int pidfd = run->point->victim == VICTIM_HOST ? (int)syscall(SYS_pidfd_open, run->host, 0)
	                                              : await_plugin(run);
	const struct timespec delay = {.tv_sec = (time_t)(run->point->delay_ns / 1000000000u),
	                               .tv_nsec = (long)(run->point->delay_ns % 1000000000u)};
	nanosleep(&delay, NULL);
	run->kill_ns = now_ns();
	run->outcome->was_killed = pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
	if (pidfd >= 0)
		close(pidfd);
}

/* Whether what the task does is what this tree's code says, and not the loader's or the plugin's. */
static bool is_ours(struct run *run, const struct task *task, const struct __ptrace_syscall_info *info)
{
	/* main() begins with an open() for reading and writing; the loader only reads. */
	if (info->entry.nr == SYS_openat && (info->entry.args[2] & O_ACCMODE) == O_RDWR)
		run->is_in_main = run->is_host_begun;
	if (task->role == VICTIM_HOST)
		return run->is_in_main;
	return task->role != VICTIM_PLUGIN || !run->is_plugin_begun;
}

/* Have the call that has just begun not be made. */
static void begin_failure(struct task *task, uint64_t number)
{
	struct user_regs_struct regs;
	task->is_failing = true;
	/* An fd is closed even if close(2) says that something went wrong. */
	if (ptrace(PTRACE_GETREGS, task->tid, NULL, &task->regs) < 0 || number == SYS_close)
		return;
	regs = task->regs;
	/* Something harmless that every filter allows. */
	regs.orig_rax = SYS_close;
	regs.rdi = ~0ull;
	ptrace(PTRACE_SETREGS, task->tid, NULL, &regs);
}

static void end_failure(const struct run *run, struct task *task)
{
	struct user_regs_struct regs;
	task->is_failing = false;
	if (ptrace(PTRACE_GETREGS, task->tid, NULL, &regs) < 0)
		return;
	/* The kernel keeps what was in the other registers, and so must we. */
	regs.rdi = task->regs.rdi;
	regs.rax = (unsigned long long)-run->point->error;
	ptrace(PTRACE_SETREGS, task->tid, NULL, &regs);
}

/* The task has stopped at a system call's begin or end. */
static void count_call(struct run *run, struct task *task)
{
	const struct point *point = run->point;
	struct __ptrace_syscall_info info;
	if (task->is_failing) {
		end_failure(run, task);
		return;
	}
	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || task->role == VICTIM_NONE || info.entry.nr >= CALLS_MAX)
		return;
	if (point->error && !is_ours(run, task, &info))
		return;
	unsigned all = ++run->outcome->calls[task->role];
	unsigned same = ++run->outcome->kinds[task->role][info.entry.nr];
	if (task->role != point->victim || run->kill_ns > 0)
		return;
	if (point->number == ANY_CALL ? all != point->call
	                              : (int)info.entry.nr != point->number || same != point->call)
		return;
	if (point->steps > 0) {
		task->steps = point->steps;
		return;
	}
	run->kill_ns = now_ns();
	run->outcome->was_killed = true;
	if (point->error)
		begin_failure(task, info.entry.nr);
	else
		kill(task->pid, SIGKILL);
}

/* The task has executed an instruction. */
static void count_step(struct run *run, struct task *task)
{
	if (--task->steps > 0)
		return;
	run->kill_ns = now_ns();
	run->outcome->was_killed = true;
	kill(task->pid, SIGKILL);
}

/* A traced task has stopped: let it go on. */
static void go_on(struct run *run, pid_t tid, int status)
{
	struct task *task = find_task(run, tid);
	int signal = WSTOPSIG(status), event = status >> 16;
	if (signal == (SIGTRAP | 0x80)) {
		count_call(run, task);
		signal = 0;
	} else if (signal == SIGTRAP && event == 0 && task->steps > 0) {
		count_step(run, task);
		signal = 0;
	} else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
		ptrace(PTRACE_LISTEN, tid, NULL, NULL);
		return;
	} else if (event != 0) {
		/* What came before was the test's own. */
		if (event == PTRACE_EVENT_EXEC && task->role == VICTIM_HOST)
			run->is_host_begun = true;
		run->is_plugin_begun = run->is_plugin_begun ||
		                       (event == PTRACE_EVENT_EXEC && task->role == VICTIM_PLUGIN);
		signal = 0;
	}
	bool wants_calls = task->is_failing || (run->kill_ns == 0 && (run->point->victim == VICTIM_NONE ||
	                                                              run->point->victim == task->role));
	ptrace(task->steps > 0 ? PTRACE_SINGLESTEP
	       : wants_calls   ? PTRACE_SYSCALL
	                       : PTRACE_CONT,
	       tid, NULL, (void *)(uintptr_t)signal);
}

/* ---- The run ---- */

__attribute__((noreturn)) static void child_main(const char *const *words, int gate, int output)
{
	char byte;
	int null = open("/dev/null", O_RDWR);
	if (read(gate, &byte, 1) != 1 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(126);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	setpgid(0, 0);
	execv(words[0], (char *const *)words);
	_exit(127);
}

static void start(struct run *run, const char *const *words, int output)
{
	int gate[2];
	if (pipe2(gate, O_CLOEXEC) < 0)
		err(1, "pipe2");
	run->host = fork();
	if (run->host < 0)
		err(1, "fork");
	if (run->host == 0)
		child_main(words, gate[0], output);
	find_task(run, run->host);
	if (run->is_traced) {
		const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		                     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
		if (ptrace(PTRACE_SEIZE, run->host, NULL, (void *)options) < 0)
			err(1, "PTRACE_SEIZE");
		ptrace(PTRACE_INTERRUPT, run->host, NULL, NULL);
		int status;
		waitpid(run->host, &status, __WALL);
		go_on(run, run->host, status);
	}
	run->begin_ns = now_ns();
	if (write(gate[1], "", 1) != 1)
		err(1, "write");
	close(gate[0]);
	close(gate[1]);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Have waitpid(2) return with EINTR from then on, again and again, so that none is missed. */
static void set_alarm(unsigned after_ms)
{
	struct sigaction action = {.sa_handler = on_alarm};
	sigaction(SIGALRM, &action, NULL);
	struct itimerval timer = {.it_interval = {.tv_usec = after_ms ? 10000 : 0},
	                          .it_value = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000}};
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* When there should be no process any more. */
static uint64_t deadline_of(const struct run *run)
{
	bool is_dead = run->outcome->was_killed && !run->point->error;
	uint64_t from = is_dead ? run->kill_ns : run->host_end_ns;
	return from ? from + (uint64_t)run->limit_ms * 1000000u : run->begin_ns + (uint64_t)HANG_MS * 1000000u;
}

/* Reap until nothing is left; at the deadline, and not before, kill. */
static void reap_all(struct run *run)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == ECHILD)
			return;
		if (tid < 0 || now_ns() > deadline_of(run)) {
			if (now_ns() > deadline_of(run)) {
				run->outcome->has_orphan = true;
				run->outcome->is_hung = run->host_end_ns == 0;
				for (pid_t child = child_of(getpid(), 0); child > 0;
				     child = child_of(getpid(), child))
					kill(child, SIGKILL);
			}
			if (tid < 0)
				continue;
		}
		if (WIFSTOPPED(status)) {
			go_on(run, tid, status);
			continue;
		}
		if (run->is_traced)
			find_task(run, tid)->is_gone = true;
		if (tid == run->host) {
			run->host_end_ns = now_ns();
			run->outcome->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		}
	}
}

void run_with(const struct point *point, const char *const *words, unsigned limit_ms, struct outcome *out_outcome)
{
	struct run run = {
	    .point = point, .outcome = out_outcome, .limit_ms = limit_ms, .is_traced = point->call > 0};
	*out_outcome = (struct outcome){.status = 0};
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	int output = memfd_create("output", MFD_CLOEXEC);
	if (output < 0 || fcntl(output, F_SETFL, O_APPEND) < 0)
		err(1, "memfd_create");
	start(&run, words, output);
	out_outcome->host = run.host;
	if (!run.is_traced && point->victim != VICTIM_NONE) {
		kill_by_time(&run);
	} else if (!run.is_traced) {
		close(await_plugin(&run));
		run.plugin_ns = now_ns();
	}
	set_alarm(100);
	reap_all(&run);
	set_alarm(0);

	uint64_t end = now_ns();
	uint64_t from = out_outcome->was_killed && !point->error ? run.kill_ns : run.host_end_ns;
	out_outcome->life_ns = run.host_end_ns - run.begin_ns;
	out_outcome->plugin_life_ns = run.host_end_ns - run.plugin_ns;
	out_outcome->host_us = run.host_end_ns > from ? (unsigned)((run.host_end_ns - from) / 1000) : 0;
	out_outcome->all_us = (unsigned)((end - from) / 1000);
	if (pread(output, out_outcome->text, sizeof(out_outcome->text) - 1, 0) < 0)
		err(1, "pread");
	close(output);
}
