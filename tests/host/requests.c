/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the requests on a main connection do beyond their error: what KVM is told, and what the answer brings.
 */
#include "rig.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

/* Send and take the answer, whose fds are the caller's; it must have this error. */
static void ask(struct session_rig *rig, const wire_MainRequest *request, int fd, int error,
                struct answer_packet *out_answer)
{
	assert_int_equal(rig_send(rig->socket, request, fd, fd < 0 ? 0 : 1), 0);
	session_dispatch(&rig->session, rig->vm);
	rig_receive(rig->socket, out_answer);
	assert_int_equal(out_answer->result, 0);
	assert_int_equal(out_answer->message.error, error);
}

/* ---- Events ---- */

static wire_MainRequest io_event(uint32_t id, uint32_t length, uint64_t datamatch)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = id,
	    .which_constructor = wire_MainRequest_Create_io_event_tag,
	    .constructor = {.io_event = {.space = wire_AddressSpace_MMIO,
	                                 .address = 0x1000,
	                                 .length = length,
	                                 .datamatch = datamatch}},
	};
	return request;
}

/* Length 0 is any length and any data; with a length just that data counts, also 0. */
static void test_io_event(void **state)
{
	struct session_rig *rig = *state;
	static const struct {
		uint32_t length;
		uint64_t datamatch, told;
		uint32_t flags;
	} cases[] = {
	    {0, 0, 0, 0},
	    {0, 77, 0, 0},
	    {4, 77, 77, KVM_IOEVENTFD_FLAG_DATAMATCH},
	    {8, 0, 0, KVM_IOEVENTFD_FLAG_DATAMATCH},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer_packet answer;
		wire_MainRequest request = io_event(1, cases[i].length, cases[i].datamatch);
		ask(rig, &request, -1, 0, &answer);
		assert_int_equal(answer.fd_count, 1);
		const struct kvm_ioeventfd *told = &fake_kvm.io_events[0];
		assert_int_equal(told->addr, 0x1000);
		assert_int_equal(told->len, cases[i].length);
		assert_int_equal(told->datamatch, cases[i].told);
		assert_int_equal(told->flags, cases[i].flags);
		uint64_t count = 1;
		assert_int_equal(write(told->fd, &count, sizeof(count)), sizeof(count));
		assert_int_equal(read(answer.fds[0], &count, sizeof(count)), sizeof(count));
		rig_close_fds(&answer);
		/* The same number is refused, and brings no fd. */
		ask(rig, &request, -1, EEXIST, &answer);
		request = (wire_MainRequest){.which_message = wire_MainRequest_destroy_tag,
		                             .message.destroy.id = 1};
		ask(rig, &request, -1, 0, &answer);
		assert_int_equal(fake_kvm.io_event_count, 0);
	}
}

/* Trigger first, resample second, whatever the request says of resample. */
static void test_irq_event(void **state)
{
	struct session_rig *rig = *state;
	int before = count_open_fds();
	for (uint32_t id = 0; id < 2; id++) {
		wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
		request.message.create = (wire_MainRequest_Create){
		    .id = id,
		    .which_constructor = wire_MainRequest_Create_irq_event_tag,
		    .constructor = {.irq_event = {.irq_id = 5 + id, .resample = id == 1}},
		};
		struct answer_packet answer;
		ask(rig, &request, -1, 0, &answer);
		assert_int_equal(answer.fd_count, 2);
		const struct kvm_irqfd *told = &fake_kvm.irq_events[id];
		assert_int_equal(told->gsi, 5 + id);
		assert_int_equal(told->flags, KVM_IRQFD_FLAG_RESAMPLE);
		uint64_t count = 1;
		assert_int_equal(write(answer.fds[0], &count, sizeof(count)), sizeof(count));
		assert_int_equal(read((int)told->fd, &count, sizeof(count)), sizeof(count));
		rig_close_fds(&answer);
		/* The host keeps one fd. KVM holds the resample eventfd, the host does not. */
		assert_int_equal(count_open_fds(), before + 1 + (int)id);
	}
}

/* What KVM does not give up is still there, and another try may do. */
static void test_destroy_refused(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	wire_MainRequest request = io_event(1, 0, 0);
	ask(rig, &request, -1, 0, &answer);
	rig_close_fds(&answer);
	request = (wire_MainRequest){.which_message = wire_MainRequest_destroy_tag, .message.destroy.id = 1};
	fake_kvm_fail(KVM_IOEVENTFD, EIO, 1);
	ask(rig, &request, -1, EIO, &answer);
	ask(rig, &request, -1, 0, &answer);
	ask(rig, &request, -1, ENOENT, &answer);
}

