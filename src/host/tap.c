/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network tap that the operator gives to a plugin.
 */
#include "host/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

/* Packets as they are on the wire, without a header of the tap's own: the same for every way to get one. */
#define TAP_FLAGS (IFF_TAP | IFF_NO_PI)

/* A socket for ioctls on interfaces. */
static int open_control(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* One ioctl on the interface; `request` has its name filled in here. */
static int interface_ioctl(const struct plugvm_tap *tap, unsigned long request, struct ifreq *interface)
{
	memcpy(interface->ifr_name, tap->name, IFNAMSIZ);
	return ioctl(tap->control, request, interface) < 0 ? -errno : 0;
}

/* Takes `fd` over on success only. */
static int wrap(int fd, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	struct ifreq interface = {.ifr_flags = 0};
	if (ioctl(fd, TUNGETIFF, &interface) < 0)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "fd %d is no tap", fd);
	/* Whether it has IFF_NO_PI is not to be known: in this answer the same bit says that there is no filter. */
	if ((interface.ifr_flags & (IFF_TAP | IFF_VNET_HDR)) != IFF_TAP)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "interface %s is not a tap with plain packets (IFF_TAP, no IFF_VNET_HDR)",
		                       interface.ifr_name);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "tap %s", interface.ifr_name);
	FD_AUTO control = open_control();
	if (control < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -control, "a socket for interfaces");
	struct plugvm_tap *tap = calloc(1, sizeof(*tap));
	if (!tap)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "tap %s", interface.ifr_name);
	tap->fd = fd;
	tap->control = fd_take(&control);
	memcpy(tap->name, interface.ifr_name, IFNAMSIZ);
	*out_tap = tap;
	return 0;
}

/* Open the interface `name`, or make one if that is a pattern with %d. */
static int open_tap(const char *name, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	struct ifreq interface = {.ifr_flags = TAP_FLAGS};
	if (strlen(name) >= IFNAMSIZ)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, ENAMETOOLONG,
		                       "the name of an interface has at most %d characters, not '%s'",
		                       IFNAMSIZ - 1, name);
	memcpy(interface.ifr_name, name, strlen(name) + 1);
	FD_AUTO fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &interface) < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "tap %s", name);
	int result = wrap(fd, out_tap, out_error);
	if (result == 0)
		fd_take(&fd);
	return result;
}

int plugvm_tap_open(const char *name, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	/* TUNSETIFF would make one. */
	if (strlen(name) < IFNAMSIZ && if_nametoindex(name) == 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "tap %s", name);
	return open_tap(name, out_tap, out_error);
}

int plugvm_tap_adopt(int fd, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	return wrap(fd, out_tap, out_error);
}

static void set_address(struct ifreq *interface, uint32_t address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&interface->ifr_addr;
	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = address;
}

static int configure(const struct plugvm_tap *tap, uint32_t address, uint32_t netmask, const uint8_t mac[6])
{
	struct ifreq interface = {.ifr_flags = 0};
	interface.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(interface.ifr_hwaddr.sa_data, mac, 6);
	int result = interface_ioctl(tap, SIOCSIFHWADDR, &interface);
	if (result == 0) {
		set_address(&interface, address);
		result = interface_ioctl(tap, SIOCSIFADDR, &interface);
	}
	if (result == 0) {
		set_address(&interface, netmask);
		result = interface_ioctl(tap, SIOCSIFNETMASK, &interface);
	}
	if (result == 0)
		result = interface_ioctl(tap, SIOCGIFFLAGS, &interface);
	if (result == 0) {
		interface.ifr_flags |= IFF_UP | IFF_RUNNING;
		result = interface_ioctl(tap, SIOCSIFFLAGS, &interface);
	}
	return result;
}

int plugvm_tap_new(uint32_t address, uint32_t netmask, const uint8_t mac[6], struct plugvm_tap **out_tap,
                   struct plugvm_error *out_error)
{
	struct plugvm_tap *tap = NULL;
	int result = open_tap("vmtap%d", &tap, out_error);
	if (result < 0 || !tap)
		return result;
	result = configure(tap, address, netmask, mac);
	if (result < 0) {
		error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -result, "configuring tap %s", tap->name);
		plugvm_tap_free(&tap);
		return result;
	}
	tap->is_made = true;
	*out_tap = tap;
	return 0;
}

const char *plugvm_tap_name(const struct plugvm_tap *tap)
{
	return tap->name;
}

void plugvm_tap_free(struct plugvm_tap **tap)
{
	if (!*tap)
		return;
	/* A plugin may have told it to stay, with an owner of its choice who could open it again. */
	if ((*tap)->is_made)
		ioctl((*tap)->fd, TUNSETPERSIST, 0L);
	fd_close(&(*tap)->control);
	fd_close(&(*tap)->fd);
	free(*tap);
	*tap = NULL;
}

static in_addr_t get_address(const struct ifreq *interface)
{
	return ((const struct sockaddr_in *)&interface->ifr_addr)->sin_addr.s_addr;
}

int tap_get_config(const struct plugvm_tap *tap, struct tap_config *out_config)
{
	struct ifreq interface;
	int result = interface_ioctl(tap, SIOCGIFADDR, &interface);
	if (result < 0)
		return result;
	out_config->address = get_address(&interface);
	result = interface_ioctl(tap, SIOCGIFNETMASK, &interface);
	if (result < 0)
		return result;
	out_config->netmask = get_address(&interface);
	result = interface_ioctl(tap, SIOCGIFHWADDR, &interface);
	if (result < 0)
		return result;
	memcpy(out_config->mac, interface.ifr_hwaddr.sa_data, sizeof(out_config->mac));
	return 0;
}
