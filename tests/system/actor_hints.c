/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about hypercall hints: when the registers come along with an event. They stop the host: what is answered all the
 * same has come along.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

/* How long to wait for an answer that must come, and for one that must not. */
#define PATIENCE_S    20
#define IMPATIENCE_MS 150

enum { REGS = 1, SREGS = 2, DEBUGREGS = 4 };

/* ---- The host stands still ---- */

static pid_t host;

static void go_on(void)
{
	kill(host, SIGCONT);
}

/* Returns whether every thread of the host is stopped. */
static bool is_stopped(void)
{
	char path[320], state = 'T';
	snprintf(path, sizeof(path), "/proc/%d/task", host);
	DIR *tasks = opendir(path);
	expect(tasks != NULL);
	for (struct dirent *task = readdir(tasks); task && state == 'T'; task = readdir(tasks)) {
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", host, task->d_name);
		FILE *file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(file);
	}
	closedir(tasks);
	return state == 'T';
}

static void stop_host(void)
{
	expect(kill(host, SIGSTOP) == 0);
	while (!is_stopped())
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

struct question {
	struct crosvm_vcpu *vcpu;
	int set;
	int result;
	sem_t answered;
};

static void *ask(void *argument)
{
	struct question *question = argument;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	question->result = question->set == REGS    ? crosvm_vcpu_get_regs(question->vcpu, &regs)
	                   : question->set == SREGS ? crosvm_vcpu_get_sregs(question->vcpu, &sregs)
	                                            : crosvm_vcpu_get_debugregs(question->vcpu, &debugregs);
	sem_post(&question->answered);
	return NULL;
}

/* Expect that this get needs the host, or that it does not. */
static void expect_alone(struct machine *machine, int set, bool alone)
{
	struct question question = {.vcpu = machine->vcpu, .set = set};
	struct timespec until;
	pthread_t thread;
	expect(sem_init(&question.answered, 0, 0) == 0);
	stop_host();
	expect(pthread_create(&thread, NULL, ask, &question) == 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += alone ? PATIENCE_S : 0;
	until.tv_nsec += alone ? 0 : IMPATIENCE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	bool answered = sem_timedwait(&question.answered, &until) == 0;
	go_on();
	pthread_join(thread, NULL);
	sem_destroy(&question.answered);
	if (answered != alone)
		fprintf(stderr, "set %d %s\n", set, alone ? "did not come along" : "came along");
	expect(answered == alone);
	expect_result(question.result, 0);
}

static void expect_sets(struct machine *machine, int sets)
{
	for (int set = REGS; set <= DEBUGREGS; set *= 2)
		expect_alone(machine, set, sets & set);
}

/* ---- Which access, which details ---- */

static void set_hint(struct machine *machine, uint32_t space, uint64_t address, bool on_write,
                     struct crosvm_hint_detail *details, uint16_t count)
{
	const struct crosvm_hint hint = {
	    .address_space = space,
	    .address_flags = on_write ? CROSVM_HINT_ON_WRITE : 0,
	    .address = address,
	    .details_count = count,
	    .details = details,
	};
	expect_result(crosvm_set_hypercall_hint(machine->vm, 1, &hint), 0);
}

static void begin(struct machine *machine, const struct step *steps, size_t count)
{
	/* Nobody else's process is ever stopped: the actor dies with the host. */
	host = getppid();
	expect(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == host);
	atexit(go_on);
	script_init(machine, steps, count);
	expect_result(crosvm_reserve_range(machine->vm, MMIO, WIDE_ADDRESS, 16), 0);
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 4), 0);
	machine_start(machine);
}

/* In shared memory what was once asked for comes along from then on. In packets only what is hinted at does. */
static void only_hinted_registers(void)
{
	setenv("PLUGVM_CHANNEL", "packets", 1);
}

