/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about many vCPUs, and about waiting for some of them: with a limit, or for all on one thread.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(ids);
GUEST_DECLARE(busy_port);
GUEST_DECLARE(spin);
GUEST_DECLARE(triple_fault);

#define LAPIC_ADDRESS 0xfee00000u
#define VCPUS_MAX     256
#define PATIENCE_MS   100000
#define ASYNC_WRITES  100

static struct crosvm_vcpu *vcpus[VCPUS_MAX];
static char paused_one, paused_all;

static uint32_t vcpu_count(struct crosvm *vm)
{
	struct crosvm_info info = {.size = sizeof(info)};
	expect_result(crosvm_get_info(vm, &info), 0);
	expect(info.vcpu_count <= VCPUS_MAX);
	return info.vcpu_count;
}

/* Have this vCPU, which is at INIT, begin with the guest and ES at the local APIC. */
static void enter(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	machine_enter(vcpu, REAL_MODE);
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.es.base = LAPIC_ADDRESS;
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_set_mp_state(vcpu, &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}), 0);
}

/* Take all through INIT. */
static uint32_t boot_all(struct machine *machine, const struct guest *guest)
{
	struct crosvm_vcpu_event event;
	machine_init(machine, guest);
	machine_start(machine);
	uint32_t count = vcpu_count(machine->vm);
	for (uint32_t cpu = 0; cpu < count; cpu++) {
		expect_result(crosvm_get_vcpu(machine->vm, cpu, &vcpus[cpu]), 0);
		expect_result(crosvm_vcpu_wait(vcpus[cpu], &event), 0);
		expect(event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
		enter(vcpus[cpu]);
	}
	for (uint32_t cpu = 0; cpu < count; cpu++)
		expect_result(crosvm_vcpu_resume(vcpus[cpu]), 0);
	return count;
}

/* ---- Many ---- */

static void expect_report(struct crosvm_vcpu *vcpu, uint32_t wanted)
{
	struct crosvm_vcpu_event event;
	uint32_t value;
	expect_result(crosvm_vcpu_wait(vcpu, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.address == REPORT_PORT);
	memcpy(&value, event.io_access.data, sizeof(value));
	expect_result((long)value, (long)wanted);
	expect_result(crosvm_vcpu_resume(vcpu), 0);
}

static void expect_paused(struct crosvm_vcpu *vcpu, void *user)
{
	struct crosvm_vcpu_event event;
	expect_result(crosvm_vcpu_wait(vcpu, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED && event.user == user);
	expect_result(crosvm_vcpu_resume(vcpu), 0);
}

/* Pause one of the last word, and all of them; words and bits beyond are ignored. */
static void pause_some(struct crosvm *vm, uint32_t count)
{
	struct crosvm_vcpu_event event;
	uint64_t words[VCPUS_MAX / 64 + 1] = {0};
	uint32_t one = count == VCPUS_MAX ? 200 : count - 2;
	words[one / 64] = UINT64_C(1) << one % 64;
	expect_result(crosvm_pause_vcpu_set(vm, one / 64 + 1, words, &paused_one), 0);
	expect_paused(vcpus[one], &paused_one);
	for (uint32_t cpu = 0; cpu < count; cpu++)
		expect_result(crosvm_vcpu_wait_timeout(vcpus[cpu], &event, 0), -EAGAIN);

	memset(words, 0xff, sizeof(words));
	expect_result(crosvm_pause_vcpu_set(vm, COUNT(words), words, &paused_all), 0);
	for (uint32_t cpu = 0; cpu < count; cpu++)
		expect_paused(vcpus[cpu], &paused_all);
	expect_result(crosvm_pause_vcpu_set(vm, 0, NULL, &paused_one), 0);
	expect_result(crosvm_pause_vcpu_set(vm, 1, NULL, &paused_one), -EINVAL);
	expect_result(crosvm_pause_vcpu_set(NULL, 1, words, &paused_one), -EINVAL);
}

static uint32_t run_many(struct machine *machine)
{
	uint32_t count = boot_all(machine, &GUEST(ids));
	struct crosvm_vcpu *none;
	expect_result(crosvm_get_vcpu(machine->vm, count, &none), -ENOENT);
	for (uint32_t cpu = 0; cpu < count; cpu++)
		expect_report(vcpus[cpu], cpu);
	return count;
}

static int many(char **arguments)
{
	(void)arguments;
	struct machine machine;
	uint32_t count = run_many(&machine);
	expect(count > 16);
	pause_some(machine.vm, count);
	return 0;
}

/* As many of them run for ever, until somebody stops the VM. */
static int many_for_ever(char **arguments)
{
	(void)arguments;
	struct machine machine;
	run_many(&machine);
	say("ready");
	expect_result(crosvm_vcpu_wait(vcpus[0], &machine.event), -ECONNRESET);
	return 0;
}

/* ---- A wait with a limit ---- */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_timeout(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu_event event;
	machine_init(&machine, &GUEST(spin));
	expect_result(crosvm_get_vcpu(machine.vm, 0, &machine.vcpu), 0);
	/* Before the start nothing can come. */
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0), -EAGAIN);
	int64_t begin = now_ms();
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 50), -EAGAIN);
	expect(now_ms() - begin >= 49);
	expect_result(crosvm_start(machine.vm), 0);
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, PATIENCE_MS), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0), -EBUSY);
	machine_enter(machine.vcpu, REAL_MODE);
	machine_resume(&machine);

	/* The report may take its time. */
	int result;
	do
		result = crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0);
	while (result == -EAGAIN && now_ms() - begin < PATIENCE_MS);
	expect_result(result, 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	machine_resume(&machine);
	for (int turn = 0; turn < 20; turn++) {
		expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, turn % 3), -EAGAIN);
		expect_result(crosvm_pause_vcpus(machine.vm, 1, &paused_one), 0);
		expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, turn % 2 ? -1 : PATIENCE_MS), 0);
		expect(event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED && event.user == &paused_one);
		machine_resume(&machine);
	}
	expect_result(crosvm_vcpu_wait_timeout(NULL, &event, 0), -EINVAL);
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, NULL, 0), -EINVAL);
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, -2), -EINVAL);
	return 0;
}

