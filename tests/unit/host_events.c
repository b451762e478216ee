/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks ioeventfds and irqfds on a fake KVM: what KVM is told, which numbers are refused, ids and the quota, and that
 * neither a refusal of KVM nor a lack of fds leaves anything behind.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "fake_kvm.h"
#include "host/objects.h"

#define PORT ADDRESS_SPACE_PORT
#define MMIO ADDRESS_SPACE_MMIO

struct rig {
	int fds_before;
	struct sys real;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct objects objects;
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.real = sys;
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig.kvm, PLUGVM_IRQCHIP_KERNEL, &rig.vm, NULL), 0);
	assert_int_equal(objects_init(&rig.objects, 0), 0);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	sys = rig->real;
	fake_kvm_fail(0, 0, 0);
	objects_fini(&rig->objects, rig->vm);
	assert_int_equal(fake_kvm.io_event_count, 0);
	assert_int_equal(fake_kvm.irq_event_count, 0);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

/* Make one and close the plugin's fd. */
static int create_io(struct rig *rig, uint32_t id, enum address_space space, uint64_t address, uint32_t length)
{
	struct io_event wanted = {.space = space, .address = address, .length = length};
	int fd = -1;
	int result = objects_create_io_event(&rig->objects, rig->vm, id, &wanted, &fd);
	assert_int_equal(fd >= 0, result == 0);
	fd_close(&fd);
	return result;
}

static int create_irq(struct rig *rig, uint32_t id, uint32_t gsi, bool resample)
{
	int trigger = -1, resampler = -1;
	int result = objects_create_irq_event(&rig->objects, rig->vm, id, gsi, resample, &trigger, &resampler);
	assert_int_equal(trigger >= 0, result == 0);
	assert_int_equal(resampler >= 0, result == 0 && resample);
	fd_close(&trigger);
	fd_close(&resampler);
	return result;
}

/* ---- What KVM is told ---- */

static void test_io_event(void **state)
{
	struct rig *rig = *state;
	struct io_event wanted = {
	    .space = PORT, .address = 0x3f8, .length = 4, .has_datamatch = true, .datamatch = 0x12345678};
	int fd;
	assert_int_equal(objects_create_io_event(&rig->objects, rig->vm, 1, &wanted, &fd), 0);
	const struct kvm_ioeventfd *told = &fake_kvm.io_events[0];
	assert_int_equal(fake_kvm.io_event_count, 1);
	assert_int_equal(told->addr, 0x3f8);
	assert_int_equal(told->len, 4);
	assert_int_equal(told->datamatch, 0x12345678);
	assert_int_equal(told->flags, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH);
	/* The plugin's is another fd of the same eventfd, and goes to no child. */
	assert_int_not_equal(fd, told->fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(told->fd, F_GETFD), FD_CLOEXEC);
	uint64_t count = 3;
	assert_int_equal(write(told->fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 3);
	fd_close(&fd);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(fake_kvm.io_event_count, 0);
}

static void test_io_event_lengths(void **state)
{
	struct rig *rig = *state;
	uint32_t made = 0;
	for (uint32_t length = 0; length <= 16; length++) {
		bool is_good = length == 0 || length == 1 || length == 2 || length == 4 || length == 8;
		assert_int_equal(create_io(rig, length, MMIO, 0x1000, length), is_good ? 0 : -EINVAL);
		made += is_good;
		assert_int_equal(fake_kvm.io_event_count, made);
	}
	assert_int_equal(create_io(rig, 100, MMIO, 0x1000, UINT32_MAX), -EINVAL);
	for (size_t i = 0; i < made; i++) {
		/* Any data, unless it is said which. */
		assert_int_equal(fake_kvm.io_events[i].flags, 0);
		assert_int_equal(fake_kvm.io_events[i].datamatch, 0);
	}
}

static void test_io_event_addresses(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create_io(rig, 1, PORT, 0xffff, 1), 0);
	assert_int_equal(create_io(rig, 2, PORT, 0x10000, 1), -EINVAL);
	assert_int_equal(create_io(rig, 3, PORT, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(create_io(rig, 4, MMIO, 0x10000, 1), 0);
	assert_int_equal(create_io(rig, 5, MMIO, UINT64_MAX, 1), 0);
}

/* The same twice: KVM's business, as is that other data is another event. */
static void test_same_io_event(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create_io(rig, 1, PORT, 0x10, 1), 0);
	assert_int_equal(create_io(rig, 2, PORT, 0x10, 1), -EEXIST);
	assert_int_equal(create_io(rig, 2, MMIO, 0x10, 1), 0);
	struct io_event wanted = {
	    .space = PORT, .address = 0x10, .length = 1, .has_datamatch = true, .datamatch = 7};
	int fd;
	assert_int_equal(objects_create_io_event(&rig->objects, rig->vm, 3, &wanted, &fd), 0);
	fd_close(&fd);
	/* Each is taken out with just what it was put in with. */
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 3), 0);
	assert_int_equal(fake_kvm.io_event_count, 2);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(create_io(rig, 1, PORT, 0x10, 1), 0);
}