/* ---- Memory ---- */

static int create_memory(struct session_rig *rig, uint32_t id, uint64_t length, int memfd)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = id,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = length, .dirty_log = true}},
	};
	return rig_request(rig, rig->socket, &request, memfd, 1);
}

/* The largest log that there is in one reply, and one byte more: that one is refused and not cleared. */
static void test_dirty_log(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	static const uint64_t pages[] = {1, 9, LIMIT_DIRTY_LOG_BYTES * UINT64_C(8),
	                                 LIMIT_DIRTY_LOG_BYTES * UINT64_C(8) + 1};
	for (size_t i = 0; i < 4; i++) {
		int memfd = make_memfd(pages[i] * 4096, F_SEAL_SHRINK);
		assert_int_equal(create_memory(rig, 1, pages[i] * 4096, memfd), 0);
		fd_close(&memfd);
		wire_MainRequest request = {.which_message = wire_MainRequest_dirty_log_tag,
		                            .message.dirty_log.id = 1};
		ask(rig, &request, -1, i == 3 ? EMSGSIZE : 0, &answer);
		if (i < 3) {
			const struct wire_bytes *bitmap = &answer.message.message.dirty_log.bitmap;
			assert_int_equal(bitmap->size, (pages[i] + 7) / 8);
			assert_int_equal(bitmap->data[0], pages[i] < 8 ? 1 : 0xff);
			assert_int_equal(bitmap->data[bitmap->size - 1], pages[i] % 8 ? 1 : 0xff);
		}
		assert_int_equal(fake_kvm.dirty_logs, i == 3 ? 3 : i + 1);
		request = (wire_MainRequest){.which_message = wire_MainRequest_destroy_tag,
		                             .message.destroy.id = 1};
		ask(rig, &request, -1, 0, &answer);
	}
	assert_int_equal(rig->log_lines, 0);
}

/* ---- Tables of KVM ---- */

static void test_cpuid(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_supported_cpuid_tag};
	ask(rig, &request, -1, 0, &answer);
	const struct wire_array *table = &answer.message.message.get_supported_cpuid.entries;
	assert_int_equal(table->stored, 2);
	const wire_CpuidEntry *entries = table->items;
	assert_int_equal(entries[1].function, 0x80000008);
	assert_int_equal(entries[1].eax, 0x3000 | 46);

	request.which_message = wire_MainRequest_get_emulated_cpuid_tag;
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(table->stored, 2);
	assert_int_equal(entries[0].function, FAKE_EMULATED_LEAF);
	assert_false(entries[0].has_index);
	assert_int_equal(entries[0].edx, 4);
	assert_true(entries[1].has_index);
	assert_int_equal(entries[1].index, 7);
	assert_int_equal(entries[1].edx, UINT32_MAX);

	fake_kvm_fail(KVM_GET_EMULATED_CPUID, E2BIG, 1);
	ask(rig, &request, -1, E2BIG, &answer);
	fake_kvm_fail(KVM_GET_SUPPORTED_CPUID, EIO, 1);
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_get_supported_cpuid_tag), EIO);
}

static void test_msr_list(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_msr_index_list_tag};
	ask(rig, &request, -1, 0, &answer);
	const struct wire_array *list = &answer.message.message.get_msr_index_list.indices;
	assert_int_equal(list->stored, FAKE_MSRS);
	for (uint32_t i = 0; i < FAKE_MSRS; i++)
		assert_int_equal(((const uint32_t *)list->items)[i], FAKE_MSR_FIRST + i);
	fake_kvm_fail(KVM_GET_MSR_INDEX_LIST, EIO, 0);
	ask(rig, &request, -1, EIO, &answer);
}

/* ---- Interrupts and state ---- */

static void test_irq_line(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_set_irq_tag,
	                            .message.set_irq = {.irq_id = 4, .active = true}};
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(fake_kvm.line.irq, 4);
	assert_int_equal(fake_kvm.line.level, 1);
	request.message.set_irq.active = false;
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(fake_kvm.line.level, 0);
	fake_kvm_fail(KVM_IRQ_LINE, ENXIO, 1);
	ask(rig, &request, -1, ENXIO, &answer);
}

