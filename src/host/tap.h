/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network tap that the operator gives to a plugin: plugvm_tap_...() of plugvm.h, and what the host asks of one. Main
 * thread. The plugin gets a duplicate of the fd: it reads and writes packets, and may change what the kernel lets the holder
 * of a tap's fd change without a privilege: its MAC address, its owner, and that it outlives its fds.
 */
#ifndef PLUGVM_HOST_TAP_H
#define PLUGVM_HOST_TAP_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "plugvm.h"

struct plugvm_tap {
	int fd;
	int control;  /* for ioctls on interfaces: once the plugin runs, the host can make no such socket */
	bool is_made; /* by us, and goes when we do */
	char name[IFNAMSIZ];
};

/* What crosvm_net_get_config() tells, as the interface has it now. */
struct tap_config {
	in_addr_t address; /* network byte order */
	in_addr_t netmask;
	uint8_t mac[6];
};

/* Returns 0 or -errno, -EADDRNOTAVAIL if the interface has no address. */
int tap_get_config(const struct plugvm_tap *tap, struct tap_config *out_config);

#endif
