/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network options of `plugvm run`.
 */
#include "cli/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

/* Returns where the value of this key goes, or NULL if there is no such key. */
static const char **find_key(struct net_request *request, const char *key)
{
	const struct {
		const char *key;
		const char **value;
	} keys[] = {
	    {"tap-name", &request->tap_name}, {"tap-fd", &request->tap_fd}, {"host-ip", &request->host_ip},
	    {"netmask", &request->netmask},   {"mac", &request->mac},
	};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].key, key) == 0)
			return keys[i].value;
	}
	return NULL;
}

/* Exactly one way to get a tap. */
static const char *check_request(const struct net_request *request)
{
	int ways = (request->tap_name != NULL) + (request->tap_fd != NULL) +
	           (request->host_ip || request->netmask || request->mac);
	if (ways != 1)
		return "give one of tap-name=NAME, tap-fd=N, or host-ip=A,netmask=A,mac=M";
	if (request->tap_name || request->tap_fd)
		return NULL;
	return request->host_ip && request->netmask && request->mac
	           ? NULL
	           : "host-ip, netmask and mac go together, all three";
}

const char *net_options_add(struct net_options *net, const char *value)
{
	if (net->count == TAPS_MAX)
		return "there are too many";
	char *words = strdup(value);
	if (!words)
		return "out of memory";
	net->words[net->count] = words;
	struct net_request *request = &net->requests[net->count++];

	char *rest = words;
	for (char *word = strsep(&rest, ","); word; word = strsep(&rest, ",")) {
		char *equals = strchr(word, '=');
		if (!equals || !equals[1])
			return "takes KEY=VALUE, with commas between";
		*equals = '\0';
		const char **place = find_key(request, word);
		if (!place)
			return "the keys are tap-name, tap-fd, host-ip, netmask and mac";
		if (*place)
			return "a key is given twice";
		*place = equals + 1;
	}
	return check_request(request);
}

void net_options_fini(struct net_options *net)
{
	for (size_t i = 0; i < net->count; i++)
		free(net->words[i]);
	net->count = 0;
}

static int parse_mac(const char *text, uint8_t out_mac[6])
{
	char end;
	/* sscanf() would take blanks and signs too. */
	if (strspn(text, "0123456789abcdefABCDEF:") != strlen(text))
		return -EINVAL;
	int fields = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &out_mac[0], &out_mac[1], &out_mac[2],
	                    &out_mac[3], &out_mac[4], &out_mac[5], &end);
	return fields == 6 ? 0 : -EINVAL;
}

static int make_tap(const struct net_request *request, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	struct in_addr address, netmask;
	uint8_t mac[6];
	if (inet_pton(AF_INET, request->host_ip, &address) != 1)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "host-ip '%s' is no IPv4 address",
		                       request->host_ip);
	if (inet_pton(AF_INET, request->netmask, &netmask) != 1)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "netmask '%s' is no IPv4 netmask",
		                       request->netmask);
	if (parse_mac(request->mac, mac) < 0)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "mac '%s' is not like 02:00:00:00:00:01", request->mac);
	return plugvm_tap_new(address.s_addr, netmask.s_addr, mac, out_tap, out_error);
}

static int adopt_tap(const char *number, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	char *end;
	long fd = strtol(number, &end, 10);
	if (number[0] < '0' || number[0] > '9' || *end || fd > 1 << 20)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "tap-fd '%s' is no file descriptor number", number);
	/* What was inherited is not close-on-exec, and what this program has opened is: that was not meant. */
	int flags = fcntl((int)fd, F_GETFD);
	if (flags < 0 || flags & FD_CLOEXEC)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, EBADF, "tap-fd %s", number);
	/* A duplicate, so that the caller's own stays what it was. */
	FD_AUTO copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "tap-fd %s", number);
	int result = plugvm_tap_adopt(copy, out_tap, out_error);
	if (result == 0)
		fd_take(&copy);
	else if (result == -ENOTTY || result == -EBADFD)
		error_set_plain(out_error, PLUGVM_ERROR_CONFIG, -result, "tap-fd %s is no tap", number);
	return result;
}

static int open_request(struct net_taps *taps, const struct net_request *request, struct plugvm_error *out_error)
{
	struct plugvm_tap **tap = &taps->taps[taps->count];
	int result = request->tap_name ? plugvm_tap_open(request->tap_name, tap, out_error)
	             : request->tap_fd ? adopt_tap(request->tap_fd, tap, out_error)
	                               : make_tap(request, tap, out_error);
	if (result == 0)
		taps->count++;
	return result;
}

int net_taps_open(struct net_taps *out_taps, const struct net_options *net, struct plugvm_error *out_error)
{
	out_taps->count = 0;
	int result = 0;
	for (size_t i = 0; i < net->count && result == 0; i++)
		result = open_request(out_taps, &net->requests[i], out_error);
	if (result == 0 && net->tap_name.tap_name)
		result = open_request(out_taps, &net->tap_name, out_error);
	if (result == 0 && net->tap_fd.tap_fd)
		result = open_request(out_taps, &net->tap_fd, out_error);
	if (result == 0 && (net->host_ip.host_ip || net->host_ip.netmask || net->host_ip.mac)) {
		const char *missing = !net->host_ip.host_ip   ? "host-ip"
		                      : !net->host_ip.netmask ? "netmask"
		                      : !net->host_ip.mac     ? "mac"
		                                              : NULL;
		result = missing ? error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                                   "`%s` is missing from the network configuration", missing)
		                 : open_request(out_taps, &net->host_ip, out_error);
	}
	if (result < 0)
		net_taps_fini(out_taps);
	return result;
}

void net_taps_fini(struct net_taps *taps)
{
	while (taps->count > 0)
		plugvm_tap_free(&taps->taps[--taps->count]);
}
