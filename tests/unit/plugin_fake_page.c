/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's side of the shared memory, for the tests of the client library; like plugin_fake_host.c it is included, and
 * one thread plays both sides: an event or a reply is put into the page before the call that takes it, and what the
 * library wrote is taken out afterwards.
 */
#include "plugin_fake_host.c"

#include "base/log.h"
#include "channel/area.h"
#include "channel/host_end.h"
#include "wire/event.h"

#define FAKE_PATIENCE_NS UINT64_C(20000000000)

/* A successful response to get_area, and the request. */
#define REPLY_AREA   BYTES(0x92, 0x0d, 0x00)
#define REQUEST_AREA BYTES(0x92, 0x0d, 0x02, 0x08, AREA_VERSION)

struct fake_page {
	struct area area;
	struct tokens tokens;
	struct host_end end; /* of vCPU 0 */
};

/* Put everything that a connect takes into the sockets. Returns the result of the connect. */
static inline int fake_try_connect_page(struct fake *fake, struct fake_page *page, uint32_t area_vcpus)
{
	const struct spin_setting no_spin = {.mode = SPIN_FIXED};
	wire_MainResponse features = fake_features(1);
	features.message.features.features |= WIRE_FEATURE_AREA;
	fake_reply_message(fake->socket, &features);
	fake_reply_new_vcpus(fake, FAKE_SOCKETS, 1, REPLY_VCPUS_FROM);
	memset(page, 0, sizeof(*page));
	assert_int_equal(area_new(area_vcpus, &page->area), 0);
	tokens_init(&page->tokens, no_spin, 2, -1);
	host_end_init(&page->end, area_page(&page->area, 0), &page->tokens);
	fake_reply_fds(fake->socket, REPLY_AREA, &page->area.fd, 1);
	int result = crosvm_connect(&fake->plugin);
	fake->plugin_socket = -1;
	return result;
}

static inline void fake_connect_page(struct fake *fake, struct fake_page *page)
{
	assert_int_equal(fake_try_connect_page(fake, page, 1), 0);
	fake_expect(fake->socket, REQUEST_FEATURES);
	assert_int_equal(fake_take(fake->socket, NULL).which_message, wire_MainRequest_get_vcpus_from_tag);
	fake_expect(fake->socket, REQUEST_AREA);
	fake_expect_nothing(fake->socket);
}

/* The result of a post: 1 if the plugin waits for its fd, and has it made readable. */
static inline void fake_posted(struct fake *fake, int result)
{
	assert_true(result == 0 || result == 1);
	if (result == 1)
		assert_int_equal(write(fake->events[0], "", 1), 1);
}

static inline void fake_post_message(struct fake *fake, struct fake_page *page, const wire_VcpuResponse *event,
                                     uint16_t valid)
{
	uint8_t data[LIMIT_VCPU_RESPONSE_BYTES];
	ssize_t size = wire_encode_vcpu_response(event, data, sizeof(data));
	assert_true(size >= 0);
	fake_posted(fake, host_end_message(&page->end, data, (size_t)size, valid, 0));
}

static inline void fake_post_init(struct fake *fake, struct fake_page *page)
{
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	event.message.wait.which_exit = wire_VcpuResponse_Wait_init_tag;
	fake_post_message(fake, page, &event, 0);
}

static inline void fake_post_access(struct fake *fake, struct fake_page *page, const struct host_access *access)
{
	fake_posted(fake, host_end_access(&page->end, access));
}

/* A write of one byte to a port, with these registers. */
static inline void fake_post_write(struct fake *fake, struct fake_page *page, uint16_t valid, int32_t error)
{
	fake_post_access(fake, page,
	                 &(struct host_access){.flags = PAGE_IS_WRITE,
	                                       .valid = valid,
	                                       .error = error,
	                                       .address = 0x3f8,
	                                       .data = (const uint8_t *)"w",
	                                       .size = 1});
}

static inline void fake_post_async(struct fake *fake, struct fake_page *page, uint64_t address, const void *data,
                                   uint32_t size)
{
	const struct host_access access = {
	    .flags = PAGE_IS_WRITE | PAGE_IS_MMIO, .address = address, .data = data, .size = size};
	fake_posted(fake, host_end_posted_write(&page->end, &access, clock_ns() + FAKE_PATIENCE_NS));
}

/* A reply to the request that comes next. */
static inline void fake_post_reply(struct fake *fake, struct fake_page *page, const wire_VcpuResponse *reply)
{
	uint8_t data[LIMIT_VCPU_RESPONSE_BYTES];
	ssize_t size = wire_encode_vcpu_response(reply, data, sizeof(data));
	assert_true(size >= 0);
	fake_posted(fake, host_end_reply(&page->end, data, (size_t)size));
}

static inline struct page_answer fake_take_answer(struct fake_page *page, enum page_answer_kind kind)
{
	struct page_answer answer;
	assert_int_equal(host_end_await(&page->end, clock_ns() + FAKE_PATIENCE_NS, &answer), 0);
	assert_int_equal(answer.kind, kind);
	return answer;
}

/* What it refers to is valid until the next. */
static inline wire_VcpuRequest fake_take_request(struct fake_page *page)
{
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	wire_VcpuRequest request;
	struct page_answer answer = fake_take_answer(page, PAGE_REQUEST);
	host_end_take_message(&page->end, &answer, data);
	assert_int_equal(wire_decode_vcpu_request(data, answer.size, NULL, &request), 0);
	return request;
}

static inline struct page_answer fake_take_resume(struct fake_page *page)
{
	return fake_take_answer(page, PAGE_RESUME);
}

/* No message of the library's is there. */
static inline void fake_expect_no_answer(struct fake_page *page)
{
	struct page_answer answer;
	assert_int_equal(host_end_await(&page->end, clock_ns(), &answer), -ETIMEDOUT);
}

/* ---- The one of a test ---- */

static struct fake_page page;

static inline int page_setup(void **state)
{
	fake_setup(state);
	fake_connect_page(*state, &page);
	return 0;
}

static inline int page_teardown(void **state)
{
	area_fini(&page.area);
	return fake_teardown(state);
}

static inline void wait_kind(struct crosvm_vcpu *vcpu, struct crosvm_vcpu_event *out_event, int kind)
{
	memset(out_event, 0x55, sizeof(*out_event));
	assert_int_equal(crosvm_vcpu_wait(vcpu, out_event), 0);
	assert_int_equal(out_event->kind, kind);
}

static inline void wait_access(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
}

/* Pass INIT and wait for the first write. */
static inline struct crosvm_vcpu *begin(struct fake *fake)
{
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	fake_post_init(fake, &page);
	wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_INIT);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	struct page_answer answer = fake_take_resume(&page);
	assert_int_equal(answer.size, 0);
	assert_int_equal(answer.set | answer.wanted, 0);
	fake_post_write(fake, &page, 0, 0);
	wait_access(vcpu);
	return vcpu;
}

/* Resume, and have the next write. */
static inline struct page_answer next(struct fake *fake, struct crosvm_vcpu *vcpu, uint16_t valid)
{
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	struct page_answer answer = fake_take_resume(&page);
	fake_post_write(fake, &page, valid, 0);
	wait_access(vcpu);
	return answer;
}
