/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lab's selftest runs this inside the lab. It prints its arguments and the
 * environment variable PLUGVM_SELFTEST, each between brackets, then proves that
 * /dev/kvm is real by running one instruction in a virtual machine.
 *
 * It is linked with a shared library of the selftest's own (selftest_library),
 * and a thread of it ends by pthread_exit, for which the C library loads yet
 * another one: both must have come into the lab with it.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

extern int selftest_library(void);

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int check(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

static void *thread_main(void *arg)
{
	pthread_exit(arg);
}

static void run_thread(void)
{
	pthread_t thread;
	int mark;
	void *result = NULL;

	if (pthread_create(&thread, NULL, thread_main, &mark) != 0 || pthread_join(thread, &result) != 0 ||
	    result != &mark) {
		fputs("the thread did not end as it should\n", stderr);
		exit(1);
	}
}

/* A real-mode guest of one page that says HLT. */
static void run_vm(void)
{
	int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	printf("api %d\n", check(ioctl(kvm, KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION"));

	int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		fail("mmap");
	page[0] = 0xf4;
	struct kvm_userspace_memory_region region = {
	    .memory_size = 4096,
	    .userspace_addr = (unsigned long)page,
	};
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");

	int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	int size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		fail("mmap of the vCPU");

	struct kvm_sregs sregs;
	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

	check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	printf("exit %s\n", run->exit_reason == KVM_EXIT_HLT ? "HLT" : "is not HLT");
}

int main(int argc, char **argv)
{
	const char *variable = getenv("PLUGVM_SELFTEST");

	for (int i = 1; i < argc; i++)
		printf("arg [%s]\n", argv[i]);
	printf("env [%s]\n", variable ? variable : "(none)");
	printf("library %d\n", selftest_library());
	run_thread();
	run_vm();
	return 0;
}