/* ---- All on one thread ---- */

static bool is_ready(int fd, int patience_ms)
{
	return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, patience_ms) == 1;
}

#define LOOP_EVENTS 200

/* Serve what is there; an event of one vCPU never waits behind one that has none. */
static int poll_loop(char **arguments)
{
	(void)arguments;
	struct machine machine;
	unsigned events[VCPUS_MAX] = {0}, total = 0;
	machine_init(&machine, &GUEST(busy_port));
	uint32_t count = vcpu_count(machine.vm);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	expect(epoll >= 0 && count == 8);
	for (uint32_t cpu = 0; cpu < count; cpu++) {
		expect_result(crosvm_get_vcpu(machine.vm, cpu, &vcpus[cpu]), 0);
		int fd = crosvm_vcpu_get_poll_fd(vcpus[cpu]);
		expect(fd >= 0 && crosvm_vcpu_get_poll_fd(vcpus[cpu]) == fd);
		expect(!is_ready(fd, 0));
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = cpu};
		expect(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	}
	expect_result(crosvm_start(machine.vm), 0);
	for (uint32_t busy = count; busy > 0;) {
		struct epoll_event ready;
		struct crosvm_vcpu_event event;
		expect(epoll_wait(epoll, &ready, 1, PATIENCE_MS) == 1);
		uint32_t cpu = ready.data.u32;
		expect_result(crosvm_vcpu_wait_timeout(vcpus[cpu], &event, 0), 0);
		/* At an event nobody waits for one. */
		expect(!is_ready(crosvm_vcpu_get_poll_fd(vcpus[cpu]), 0));
		expect(event.kind ==
		       (events[cpu] == 0 ? CROSVM_VCPU_EVENT_KIND_INIT : CROSVM_VCPU_EVENT_KIND_IO_ACCESS));
		if (events[cpu] == 0)
			enter(vcpus[cpu]);
		total++;
		if (++events[cpu] == LOOP_EVENTS)
			busy--; /* and it is held there */
		else
			expect_result(crosvm_vcpu_resume(vcpus[cpu]), 0);
	}
	expect_result(total, LOOP_EVENTS * count);
	expect_result(crosvm_vcpu_get_poll_fd(NULL), -EINVAL);
	return 0;
}

/* Asked for late, the fd tells of what comes from then on. */
static int poll_late(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu_event event;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_wait(&machine);
	int fd = crosvm_vcpu_get_poll_fd(machine.vcpu); /* after waits, and at an event */
	expect(fd >= 0 && !is_ready(fd, 0));
	machine_resume(&machine);
	expect(!is_ready(fd, 20));
	expect_result(crosvm_pause_vcpus(machine.vm, 1, &paused_one), 0);
	expect(is_ready(fd, PATIENCE_MS));
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED && !is_ready(fd, 0));
	return 0;
}

