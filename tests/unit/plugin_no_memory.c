/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that the client library survives every allocation that fails: -ENOMEM, nothing sent, nothing leaked,
 * and the next try works. To be linked with -Wl,--wrap=malloc,--wrap=calloc.
 */
#include "plugin_fake_host.c"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

/* Allocations that still succeed; negative: all. */
static int allocations_left = -1;

static bool may_allocate(void)
{
	if (allocations_left == 0)
		return false;
	if (allocations_left > 0)
		allocations_left--;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return may_allocate() ? __real_calloc(count, size) : NULL;
}

static void test_connect(void **state)
{
	/* The connection, the list of ends, the machine, and two for each of two vCPUs. */
	enum { ALLOCATIONS = 7 };
	for (int good = 0; good <= ALLOCATIONS; good++) {
		struct fake *fake = *state;
		fake_be_original(fake);
		fake_reply_vcpus(fake, FAKE_SOCKETS, 2);
		allocations_left = good;
		int error = crosvm_connect(&fake->plugin);
		bool all_used = allocations_left == 0;
		allocations_left = -1;
		assert_int_equal(error, good < ALLOCATIONS ? -ENOMEM : 0);
		assert_true(all_used);
		if (good == 0)
			fake_expect_nothing(fake->socket);
		/* Before the first allocation the socket is the caller's. */
		assert_int_equal(fake_is_open(fake->plugin_socket), good == 0 || good == ALLOCATIONS);
		if (good > 0)
			fake->plugin_socket = -1;
		fake_teardown(state);
		fake_setup(state);
	}
}

static void test_new_connection(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	for (int good = 0; good <= 1; good++) {
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		fake_reply_fds(fake->socket, BYTES(0x22, 0), &pair[1], 1);
		fd_close(&pair[1]);
		struct crosvm *added = NULL;
		allocations_left = good;
		int error = crosvm_new_connection(fake->plugin, &added);
		allocations_left = -1;
		assert_int_equal(error, good ? 0 : -ENOMEM);
		assert_int_equal(added != NULL, good);
		if (added)
			assert_int_equal(crosvm_destroy_connection(&added), 0);
		fd_close(&pair[0]);
	}
}

static void test_create_memory(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_memory *memory = NULL;
	allocations_left = 0;
	int error = crosvm_create_memory(fake->plugin, STDERR_FILENO, 0, 0x1000, 0, false, false, &memory);
	allocations_left = -1;
	assert_int_equal(error, -ENOMEM);
	assert_null(memory);
	fake_expect_nothing(fake->socket);
}

/* The routes for the wire, and the request, which is too long for the stack. */
static void test_long_request(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	static struct crosvm_irq_route routes[LIMIT_IRQ_ROUTES];
	for (int good = 0; good <= 2; good++) {
		if (good == 2)
			fake_reply(fake->socket, BYTES(0x6a, 0));
		allocations_left = good;
		int error = crosvm_set_irq_routing(fake->plugin, LIMIT_IRQ_ROUTES, routes);
		allocations_left = -1;
		assert_int_equal(error, good == 2 ? 0 : -ENOMEM);
		if (good < 2)
			fake_expect_nothing(fake->socket);
	}
}

/* Every other request that needs memory: without it nothing is sent. */
static void test_requests(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_io *io = NULL;
	struct crosvm_irq *irq = NULL;
	struct kvm_cpuid_entry2 entry = {.function = 1};
	static const struct crosvm_irq_route route;
	uint32_t index = 1, count;
	int errors[8];
	allocations_left = 0;
	errors[0] = crosvm_create_io_event(fake->plugin, 0, 1, 0, NULL, &io);
	errors[1] = crosvm_create_irq_event(fake->plugin, 1, &irq);
	errors[2] = crosvm_get_supported_cpuid(fake->plugin, 1, &entry, &count);
	errors[3] = crosvm_get_emulated_cpuid(fake->plugin, 1, &entry, &count);
	errors[4] = crosvm_get_msr_index_list(fake->plugin, 1, &index, &count);
	errors[5] = crosvm_set_irq_routing(fake->plugin, 1, &route);
	errors[6] = crosvm_vcpu_set_cpuid(vcpu, 1, &entry);
	errors[7] = crosvm_get_hyperv_cpuid(vcpu, 1, &entry, &count);
	allocations_left = -1;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		assert_int_equal(errors[i], -ENOMEM);
	assert_null(io);
	assert_null(irq);
	fake_expect_nothing(fake->socket);
	fake_expect_nothing(fake->requests[0]);
}

/* Nothing is allocated for an event or an answer. */
static void test_events(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct kvm_regs regs;
	memset(&regs, 0, sizeof(regs));
	wire_VcpuResponse io = fake_io("\0\0\0\0", 4);
	struct crosvm_vcpu_event event;
	fake_send(fake, 0, &io);
	allocations_left = 0;
	int set = crosvm_vcpu_set_regs(vcpu, &regs);
	int resume = crosvm_vcpu_resume(vcpu);
	int wait = crosvm_vcpu_wait(vcpu, &event);
	int last = crosvm_vcpu_resume(vcpu);
	int left = allocations_left;
	allocations_left = -1;
	assert_int_equal(set, 0);
	assert_int_equal(resume, 0);
	assert_int_equal(wait, 0);
	assert_int_equal(last, 0);
	assert_int_equal(left, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_connect),  TEST(test_new_connection), TEST(test_create_memory),
	    TEST(test_requests), TEST(test_long_request),   TEST(test_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
