/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the plugin is outside its jail. The maps come from the kernel.
 */
#include "jail/identity.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"

/* Ids of one place: this one, the host's pid, and a part that tells VMs of one host apart. Pids end at 2^22. */
#define PIDS  0x400000u
#define PARTS 31u

/* Fewer would too often be the same for two VMs. */
#define SPARE_MIN 256u

/*
 * Ids that nobody has, as long as the first place is there: that, else those that systemd's list of ranges has for
 * nobody, in a container that knows few.
 */
static const struct {
	uint32_t first, count;
} places[] = {{0x70000000, PIDS *PARTS}, {65536, 524288 - 65536}, {60706, 61184 - 60706}};

/* How many ids, of `count` from `first` on, are in one line of a map? All of them without /proc, as of a real root. */
static uint32_t count_mapped(const char *proc, const char *name, uint32_t first, uint32_t count)
{
	char path[PATH_MAX];
	unsigned inner, outer, length;
	uint32_t mapped = 0;
	snprintf(path, sizeof(path), "%s/%s", proc, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return count;
	while (mapped == 0 && fscanf(file, "%u %u %u", &inner, &outer, &length) == 3) {
		if (first >= inner && first - inner < length)
			mapped = length - (first - inner) < count ? length - (first - inner) : count;
	}
	fclose(file);
	return mapped;
}

/* The same of users and groups. */
static uint32_t count_both(const char *proc, uint32_t first, uint32_t count)
{
	return count_mapped(proc, "gid_map", first, count_mapped(proc, "uid_map", first, count));
}

static int take_from_operator(const char *proc, uid_t uid, struct identity *out_identity,
                              struct plugvm_error *out_error)
{
	if (count_both(proc, uid, 1) == 0)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "uid %u for the plugin: this user namespace does not have it as a user and "
		                       "as a group (/proc/self/uid_map and gid_map)",
		                       uid);
	*out_identity = (struct identity){.uid = uid, .gid = uid};
	return 0;
}

int identity_choose(const char *proc, const struct plugvm_jail *jail, const struct log *log,
                    struct identity *out_identity, struct plugvm_error *out_error)
{
	static atomic_uint part;
	*out_identity = (struct identity){.uid = geteuid(), .gid = getegid(), .is_own = true};
	if (geteuid() != 0)
		return 0;
	if (jail->uid != PLUGVM_JAIL_UID_DEFAULT)
		return take_from_operator(proc, jail->uid, out_identity, out_error);
	uint32_t number = (uint32_t)getpid() % PIDS + atomic_fetch_add(&part, 1) % PARTS * PIDS;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint32_t count = count_both(proc, places[i].first, places[i].count);
		if (count < SPARE_MIN)
			continue;
		uint32_t id = places[i].first + number % count;
		*out_identity = (struct identity){.uid = id, .gid = id};
		if (i > 0)
			log_line(log, PLUGVM_LOG_INFO,
			         "this user namespace has few ids: the plugin is user %u outside its jail, which "
			         "another VM may have too",
			         id);
		return 0;
	}
	log_line(
	    log, PLUGVM_LOG_INFO,
	    "this user namespace has no ids to spare: the plugin has the caller's outside its jail, as that of "
	    "an ordinary user");
	return 0;
}