static void test_irq_event(void **state)
{
	struct rig *rig = *state;
	int trigger, resample = 42;
	assert_int_equal(objects_create_irq_event(&rig->objects, rig->vm, 1, 9, true, &trigger, &resample), 0);
	const struct kvm_irqfd *told = &fake_kvm.irq_events[0];
	assert_int_equal(told->gsi, 9);
	assert_int_equal(told->flags, KVM_IRQFD_FLAG_RESAMPLE);
	assert_int_equal(told->resamplefd, resample);
	assert_int_not_equal(told->fd, trigger);
	assert_int_equal(fcntl(trigger, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(resample, F_GETFD), FD_CLOEXEC);
	uint64_t count = 2;
	assert_int_equal(write(trigger, &count, sizeof(count)), sizeof(count));
	assert_int_equal(read((int)told->fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 2);
	fd_close(&trigger);
	fd_close(&resample);

	assert_int_equal(objects_create_irq_event(&rig->objects, rig->vm, 2, 10, false, &trigger, &resample), 0);
	assert_int_equal(fake_kvm.irq_events[1].flags, 0);
	assert_int_equal(resample, -1);
	fd_close(&trigger);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(fake_kvm.irq_event_count, 1);
	assert_int_equal(fake_kvm.irq_events[0].gsi, 10);
}

static void test_gsi(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create_irq(rig, 1, 0, true), 0);
	assert_int_equal(create_irq(rig, 2, LIMIT_GSI, true), 0);
	assert_int_equal(create_irq(rig, 3, LIMIT_GSI + 1, true), -EINVAL);
	assert_int_equal(create_irq(rig, 3, UINT32_MAX, false), -EINVAL);
}

/* ---- Ids and the quota ---- */

/* All kinds of objects share the ids. */
static void test_ids(void **state)
{
	struct rig *rig = *state;
	int memfd = make_memfd(0x1000, F_SEAL_SHRINK);
	struct memory_request memory = {.peer_length = 0x1000};
	assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 1, memfd, &memory), 0);
	assert_int_equal(create_io(rig, 2, PORT, 0x10, 1), 0);
	assert_int_equal(create_irq(rig, UINT32_MAX, 5, true), 0);
	static const uint32_t ids[] = {1, 2, UINT32_MAX};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(create_io(rig, ids[i], PORT, 0x20, 1), -EEXIST);
		assert_int_equal(create_irq(rig, ids[i], 6, true), -EEXIST);
		assert_int_equal(objects_create_memory(&rig->objects, rig->vm, ids[i], memfd, &memory), -EEXIST);
	}
	uint8_t *bitmap;
	size_t size;
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 2, 1000, &bitmap, &size), -ENOENT);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(objects_destroy(&rig->objects, rig->vm, ids[i]), 0);
		assert_int_equal(objects_destroy(&rig->objects, rig->vm, ids[i]), -ENOENT);
	}
	/* An id may be used again. */
	assert_int_equal(create_irq(rig, 1, 5, true), 0);
	fd_close(&memfd);
}

/* Half of them io events and half irq events: the quota is on both together. An irqfd's resample is KVM's. */
static void test_quota(void **state)
{
	struct rig *rig = *state;
	struct rlimit old;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	struct rlimit enough = {.rlim_cur = 2 * LIMIT_EVENTS, .rlim_max = old.rlim_max};
	if (old.rlim_cur < enough.rlim_cur && setrlimit(RLIMIT_NOFILE, &enough) < 0)
		test_skip("this user may not open as many fds as the quota has events");
	for (uint32_t id = 0; id < LIMIT_EVENTS; id++)
		assert_int_equal(id % 2 ? create_irq(rig, id, id, true) : create_io(rig, id, MMIO, id, 1), 0);
	assert_int_equal(create_io(rig, LIMIT_EVENTS, PORT, 1, 1), -ENOSPC);
	assert_int_equal(create_irq(rig, LIMIT_EVENTS, 1, true), -ENOSPC);
	assert_int_equal(fake_kvm.io_event_count + fake_kvm.irq_event_count, LIMIT_EVENTS);
	/* It is no quota on memory. */
	int memfd = make_memfd(0x1000, F_SEAL_SHRINK);
	struct memory_request memory = {.peer_length = 0x1000};
	assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 5000, memfd, &memory), 0);
	fd_close(&memfd);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 7), 0);
	assert_int_equal(create_io(rig, LIMIT_EVENTS, PORT, 1, 1), 0);
	assert_int_equal(create_io(rig, LIMIT_EVENTS + 1, PORT, 2, 1), -ENOSPC);
	objects_fini(&rig->objects, rig->vm);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* ---- Refusals ---- */