/* A resume that the host refuses brings its event back, and the fd tells. */
static int poll_refused(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu_event event;
	struct kvm_sregs sregs, bad;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_wait(&machine);
	int fd = crosvm_vcpu_get_poll_fd(machine.vcpu);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	bad = sregs;
	bad.cr4 = UINT64_MAX;
	for (int turn = 0; turn < 3; turn++) {
		expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &bad), 0);
		machine_resume(&machine);
		expect(is_ready(fd, PATIENCE_MS));
		expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0), -EINVAL);
		expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.address == REPORT_PORT);
		expect(!is_ready(fd, 0));
	}
	machine_resume(&machine);
	expect_result(crosvm_vcpu_wait_timeout(machine.vcpu, &event, 20), -EAGAIN);
	expect(!is_ready(fd, 0));
	return 0;
}

/* Events that need no resume: the fd is readable until the last of them was taken. */
static int poll_async(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    {.kind = STEP_FLOOD, .address = DEVICE_PORT, .rbx = ASYNC_WRITES},
	};
	struct machine machine;
	struct crosvm_vcpu_event event;
	uint32_t value;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_async_write_range(machine.vm, PORT, DEVICE_PORT, 4), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	int fd = crosvm_vcpu_get_poll_fd(machine.vcpu);
	for (uint32_t i = 0; i < ASYNC_WRITES; i++) {
		int result;
		/* The word of one event can come when that was taken already. */
		do {
			expect(is_ready(fd, PATIENCE_MS));
			result = crosvm_vcpu_wait_timeout(machine.vcpu, &event, 0);
		} while (result == -EAGAIN);
		expect_result(result, 0);
		expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.no_resume);
		memcpy(&value, event.io_access.data, sizeof(value));
		expect_result((long)value, (long)i);
	}
	expect(is_ready(fd, PATIENCE_MS));
	machine_expect(&machine, NULL, 0);
	expect(!is_ready(fd, 0));
	return 0;
}

/* ---- The end wakes all ---- */

static void *wait_for_end(void *argument)
{
	struct crosvm_vcpu_event event;
	return (void *)(intptr_t)crosvm_vcpu_wait(argument, &event);
}

/*
 * One of three crashes; of the others one is waited for on a thread, the other with poll. They never get beyond the
 * guest's endless loop.
 */
static int end_wakes(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu_event event;
	pthread_t thread;
	void *result;
	machine_init(&machine, &GUEST_64(triple_fault));
	static const uint8_t endless[] = {0xeb, 0xfe};
	memcpy(machine.memory + BUFFER, endless, sizeof(endless));
	machine_start(&machine);
	expect(vcpu_count(machine.vm) == 3);
	for (uint32_t cpu = 0; cpu < 3; cpu++) {
		expect_result(crosvm_get_vcpu(machine.vm, cpu, &vcpus[cpu]), 0);
		expect_result(crosvm_vcpu_wait(vcpus[cpu], &event), 0);
		machine_enter(vcpus[cpu], LONG_MODE);
		expect_result(crosvm_vcpu_set_mp_state(vcpus[cpu], &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}),
		              0);
		struct kvm_regs regs = {.rip = cpu == 0 ? LOAD_ADDRESS : BUFFER, .rflags = 2};
		expect_result(crosvm_vcpu_set_regs(vcpus[cpu], &regs), 0);
	}
	expect_result(crosvm_vcpu_resume(vcpus[1]), 0);
	expect_result(crosvm_vcpu_resume(vcpus[2]), 0);
	int fd = crosvm_vcpu_get_poll_fd(vcpus[2]);
	expect(fd >= 0 && !is_ready(fd, 0));
	expect(pthread_create(&thread, NULL, wait_for_end, vcpus[1]) == 0);
	expect_result(crosvm_vcpu_resume(vcpus[0]), 0);
	expect(is_ready(fd, PATIENCE_MS));
	expect_result(crosvm_vcpu_wait_timeout(vcpus[2], &event, 0), -ECONNRESET);
	expect_result(crosvm_vcpu_wait_timeout(vcpus[2], &event, -1), -ECONNRESET);
	expect(is_ready(fd, 0));
	expect(pthread_join(thread, &result) == 0);
	expect_result((long)(intptr_t)result, -ECONNRESET);
	expect_result(crosvm_vcpu_wait(vcpus[0], &event), -ECONNRESET);
	return 0;
}

const struct act ext_vcpu_acts[] = {
    {"ext-many", many},
    {"ext-many-for-ever", many_for_ever},
    {"ext-wait-timeout", wait_timeout},
    {"ext-poll-loop", poll_loop},
    {"ext-poll-late", poll_late},
    {"ext-poll-refused", poll_refused},
    {"ext-poll-async", poll_async},
    {"ext-end-wakes", end_wakes},
    {NULL, NULL},
};
