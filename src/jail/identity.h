/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the plugin is outside its jail. Reads only; any thread.
 */
#ifndef PLUGVM_JAIL_IDENTITY_H
#define PLUGVM_JAIL_IDENTITY_H

#include "base/log.h"
#include "jail/jail.h"

struct identity {
	uint32_t uid, gid;
	bool is_own; /* the caller's: an ordinary user has no other to give away */
};

/*
 * Choose: what the operator said; else, of root, ids that nobody has and this user namespace knows, by the lines of
 * `proc`/uid_map and gid_map (`proc` is /proc/self, but for tests); else the caller's. Returns 0, or -EINVAL with
 * *out_error filled if the namespace does not know what the operator said.
 */
int identity_choose(const char *proc, const struct plugvm_jail *, const struct log *,
                    struct identity *out_identity, struct plugvm_error *out_error);

#endif