/* As many routes as there may be fit one packet, in the longest form that they have, and one more is refused. */
static void test_irq_routing(void **state)
{
	struct session_rig *rig = *state;
	static wire_MainRequest_SetIrqRouting_Route routes[LIMIT_IRQ_ROUTES + 1];
	for (uint32_t i = 0; i < LIMIT_IRQ_ROUTES + 1; i++) {
		routes[i] = (wire_MainRequest_SetIrqRouting_Route){
		    .irq_id = i % (LIMIT_GSI + 1),
		    .which_route = wire_MainRequest_SetIrqRouting_Route_msi_tag,
		    .route.msi = {.address = UINT64_MAX, .data = UINT32_MAX},
		};
	}
	int size = 1 << 20;
	setsockopt(rig->socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	wire_MainRequest request = {.which_message = wire_MainRequest_set_irq_routing_tag};
	request.message.set_irq_routing.routes = (struct wire_array){.items = routes, .count = LIMIT_IRQ_ROUTES};
	struct answer_packet answer;
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(fake_kvm.route_count, LIMIT_IRQ_ROUTES);
	const struct kvm_irq_routing_entry *last = &fake_kvm.routes[LIMIT_IRQ_ROUTES - 1];
	assert_int_equal(last->gsi, LIMIT_GSI);
	assert_int_equal(last->u.msi.address_hi, UINT32_MAX);
	request.message.set_irq_routing.routes.count++;
	ask(rig, &request, -1, E2BIG, &answer);
	request.message.set_irq_routing.routes.count = 1;
	routes[0].irq_id = LIMIT_GSI + 1;
	ask(rig, &request, -1, EINVAL, &answer);
	assert_int_equal(fake_kvm.route_count, LIMIT_IRQ_ROUTES);
}

static void test_state(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	struct kvm_clock_data clock = {.clock = 123456789};
	wire_MainRequest set = {.which_message = wire_MainRequest_set_state_tag};
	set.message.set_state = (wire_MainRequest_SetState){.set = wire_MainRequest_StateSet_CLOCK,
	                                                    .state = {(const uint8_t *)&clock, sizeof(clock)}};
	ask(rig, &set, -1, 0, &answer);
	assert_int_equal(fake_kvm.clock.clock, 123456789);
	wire_MainRequest get = {.which_message = wire_MainRequest_get_state_tag,
	                        .message.get_state.set = wire_MainRequest_StateSet_CLOCK};
	ask(rig, &get, -1, 0, &answer);
	assert_int_equal(answer.message.message.get_state.state.size, sizeof(clock));
	assert_memory_equal(answer.message.message.get_state.state.data, &clock, sizeof(clock));
	fake_kvm_fail(KVM_GET_CLOCK, EIO, 1);
	ask(rig, &get, -1, EIO, &answer);
	set.message.set_state.state.size--;
	ask(rig, &set, -1, EINVAL, &answer);
}

static void test_identity_map(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_set_identity_map_addr_tag,
	                            .message.set_identity_map_addr.address = 0xfffbc000};
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(fake_kvm.identity_map, 0xfffbc000);
	fake_kvm_fail(KVM_SET_IDENTITY_MAP_ADDR, EINVAL, 1);
	ask(rig, &request, -1, EINVAL, &answer);
}

/* ---- What other modules keep ---- */

static void test_async_range(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	for (int async = 0; async < 2; async++) {
		wire_MainRequest request = {.which_message = wire_MainRequest_reserve_range_tag};
		request.message.reserve_range = (wire_MainRequest_ReserveRange){
		    .start = 0x10 + (uint64_t)async, .length = 1, .async_write = async};
		ask(rig, &request, -1, 0, &answer);
		ask(rig, &request, -1, EPERM, &answer);
		struct range range;
		assert_true(
		    ranges_find(&rig->session.ranges, 0, ADDRESS_SPACE_PORT, 0x10 + (uint64_t)async, 1, &range));
		assert_int_equal(range.async_write, async);
	}
	/* It is released like any other. */
	wire_MainRequest request = {.which_message = wire_MainRequest_reserve_range_tag,
	                            .message.reserve_range.start = 0x11};
	ask(rig, &request, -1, 0, &answer);
	assert_int_equal(ranges_count(&rig->session.ranges), 1);
}

