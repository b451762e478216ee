/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin of the benchmarks: an ordinary user of crosvm.h.
 *
 *   ports VCPUS RANGES  reserve the guest's ports as that many ranges and run the guest
 *   regs VCPUS RANGES   the same, with the general registers read and set in each event
 *   crowd VCPUS 1       all vCPUs use the same ports
 *   posted 1 1          run the other guest, whose writes are posted but for one in GUEST_POSTED + 1
 *   requests VCPUS 1    run no guest
 *   begin               write a byte at once, and exit
 *   state NAME VCPUS    bring the machine there and stay (state_plugin.c)
 *   free                run no guest, and answer events for as long as there are some
 *
 * But for `free` it writes one byte to its stdout when it is ready. For each byte on its stdin (ORDER_*) it measures a
 * block of BLOCK_EVENTS and writes how many nanoseconds each took; the time of an exit is that from one event to the
 * next. With several vCPUs, each has a thread and an equal part of the block, all at the same time.
 */
#include <crosvm.h>
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "samples.h"
#include "state_plugin.h"

#define VCPUS_MAX 4
/* Lines of the interrupt controllers that nothing else uses. */
#define IRQ       5
#define EVENT_IRQ 6
/* Addresses that are not the guest's. */
#define RESERVED_START 0xd0000000

struct thread {
	pthread_t id;
	struct crosvm_vcpu *vcpu;
	unsigned int number;
	uint64_t exits;
};

static struct crosvm *vm;
static struct crosvm_irq *irq_event;
static struct thread threads[VCPUS_MAX];
static unsigned int vcpus = 1;
static int cpus[VCPUS_MAX] = {-1, -1, -1, -1};
static bool has_regs, is_posted, is_crowd;
static pthread_barrier_t block_begins, block_ends;
static uint64_t times[BLOCK_EVENTS];

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		err(1, "%s", what);
	}
}

/* Reserve each vCPU's ports as its part of `ranges`. */
static void reserve_ports(unsigned int ranges)
{
	unsigned int count = ranges / vcpus, length = GUEST_PORTS / count;
	for (unsigned int cpu = 0; cpu < vcpus; cpu++) {
		for (unsigned int i = 0; i < count; i++)
			check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT,
			                           GUEST_PORT + cpu * GUEST_PORTS + i * length, length),
			      "range");
	}
}

/* The other guest's ports. */
static void reserve_posted(void)
{
	check(crosvm_reserve_async_write_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT, 1), "range");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT + 1, 1), "range");
}

static void create_memory(void)
{
	struct crosvm_memory *memory;
	check(crosvm_create_memory(vm, guest_memory_new(), 0, GUEST_MEMORY_SIZE, GUEST_LOAD_ADDRESS, false, false,
	                           &memory),
	      "memory");
}

/* Start, and take INIT of every vCPU. */
static void start(void)
{
	struct crosvm_vcpu_event event;
	check(crosvm_start(vm), "start");
	for (unsigned int cpu = 0; cpu < vcpus; cpu++) {
		threads[cpu].number = cpu;
		check(crosvm_get_vcpu(vm, cpu, &threads[cpu].vcpu), "vcpu");
		check(crosvm_vcpu_wait(threads[cpu].vcpu, &event), "wait for INIT");
	}
}

/* ---- Exits ---- */

static void resume_and_wait(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	check(crosvm_vcpu_resume(vcpu), "resume");
	check(crosvm_vcpu_wait(vcpu, &event), "wait");
}

static void run_posted(const struct thread *thread)
{
	struct crosvm_vcpu_event event;
	uint64_t begin = now_ns();
	check(crosvm_vcpu_resume(thread->vcpu), "resume");
	for (size_t i = 0; i < GUEST_POSTED; i++) {
		check(crosvm_vcpu_wait(thread->vcpu, &event), "wait");
		samples_group(times, i, &begin);
	}
	check(crosvm_vcpu_wait(thread->vcpu, &event), "wait");
}

static void enter_guest(const struct thread *thread)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	check(crosvm_vcpu_get_sregs(thread->vcpu, &sregs), "get sregs");
	if (is_posted)
		guest_set_posted_entry(&sregs, &regs);
	else
		guest_set_entry(&sregs, &regs, is_crowd ? 0 : thread->number);
	check(crosvm_vcpu_set_sregs(thread->vcpu, &sregs), "set sregs");
	check(crosvm_vcpu_set_regs(thread->vcpu, &regs), "set regs");
	/* All but the first wait for another CPU to start them, which nobody does here. */
	check(crosvm_vcpu_set_mp_state(thread->vcpu, &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}),
	      "set mp state");
	if (is_posted)
		run_posted(thread);
	else
		resume_and_wait(thread->vcpu);
}

static void use_regs(struct crosvm_vcpu *vcpu)
{
	struct kvm_regs regs;
	check(crosvm_vcpu_get_regs(vcpu, &regs), "get regs");
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set regs");
}

static void run_exits(const struct thread *thread)
{
	size_t count = BLOCK_EVENTS / vcpus;
	uint64_t *out = times + thread->number * count;
	uint64_t last = now_ns();
	for (size_t i = 0; i < count; i++) {
		resume_and_wait(thread->vcpu);
		if (has_regs)
			use_regs(thread->vcpu);
		uint64_t now = now_ns();
		out[i] = now - last;
		last = now;
	}
}

