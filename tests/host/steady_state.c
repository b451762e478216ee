/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that an exit allocates nothing and takes no lock: 1,000 of each kind with a plugin that answers, while
 * every call of the allocator and of a mutex is counted. To be linked with --wrap for each of them.
 */
#include "rig.h"

#include <stdlib.h>

#include "kvm/kvm.h"
#include "wire/event.h"

#define ACCESSES 1000

/* Only what the thread that delivers does is counted. */
static _Thread_local bool counting;
static _Thread_local int calls;

#define WRAP(type, name, parameters, arguments) \
	type __real_##name parameters;          \
	type __wrap_##name parameters;          \
	type __wrap_##name parameters           \
	{                                       \
		calls += counting;              \
		return __real_##name arguments; \
	}
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(void, free, (void *memory), (memory))
WRAP(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t * rwlock), (rwlock))
WRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t * rwlock), (rwlock))

/* The fake KVM has a lock of its own, which is not meant. */
static int (*fake_ioctl)(int fd, unsigned long request, void *argument);

static int uncounted_ioctl(int fd, unsigned long request, void *argument)
{
	bool was_counting = counting;
	counting = false;
	int result = fake_ioctl(fd, request, argument);
	counting = was_counting;
	return result;
}

static int setup(void **state)
{
	link_rig_setup(state);
	fake_ioctl = kvm_backend.ioctl;
	kvm_backend.ioctl = uncounted_ioctl;
	return 0;
}

static int teardown(void **state)
{
	kvm_backend.ioctl = fake_ioctl;
	return link_rig_teardown(state);
}

/* The plugin: takes ACCESSES events and answers each; in turn in one of two ways, which are packets. */
struct plugin {
	struct link_rig *rig;
	pthread_t thread;
	size_t sizes[2]; /* 0: no answer */
	uint8_t answers[2][LIMIT_VCPU_REQUEST_BYTES];
	uint8_t frame[LINK_RESPONSE_BYTES];
	size_t frame_max; /* the longest event */
};

static void *answer(void *argument)
{
	struct plugin *plugin = argument;
	for (int i = 0; i < ACCESSES; i++) {
		ssize_t size = recv(plugin->rig->events, plugin->frame, sizeof(plugin->frame), 0);
		if (size <= 0)
			break;
		if ((size_t)size > plugin->frame_max)
			plugin->frame_max = (size_t)size;
		if (plugin->sizes[i % 2] > 0 &&
		    send(plugin->rig->requests, plugin->answers[i % 2], plugin->sizes[i % 2], MSG_NOSIGNAL) < 0)
			break;
	}
	return NULL;
}

static void set_answer(struct plugin *plugin, int turn, const wire_VcpuRequest_Resume *resume)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag, .message.resume = *resume};
	ssize_t size = wire_encode_vcpu_request(&request, plugin->answers[turn], sizeof(plugin->answers[turn]));
	assert_in_range(size, 1, sizeof(plugin->answers[turn]));
	plugin->sizes[turn] = (size_t)size;
}

/* Bring the vCPU past INIT, start the plugin and count from here. */
static void begin(struct plugin *plugin)
{
	link_pass_init(plugin->rig);
	assert_int_equal(pthread_create(&plugin->thread, NULL, answer, plugin), 0);
	calls = 0;
	counting = true;
}

