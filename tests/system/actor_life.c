/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about how a plugin lives and dies. "life STEP DEED" walks the ordinary way and does the deed at that step.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(busy_port);
GUEST_DECLARE(spin);
GUEST_DECLARE(halt);
GUEST_DECLARE(await_plugin);
GUEST_DECLARE(triple_fault);
GUEST_DECLARE(absent_memory);

#define HUGE_PAGE (2u << 20)

__attribute__((noreturn)) static void rest_for_ever(void)
{
	for (;;)
		pause();
}

/* ---- Deeds ---- */

static void deed_exit_0(void)
{
	exit(0);
}

static void deed_exit_3(void)
{
	exit(3);
}

static void deed_sigkill(void)
{
	raise(SIGKILL);
}

static void deed_sigsegv(void)
{
	raise(SIGSEGV);
}

static void deed_stop(void)
{
	say("ready");
	raise(SIGSTOP);
	rest_for_ever();
}

static void deed_rest(void)
{
	say("ready");
	rest_for_ever();
}

static void deed_close_all(void)
{
	syscall(SYS_close_range, 0u, ~0u, 0u);
	rest_for_ever();
}

static void deed_fork(void)
{
	pid_t child = fork();
	expect(child >= 0);
	if (child == 0) {
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		rest_for_ever();
	}
	exit(0);
}

static const struct {
	const char *name;
	void (*perform)(void);
} deeds[] = {
    {"exit-0", deed_exit_0}, {"exit-3", deed_exit_3},       {"sigkill", deed_sigkill}, {"sigsegv", deed_sigsegv},
    {"stop", deed_stop},     {"close-all", deed_close_all}, {"rest", deed_rest},       {"fork", deed_fork},
};

static void perform(const char *deed)
{
	for (size_t i = 0; i < COUNT(deeds); i++) {
		if (strcmp(deeds[i].name, deed) == 0)
			deeds[i].perform();
	}
	fprintf(stderr, "there is no deed '%s'\n", deed);
	exit(2);
}

static int life(char **arguments)
{
	const char *step = arguments[0], *deed = arguments[1];
	struct machine machine;
	if (strcmp(step, "begin") == 0)
		perform(deed);
	machine_init(&machine, &GUEST(busy_port));
	if (strcmp(step, "connected") == 0)
		perform(deed);
	machine_start(&machine);
	if (strcmp(step, "started") == 0)
		perform(deed);
	machine_wait(&machine);
	if (strcmp(step, "init") == 0)
		perform(deed);
	machine_enter(machine.vcpu, REAL_MODE);
	machine_resume(&machine);
	machine_wait(&machine);
	if (strcmp(step, "event") == 0)
		perform(deed);
	fprintf(stderr, "there is no step '%s'\n", step);
	return 2;
}

/* ---- The shutdown eventfd ---- */

static int get_shutdown_eventfd(struct machine *machine)
{
	int fd = crosvm_get_shutdown_eventfd(machine->vm);
	expect(fd >= 0);
	expect(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	return fd;
}

static void await_shutdown(int fd)
{
	uint64_t value = 0;
	expect(read(fd, &value, sizeof(value)) == sizeof(value) && value == 1);
}

/* With a guest that runs: wait to be told, then exit. */
static int obey(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(spin));
	int fd = get_shutdown_eventfd(&machine);
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_wait(&machine);
	machine_resume(&machine);
	say("ready");
	await_shutdown(fd);
	/* It is readable once. */
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	expect(poll(&poll_fd, 1, 0) == 0);
	return 0;
}

/* Say that it was told, and stay. */
static int disobey(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(spin));
	int fd = get_shutdown_eventfd(&machine);
	say("ready");
	await_shutdown(fd);
	say("told to exit");
	rest_for_ever();
}

static int saturate(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(spin));
	int fd = get_shutdown_eventfd(&machine);
	expect(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
	uint64_t value = UINT64_MAX - 1;
	expect(write(fd, &value, sizeof(value)) == sizeof(value));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	deed_rest();
	return 1;
}

/* ---- Guests ---- */

