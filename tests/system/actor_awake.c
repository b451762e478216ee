/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts of a plugin that must not make a system call: after its first events it puts itself under a filter under which any
 * call ends it, and goes on answering.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"
#include "awake.h"

GUEST_DECLARE(awake);

/* Turns before the filter: the registers come along from the second on. */
#define FIRST_TURNS 100

static uint64_t turns;
/* When this turn of the guest's began, and the one before it: no wait that either side is in began earlier. */
static uint64_t begun_ns, begun_before_ns;

/* ---- The filter ---- */

/* Say it without the C library, which looks for the end of a file first. */
static void tell(const char *text)
{
	ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
	(void)ignored;
}

/* Say what was refused, and end the program by calls that are not. */
static void on_refused(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	char line[128];
	bool was_starved = begun_before_ns && awake_now_ns() - begun_before_ns >= AWAKE_NS;
	snprintf(line, sizeof(line), AWAKE_REFUSED "%d, after %llu turns%s\n", info->si_syscall,
	         (unsigned long long)turns, was_starved ? "; " AWAKE_STARVED : "");
	tell(line);
	_exit(1);
}

/* From now on allow a write to stderr, the end and, if the kernel must tell the time, that. */
static void refuse_calls(bool allows_clock)
{
	const unsigned int clock = allows_clock ? SYS_clock_gettime : SYS_exit_group;
	const unsigned int cpu = allows_clock ? SYS_getcpu : SYS_exit_group;
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 6, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, clock, 5, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, cpu, 4, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 2),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDERR_FILENO, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = COUNT(code), .filter = code};
	const struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
	expect(sigaction(SIGSYS, &action, NULL) == 0);
	expect(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Outside of a VM: end well if the kernel is not needed to tell the time and the CPU. */
static int awake_clock(char **arguments)
{
	(void)arguments;
	expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	refuse_calls(false);
	awake_now_ns();
	expect(sched_getcpu() >= 0);
	return 0;
}

/* ---- The turns ---- */

static void take_write(struct machine *machine, uint64_t port, bool is_posted, uint32_t value)
{
	machine_wait(machine);
	const struct crosvm_vcpu_event *event = &machine->event;
	expect(event->kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event->io_access.no_resume == is_posted);
	expect(event->io_access.address == port && event->io_access.length == sizeof(value));
	expect(memcmp(event->io_access.data, &value, sizeof(value)) == 0);
}

/* Take two posted writes and an event, and answer that with other registers. */
static void take_turn(struct machine *machine)
{
	struct kvm_regs regs;
	uint32_t value = (uint32_t)turns * 3;
	take_write(machine, DEVICE_PORT, true, value);
	take_write(machine, DEVICE_PORT, true, value + 1);
	take_write(machine, REPORT_PORT, false, value + 2);
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rbx == value && (uint32_t)regs.rax == value + 2);
	turns++;
	regs.rbx = (uint32_t)turns * 3;
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
	begun_before_ns = begun_ns;
	begun_ns = awake_now_ns();
	machine_resume(machine);
}

/* Stay on a CPU that is not the host's, and take the first turns. */
static void begin(struct machine *machine, const char *cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(strtoul(cpu, NULL, 10), &set);
	expect(sched_setaffinity(0, sizeof(set), &set) == 0);
	machine_init(machine, &GUEST(awake));
	expect_result(crosvm_reserve_async_write_range(machine->vm, PORT, DEVICE_PORT, 4), 0);
	machine_start(machine);
	machine_boot(machine, REAL_MODE);
	while (turns < FIRST_TURNS)
		take_turn(machine);
	say(AWAKE_READY);
}

/* CPU TURNS CLOCK: so many turns without a system call, or only those for the time. */
static int awake_filtered(char **arguments)
{
	struct machine machine;
	begin(&machine, arguments[0]);
	uint64_t end = turns + strtoul(arguments[1], NULL, 10);
	refuse_calls(strcmp(arguments[2], "by-kernel") == 0);
	while (turns < end)
		take_turn(&machine);
	tell("done\n");
	return 0;
}

/* CPU: turns until somebody ends it. */
static int awake_rest(char **arguments)
{
	struct machine machine;
	begin(&machine, arguments[0]);
	while (turns > 0)
		take_turn(&machine);
	return 1;
}

const struct act awake_acts[] = {
    {"awake-clock", awake_clock},
    {"awake-filtered", awake_filtered},
    {"awake-rest", awake_rest},
    {NULL, NULL},
};
