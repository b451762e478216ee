/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin of the benchmarks: an ordinary user of crosvm.h. For each byte on its stdin it answers a block of
 * BLOCK_EVENTS events and writes how many nanoseconds each took, from one event to the next, to its stdout. With
 * the argument `free` it answers events for as long as there are some.
 */
#include <crosvm.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "samples.h"

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		err(1, "%s", what);
	}
}

static void set_up(struct crosvm *vm, bool with_memory)
{
	if (with_memory) {
		struct crosvm_memory *memory;
		check(crosvm_create_memory(vm, guest_memory_new(), 0, GUEST_MEMORY_SIZE, GUEST_LOAD_ADDRESS, false,
		                           false, &memory),
		      "memory");
	}
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT, 1), "range");
	check(crosvm_start(vm), "start");
}

static void wait_and_resume(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	check(crosvm_vcpu_resume(vcpu), "resume");
	check(crosvm_vcpu_wait(vcpu, &event), "wait");
}

static void set_entry(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get sregs");
	guest_set_entry(&sregs, &regs);
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set sregs");
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set regs");
}

static void run_free(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	while (crosvm_vcpu_resume(vcpu) == 0 && crosvm_vcpu_wait(vcpu, &event) == 0)
		;
}

static void run_blocks(struct crosvm_vcpu *vcpu)
{
	static uint64_t times[BLOCK_EVENTS];
	char order;
	while (read(STDIN_FILENO, &order, 1) == 1) {
		uint64_t last = now_ns();
		for (size_t i = 0; i < BLOCK_EVENTS; i++) {
			wait_and_resume(vcpu);
			uint64_t now = now_ns();
			times[i] = now - last;
			last = now;
		}
		if (write(STDOUT_FILENO, times, sizeof(times)) != (ssize_t)sizeof(times))
			err(1, "write");
	}
}

int main(int argc, char **argv)
{
	bool is_free = argc > 1 && strcmp(argv[1], "free") == 0;
	const char *cpu = getenv("PLUGVM_BENCH_PLUGIN_CPU");
	if (cpu)
		pin_to_cpu(atoi(cpu));

	struct crosvm *vm;
	struct crosvm_vcpu *vcpu;
	struct crosvm_vcpu_event event;
	check(crosvm_connect(&vm), "connect");
	set_up(vm, !is_free);
	check(crosvm_get_vcpu(vm, 0, &vcpu), "vcpu");
	check(crosvm_vcpu_wait(vcpu, &event), "wait for INIT");
	if (is_free) {
		run_free(vcpu);
		return 0;
	}
	set_entry(vcpu);
	wait_and_resume(vcpu);
	run_blocks(vcpu);
	return 0;
}