static void test_kvm_refuses(void **state)
{
	struct rig *rig = *state;
	int fds = count_open_fds();
	fake_kvm_fail(KVM_IOEVENTFD, ENOSPC, 1);
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), -ENOSPC);
	fake_kvm_fail(KVM_IRQFD, EBUSY, 1);
	assert_int_equal(create_irq(rig, 1, 1, true), -EBUSY);
	assert_int_equal(count_open_fds(), fds);
	assert_int_equal(rig->objects.event_count, 0);
	/* Nothing stands in the way of the next. */
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), 0);
	assert_int_equal(create_irq(rig, 2, 1, true), 0);
}

/* What KVM does not give up stays, with its fd and its id. */
static void test_destroy_refused(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), 0);
	assert_int_equal(create_irq(rig, 2, 1, true), 0);
	int fds = count_open_fds();
	static const unsigned long requests[] = {KVM_IOEVENTFD, KVM_IRQFD};
	for (uint32_t id = 1; id <= 2; id++) {
		fake_kvm_fail(requests[id - 1], EIO, 1);
		assert_int_equal(objects_destroy(&rig->objects, rig->vm, id), -EIO);
		assert_int_equal(count_open_fds(), fds);
		assert_int_equal(rig->objects.event_count, 2);
		assert_int_equal(create_io(rig, id, PORT, 9, 1), -EEXIST);
	}
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 2), 0);
	assert_int_equal(rig->objects.event_count, 0);
	assert_int_equal(count_open_fds(), fds - 2);
}

static int calls_left;

static int limited_eventfd(unsigned int value, int flags)
{
	if (calls_left-- > 0)
		return eventfd(value, flags);
	errno = ENFILE;
	return -1;
}

static int no_dup(int fd)
{
	(void)fd;
	errno = EMFILE;
	return -1;
}

static void test_no_fds(void **state)
{
	struct rig *rig = *state;
	int fds = count_open_fds();
	sys.eventfd = limited_eventfd;
	calls_left = 0;
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), -ENFILE);
	for (int calls = 0; calls < 2; calls++) {
		calls_left = calls;
		assert_int_equal(create_irq(rig, 1, 1, true), -ENFILE);
	}
	sys.eventfd = rig->real.eventfd;
	sys.dup_cloexec = no_dup;
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), -EMFILE);
	assert_int_equal(create_irq(rig, 1, 1, true), -EMFILE);
	sys.dup_cloexec = rig->real.dup_cloexec;
	assert_int_equal(count_open_fds(), fds);
	assert_int_equal(fake_kvm.io_event_count + fake_kvm.irq_event_count, 0);
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), 0);
}

/* Events are refused before they eat the host's reserve. */
static void test_fd_reserve(void **state)
{
	struct rig *rig = *state;
	struct rlimit old;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	int lowest = dup(STDERR_FILENO);
	close(lowest);
	for (rlim_t room = 0; room <= LIMIT_FD_RESERVE + 3; room++) {
		struct rlimit low = {.rlim_cur = (rlim_t)lowest + room, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		int io = create_io(rig, 1, PORT, 1, 1), destroyed = objects_destroy(&rig->objects, rig->vm, 1);
		int irq = create_irq(rig, 1, 1, true);
		objects_destroy(&rig->objects, rig->vm, 1);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		/* One is the host's, one the plugin's; of an irq event two are. */
		assert_int_equal(io, room < LIMIT_FD_RESERVE + 2 ? -EMFILE : 0);
		assert_int_equal(destroyed, room < LIMIT_FD_RESERVE + 2 ? -ENOENT : 0);
		assert_int_equal(irq, room < LIMIT_FD_RESERVE + 2 ? -EMFILE : 0);
	}
}

static void test_fini_without_vm(void **state)
{
	struct rig *rig = *state;
	int fds = count_open_fds();
	assert_int_equal(create_io(rig, 1, PORT, 1, 1), 0);
	assert_int_equal(create_irq(rig, 2, 1, true), 0);
	objects_fini(&rig->objects, NULL);
	assert_int_equal(count_open_fds(), fds);
	assert_int_equal(fake_kvm.io_event_count, 1); /* KVM was not asked */
	fake_kvm.io_event_count = fake_kvm.irq_event_count = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_io_event),
	    TEST(test_io_event_lengths),
	    TEST(test_io_event_addresses),
	    TEST(test_same_io_event),
	    TEST(test_irq_event),
	    TEST(test_gsi),
	    TEST(test_ids),
	    TEST(test_quota),
	    TEST(test_kvm_refuses),
	    TEST(test_destroy_refused),
	    TEST(test_no_fds),
	    TEST(test_fd_reserve),
	    TEST(test_fini_without_vm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
