/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin may use, and how it is held to that.
 */
#include "jail/limit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "wire/limits.h"

static const struct {
	const char *name;
	uint64_t least, most;
	const char *unit;
} ranges[PLUGVM_LIMIT_COUNT] = {
    [PLUGVM_LIMIT_MEMORY] = {"memory", (uint64_t)LIMIT_JAIL_LEAST_MEMORY_MIB << 20, UINT64_C(1) << 60, " bytes"},
    [PLUGVM_LIMIT_PIDS] = {"pids", LIMIT_JAIL_LEAST_PIDS, 1 << 22, ""},
    [PLUGVM_LIMIT_FDS] = {"fds", LIMIT_JAIL_LEAST_FDS, 1 << 20, ""},
    [PLUGVM_LIMIT_CPU] = {"cpu", 1, UINT64_C(100) * 8192, " percent of a CPU"},
};

int plugvm_jail_set_limit(struct plugvm_jail *jail, enum plugvm_jail_limit limit, uint64_t value,
                          struct plugvm_error *out_error)
{
	if ((unsigned)limit >= PLUGVM_LIMIT_COUNT)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "there is no limit %d", (int)limit);
	if (value < ranges[limit].least || value > ranges[limit].most)
		return error_set_plain(
		    out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		    "a limit of %" PRIu64 " is out of range: %s can be %" PRIu64 " to %" PRIu64 "%s", value,
		    ranges[limit].name, ranges[limit].least, ranges[limit].most, ranges[limit].unit);
	jail->limits[limit] = value;
	return 0;
}

void plugvm_jail_limit_host(struct plugvm_jail *jail)
{
	jail->limits_host = true;
}

struct jail_limits limits_of_vm(uint32_t vcpu_count)
{
	uint64_t vcpus = vcpu_count;
	return (struct jail_limits){.fds = LIMIT_JAIL_FDS + LIMIT_JAIL_FDS_PER_VCPU * vcpus +
	                                   LIMIT_JAIL_FDS_PER_EVENT * (uint64_t)LIMIT_EVENTS,
	                            .processes = LIMIT_JAIL_PIDS + LIMIT_JAIL_PIDS_PER_VCPU * vcpus,
	                            .file_bytes = (uint64_t)LIMIT_MEMORY_GIB << 30};
}

/* ---- Each limit ---- */

/* No process can allow another more than it may have itself. */
static int apply_fds(const struct plugvm_jail *jail, struct jail_limits *limits, const struct log *log,
                     struct plugvm_error *out_error)
{
	uint64_t wanted = jail->limits[PLUGVM_LIMIT_FDS];
	struct rlimit own;
	bool is_known = getrlimit(RLIMIT_NOFILE, &own) == 0;
	limits->fds = wanted ? wanted : limits->fds;
	if (!is_known || limits->fds <= own.rlim_max || jail->rlimits[RLIMIT_NOFILE].is_set)
		return 0;
	if (wanted)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "limit fds=%" PRIu64 ": this process may itself have only %" PRIu64
		                       " (hard limit of RLIMIT_NOFILE)",
		                       wanted, (uint64_t)own.rlim_max);
	log_line(log, PLUGVM_LOG_WARNING,
	         "the plugin may have %" PRIu64
	         " fds, as this process (hard limit of RLIMIT_NOFILE); with all its "
	         "events a VM of this size can need %" PRIu64,
	         (uint64_t)own.rlim_max, limits->fds);
	limits->fds = own.rlim_max;
	return 0;
}

/* The device nodes that a jail shows, in the words of version 1: "c 1:3 rw". */
static char *device_rules(const struct plugvm_jail *jail)
{
	static const char standard[] = "c 1:3 rw\nc 1:5 rw\nc 1:7 rw\nc 1:9 rw\n";
	char *rules = NULL;
	size_t size;
	FILE *out = open_memstream(&rules, &size);
	if (!out)
		return NULL;
	fputs(standard, out);
	for (size_t i = 0; i < jail->mount_count; i++) {
		struct stat status;
		if (stat(jail->mounts[i].source, &status) < 0 ||
		    !(S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)))
			continue;
		fprintf(out, "%c %u:%u r%s\n", S_ISCHR(status.st_mode) ? 'c' : 'b', major(status.st_rdev),
		        minor(status.st_rdev), jail->mounts[i].writable ? "w" : "");
	}
	return fclose(out) == 0 ? rules : NULL;
}

static int make_cgroups(const struct plugvm_jail *jail, const struct cgroup_system *system,
                        const struct jail_limits *limits, struct cgroup **out_cgroup)
{
	char *devices = device_rules(jail);
	if (!devices)
		return -ENOMEM;
	struct cgroup_request request = {.memory = jail->limits[PLUGVM_LIMIT_MEMORY],
	                                 /* One more: the process that builds the jail. */
	                                 .pids = limits->processes + 1,
	                                 .cpu_percent = jail->limits[PLUGVM_LIMIT_CPU],
	                                 .devices = devices,
	                                 .with_host = jail->limits_host};
	int result = cgroup_make(system, &request, out_cgroup);
	free(devices);
	return result;
}

