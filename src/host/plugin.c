/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Level 1 of plugvm.h: one plugin process and its channels.
 */
#include "host/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"

_Static_assert(PLUGVM_VCPUS_MAX == LIMIT_VCPUS && LIMIT_EVENTS == 1024, "plugvm.h says so");

static int check_config(const struct plugvm_plugin_config *config, struct plugvm_error *out_error)
{
	if (config->size != sizeof(*config))
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "struct plugvm_plugin_config has size %zu, this library's has %zu",
		                       config->size, sizeof(*config));
	if (!config->path || !config->path[0])
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "no plugin was named");
	if (config->vcpu_count == 0)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "a VM needs at least one vCPU");
	if (config->vcpu_count > LIMIT_VCPUS)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "%u vCPUs: it can be 1 to %d",
		                       config->vcpu_count, LIMIT_VCPUS);
	if (config->spin_us < PLUGVM_SPIN_NEVER || config->spin_us > PLUGVM_SPIN_MAX)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "spinning for %d us: it can be %d to %d", config->spin_us,
		                       PLUGVM_SPIN_NEVER, PLUGVM_SPIN_MAX);
	if (config->tap_count > 0 && (!config->taps || !config->taps[0]))
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "there is a number of taps and no tap");
	return 0;
}

int plugin_new(const struct plugvm_plugin_config *config, bool measure, struct plugvm_plugin **out_plugin,
               struct plugvm_error *out_error)
{
	int result = check_config(config, out_error);
	if (result < 0)
		return result;
	struct plugvm_plugin *plugin = calloc(1, sizeof(*plugin));
	if (!plugin)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "starting the plugin");
	FD_AUTO socket = -1;
	result = session_init(&plugin->session, config, measure, &socket);
	if (result < 0) {
		free(plugin);
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -result, "making the plugin's channels");
	}
	result = process_spawn(&plugin->process, config, socket, out_error);
	if (result < 0) {
		session_fini(&plugin->session, NULL);
		free(plugin);
		return result;
	}
	*out_plugin = plugin;
	return 0;
}

int plugvm_plugin_new(const struct plugvm_plugin_config *config, struct plugvm_plugin **out_plugin,
                      struct plugvm_error *out_error)
{
	return plugin_new(config, false, out_plugin, out_error);
}

void plugvm_plugin_free(struct plugvm_plugin **plugin, struct plugvm_vm *vm)
{
	if (!*plugin)
		return;
	process_fini(&(*plugin)->process);
	session_fini(&(*plugin)->session, vm);
	free(*plugin);
	*plugin = NULL;
}

pid_t plugvm_plugin_pid(const struct plugvm_plugin *plugin)
{
	return plugin->process.plugin_pid;
}

int plugvm_plugin_pidfd(const struct plugvm_plugin *plugin)
{
	return plugin->process.pidfd;
}

int plugin_lifeline(const struct plugvm_plugin *plugin)
{
	return plugin->process.is_jailed ? plugin->process.jail.lifeline : -1;
}

bool plugvm_plugin_is_started(const struct plugvm_plugin *plugin)
{
	return atomic_load(&plugin->session.started);
}

size_t plugvm_plugin_sockets(const struct plugvm_plugin *plugin, int *fds, size_t capacity)
{
	size_t count = plugin->session.connection_count;
	for (size_t i = 0; i < count && i < capacity; i++)
		fds[i] = plugin->session.connections[i];
	return count;
}

int plugvm_plugin_drop_sockets(struct plugvm_plugin *plugin, const size_t *indices, size_t count)
{
	return session_drop(&plugin->session, indices, count);
}

int plugvm_plugin_handle_socket(struct plugvm_plugin *plugin, size_t index, struct plugvm_vm *vm)
{
	return session_handle(&plugin->session, index, vm);
}

int plugvm_plugin_poll_fd(const struct plugvm_plugin *plugin)
{
	return plugin->session.epoll;
}

int plugvm_plugin_dispatch(struct plugvm_plugin *plugin, struct plugvm_vm *vm)
{
	return session_dispatch(&plugin->session, vm);
}

void plugvm_plugin_set_end(struct plugvm_plugin *plugin, enum plugvm_end reason, int value, int cpu,
                           const char *text)
{
	struct vm_end *end = &plugin->session.end;
	*end = (struct vm_end){.is_set = true, .reason = reason, .value = value, .cpu = cpu};
	snprintf(end->text, sizeof(end->text), "%s", text);
}