static int hint_details(char **arguments)
{
	only_hinted_registers();
	(void)arguments;
	static struct crosvm_hint_detail details[] = {
	    {.match_rax = true, .rax = 0x1000000010, .send_sregs = true},
	    {.match_rbx = true, .rbx = 0x20, .send_debugregs = true},
	    {.match_rcx = true, .rcx = 0x30, .send_sregs = true, .send_debugregs = true},
	    {.match_rdx = true, .rdx = 0x40, .send_sregs = true},
	    {.match_rax = true,
	     .match_rbx = true,
	     .match_rcx = true,
	     .match_rdx = true,
	     .rax = 0x50,
	     .rbx = 0x51,
	     .rcx = 0x52,
	     .rdx = 0x53,
	     .send_debugregs = true},
	    {.match_rax = true, .rax = 0x60},
	    {.match_rax = true, .rax = 0x60, .send_sregs = true, .send_debugregs = true},
	};
	static const struct {
		uint64_t rax, rbx, rcx, rdx;
		int sets;
	} cases[] = {
	    {0x1000000010, 0, 0, 0, REGS | SREGS},
	    {0x10, 0, 0, 0, REGS}, /* all 64 bits count */
	    {0, 0x20, 0, 0, REGS | DEBUGREGS},
	    {0, 0, 0x30, 0, REGS | SREGS | DEBUGREGS},
	    {0, 0, 0, 0x40, REGS | SREGS},
	    {0x50, 0x51, 0x52, 0x53, REGS | DEBUGREGS},
	    {0x50, 0x51, 0x52, 0x54, REGS},
	    {0x60, 0, 0, 0, REGS}, /* the first that matches */
	    {0x1000000010, 0x20, 0, 0, REGS | SREGS},
	};
	struct step steps[COUNT(cases) + 1] = {{0}};
	for (size_t i = 0; i < COUNT(cases); i++)
		steps[i] = (struct step){STEP_STORE32, WIDE_ADDRESS, cases[i].rax,
		                         cases[i].rbx, cases[i].rcx, cases[i].rdx};
	struct machine machine;
	begin(&machine, steps, COUNT(cases));
	set_hint(&machine, MMIO, WIDE_ADDRESS, true, details, COUNT(details));
	machine_boot(&machine, LONG_MODE);
	for (size_t i = 0; i < COUNT(cases); i++) {
		machine_wait(&machine);
		expect(machine.event.io_access.address == WIDE_ADDRESS);
		/* What came along is what it is. */
		struct kvm_regs regs;
		expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
		expect(regs.rax == cases[i].rax && regs.rbx == cases[i].rbx && regs.rcx == cases[i].rcx &&
		       regs.rdx == cases[i].rdx && regs.rdi == WIDE_ADDRESS);
		expect_sets(&machine, cases[i].sets);
		machine_resume(&machine);
	}
	machine_expect(&machine, NULL, 0);
	return 0;
}

static void hint_on_read(struct machine *machine)
{
	/* A detail that matches anything. */
	static struct crosvm_hint_detail any = {.send_sregs = true};
	set_hint(machine, MMIO, WIDE_ADDRESS, false, &any, 1);
}

static void came_with_sregs(struct machine *machine)
{
	expect_sets(machine, REGS | SREGS);
}

static void came_with_regs(struct machine *machine)
{
	expect_sets(machine, REGS);
}

static void came_alone(struct machine *machine)
{
	expect_alone(machine, REGS, false);
}

static void hint_on_port(struct machine *machine)
{
	set_hint(machine, PORT, DEVICE_PORT, true, NULL, 0);
}

static void hint_on_other_space(struct machine *machine)
{
	set_hint(machine, PORT, WIDE_ADDRESS, true, NULL, 0);
}

static void clear_hint(struct machine *machine)
{
	set_hint(machine, MMIO, WIDE_ADDRESS, true, NULL, 0);
	expect_result(crosvm_set_hypercall_hint(machine->vm, 0, NULL), 0);
}