static void count_exits(struct thread *thread)
{
	uint64_t end = now_ns() + WINDOW_NS;
	for (thread->exits = 0; now_ns() < end; thread->exits++)
		resume_and_wait(thread->vcpu);
}

/* What was ordered last; the barriers order the accesses. */
static char order_now;

static void run_part(struct thread *thread)
{
	if (order_now == ORDER_EXITS_FOR)
		count_exits(thread);
	else if (is_posted)
		run_posted(thread);
	else
		run_exits(thread);
}

static void *run_thread(void *argument)
{
	struct thread *thread = argument;
	if (cpus[thread->number] >= 0)
		pin_to_cpu(cpus[thread->number]);
	enter_guest(thread);
	for (;;) {
		pthread_barrier_wait(&block_begins);
		run_part(thread);
		pthread_barrier_wait(&block_ends);
	}
	return NULL;
}

static void run_all_exits(char order)
{
	order_now = order;
	pthread_barrier_wait(&block_begins);
	run_part(&threads[0]);
	pthread_barrier_wait(&block_ends);
}

/* The guest of every vCPU is at its first event afterwards. */
static void begin_exits(void)
{
	pthread_barrier_init(&block_begins, NULL, vcpus);
	pthread_barrier_init(&block_ends, NULL, vcpus);
	for (unsigned int cpu = 1; cpu < vcpus; cpu++)
		check(-pthread_create(&threads[cpu].id, NULL, run_thread, &threads[cpu]), "thread");
	enter_guest(&threads[0]);
}

/* ---- Requests ---- */

static void run_request(char order, size_t i)
{
	bool has;
	switch (order) {
	case ORDER_SET_IRQ:
		check(crosvm_set_irq(vm, IRQ, i % 2 == 0), "set irq");
		break;
	case ORDER_IRQ_EVENT:
		if (write(crosvm_irq_event_get_fd(irq_event), &(uint64_t){1}, 8) != 8)
			err(1, "irq event");
		break;
	case ORDER_CHECK_EXTENSION:
		check(crosvm_check_extension(vm, KVM_CAP_IRQCHIP, &has), "check extension");
		break;
	case ORDER_RESERVE:
		check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_MMIO, RESERVED_START, 0x1000), "reserve");
		check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_MMIO, RESERVED_START, 0), "release");
		break;
	default:
		errx(1, "an unknown order");
	}
}

static void run_requests(char order)
{
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		uint64_t begin = now_ns();
		run_request(order, i);
		times[i] = now_ns() - begin;
	}
}

/* ---- */

static void run_free(void)
{
	struct crosvm_vcpu_event event;
	reserve_ports(1);
	start();
	while (crosvm_vcpu_resume(threads[0].vcpu) == 0 && crosvm_vcpu_wait(threads[0].vcpu, &event) == 0)
		;
}

static void tell(const void *what, size_t size)
{
	if (write(STDOUT_FILENO, what, size) != (ssize_t)size)
		err(1, "write");
}

static void obey(void)
{
	char order;
	tell("", 1);
	while (read(STDIN_FILENO, &order, 1) == 1) {
		if (order == ORDER_EXITS_FOR || order == ORDER_EXITS)
			run_all_exits(order);
		else
			run_requests(order);
		uint64_t exits = 0;
		for (unsigned int cpu = 0; cpu < vcpus; cpu++)
			exits += threads[cpu].exits;
		if (order == ORDER_EXITS_FOR)
			tell(&exits, sizeof(exits));
		else
			tell(times, sizeof(times));
	}
}

int main(int argc, char **argv)
{
	const char *cpu_list = getenv("PLUGVM_BENCH_PLUGIN_CPUS");
	if (cpu_list && sscanf(cpu_list, "%d,%d", &cpus[0], &cpus[1]) == 2 && cpus[0] >= 0)
		pin_to_cpu(cpus[0]);
	if (cpus[0] < 0)
		cpus[1] = -1;
	if (argc >= 2 && strcmp(argv[1], "begin") == 0)
		return write(STDOUT_FILENO, "", 1) != 1;
	check(crosvm_connect(&vm), "connect");
	if (argc == 4 && strcmp(argv[1], "state") == 0)
		stay_in_state(vm, argv[2], (unsigned int)atoi(argv[3]));
	if (argc == 2 && strcmp(argv[1], "free") == 0) {
		run_free();
		return 0;
	}
	if (argc != 4)
		errx(2, "this plugin is plugvm-bench's");
	vcpus = (unsigned int)atoi(argv[2]);
	is_crowd = strcmp(argv[1], "crowd") == 0;
	has_regs = strcmp(argv[1], "regs") == 0;
	is_posted = strcmp(argv[1], "posted") == 0;
	if (has_regs || is_posted || is_crowd || strcmp(argv[1], "ports") == 0) {
		create_memory();
		if (is_posted)
			reserve_posted();
		else if (is_crowd)
			check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT, GUEST_PORTS),
			      "range");
		else
			reserve_ports((unsigned int)atoi(argv[3]));
		start();
		begin_exits();
	} else {
		start();
		check(crosvm_create_edge_irq_event(vm, EVENT_IRQ, &irq_event), "irq event");
	}
	obey();
	return 0;
}
