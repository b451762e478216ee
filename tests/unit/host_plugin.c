/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the lower level of plugvm.h as far as that needs no VM: which configurations are refused, a plugin's sockets, and its
 * end.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "host/plugin.h"

static const char *const argv[] = {"sleep", "1000", NULL};

static struct plugvm_plugin_config make_config(void)
{
	return (struct plugvm_plugin_config){.size = sizeof(struct plugvm_plugin_config),
	                                     .path = "/bin/sleep",
	                                     .argv = argv,
	                                     .vcpu_count = 2,
	                                     .stdin_fd = -1,
	                                     .stdout_fd = -1,
	                                     .stderr_fd = -1};
}

static void expect_refusal(const struct plugvm_plugin_config *config, const char *text)
{
	struct plugvm_plugin *plugin = NULL;
	struct plugvm_error error;
	int before = count_open_fds();
	assert_int_equal(plugvm_plugin_new(config, &plugin, &error), -EINVAL);
	assert_null(plugin);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	if (!strstr(error.text, text))
		fail_msg("'%s', not '%s'", error.text, text);
	assert_int_equal(count_open_fds(), before);
}

static void test_wrong_config(void **state)
{
	(void)state;
	struct plugvm_plugin_config config = make_config();
	config.size--;
	expect_refusal(&config, "struct plugvm_plugin_config has size");
	config = make_config();
	config.path = NULL;
	expect_refusal(&config, "no plugin was named");
	config.path = "";
	expect_refusal(&config, "no plugin was named");
	config = make_config();
	config.vcpu_count = 0;
	expect_refusal(&config, "at least one vCPU");
	config.vcpu_count = PLUGVM_VCPUS_MAX + 1;
	expect_refusal(&config, "vCPUs: it can be 1 to");
	config = make_config();
	config.tap_count = 1;
	expect_refusal(&config, "no tap");
	config.taps = (struct plugvm_tap *[]){NULL};
	expect_refusal(&config, "no tap");
}

static struct plugvm_plugin *start(void)
{
	struct plugvm_plugin_config config = make_config();
	struct plugvm_plugin *plugin;
	struct plugvm_error error;
	if (plugvm_plugin_new(&config, &plugin, &error) < 0)
		fail_msg("%s", error.text);
	return plugin;
}

static void test_sockets(void **state)
{
	(void)state;
	int before = count_open_fds();
	struct plugvm_plugin *plugin = start();
	struct plugvm_plugin_vcpu *vcpu;
	int fds[2] = {-1, -1};
	assert_false(plugvm_plugin_is_started(plugin));
	assert_int_equal(plugvm_plugin_sockets(plugin, NULL, 0), 1);
	assert_int_equal(plugvm_plugin_sockets(plugin, fds, 2), 1);
	assert_true(fcntl(fds[0], F_GETFD) >= 0 && fds[1] == -1);
	assert_int_equal(plugvm_plugin_handle_socket(plugin, 0, NULL), -EAGAIN);
	assert_int_equal(plugvm_plugin_handle_socket(plugin, 1, NULL), -EINVAL);
	assert_int_equal(plugvm_plugin_drop_sockets(plugin, (const size_t[]){1}, 1), -EINVAL);
	assert_int_equal(plugvm_plugin_sockets(plugin, NULL, 0), 1);
	assert_int_equal(plugvm_plugin_drop_sockets(plugin, (const size_t[]){0}, 1), 0);
	assert_int_equal(plugvm_plugin_sockets(plugin, NULL, 0), 0);
	assert_int_equal(plugvm_plugin_vcpu_new(plugin, 2, &vcpu), -EINVAL);
	assert_int_equal(plugvm_plugin_vcpu_new(plugin, 1, &vcpu), 0);
	plugvm_plugin_vcpu_free(&vcpu);
	assert_null(vcpu);
	plugvm_plugin_free(&plugin, NULL);
	assert_null(plugin);
	plugvm_plugin_free(&plugin, NULL);
	assert_int_equal(count_open_fds(), before);
}

static void test_end(void **state)
{
	(void)state;
	struct plugvm_plugin *plugin = start();
	struct plugvm_plugin_status status;
	assert_int_equal(plugvm_plugin_try_wait(plugin, &status), 0);
	assert_int_equal(status.state, PLUGVM_PLUGIN_RUNNING);
	assert_int_equal(kill(plugvm_plugin_pid(plugin), 0), 0);
	/* A text that is too long is cut. */
	char text[1024];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	plugvm_plugin_set_end(plugin, PLUGVM_END_STOPPED, 7, -1, text);
	const struct vm_end *end = &plugin->session.end;
	assert_true(end->is_set && end->reason == PLUGVM_END_STOPPED && end->value == 7 && end->cpu == -1);
	assert_int_equal(strlen(end->text), sizeof(end->text) - 1);
	plugvm_plugin_signal_kill(plugin);
	/* It does not listen, so it goes on. */
	assert_int_equal(kill(plugvm_plugin_pid(plugin), 0), 0);
	plugvm_plugin_kill(plugin);
	assert_int_equal(plugvm_plugin_wait(plugin, 60000, &status), 0);
	assert_int_equal(status.state, PLUGVM_PLUGIN_SIGNALED);
	assert_int_equal(status.value, SIGKILL);
	struct pollfd poll_fd = {.fd = plugvm_plugin_pidfd(plugin), .events = POLLIN};
	assert_int_equal(poll(&poll_fd, 1, 60000), 1);
	plugvm_plugin_free(&plugin, NULL);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wrong_config),
	    cmocka_unit_test(test_sockets),
	    cmocka_unit_test(test_end),
	};
	return cmocka_run_group_tests_name("host_plugin", tests, NULL, NULL);
}
