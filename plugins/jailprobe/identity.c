/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the plugin is, and where: ids, namespaces, rights.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#define INNER_ID 1000

static const char silent_filter[] = "the filter does not tell; seen from outside";

/* Where other processes of a machine would be. */
#define PIDS_TRIED 40000

static void check_user(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	expect(r == INNER_ID && e == INNER_ID && s == INNER_ID, "uids %u %u %u", r, e, s);
	expect(rg == INNER_ID && eg == INNER_ID && sg == INNER_ID, "gids %u %u %u", rg, eg, sg);
}

static void check_maps(void)
{
	not_here("no /proc; seen from outside");
}

static void check_groups(void)
{
	int count = getgroups(0, NULL);
	if (count > 0 && expected.unprivileged)
		not_here("only root can drop groups");
	else
		expect(count == 0, "%d groups", count);
}

static void check_pid_ns(void)
{
	expect(getpid() == 2, "pid %d", getpid());
	expect(getppid() == 1, "parent %d", getppid());
	for (pid_t pid = 3; pid < PIDS_TRIED; pid++)
		expect(kill(pid, 0) < 0 && (errno == ESRCH || is_refusal(errno)), "there is a process %d", pid);
	expect(kill(-1, 0) < 0, "there is somebody to signal");
	expect(syscall(SYS_pidfd_open, PIDS_TRIED, 0) < 0, "a pidfd of a process of the host");
}

static int udp_connect(uint32_t address)
{
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(address)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	int code = connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0 ? errno : 0;
	close(fd);
	return code;
}

static void check_net_ns(void)
{
	int code = udp_connect(INADDR_LOOPBACK);
	expect(code == ENETUNREACH || code == EACCES, "loopback: %s", strerrorname_np(code));
	code = udp_connect(0x08080808);
	expect(code == ENETUNREACH || code == EACCES, "another machine: %s", strerrorname_np(code));
	struct if_nameindex *names = code == EACCES ? NULL : if_nameindex();
	for (size_t i = 0; names && names[i].if_name; i++)
		expect(strcmp(names[i].if_name, "lo") == 0, "there is an interface %s", names[i].if_name);
	if (names)
		if_freenameindex(names);
}

/* A name that a test on the host has bound; nobody has, otherwise. */
static void check_abstract_sockets(void)
{
	struct sockaddr_un peer = {.sun_family = AF_UNIX};
	const char *name = expected.socket ? expected.socket : "plugvm-jailprobe";
	/* The name's first byte is zero, and its length that of the address. */
	size_t length = strnlen(name, sizeof(peer.sun_path) - 1);
	memcpy(peer.sun_path + 1, name, length);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		expect_errno("socket", fd, EACCES, EACCES);
		return;
	}
	expect_errno("connect", connect(fd, (struct sockaddr *)&peer, size), ECONNREFUSED, EPERM);
	close(fd);
}

static void check_ipc_ns(void)
{
	struct shm_info info;
	int result = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	if (result < 0 && is_refusal(errno))
		detail("the filter has no System V calls");
	expect(result < 0 || info.used_ids == 0, "%d shared memory segments of somebody", info.used_ids);
}

static void check_uts_ns(void)
{
	struct utsname name;
	expect(uname(&name) == 0 && strcmp(name.nodename, "plugvm") == 0, "the host's name is %s", name.nodename);
}

static void check_time_ns(void)
{
	not_here("the host's: reading the clock costs more in one of one's own");
}

static void check_no_new_privs(void)
{
	int value = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	if (value < 0)
		not_here(silent_filter);
	else
		expect(value == 1, "not set");
}

static void check_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	memset(data, 0xff, sizeof(data));
	if (syscall(SYS_capget, &header, data) < 0) {
		expect(is_refusal(errno), "capget: %s", strerrorname_np(errno));
		not_here(silent_filter);
		return;
	}
	for (int i = 0; i < 2; i++)
		expect(!data[i].effective && !data[i].permitted && !data[i].inheritable,
		       "%x effective, %x permitted, %x inheritable", data[i].effective, data[i].permitted,
		       data[i].inheritable);
	for (int capability = 0; capability < 64; capability++) {
		expect(prctl(PR_CAPBSET_READ, capability, 0, 0, 0) <= 0, "%d is in the bounding set", capability);
		expect(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) <= 0, "%d is ambient",
		       capability);
	}
}

static void check_securebits(void)
{
	const int wanted = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
	                   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
	                   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (bits < 0)
		not_here("the filter does not tell");
	else
		expect(bits == wanted, "%x instead of %x", bits, wanted);
}

static void check_session(void)
{
	pid_t session = getsid(0), group = getpgid(0);
	expect(session == getpid() || (session < 0 && is_refusal(errno)), "session %d", session);
	expect(group == getpid() || (group < 0 && is_refusal(errno)), "group %d", group);
	expect_errno("open /dev/tty", open("/dev/tty", O_RDWR | O_CLOEXEC), ENOENT, ENOENT);
	for (int fd = 0; fd < 4; fd++)
		expect(!isatty(fd), "fd %d is a terminal", fd);
}

/* An executable whose owner is another user, which it would run as. */
static void check_setuid_files(void)
{
	char name[] = "probe", option[] = "--own-uid", uid[16];
	char *argv[] = {name, option, uid, NULL}, *none[] = {NULL};
	if (!expected.setuid_file) {
		not_here("no setuid=FILE was given");
		return;
	}
	snprintf(uid, sizeof(uid), "%u", geteuid());
	execve(expected.setuid_file, argv, none);
	expect(is_refusal(errno), "%s: %s", expected.setuid_file, strerrorname_np(errno));
}

static void check_host_death(void)
{
	not_here("seen from outside: kill the host, and this process ends");
}

const struct item identity_items[] = {
    {"user", check_user, NULL, false},
    {"id maps", check_maps, NULL, false},
    {"groups", check_groups, NULL, false},
    {"pid namespace", check_pid_ns, NULL, false},
    {"network namespace", check_net_ns, NULL, false},
    {"abstract sockets", check_abstract_sockets, NULL, false},
    {"ipc namespace", check_ipc_ns, NULL, false},
    {"uts namespace", check_uts_ns, NULL, false},
    {"time namespace", check_time_ns, NULL, false},
    {"no_new_privs", check_no_new_privs, NULL, false},
    {"capabilities", check_capabilities, NULL, false},
    {"securebits", check_securebits, NULL, false},
    {"setuid files", check_setuid_files, NULL, true},
    {"session", check_session, NULL, false},
    {"death of the host", check_host_death, NULL, false},
    {NULL, NULL, NULL, false},
};
