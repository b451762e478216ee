/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks registers where the vCPUs' messages are in shared memory: the first get is a request, later ones are answered by
 * what comes along, what is of no use stops to come; what is set goes with the resume, and what is refused comes back.
 */
#include "plugin_fake_page.c"
#include "plugin_sets.h"

struct set {
	enum page_set in_page;
	int number; /* on the wire */
	size_t size;
	int (*get)(struct crosvm_vcpu *, void *);
	int (*set)(struct crosvm_vcpu *, const void *);
};

DEFINE_SET(regs)
DEFINE_SET(sregs)
DEFINE_SET(debugregs)
DEFINE_SET(vcpu_events)

static const struct set sets[] = {
    {PAGE_REGS, 0, sizeof(struct kvm_regs), get_regs, set_regs},
    {PAGE_SREGS, 1, sizeof(struct kvm_sregs), get_sregs, set_sregs},
    {PAGE_DEBUGREGS, 3, sizeof(struct kvm_debugregs), get_debugregs, set_debugregs},
    {PAGE_EVENTS, 7, sizeof(struct kvm_vcpu_events), get_vcpu_events, set_vcpu_events},
};

static uint8_t value_a[512], value_b[512], got[512];

static void fill_values(void)
{
	for (size_t i = 0; i < sizeof(value_a); i++) {
		value_a[i] = (uint8_t)(i * 3 + 1);
		value_b[i] = (uint8_t)(i * 5 + 2);
	}
}

static void put_value_reply(struct fake *fake, const struct set *set, const uint8_t *value)
{
	wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_get_state_tag};
	reply.message.get_state.state = (struct wire_bytes){value, set->size};
	fake_post_reply(fake, &page, &reply);
}

static void expect_get(const struct set *set)
{
	wire_VcpuRequest request = fake_take_request(&page);
	assert_int_equal(request.which_message, wire_VcpuRequest_get_state_tag);
	assert_int_equal(request.message.get_state.set, set->number);
}

static void expect_got(struct crosvm_vcpu *vcpu, const struct set *set, const uint8_t *value)
{
	memset(got, 0, sizeof(got));
	assert_int_equal(set->get(vcpu, got), 0);
	assert_memory_equal(got, value, set->size);
}

/* The first get is a request, and from then on it is answered by what came along. */
static void check_get(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	put_value_reply(fake, set, value_a);
	expect_got(vcpu, set, value_a);
	expect_get(set);
	assert_int_equal(next(fake, vcpu, 0).wanted, set->in_page);
	/* The host did not give it: it is asked again. */
	put_value_reply(fake, set, value_b);
	expect_got(vcpu, set, value_b);
	expect_get(set);
	for (int i = 0; i < 100; i++) {
		host_end_put_registers(&page.end, set->in_page, i % 2 ? value_a : value_b);
		assert_int_equal(next(fake, vcpu, (uint16_t)set->in_page).wanted, set->in_page);
		expect_got(vcpu, set, i % 2 ? value_a : value_b);
	}
	/* Nobody looks at it for 64 events: the resume of that one says so. */
	for (int i = 1; i < 64; i++)
		assert_int_equal(next(fake, vcpu, (uint16_t)set->in_page).wanted, set->in_page);
	assert_int_equal(next(fake, vcpu, (uint16_t)set->in_page).wanted, set->in_page);
	assert_int_equal(next(fake, vcpu, 0).wanted, 0);
	/* And anew. */
	put_value_reply(fake, set, value_a);
	expect_got(vcpu, set, value_a);
	expect_get(set);
	assert_int_equal(next(fake, vcpu, 0).wanted, set->in_page);
}

/* Requests that one call of the library makes are served beside it. */
struct server {
	const struct set *set;
	const uint8_t *value; /* what a get gives */
	int32_t refusal;      /* of a set */
	int served;
	uint8_t taken[512]; /* what a set brought */
};

static void *serve(void *context)
{
	struct server *server = context;
	for (server->served = 0; server->served < 2;) {
		wire_VcpuRequest request = fake_take_request(&page);
		wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_set_state_tag};
		bool is_set = request.which_message == wire_VcpuRequest_set_state_tag;
		if (is_set) {
			reply.error = server->refusal;
			memcpy(server->taken, request.message.set_state.state.data, server->set->size);
		} else {
			reply.which_message = wire_VcpuResponse_get_state_tag;
			reply.message.get_state.state = (struct wire_bytes){server->value, server->set->size};
		}
		uint8_t data[LIMIT_VCPU_RESPONSE_BYTES];
		ssize_t size = wire_encode_vcpu_response(&reply, data, sizeof(data));
		host_end_reply(&page.end, data, (size_t)size);
		server->served++;
		if (is_set && server->refusal)
			break;
	}
	return NULL;
}

