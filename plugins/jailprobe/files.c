/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the plugin can reach: the root, devices, fds, the environment.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FDS_TRIED 4096

/* Of 64 KiB: twice what a jail's /tmp has. */
#define TMP_BLOCKS 128

/* KVM's first request, which only its own fds answer. */
#define KVM_VERSION_REQUEST 0xae00

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static long landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Without a jail there may be one, which must not stay. */
static void expect_no_file(const char *what, const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	expect_errno(what, fd, EROFS, ENOENT);
	if (fd >= 0)
		unlink(path);
}

/* The plain call, which says "(unreachable)" where a root has been left. */
static void expect_root(const char *where)
{
	char directory[64] = "";
	if (syscall(SYS_getcwd, directory, sizeof(directory)) < 0)
		expect(errno == ENOENT || is_refusal(errno), "getcwd: %s", strerrorname_np(errno));
	else
		expect(strcmp(directory, "/") == 0, "%s is '%s'", where, directory);
}

static void check_root(void)
{
	struct statvfs root;
	const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	if (statvfs("/", &root) < 0)
		expect(is_refusal(errno), "statvfs: %s", strerrorname_np(errno));
	else
		expect((root.f_flag & wanted) == wanted, "flags %lx", root.f_flag);
	expect_root("here");
	/* Refused or done, it changes nothing. */
	expect(chdir("../../..") == 0 || is_refusal(errno), "chdir: %s", strerrorname_np(errno));
	expect_root("above");
	expect_no_file("creat in /", "/plugvm-jailprobe");
	expect_errno("mkdir in /plugin", mkdir("/plugin/x", 0700), EROFS, EACCES);
	/* A strict filter says so of everything. */
	expect(mknod("/plugvm-jailprobe", S_IFCHR, makedev(10, 232)) < 0, "a device node can be made");
	unlink("/plugvm-jailprobe");
}

/* Is it what the operator shows, above that or below? */
static bool is_shown(const char *path)
{
	for (size_t i = 0; i < expected.mount_count; i++) {
		const char *mount = expected.mounts[i];
		size_t length = strlen(path), other = strlen(mount), common = length < other ? length : other;
		char next = length < other ? mount[common] : path[common];
		if (strncmp(path, mount, common) == 0 && (next == '/' || next == '\0'))
			return true;
	}
	return false;
}

/* Is it above a directory that the plugin's run path names? Such are shown, wherever they are. */
static bool is_on_run_path(const char *path)
{
	const char *directories = getenv("LD_LIBRARY_PATH");
	size_t length = strlen(path);
	for (const char *one = directories; one && *one; one += *one == ':') {
		if (strncmp(one, path, length) == 0 && one[length] == '/')
			return true;
		one += strcspn(one, ":");
	}
	return false;
}