/* Each vCPU of the mask, once, and no other; bits of no vCPU are nothing. */
static void test_pause(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	static const struct {
		uint64_t mask;
		bool wanted[2];
	} cases[] = {{0, {false, false}},
	             {1, {true, false}},
	             {2, {false, true}},
	             {UINT64_MAX, {true, true}},
	             {UINT64_MAX << 2, {false, false}}};
	for (uint64_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int cpu = 0; cpu < 2; cpu++)
			atomic_store(&rig->session.links[cpu].pause_wanted, false);
		rig->kicks = 0;
		wire_MainRequest request = {
		    .which_message = wire_MainRequest_pause_vcpus_tag,
		    .message.pause_vcpus = {.cpu_mask = cases[i].mask, .user = UINT64_MAX - i}};
		ask(rig, &request, -1, 0, &answer);
		assert_int_equal(rig->kicks, cases[i].wanted[0] + cases[i].wanted[1]);
		for (int cpu = 0; cpu < 2; cpu++) {
			struct vcpu_link *link = &rig->session.links[cpu];
			assert_int_equal(atomic_load(&link->pause_wanted), cases[i].wanted[cpu]);
			if (cases[i].wanted[cpu])
				assert_int_equal(atomic_load(&link->pause_user), UINT64_MAX - i);
		}
	}
}

static void test_hint(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	static wire_MainRequest_SetCallHint_RegHint details[LIMIT_HINT_DETAILS + 1];
	details[LIMIT_HINT_DETAILS - 1].match_rdx = true;
	wire_MainRequest request = {.which_message = wire_MainRequest_set_call_hint_tag};
	request.message.set_call_hint = (wire_MainRequest_SetCallHint){
	    .address = 1, .hints = {.items = details, .count = LIMIT_HINT_DETAILS}};
	ask(rig, &request, -1, 0, &answer);
	const void *hint = published_current(&rig->session.hints.hint);
	assert_non_null(hint);
	request.message.set_call_hint.hints.count++;
	ask(rig, &request, -1, EINVAL, &answer);
	assert_ptr_equal(published_current(&rig->session.hints.hint), hint);
	request.message.set_call_hint = (wire_MainRequest_SetCallHint){.on_write = true};
	ask(rig, &request, -1, 0, &answer);
	assert_null(published_current(&rig->session.hints.hint));
}

/* An interface that every machine has stands for the tap: what is asked of it needs no tap. */
static void test_net_config(void **state)
{
	struct session_rig *rig = *state;
	struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_net_config_tag};
	ask(rig, &request, -1, ENODATA, &answer);
	struct plugvm_tap tap = {
	    .fd = eventfd(7, EFD_CLOEXEC), .control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .name = "lo"};
	struct tap_config expected;
	if (tap_get_config(&tap, &expected) < 0) {
		fd_close(&tap.fd);
		fd_close(&tap.control);
		test_skip("the loopback interface has no address here");
	}
	rig->session.tap = &tap;
	for (int i = 0; i < 2; i++) {
		ask(rig, &request, -1, 0, &answer);
		const wire_MainResponse_GetNetConfig *config = &answer.message.message.get_net_config;
		assert_int_equal(config->host_ipv4_address, expected.address);
		assert_int_equal(config->netmask, expected.netmask);
		assert_int_equal(config->host_mac_address.size, 6);
		assert_memory_equal(config->host_mac_address.data, expected.mac, 6);
		/* A duplicate each time: the host keeps its own. */
		assert_int_equal(answer.fd_count, 1);
		assert_int_equal(fcntl(answer.fds[0], F_GETFD), FD_CLOEXEC);
		rig_close_fds(&answer);
		assert_int_equal(fcntl(tap.fd, F_GETFD), FD_CLOEXEC);
	}
	strcpy(tap.name, "plugvm-none");
	ask(rig, &request, -1, ENODEV, &answer);
	fd_close(&tap.control);
	fd_close(&tap.fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_io_event), TEST(test_irq_event),    TEST(test_destroy_refused), TEST(test_dirty_log),
	    TEST(test_cpuid),    TEST(test_msr_list),     TEST(test_irq_line),        TEST(test_irq_routing),
	    TEST(test_state),    TEST(test_identity_map), TEST(test_async_range),     TEST(test_pause),
	    TEST(test_hint),     TEST(test_net_config),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