/* Let the guest do what it does after its report, until the VM ends. */
static int run_until_end(const struct guest *guest, bool reports)
{
	struct machine machine;
	machine_init(&machine, guest);
	machine_start(&machine);
	machine_boot(&machine, guest->mode);
	if (reports) {
		machine_wait(&machine);
		machine_resume(&machine);
		say("ready");
	}
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	return 0;
}

static int spin(char **arguments)
{
	(void)arguments;
	return run_until_end(&GUEST(spin), true);
}

static int halt(char **arguments)
{
	(void)arguments;
	return run_until_end(&GUEST(halt), true);
}

static int triple_fault(char **arguments)
{
	(void)arguments;
	return run_until_end(&GUEST_64(triple_fault), false);
}

/* Guest memory of huge pages, of which the machine has none to give: KVM cannot run a guest that touches it. */
static int absent_memory(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_memory *memory;
	machine_init(&machine, &GUEST(absent_memory));
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	expect(fd >= 0 && ftruncate(fd, HUGE_PAGE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	expect_result(crosvm_create_memory(machine.vm, fd, 0, HUGE_PAGE, DEVICE_ADDRESS, false, false, &memory),
	              0);
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	return 0;
}

/* Two vCPUs: the second is never resumed, so that the first stays at the barrier. */
static int barrier(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu *second;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	expect_result(crosvm_get_vcpu(machine.vm, 1, &second), 0);
	struct crosvm_vcpu_event event;
	expect_result(crosvm_vcpu_wait(second, &event), 0);
	machine_boot(&machine, REAL_MODE);
	say("ready");
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	return 0;
}

/* ---- Against the rules ---- */

/*
 * "break-rules TAG COUNT": while the vCPU runs, send it so many empty requests with this tag, by hand. Exits with 0
 * if each was refused and the vCPU's next event came all the same.
 */
static int break_rules(char **arguments)
{
	const uint8_t request[] = {(uint8_t)strtoul(arguments[0], NULL, 0), 0};
	long count = strtol(arguments[1], NULL, 10);
	setenv("PLUGVM_CHANNEL", "packets", 1);
	/* crosvm_connect() receives the vCPU's channel under the first free numbers, the requests' end first. */
	int requests = dup(STDERR_FILENO);
	expect(requests >= 0 && close(requests) == 0);
	struct machine machine;
	machine_init(&machine, &GUEST(await_plugin));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_wait(&machine);
	machine_resume(&machine);
	for (long i = 0; i < count; i++)
		expect(send(requests, request, sizeof(request), MSG_NOSIGNAL) == sizeof(request));
	/* Now the guest makes its next access, which finds them there. */
	__atomic_store_n(machine.memory + BUFFER, 1, __ATOMIC_RELEASE);

	int result;
	long refusals = -1;
	do {
		result = crosvm_vcpu_wait(machine.vcpu, &machine.event);
		refusals++;
	} while (result == -EPROTO || result == -EBUSY);
	expect_result(result, 0);
	expect(refusals == count && machine.event.io_access.address == REPORT_PORT);
	return 0;
}

/* ---- For who is killed at any time ---- */

/* A child, and one that has left it and its session. */
static void have_family(void)
{
	pid_t child = fork();
	expect(child >= 0);
	if (child > 0)
		return;
	if (fork() == 0)
		setsid();
	rest_for_ever();
}

/* All of a plugin's life in short: start, INIT, exits, pauses, state, an ordinary end. */
static int mortal(char **arguments)
{
	say("began");
	struct machine machine;
	if (arguments[0] && strcmp(arguments[0], "with-family") == 0)
		have_family();
	machine_init(&machine, &GUEST(busy_port));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	for (int turn = 0; turn < 100; turn++) {
		machine_wait(&machine);
		if (turn % 10 == 5)
			expect_result(crosvm_pause_vcpus(machine.vm, 1, &machine), 0);
		struct kvm_regs regs;
		expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
		machine_resume(&machine);
	}
	say("leaving");
	return 0;
}

const struct act life_acts[] = {
    {"mortal", mortal},
    {"life", life},
    {"obey", obey},
    {"disobey", disobey},
    {"saturate", saturate},
    {"spin", spin},
    {"halt", halt},
    {"triple-fault", triple_fault},
    {"absent-memory", absent_memory},
    {"barrier", barrier},
    {"break-rules", break_rules},
    {NULL, NULL},
};