static int hint_access(char **arguments)
{
	only_hinted_registers();
	(void)arguments;
	static const struct step steps[] = {
	    STEP(REPORT, 0, 1),
	    STEP(LOAD32, WIDE_ADDRESS, 0),
	    STEP(STORE32, WIDE_ADDRESS, 2),
	    STEP(LOAD32, WIDE_ADDRESS + 4, 0),
	    STEP(REPORT, 0, 3),
	    STEP(OUT8, DEVICE_PORT, 4),
	    STEP(IN8, DEVICE_PORT, 0),
	    STEP(REPORT, 0, 5),
	    STEP(STORE32, WIDE_ADDRESS, 6),
	    STEP(REPORT, 0, 7),
	    STEP(STORE32, WIDE_ADDRESS, 8),
	};
	static const struct access accesses[] = {
	    REPORTS_THEN(1, hint_on_read),
	    {MMIO, WIDE_ADDRESS, 4, false, 0x11, came_with_sregs},
	    REPORTS(0x11),
	    {MMIO, WIDE_ADDRESS, 4, true, 2, came_alone},
	    {MMIO, WIDE_ADDRESS + 4, 4, false, 0x12, came_alone},
	    REPORTS(0x12),
	    REPORTS_THEN(3, hint_on_port),
	    {PORT, DEVICE_PORT, 1, true, 4, came_with_regs},
	    {PORT, DEVICE_PORT, 1, false, 0x13, came_alone},
	    REPORTS(0x13),
	    REPORTS_THEN(5, hint_on_other_space),
	    {MMIO, WIDE_ADDRESS, 4, true, 6, came_alone},
	    REPORTS_THEN(7, clear_hint),
	    {MMIO, WIDE_ADDRESS, 4, true, 8, came_alone},
	};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- Get, set and resume without the host ---- */

static int hint_alone(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(CALL, WIDE_ADDRESS, 0x11)};
	static struct crosvm_hint_detail both = {.send_sregs = true, .send_debugregs = true};
	static const struct access after[] = {REPORTS(0x22)};
	struct machine machine;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	begin(&machine, steps, COUNT(steps));
	set_hint(&machine, MMIO, WIDE_ADDRESS, true, &both, 1);
	machine_boot(&machine, LONG_MODE);
	machine_wait(&machine);
	expect(machine.event.io_access.address == WIDE_ADDRESS);

	stop_host();
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(machine.vcpu, &debugregs), 0);
	expect(regs.rax == 0x11 && sregs.cs.l == 1 && debugregs.db[0] == 0);
	regs.rax = 0x22;
	sregs.fs.base = 0x3000;
	debugregs.db[0] = 0x4000;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_set_debugregs(machine.vcpu, &debugregs), 0);
	expect_result(crosvm_vcpu_resume(machine.vcpu), 0);
	expect(is_stopped());
	go_on();

	machine_take(&machine, after, COUNT(after));
	machine_wait(&machine);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(machine.vcpu, &debugregs), 0);
	expect(sregs.fs.base == 0x3000 && debugregs.db[0] == 0x4000);
	return 0;
}

/* A get after a set asks the host what it made of it. */
static int hint_get_after_set(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(CALL, WIDE_ADDRESS, 0x11)};
	static const struct access after[] = {REPORTS(0x33)};
	struct machine machine;
	struct kvm_regs regs;
	begin(&machine, steps, COUNT(steps));
	set_hint(&machine, MMIO, WIDE_ADDRESS, true, NULL, 0);
	machine_boot(&machine, LONG_MODE);
	machine_wait(&machine);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	regs.rax = 0x33;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	expect_alone(&machine, REGS, false);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rax == 0x33);
	machine_resume(&machine);
	machine_expect(&machine, after, COUNT(after));
	return 0;
}