void plugvm_plugin_signal_kill(struct plugvm_plugin *plugin)
{
	session_signal_kill(&plugin->session);
}

void plugvm_plugin_kill(struct plugvm_plugin *plugin)
{
	process_kill(&plugin->process);
}

int plugvm_plugin_try_wait(struct plugvm_plugin *plugin, struct plugvm_plugin_status *out_status)
{
	return process_try_wait(&plugin->process, out_status);
}

int plugvm_plugin_wait(struct plugvm_plugin *plugin, int timeout_ms, struct plugvm_plugin_status *out_status)
{
	return process_wait(&plugin->process, timeout_ms, out_status);
}

int plugvm_plugin_vcpu_new(struct plugvm_plugin *plugin, uint32_t cpu, struct plugvm_plugin_vcpu **out_pv)
{
	if (cpu >= plugin->session.vcpu_count)
		return -EINVAL;
	struct plugvm_plugin_vcpu *pv = malloc(sizeof(*pv));
	if (!pv)
		return -ENOMEM;
	pv->link = &plugin->session.links[cpu];
	pv->area = &plugin->session.area;
	*out_pv = pv;
	return 0;
}

void plugvm_plugin_vcpu_free(struct plugvm_plugin_vcpu **pv)
{
	free(*pv);
	*pv = NULL;
}

int plugvm_plugin_vcpu_init(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu)
{
	vcpu_area_begin(pv->area);
	return link_deliver_init(pv->link, vcpu);
}

int plugvm_plugin_vcpu_pre_run(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu)
{
	return link_pre_run(pv->link, vcpu);
}

void plugvm_plugin_vcpu_post_run(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu)
{
	(void)vcpu;
	link_post_run(pv->link);
}

static int deliver_access(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, enum address_space space,
                          bool is_write, uint64_t address, uint32_t width, void *data, uint32_t size)
{
	struct guest_access access = {
	    .space = space, .is_write = is_write, .address = address, .width = width, .data = data, .size = size};
	return link_deliver_access(pv->link, vcpu, &access);
}

int plugvm_plugin_vcpu_io_read(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint16_t address,
                               uint32_t width, void *data, uint32_t size)
{
	return deliver_access(pv, vcpu, ADDRESS_SPACE_PORT, false, address, width, data, size);
}

int plugvm_plugin_vcpu_io_write(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint16_t address,
                                uint32_t width, const void *data, uint32_t size)
{
	return deliver_access(pv, vcpu, ADDRESS_SPACE_PORT, true, address, width, (void *)data, size);
}

int plugvm_plugin_vcpu_mmio_read(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint64_t address,
                                 void *data, uint32_t size)
{
	return deliver_access(pv, vcpu, ADDRESS_SPACE_MMIO, false, address, size, data, size);
}

int plugvm_plugin_vcpu_mmio_write(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint64_t address,
                                  const void *data, uint32_t size)
{
	return deliver_access(pv, vcpu, ADDRESS_SPACE_MMIO, true, address, size, (void *)data, size);
}

int plugvm_plugin_vcpu_hyperv_call(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint64_t input,
                                   const uint64_t params[2], uint64_t *out_result)
{
	return link_deliver_hyperv_call(pv->link, vcpu, input, params, out_result);
}

int plugvm_plugin_vcpu_hyperv_synic(struct plugvm_plugin_vcpu *pv, struct plugvm_vcpu *vcpu, uint32_t msr,
                                    uint64_t control, uint64_t evt_page, uint64_t msg_page)
{
	return link_deliver_hyperv_synic(
	    pv->link, vcpu,
	    &(wire_VcpuResponse_Wait_HypervSynic){
	        .msr = msr, .control = control, .evt_page = evt_page, .msg_page = msg_page});
}

const char *plugvm_plugin_vcpu_fault(const struct plugvm_plugin_vcpu *pv)
{
	return pv->link->fault;
}

size_t plugin_exit_counts(const struct plugvm_plugin *plugin, struct plugvm_exit_count *lines, size_t capacity)
{
	const struct counts *counts[LIMIT_VCPUS];
	for (uint32_t cpu = 0; cpu < plugin->session.vcpu_count; cpu++)
		counts[cpu] = &plugin->session.links[cpu].counts;
	return counts_report(counts, plugin->session.vcpu_count, plugin->session.range_names, lines, capacity);
}
