/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel/alone: the host's library and the plugin exchange events without a guest. There is a VM, because a plugin asks
 * about it when it connects, but nothing runs in it.
 */
#include <err.h>
#include <errno.h>
#include <plugvm.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "guest.h"
#include "samples.h"

struct channel {
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_plugin *plugin;
	struct plugvm_plugin_vcpu *pv;
};

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		err(1, "%s", what);
	}
}

struct channel *channel_new(const struct bench_config *config)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	if (!channel)
		err(1, "memory");
	char variable[64];
	snprintf(variable, sizeof(variable), "PLUGVM_BENCH_PLUGIN_CPUS=%d,%d", config->plugin_cpu,
	         config->other_cpu);
	const char *argv[] = {config->plugin, "free", NULL};
	const char *env[] = {variable, NULL};
	struct plugvm_plugin_config plugin_config = {
	    .size = sizeof(plugin_config),
	    .path = config->plugin,
	    .argv = argv,
	    .env = env,
	    .vcpu_count = 1,
	    .stdin_fd = -1,
	    .stdout_fd = -1,
	    .stderr_fd = 2,
	    .die_with_thread = true,
	};
	struct plugvm_error error;
	if (plugvm_kvm_open(NULL, &channel->kvm, &error) < 0 ||
	    plugvm_vm_new(channel->kvm, PLUGVM_IRQCHIP_KERNEL, &channel->vm, &error) < 0 ||
	    plugvm_plugin_new(&plugin_config, &channel->plugin, &error) < 0)
		errx(1, "%s", error.text);
	while (!plugvm_plugin_is_started(channel->plugin)) {
		struct pollfd poll_fd = {.fd = plugvm_plugin_poll_fd(channel->plugin), .events = POLLIN};
		poll(&poll_fd, 1, -1);
		if (plugvm_plugin_dispatch(channel->plugin, channel->vm) == 0)
			errx(1, "the plugin has gone");
	}
	check(plugvm_plugin_vcpu_new(channel->plugin, 0, &channel->pv), "vCPU object");
	check(plugvm_plugin_vcpu_init(channel->pv, NULL), "INIT");
	return channel;
}

void channel_block(void *context, uint64_t *times)
{
	struct channel *channel = context;
	uint8_t byte = 0;
	uint64_t last = now_ns();
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		check(plugvm_plugin_vcpu_io_write(channel->pv, NULL, GUEST_PORT, 1, &byte, 1), "event");
		uint64_t now = now_ns();
		times[i] = now - last;
		last = now;
	}
}

void channel_free(struct channel *channel)
{
	plugvm_plugin_signal_kill(channel->plugin);
	plugvm_plugin_vcpu_free(&channel->pv);
	plugvm_plugin_free(&channel->plugin, channel->vm);
	plugvm_vm_free(&channel->vm);
	plugvm_kvm_free(&channel->kvm);
	free(channel);
}
