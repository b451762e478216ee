/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network options of `plugvm run`: which taps the plugin gets.
 */
#ifndef PLUGVM_CLI_NET_H
#define PLUGVM_CLI_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "plugvm.h"

#define TAPS_MAX 8

/* One tap, as the operator asked for it. */
struct net_request {
	const char *tap_name;
	const char *tap_fd;
	const char *host_ip;
	const char *netmask;
	const char *mac;
};

struct net_options {
	struct net_request requests[TAPS_MAX]; /* one for each --net */
	size_t count;
	/* The deprecated options, each a --net of its own: --tap-name, --tap-fd, and --host-ip, --netmask, --mac. */
	struct net_request tap_name, tap_fd, host_ip;
	char *words[TAPS_MAX]; /* owned copies that the requests point into */
};

/*
 * Take the value of one --net: KEY=VALUE,... Returns NULL, or what is wrong with it, in words that follow "--net: ".
 * `value` is not kept.
 */
const char *net_options_add(struct net_options *net, const char *value);
void net_options_fini(struct net_options *net);

/* The taps that were asked for. */
struct net_taps {
	struct plugvm_tap *taps[TAPS_MAX + 3];
	size_t count;
};

/* Open or make every tap: those of --net first, then --tap-name, --tap-fd, --host-ip. Returns 0 or -errno. */
int net_taps_open(struct net_taps *out_taps, const struct net_options *net, struct plugvm_error *out_error);
void net_taps_fini(struct net_taps *taps);

#endif
