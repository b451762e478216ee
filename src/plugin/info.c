/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host says of itself, and what this library says: versions, features, limits, why the VM ended. Runs in the
 * plugin, on the thread that the connection belongs to. The host may die at any moment or be an older one.
 */
#include "plugin/info.h"

#include <errno.h>
#include <string.h>

#include "plugin/connection.h"
#include "plugin/stats.h"
#include "wire/event.h"

#define SAME_FEATURE(name) _Static_assert((int)CROSVM_FEATURE_##name == (int)WIRE_FEATURE_##name, #name)
SAME_FEATURE(VCPUS);
SAME_FEATURE(CREATE_EXT);
SAME_FEATURE(CPUID_FLAGS);
SAME_FEATURE(DIRTY_LOG_TO);
SAME_FEATURE(PAUSE_SET);
SAME_FEATURE(SIGNAL_MSI);
SAME_FEATURE(EXITS);
SAME_FEATURE(MSR_FILTER);
SAME_FEATURE(XSAVE);
SAME_FEATURE(TSC_KHZ);
SAME_FEATURE(NESTED);
SAME_FEATURE(INTERRUPTS);
SAME_FEATURE(GUEST_DEBUG);
SAME_FEATURE(TRANSLATE);
SAME_FEATURE(SNAPSHOT);
SAME_FEATURE(END);
SAME_FEATURE(AREA);

static int check_info(const struct crosvm_info *info)
{
	bool has_version = info->host_major || info->host_minor || info->host_patch;
	bool makes_sense = has_version && info->vcpu_count > 0 && info->vcpu_count <= LIMIT_VCPUS &&
	                   info->request_bytes > 0;
	return makes_sense ? 0 : -EPROTO;
}

int info_fetch(struct crosvm *crosvm, struct crosvm_info *out_info)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_features_tag};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	const wire_MainResponse_Features *features = &response.message.features;
	*out_info = (struct crosvm_info){
	    .size = sizeof(*out_info),
	    .host_major = features->version_major,
	    .host_minor = features->version_minor,
	    .host_patch = features->version_patch,
	    .features = features->features,
	    .vcpu_count = features->vcpu_count,
	    .irqchip = features->irqchip,
	    .request_bytes = features->request_bytes < LIMIT_REQUEST_BYTES ? features->request_bytes
	                                                                   : LIMIT_REQUEST_BYTES,
	    .connections = features->connections,
	    .ranges = features->ranges,
	    .events = features->events,
	    .memory_slots = features->memory_slots,
	    .irq_routes = features->irq_routes,
	    .memory_bytes = features->memory_bytes,
	    .cpuid_entries = features->cpuid_entries,
	    .msrs = features->msrs,
	};
	return check_info(out_info);
}

void info_of_original(struct crosvm_info *out_info)
{
	*out_info = (struct crosvm_info){
	    .size = sizeof(*out_info),
	    .irqchip = CROSVM_IRQCHIP_KERNEL,
	    .request_bytes = INFO_BASELINE_REQUEST_BYTES,
	};
}

void crosvm_version(unsigned int *out_major, unsigned int *out_minor, unsigned int *out_patch)
{
	STATS();
	if (out_major)
		*out_major = CROSVM_API_MAJOR;
	if (out_minor)
		*out_minor = CROSVM_API_MINOR;
	if (out_patch)
		*out_patch = CROSVM_API_PATCH;
}

int crosvm_get_info(struct crosvm *crosvm, struct crosvm_info *info)
{
	STATS();
	if (!crosvm || !info)
		return -EINVAL;
	struct crosvm_info known = crosvm->machine->info;
	/* A plugin of another version has another struct: what both know is filled. */
	if (info->size > 0 && info->size < sizeof(known))
		known.size = info->size;
	memcpy(info, &known, known.size);
	return 0;
}

int crosvm_get_end(struct crosvm *crosvm, struct crosvm_end *out_end)
{
	STATS();
	if (!crosvm || !out_end)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_end_tag};
	wire_MainResponse response;
	int error = connection_need(crosvm, CROSVM_FEATURE_END);
	if (!error)
		error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	const wire_MainResponse_GetEnd *end = &response.message.get_end;
	memset(out_end, 0, sizeof(*out_end));
	out_end->reason = end->reason;
	out_end->value = end->value;
	out_end->cpu = end->cpu;
	size_t room = sizeof(out_end->text) - 1;
	if (end->text.size > 0)
		memcpy(out_end->text, end->text.data, end->text.size < room ? end->text.size : room);
	return 0;
}
