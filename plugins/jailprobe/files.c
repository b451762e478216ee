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
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FDS_TRIED 4096

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

static void check_root(void)
{
	struct statvfs root;
	char directory[64] = "";
	expect(statvfs("/", &root) == 0, "statvfs");
	const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	expect((root.f_flag & wanted) == wanted, "flags %lx", root.f_flag);
	expect(syscall(SYS_getcwd, directory, sizeof(directory)) > 0 && strcmp(directory, "/") == 0,
	       "the directory is '%s'", directory);
	expect(chdir("../../..") == 0 && syscall(SYS_getcwd, directory, sizeof(directory)) > 0 &&
	           strcmp(directory, "/") == 0,
	       "above it is '%s'", directory);
	expect_errno("creat in /", open("/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), EROFS, EACCES);
	expect_errno("mkdir in /plugin", mkdir("/plugin/x", 0700), EROFS, EACCES);
}

static void check_absent(void)
{
	static const char *const paths[] = {"/proc",    "/sys",       "/dev/kvm",  "/dev/tty",    "/dev/pts",
	                                    "/dev/shm", "/dev/net",   "/dev/fuse", "/etc/passwd", "/root",
	                                    "/home",    "/bin",       "/usr/bin",  "/sbin",       "/var",
	                                    "/run",     "/usr/share", "/boot"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect(!is_there(paths[i]) && errno == ENOENT, "there is %s", paths[i]);
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
	expect(mknod("/tmp/kvm", S_IFCHR | 0666, makedev(10, 232)) < 0, "a device node can be made");
}

static void check_temporary(void)
{
	if (!is_there("/tmp")) {
		not_here("no /tmp in this jail");
		return;
	}
	static char block[1 << 16];
	int fd = open("/tmp/file", O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	expect(fd >= 0, "/tmp: %s", strerrorname_np(errno));
	int blocks = 0;
	while (blocks < 4096 && write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
		blocks++;
	expect(blocks > 0 && blocks < 4096, "%d blocks fit into /tmp", blocks);
	close(fd);
	unlink("/tmp/file");
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
		snprintf(path, sizeof(path), "%s/x", directories[i]);
		expect_errno("creat in a library directory", open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600),
		             EROFS, EACCES);
	}
}

static void check_landlock(void)
{
	long abi = landlock_abi();
	if (abi < 1) {
		not_here("the kernel has no Landlock, or the filter does not tell");
		return;
	}
	expect_errno("open /", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES, EACCES);
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (abi >= 4 && fd >= 0)
		expect_errno("bind of TCP", bind(fd, (struct sockaddr *)&any, sizeof(any)), EACCES, EACCES);
	if (fd >= 0)
		close(fd);
	if (abi >= 6)
		expect_errno("a signal to init", kill(1, 0), EPERM, EPERM);
}

static void check_fds(void)
{
	struct stat status;
	for (int fd = 4; fd < FDS_TRIED; fd++)
		expect(fcntl(fd, F_GETFD) < 0, "fd %d is open", fd);
	for (int fd = 0; fd < 4; fd++) {
		expect(fstat(fd, &status) == 0, "fd %d is not open", fd);
		expect(syscall(SYS_ioctl, fd, KVM_VERSION_REQUEST, 0) < 0, "fd %d answers as KVM does", fd);
		expect(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED, "fd %d can be mapped", fd);
	}
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

static void exec_file(const void *path)
{
	char *argv[] = {(char *)"x", NULL}, *none[] = {NULL};
	execve(path, argv, none);
	_exit(errno);
}

static void check_exec(void)
{
	static const char program[] = "#!/plugin/x\n";
	if (!is_there("/tmp")) {
		not_here("no place to write a program to");
		return;
	}
	int fd = open("/tmp/program", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	expect(write(fd, program, sizeof(program)) > 0, "/tmp/program");
	close(fd);
	int status = in_child(exec_file, "/tmp/program");
	expect(status == EACCES << 8, "exec in /tmp ends with %x", status);
	unlink("/tmp/program");
}

const struct item file_items[] = {
    {"root", check_root},
    {"what is absent", check_absent},
    {"devices", check_devices},
    {"/tmp", check_temporary},
    {"library directories", check_libraries},
    {"Landlock", check_landlock},
    {"fds", check_fds},
    {"environment", check_environment},
    {"exec of what can be written", check_exec},
    {NULL, NULL},
};