/* An event that comes again after a refusal brings the registers that are there now, not those of the first time. */
static int hint_refused(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(CALL, WIDE_ADDRESS, 0x11)};
	static struct crosvm_hint_detail both = {.send_sregs = true, .send_debugregs = true};
	static const struct access after[] = {REPORTS(0x44)};
	struct machine machine;
	struct kvm_regs regs;
	struct kvm_sregs sregs, bad;
	struct kvm_debugregs debugregs;
	begin(&machine, steps, COUNT(steps));
	set_hint(&machine, MMIO, WIDE_ADDRESS, true, &both, 1);
	machine_boot(&machine, LONG_MODE);
	machine_wait(&machine);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(machine.vcpu, &debugregs), 0);
	regs.rax = 0x44;
	sregs.fs.base = 0x3000;
	debugregs.db[0] = 0x4000;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_set_debugregs(machine.vcpu, &debugregs), 0);
	/* A get sends ahead what was set. */
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(machine.vcpu, &debugregs), 0);
	bad = sregs;
	bad.cr0 = 0x80000000; /* paging without protection */
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &bad), 0);
	machine_resume(&machine);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -EINVAL);
	expect(machine.event.io_access.address == WIDE_ADDRESS);
	expect_sets(&machine, REGS | SREGS | DEBUGREGS);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(machine.vcpu, &debugregs), 0);
	expect(regs.rax == 0x44 && sregs.fs.base == 0x3000 && debugregs.db[0] == 0x4000);
	machine_resume(&machine);
	machine_expect(&machine, after, COUNT(after));
	return 0;
}

/* The local APIC's task priority is CR8: what came along is good only until that is set. */
static int hint_get_after_lapic(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(CALL, WIDE_ADDRESS, 0x11)};
	static struct crosvm_hint_detail any = {.send_sregs = true};
	static const struct access after[] = {REPORTS(0x11)};
	struct machine machine;
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	begin(&machine, steps, COUNT(steps));
	set_hint(&machine, MMIO, WIDE_ADDRESS, true, &any, 1);
	machine_boot(&machine, LONG_MODE);
	machine_wait(&machine);
	expect_sets(&machine, REGS | SREGS);
	expect_result(crosvm_vcpu_get_lapic_state(machine.vcpu, &lapic), 0);
	lapic.regs[0x80] = 0x20;
	expect_result(crosvm_vcpu_set_lapic_state(machine.vcpu, &lapic), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	expect_result((long)sregs.cr8, 2);
	machine_resume(&machine);
	machine_expect(&machine, after, COUNT(after));
	return 0;
}

/* ---- What cannot be ---- */

static int hint_errno(char **arguments)
{
	(void)arguments;
	static struct crosvm_hint_detail details[CROSVM_MAX_HINT_DETAIL_COUNT + 1];
	const struct crosvm_hint good = {.address_space = MMIO,
	                                 .address_flags = CROSVM_HINT_ON_WRITE,
	                                 .address = WIDE_ADDRESS,
	                                 .details_count = CROSVM_MAX_HINT_DETAIL_COUNT,
	                                 .details = details};
	struct crosvm_hint bad[8] = {good, good, good, good, good, good, good, good};
	bad[0].hint_version = 1;
	bad[1]._reserved = 1;
	bad[2].address = 0;
	bad[3].address_flags = 0x2;
	bad[4].address_flags = 0x8001;
	bad[5].address_space = 2;
	bad[6].details_count = CROSVM_MAX_HINT_DETAIL_COUNT + 1;
	bad[7].details = NULL;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_set_hypercall_hint(vm, 1, &good), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		int result = crosvm_set_hypercall_hint(vm, 1, &bad[i]);
		if (result != -EINVAL)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, -EINVAL);
	}
	const struct crosvm_hint two[2] = {good, good};
	expect_result(crosvm_set_hypercall_hint(vm, 2, two), -EINVAL);
	expect_result(crosvm_set_hypercall_hint(vm, 1, NULL), -EINVAL);
	expect_result(crosvm_set_hypercall_hint(NULL, 1, &good), -EINVAL);
	expect_result(crosvm_set_hypercall_hint(vm, 0, NULL), 0);
	return 0;
}

const struct act hint_acts[] = {
    {"hint-details", hint_details},
    {"hint-access", hint_access},
    {"hint-alone", hint_alone},
    {"hint-get-after-set", hint_get_after_set},
    {"hint-get-after-lapic", hint_get_after_lapic},
    {"hint-refused", hint_refused},
    {"hint-errno", hint_errno},
    {NULL, NULL},
};