static int get_served(struct crosvm_vcpu *vcpu, struct server *server)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
	memset(got, 0, sizeof(got));
	int result = server->set->get(vcpu, got);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return result;
}

static void check_set(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_a), 0);
	assert_int_equal(set->set(vcpu, value_b), 0);
	fake_expect_no_answer(&page);
	assert_int_equal(next(fake, vcpu, 0).set, set->in_page);
	host_end_take_registers(&page.end, set->in_page, got);
	assert_memory_equal(got, value_b, set->size);
	/* Once. */
	assert_int_equal(next(fake, vcpu, 0).set, 0);

	/* A get sends it ahead and reads what the host has made of it; the resume brings nothing more. */
	struct server server = {.set = set, .value = value_b};
	assert_int_equal(set->set(vcpu, value_a), 0);
	assert_int_equal(get_served(vcpu, &server), 0);
	assert_int_equal(server.served, 2);
	assert_memory_equal(server.taken, value_a, set->size);
	assert_memory_equal(got, value_b, set->size);
	assert_int_equal(next(fake, vcpu, 0).set, 0);

	/* Refused there: dropped. */
	server = (struct server){.set = set, .value = value_b, .refusal = EINVAL};
	assert_int_equal(set->set(vcpu, value_a), 0);
	assert_int_equal(get_served(vcpu, &server), -EINVAL);
	assert_int_equal(server.served, 1);
	assert_int_equal(next(fake, vcpu, 0).set, 0);

	/* What came along is no answer any more once it was set. */
	host_end_put_registers(&page.end, set->in_page, value_a);
	next(fake, vcpu, (uint16_t)set->in_page);
	expect_got(vcpu, set, value_a);
	assert_int_equal(set->set(vcpu, value_b), 0);
	server = (struct server){.set = set, .value = value_b};
	assert_int_equal(get_served(vcpu, &server), 0);
	assert_memory_equal(got, value_b, set->size);
}

static void test_gets(void **state)
{
	fill_values();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct fake *fake = *state;
		check_get(fake, begin(fake), &sets[i]);
		page_teardown(state);
		page_setup(state);
	}
}

static void test_sets(void **state)
{
	fill_values();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct fake *fake = *state;
		check_set(fake, begin(fake), &sets[i]);
		page_teardown(state);
		page_setup(state);
	}
}

static void test_all_sets_at_once(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	fill_values();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		assert_int_equal(sets[i].set(vcpu, value_a + i), 0);
	assert_int_equal(next(fake, vcpu, 0).set, PAGE_SETS);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		host_end_take_registers(&page.end, sets[i].in_page, got);
		assert_memory_equal(got, value_a + i, sets[i].size);
	}
}

/* What came along is not what KVM has any more, once a set was set that changes it. */
static void test_dependent_sets(void **state)
{
	static const struct {
		size_t set, got; /* of sets[] */
	} cases[] = {{0, 3}, {1, 3}, {3, 1}};
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	fill_values();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		host_end_put_registers(&page.end, sets[i].in_page, value_a);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct set *set = &sets[cases[i].set], *dependent = &sets[cases[i].got];
		next(fake, vcpu, PAGE_SETS);
		expect_got(vcpu, dependent, value_a);
		assert_int_equal(set->set(vcpu, value_b), 0);
		/* The events only after what is pending, which a request of its own takes: two are served. */
		struct server server = {.set = dependent, .value = value_b};
		pthread_t thread;
		if (dependent->in_page == PAGE_EVENTS) {
			pthread_create(&thread, NULL, serve, &server);
			expect_got(vcpu, dependent, value_b);
			pthread_join(thread, NULL);
			assert_memory_equal(server.taken, value_b, dependent->size);
		} else {
			put_value_reply(fake, dependent, value_b);
			expect_got(vcpu, dependent, value_b);
			expect_get(dependent);
		}
		/* What does not depend on it is still there. */
		expect_got(vcpu, &sets[2], value_a);
	}
}

/* The same event again, with the errno, and the registers as they are. */
static void test_refused_resume(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct crosvm_vcpu_event event;
	fill_values();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(set_sregs(vcpu, value_a), 0);
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		assert_int_equal(fake_take_resume(&page).set, PAGE_SREGS);
		host_end_put_registers(&page.end, PAGE_SREGS, value_b);
		fake_post_write(fake, &page, PAGE_SREGS, EINVAL);
		assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EINVAL);
		assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		assert_true(event.io_access.address == 0x3f8);
		expect_got(vcpu, &sets[1], value_b);
	}
	assert_int_equal(next(fake, vcpu, 0).set, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, page_setup, page_teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_gets),           CASE(test_sets),           CASE(test_all_sets_at_once),
	    CASE(test_dependent_sets), CASE(test_refused_resume),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