static void end(struct plugin *plugin, int wrong)
{
	counting = false;
	if (wrong > 0)
		link_cut(&plugin->rig->link); /* so that the plugin ends */
	pthread_join(plugin->thread, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(calls, 0);
}

static const wire_VcpuRequest_Resume empty;

static int access_once(struct link_rig *rig, enum address_space space, uint64_t address, bool is_write,
                       uint8_t *data)
{
	struct guest_access access = {
	    .space = space, .is_write = is_write, .address = address, .width = 1, .data = data, .size = 1};
	return link_deliver_access(&rig->link, rig->vcpu, &access);
}

static void test_exits(void **state)
{
	static struct plugin plugin;
	plugin = (struct plugin){.rig = *state};
	set_answer(&plugin, 0, &empty);
	set_answer(&plugin, 1, &(wire_VcpuRequest_Resume){.data = {(const uint8_t *)"\x5a", 1}});
	uint8_t data = 0;
	int wrong = 0;
	begin(&plugin);
	for (int i = 0; i < ACCESSES && wrong == 0; i++) {
		bool is_port = i % 4 < 2, is_write = i % 2 == 0;
		wrong += access_once(plugin.rig, is_port ? ADDRESS_SPACE_PORT : ADDRESS_SPACE_MMIO,
		                     is_port ? 0x100 : 0x1000, is_write, &data) != 1;
		wrong += !is_write && data != 0x5a;
	}
	end(&plugin, wrong);
}

/* The registers come with the event, and the answer sets them. */
static void test_hinted_exits(void **state)
{
	static struct plugin plugin;
	plugin = (struct plugin){.rig = *state};
	static const wire_MainRequest_SetCallHint_RegHint detail = {.send_sregs = true, .send_debugregs = true};
	wire_MainRequest_SetCallHint hint = {
	    .space = wire_AddressSpace_IOPORT,
	    .address = 0x100,
	    .on_write = true,
	    .hints = {.items = &detail, .count = 1, .stored = 1},
	};
	assert_int_equal(hints_set(&plugin.rig->hints, &hint), 0);
	struct kvm_regs regs = {.rax = 42};
	struct kvm_sregs sregs;
	assert_int_equal(plugvm_vcpu_get_sregs(plugin.rig->vcpu, &sregs), 0);
	wire_VcpuRequest_Resume resume = {.regs = {(const uint8_t *)&regs, sizeof(regs)}};
	set_answer(&plugin, 0, &resume);
	resume.sregs = (struct wire_bytes){(const uint8_t *)&sregs, sizeof(sregs)};
	set_answer(&plugin, 1, &resume);
	uint8_t data = 0;
	int wrong = 0;
	begin(&plugin);
	for (int i = 0; i < ACCESSES && wrong == 0; i++)
		wrong += access_once(plugin.rig, ADDRESS_SPACE_PORT, 0x100, true, &data) != 1;
	end(&plugin, wrong);
	assert_int_equal(plugin.rig->fake->regs.rax, 42);
	assert_in_range(plugin.frame_max, sizeof(regs) + sizeof(sregs) + sizeof(struct kvm_debugregs),
	                sizeof(plugin.frame));
}

static void test_async_writes(void **state)
{
	static struct plugin plugin;
	plugin = (struct plugin){.rig = *state};
	uint32_t id;
	assert_int_equal(ranges_reserve(&plugin.rig->ranges, ADDRESS_SPACE_MMIO, 0x4000, 0x100, true, &id), 0);
	uint8_t data = 0;
	int wrong = 0;
	begin(&plugin);
	for (int i = 0; i < ACCESSES && wrong == 0; i++) {
		wrong += access_once(plugin.rig, ADDRESS_SPACE_MMIO, 0x4008, true, &data) != 1;
		wrong += access_once(plugin.rig, ADDRESS_SPACE_MMIO, 0x4008, false, &data) != 0;
	}
	end(&plugin, wrong);
}

/* One that is asked for while an access is pending: first the vCPU is to complete that, then the event comes. */
static void test_pauses(void **state)
{
	static struct plugin plugin;
	plugin = (struct plugin){.rig = *state};
	struct link_rig *rig = plugin.rig;
	set_answer(&plugin, 0, &empty);
	set_answer(&plugin, 1, &empty);
	int wrong = 0;
	begin(&plugin);
	for (int i = 0; i < ACCESSES && wrong == 0; i++) {
		link_post_run(&rig->link);
		link_request_pause(&rig->link, (uint64_t)i);
		wrong += link_pre_run(&rig->link, rig->vcpu) != 0 || !rig->fake->run->immediate_exit;
		plugvm_vcpu_set_immediate_exit(rig->vcpu, false);
		wrong += link_pre_run(&rig->link, rig->vcpu) != 0 || rig->fake->run->immediate_exit;
	}
	end(&plugin, wrong);
}

static void test_msr_exits(void **state)
{
	static struct plugin plugin;
	plugin = (struct plugin){.rig = *state};
	struct link_rig *rig = plugin.rig;
	struct plugvm_plugin_vcpu pv = {.link = &rig->link};
	struct wire_event_answer wanted = {.data = 0x1122334455667788};
	wire_VcpuRequest_Resume resume = {.data = {(const uint8_t *)&wanted, sizeof(wanted)}};
	set_answer(&plugin, 0, &resume);
	set_answer(&plugin, 1, &resume);
	int wrong = 0;
	begin(&plugin);
	for (int i = 0; i < ACCESSES && wrong == 0; i++) {
		rig->fake->run->exit_reason = i % 2 ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
		rig->fake->run->msr.index = 0x12345678;
		rig->fake->run->msr.data = 0;
		wrong += plugvm_plugin_vcpu_other_exit(&pv, rig->vcpu) != 1;
		wrong += i % 2 == 0 && rig->fake->run->msr.data != wanted.data;
	}
	end(&plugin, wrong);
}

/* An access that is nobody's, and the check before every KVM_RUN. */
static void test_unclaimed_exits(void **state)
{
	struct link_rig *rig = *state;
	uint8_t data[4];
	struct guest_access access = {
	    .space = ADDRESS_SPACE_PORT, .address = 0x200, .width = 4, .data = data, .size = 4};
	int wrong = 0;
	calls = 0;
	counting = true;
	for (int i = 0; i < ACCESSES; i++) {
		wrong += link_deliver_access(&rig->link, rig->vcpu, &access) != 0;
		wrong += link_check(&rig->link) != 0;
	}
	counting = false;
	assert_int_equal(wrong, 0);
	assert_int_equal(calls, 0);
}

/* That the counting counts. */
static void test_counting(void **state)
{
	(void)state;
	struct ranges ranges;
	calls = 0;
	counting = true;
	int result = ranges_init(&ranges, 1);
	counting = false;
	ranges_fini(&ranges);
	assert_int_equal(result, 0);
	/* Three for each space, and what readers keep. */
	assert_int_equal(calls, 7);
	calls = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counting), TEST(test_exits),  TEST(test_hinted_exits),
	    TEST(test_async_writes),         TEST(test_pauses), TEST(test_msr_exits),
	    TEST(test_unclaimed_exits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