static const char *failure_of(const struct plugvm_jail *jail, const struct cgroup *cgroup, unsigned controller)
{
	if (jail->cgroups[0])
		return "the jail is in a cgroup of the caller's";
	return cgroup->failures[__builtin_ctz(controller)];
}

static bool is_held(const struct cgroup *cgroup, unsigned controller)
{
	return cgroup && cgroup->controllers & controller;
}

static void apply_memory(const struct plugvm_jail *jail, struct jail_limits *limits, const struct cgroup *cgroup,
                         const struct log *log)
{
	uint64_t memory = jail->limits[PLUGVM_LIMIT_MEMORY];
	if (!memory || is_held(cgroup, CGROUP_MEMORY))
		return;
	limits->address_space = memory;
	limits->file_bytes = memory < limits->file_bytes ? memory : limits->file_bytes;
	log_line(log, PLUGVM_LOG_WARNING,
	         "limit memory: no cgroup (%s); so each process of the plugin and each of its files, not all "
	         "together, may have %" PRIu64 " MiB",
	         failure_of(jail, cgroup, CGROUP_MEMORY), memory >> 20);
}

static int apply_cpu(const struct plugvm_jail *jail, const struct cgroup *cgroup, struct plugvm_error *out_error)
{
	if (!jail->limits[PLUGVM_LIMIT_CPU] || is_held(cgroup, CGROUP_CPU))
		return 0;
	return error_set_plain(out_error, PLUGVM_ERROR_ENVIRONMENT, EOPNOTSUPP,
	                       "limit cpu: it needs a cgroup, and there is none (%s)",
	                       failure_of(jail, cgroup, CGROUP_CPU));
}

static void tell(const struct plugvm_jail *jail, const struct jail_limits *limits, const struct cgroup *cgroup,
                 const struct log *log)
{
	for (size_t i = 0; cgroup && i < cgroup->part_count; i++)
		log_line(log, PLUGVM_LOG_DEBUG, "cgroup version %d: %s/%s",
		         cgroup->parts[i].hierarchy.is_v2 ? 2 : 1, cgroup->parts[i].base, cgroup->name);
	log_line(log, PLUGVM_LOG_INFO,
	         "limits of the plugin: fds %" PRIu64 " by RLIMIT_NOFILE; pids %" PRIu64 " by RLIMIT_NPROC%s",
	         limits->fds, limits->processes, is_held(cgroup, CGROUP_PIDS) ? " and cgroup" : "");
	if (is_held(cgroup, CGROUP_MEMORY))
		log_line(log, PLUGVM_LOG_INFO, "limits of the plugin: memory %" PRIu64 " MiB by cgroup, %s",
		         jail->limits[PLUGVM_LIMIT_MEMORY] >> 20,
		         jail->limits_host ? "guest memory included" : "what the host touches not included");
	else if (limits->address_space)
		log_line(log, PLUGVM_LOG_INFO,
		         "limits of the plugin: memory %" PRIu64 " MiB by RLIMIT_AS and RLIMIT_FSIZE",
		         limits->address_space >> 20);
	if (is_held(cgroup, CGROUP_CPU))
		log_line(log, PLUGVM_LOG_INFO, "limits of the plugin: cpu %" PRIu64 " %% by cgroup",
		         jail->limits[PLUGVM_LIMIT_CPU]);
}

int limits_apply(const struct plugvm_jail *jail, const struct cgroup_system *system, struct jail_limits *limits,
                 struct cgroup **out_cgroup, const struct log *log, struct plugvm_error *out_error)
{
	*out_cgroup = NULL;
	if (jail->limits[PLUGVM_LIMIT_PIDS])
		limits->processes = jail->limits[PLUGVM_LIMIT_PIDS];
	int result = apply_fds(jail, limits, log, out_error);
	if (result < 0)
		return result;
	/* Joining costs milliseconds, and what is limited by default, resource limits hold as well. */
	bool needs_cgroup = jail->limits[PLUGVM_LIMIT_MEMORY] || jail->limits[PLUGVM_LIMIT_PIDS] ||
	                    jail->limits[PLUGVM_LIMIT_CPU];
	if (needs_cgroup && !jail->cgroups[0] && make_cgroups(jail, system, limits, out_cgroup) < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the VM's cgroup");
	apply_memory(jail, limits, *out_cgroup, log);
	result = apply_cpu(jail, *out_cgroup, out_error);
	if (result < 0) {
		cgroup_remove(out_cgroup);
		return result;
	}
	if (*out_cgroup)
		limits->cgroups = (*out_cgroup)->procs;
	tell(jail, limits, *out_cgroup, log);
	return 0;
}