static void check_absent(void)
{
	static const char *const paths[] = {"/proc",    "/sys",       "/dev/kvm",  "/dev/tty",    "/dev/pts",
	                                    "/dev/shm", "/dev/net",   "/dev/fuse", "/etc/passwd", "/root",
	                                    "/home",    "/bin",       "/usr/bin",  "/sbin",       "/var",
	                                    "/run",     "/usr/share", "/boot"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect(is_shown(paths[i]) || is_on_run_path(paths[i]) || (!is_there(paths[i]) && errno == ENOENT),
		       "there is %s", paths[i]);
	if (expected.mount_count)
		detail("but for what the operator shows");
}

static void check_devices(void)
{
	char bytes[16] = {1};
	if (!is_there("/dev")) {
		not_here("no /dev in this jail");
		return;
	}
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	expect(read(zero, bytes, 16) == 16 && bytes[0] == 0, "/dev/zero");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect(write(null, bytes, 16) == 16 && read(null, bytes, 16) == 0, "/dev/null");
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	expect_errno("write to /dev/full", write(full, bytes, 16), ENOSPC, ENOSPC);
	int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	expect(read(random, bytes, 16) == 16, "/dev/urandom");
	close(zero);
	close(null);
	close(full);
	close(random);
	expect(mknod("/tmp/plugvm-jailprobe", S_IFCHR, makedev(10, 232)) < 0, "a device node can be made");
	unlink("/tmp/plugvm-jailprobe");
}

static void check_temporary(void)
{
	if (!is_there("/tmp")) {
		not_here("no /tmp in this jail");
		return;
	}
	static char block[1 << 16];
	int fd = open("/tmp/plugvm-jailprobe", O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	expect(fd >= 0, "/tmp: %s", strerrorname_np(errno));
	int blocks = 0;
	while (blocks < TMP_BLOCKS && write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
		blocks++;
	expect(blocks > 0 && blocks < TMP_BLOCKS, "%d blocks fit into /tmp", blocks);
	close(fd);
	unlink("/tmp/plugvm-jailprobe");
}

static void check_libraries(void)
{
	static const char *const directories[] = {"/usr/lib", "/usr/local/lib"};
	for (size_t i = 0; i < 2; i++) {
		struct statvfs status;
		const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV;
		if (statvfs(directories[i], &status) < 0)
			continue;
		expect((status.f_flag & wanted) == wanted, "%s has flags %lx", directories[i], status.f_flag);
		char path[64];
		snprintf(path, sizeof(path), "%s/plugvm-jailprobe", directories[i]);
		expect_no_file("creat in a library directory", path);
	}
}

static void check_landlock(void)
{
	long abi = landlock_abi();
	if (abi < 1) {
		not_here("the kernel has no Landlock, or the filter does not tell");
		return;
	}
	/* Before the kernel misses a capability, which is EPERM. */
	if (access("/tmp", W_OK) == 0)
		expect_errno("mknod in /tmp", mknod("/tmp/plugvm-jailprobe", S_IFCHR | 0600, makedev(1, 3)),
		             EACCES, EACCES);
	else if (expected.mount_count == 0) /* The second: a filter that knows of no files. */
		expect_errno("open /", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES, ENOENT);
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (abi >= 4 && fd >= 0)
		expect_errno("bind of TCP", bind(fd, (struct sockaddr *)&any, sizeof(any)), EACCES, EACCES);
	if (fd >= 0)
		close(fd);
	if (abi >= 6)
		expect_errno("a signal to init", kill(1, 0), EPERM, EPERM);
}

/* A device may be open for both: what it is given for is /dev/null. */
static void expect_access(int fd, int wanted)
{
	struct stat status;
	int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	bool is_device = fstat(fd, &status) == 0 && S_ISCHR(status.st_mode);
	expect(mode == wanted || (is_device && mode == O_RDWR), "fd %d is open with mode %d", fd, mode);
}

static void check_fds(void)
{
	struct stat status;
	for (int fd = 4; fd < FDS_TRIED; fd++)
		expect(fcntl(fd, F_GETFD) < 0, "fd %d is open", fd);
	for (int fd = 0; fd < FDS_TRIED; fd++)
		expect(syscall(SYS_ioctl, fd, KVM_VERSION_REQUEST, 0) < 0, "fd %d answers as KVM does", fd);
	for (int fd = 0; fd < 4; fd++) {
		expect(fstat(fd, &status) == 0, "fd %d is not open", fd);
		expect(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED, "fd %d can be mapped", fd);
	}
	expect_access(0, O_RDONLY);
	expect_access(1, O_WRONLY);
	expect_access(2, O_WRONLY);
	expect_access(3, O_RDWR);
	expect(fstat(3, &status) == 0 && S_ISSOCK(status.st_mode), "fd 3 is no socket");
	for (int fd = 0; fd < 3; fd++)
		expect(fstat(fd, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)),
		       "fd %d has mode %o", fd, status.st_mode);
}

static void check_environment(void)
{
	static const char *const known[] = {"CROSVM_SOCKET=3", "CROSVM_STATS=", "PLUGVM_", "LD_LIBRARY_PATH="};
	for (char **variable = environ; *variable; variable++) {
		bool is_known = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known = is_known || strncmp(*variable, known[i], strlen(known[i])) == 0;
		expect(is_known, "there is %s", *variable);
	}
}

static void check_exec(void)
{
	static const char program[] = "#!/plugin/x\n";
	char *argv[] = {(char *)"x", NULL}, *none[] = {NULL};
	if (!is_there("/tmp")) {
		not_here("no place to write a program to");
		return;
	}
	int fd = open("/tmp/plugvm-jailprobe", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	expect(write(fd, program, sizeof(program)) > 0, "/tmp/plugvm-jailprobe");
	close(fd);
	/* It would fail in another way if it could be executed: there is no such interpreter. */
	expect_errno("exec in /tmp", execve("/tmp/plugvm-jailprobe", argv, none), EACCES, EACCES);
	unlink("/tmp/plugvm-jailprobe");
}

const struct item file_items[] = {
    {"root", check_root, NULL, false},
    {"what is absent", check_absent, NULL, false},
    {"devices", check_devices, NULL, false},
    {"/tmp", check_temporary, NULL, false},
    {"library directories", check_libraries, NULL, false},
    {"Landlock", check_landlock, NULL, false},
    {"fds", check_fds, NULL, false},
    {"environment", check_environment, NULL, false},
    {"exec of what can be written", check_exec, NULL, false},
    {NULL, NULL, NULL, false},
};
