/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the PAUSED event of a vCPU's channel: when it comes, with what, and that an access of the guest is complete
 * before it does.
 */
#include "rig.h"

#include <string.h>

/* A wait for an answer that nobody gives fails, rather than hangs. */
static int setup(void **state)
{
	static struct link_rig rig;
	link_rig_init(&rig, PATIENCE_MS);
	*state = &rig;
	return 0;
}

static bool immediate_exit(struct link_rig *rig)
{
	return rig->fake->run->immediate_exit;
}

/* What the run loop does when KVM_RUN gave EINTR: link_pre_run() comes next. */
static void interrupted(struct link_rig *rig)
{
	assert_true(immediate_exit(rig));
	plugvm_vcpu_set_immediate_exit(rig->vcpu, false);
}

/* Deliver PAUSED and resume from it. */
static void pass_pause(struct link_rig *rig, uint64_t user)
{
	link_begin_pre_run(rig);
	link_expect_paused(rig, 0, user);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
	assert_false(immediate_exit(rig));
}

static void expect_no_pause(struct link_rig *rig)
{
	assert_int_equal(link_pre_run(&rig->link, rig->vcpu), 0);
	assert_false(immediate_exit(rig));
	link_expect_nothing(rig);
}

static void test_running(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	expect_no_pause(rig);
	link_request_pause(&rig->link, 0x123456789abcdef0);
	pass_pause(rig, 0x123456789abcdef0);
	/* Once. */
	expect_no_pause(rig);
	link_request_pause(&rig->link, 0);
	pass_pause(rig, 0);
}

/* Asked for before there is a vCPU, or at INIT: it comes after INIT and before the guest runs. */
static void test_before_start(void **state)
{
	struct link_rig *rig = *state;
	link_request_pause(&rig->link, 1);
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	link_request_pause(&rig->link, 2);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
	link_expect_nothing(rig);
	pass_pause(rig, 2);
	expect_no_pause(rig);
}

static void test_twice(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_request_pause(&rig->link, 1);
	link_request_pause(&rig->link, UINT64_MAX);
	pass_pause(rig, UINT64_MAX);
	expect_no_pause(rig);
}

/* One that comes while the last one is held follows it at once. */
static void test_again_while_paused(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_request_pause(&rig->link, 1);
	link_begin_pre_run(rig);
	link_expect_paused(rig, 0, 1);
	link_request_pause(&rig->link, 2);
	link_request_pause(&rig->link, 3);
	link_resume(rig, NULL, 0);
	link_expect_paused(rig, 0, 3);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
	expect_no_pause(rig);
}

/*
 * KVM takes the answer to a read only when it is run again: it is run for just that, and the plugin sees the vCPU with
 * the instruction done.
 */
static void test_pending_access(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_post_run(&rig->link);
	link_begin_access(rig, ADDRESS_SPACE_PORT, false, 1);
	link_expect_access(rig, 0);
	link_request_pause(&rig->link, 7);
	/* The event at hand is the access; the answer to it is no answer to anything else. */
	link_resume(rig, "a", 1);
	assert_int_equal(link_end(rig), 1);
	link_expect_nothing(rig);

	assert_int_equal(link_pre_run(&rig->link, rig->vcpu), 0);
	link_expect_nothing(rig);
	interrupted(rig);
	pass_pause(rig, 7);
	expect_no_pause(rig);
}

/* Without a pause an access is completed in the same KVM_RUN as the guest goes on. */
static void test_access_without_pause(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_post_run(&rig->link);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
	expect_no_pause(rig);
	/* It was completed by then. */
	link_request_pause(&rig->link, 9);
	pass_pause(rig, 9);
}

/* PAUSED is an event like any other: state may be had and set, and what came too early is refused. */
static void test_state_while_paused(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	struct kvm_regs regs;
	memset(&regs, 0x44, sizeof(regs));
	link_pass_init(rig);
	link_request_pause(&rig->link, 5);
	link_put_tag(rig, wire_VcpuRequest_get_state_tag);
	link_begin_pre_run(rig);
	link_expect_error(rig, EBUSY);
	link_expect_paused(rig, 0, 5);
	link_put_tag(rig, wire_VcpuRequest_get_state_tag);
	assert_true(link_take(rig, &frame));
	assert_int_equal(frame.message.which_message, wire_VcpuResponse_get_state_tag);
	/* A resume that is refused brings the same event again. */
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	request.message.resume.regs = (struct wire_bytes){(const uint8_t *)&regs, sizeof(regs) - 1};
	link_put_request(rig, &request);
	link_expect_paused(rig, EINVAL, 5);
	/* Data is nothing to anybody. */
	request.message.resume.regs.size++;
	request.message.resume.data = (struct wire_bytes){(const uint8_t *)"abc", 3};
	link_put_request(rig, &request);
	assert_int_equal(link_end(rig), 0);
	assert_int_equal(rig->fake->regs.rax, regs.rax);
}

static void test_cut(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_request_pause(&rig->link, 5);
	link_begin_pre_run(rig);
	link_expect_paused(rig, 0, 5);
	link_cut(&rig->link);
	assert_int_equal(link_end(rig), -ECANCELED);
	assert_int_equal(link_pre_run(&rig->link, rig->vcpu), -ECANCELED);
}

static void test_plugin_goes(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_request_pause(&rig->link, 5);
	fd_close(&rig->requests);
	link_begin_pre_run(rig);
	assert_int_equal(link_end(rig), -EPIPE);
	assert_int_equal(link_pre_run(&rig->link, rig->vcpu), -EPIPE);
}

static void test_timeout(void **state)
{
	(void)state;
	struct link_rig rig;
	link_rig_init(&rig, 2000);
	link_pass_init(&rig);
	link_request_pause(&rig.link, 5);
	link_begin_pre_run(&rig);
	link_expect_paused(&rig, 0, 5);
	assert_int_equal(link_end(&rig), -ETIMEDOUT);
	link_rig_fini(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, link_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_running),
	    TEST(test_before_start),
	    TEST(test_twice),
	    TEST(test_again_while_paused),
	    TEST(test_pending_access),
	    TEST(test_access_without_pause),
	    TEST(test_state_while_paused),
	    TEST(test_cut),
	    TEST(test_plugin_goes),
	    cmocka_unit_test(test_timeout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
