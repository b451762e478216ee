/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin may use: from the VM's size and what the operator says, by cgroups where they can be made and by
 * resource limits where not. One thread.
 */
#ifndef PLUGVM_JAIL_LIMIT_H
#define PLUGVM_JAIL_LIMIT_H

#include "base/log.h"
#include "jail/cgroup.h"
#include "jail/jail.h"
#include "jail/plan_write.h"

/* What follows from the VM's size. */
struct jail_limits limits_of_vm(uint32_t vcpu_count);

/*
 * Replace in *limits what the jail says otherwise, and make the cgroups that it needs (*out_cgroup, or NULL; *limits
 * refers to it). Says how each limit is held. Returns 0, or -errno with *out_error filled if one cannot be held.
 */
int limits_apply(const struct plugvm_jail *, const struct cgroup_system *, struct jail_limits *limits,
                 struct cgroup **out_cgroup, const struct log *log, struct plugvm_error *out_error);

#endif
