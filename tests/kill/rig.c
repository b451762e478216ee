/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests that kill, and those that let calls fail, have in common.
 */
#include "rig.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_DEFAULT     100
#define LIMIT_MS_DEFAULT 3000

#define ORDINARY_ID 54321

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t rig_random(const struct rig *rig, size_t subject, unsigned run, uint64_t limit)
{
	return mix(mix(rig->seed + subject * 1000003) + run) % (limit ? limit : 1);
}

static char *read_mounts(void)
{
	enum { CAPACITY = 1 << 18 };
	char *text = calloc(1, CAPACITY);
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t size;
	if (!text || fd < 0)
		err(1, "/proc/self/mountinfo");
	while ((size = read(fd, text + used, CAPACITY - 1 - used)) > 0)
		used += (size_t)size;
	close(fd);
	return text;
}

static bool is_empty(const char *path)
{
	unsigned count = 0;
	DIR *directory = opendir(path);
	if (!directory)
		err(1, "%s", path);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count == 2;
}

const char *rig_check_remains(const struct rig *rig, const struct outcome *outcome)
{
	if (outcome->has_orphan)
		return "a process was left";
	char *mounts = read_mounts();
	bool same = strcmp(mounts, rig->mounts) == 0;
	free(mounts);
	if (!same)
		return "a mount was left";
	return is_empty(rig->directory) ? NULL : "a file was left";
}

/* ---- Control groups ---- */

/* nftw(3) has no argument for its function. */
static struct {
	char prefix[32];
	unsigned groups, processes;
} found;

static int count_group(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)place;
	char file[4200];
	if (type != FTW_D || !strstr(path, found.prefix))
		return 0;
	found.groups++;
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	FILE *processes = fopen(file, "re");
	int pid;
	while (processes && fscanf(processes, "%d", &pid) == 1)
		found.processes++;
	if (processes)
		fclose(processes);
	return 0;
}

static void find_groups(pid_t host)
{
	found.groups = found.processes = 0;
	snprintf(found.prefix, sizeof(found.prefix), "/plugvm-%d-", (int)host);
	nftw("/sys/fs/cgroup", count_group, 16, FTW_PHYS);
}

const char *rig_check_cgroups(const struct rig *rig, const struct outcome *outcome, unsigned *stale)
{
	static struct outcome next;
	find_groups(outcome->host);
	if (found.groups == 0)
		return NULL;
	if (outcome->status != -SIGKILL)
		return "a control group was left";
	if (found.processes > 0)
		return "a control group was left with processes in it";
	const struct point none = {.victim = VICTIM_NONE, .is_jailed = true, .is_limited = true};
	rig_run(rig, &none, &next);
	if (next.status != STATUS_OK)
		return "the next start with limits did not end well";
	find_groups(outcome->host);
	if (found.groups > 0)
		return "the next start did not remove a stale control group";
	++*stale;
	find_groups(next.host);
	return found.groups > 0 ? "the next start left a control group" : NULL;
}

bool says(const struct outcome *outcome, const char *text)
{
	return strstr(outcome->text, text) != NULL;
}

void rig_run(const struct rig *rig, const struct point *point, struct outcome *out_outcome)
{
	/* Whoever runs a sanitizer under a tracer must not look for leaks. */
	static const char sanitizer[] = "ASAN_OPTIONS=detect_leaks=0";
	const char *jailed[] = {
	    rig->plugvm, "run", "--seccomp-policy", rig->policy, "--env",       sanitizer, "--limit",
	    "fds=256",   "--",  rig->actor,         "mortal",    "with-family", NULL};
	if (point->is_limited)
		jailed[7] = "memory=1G,pids=64";
	const char *unjailed[] = {rig->plugvm, "run", "--disable-sandbox", "--env", sanitizer, "--", rig->actor,
	                          "mortal",    NULL};
	run_with(point, point->is_jailed ? jailed : unjailed, rig->limit_ms, out_outcome);
}

/* In a mount namespace of our own, a /dev/kvm for everybody; then drop root. Returns why not, or NULL. */
static const char *become_ordinary(void)
{
	struct stat kvm;
	const gid_t group = ORDINARY_ID;
	if (geteuid() != 0)
		return NULL;
	if (stat("/dev/kvm", &kvm) < 0)
		return "there is no /dev/kvm";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/mnt", "tmpfs", MS_NOEXEC, "mode=700") < 0)
		return "no mount namespace for a /dev/kvm of its own";
	umask(0);
	if (mknod("/mnt/kvm", S_IFCHR | 0666, kvm.st_rdev) < 0 ||
	    mount("/mnt/kvm", "/dev/kvm", NULL, MS_BIND, NULL) < 0 || umount2("/mnt", MNT_DETACH) < 0)
		return "no /dev/kvm for an ordinary user";
	umask(022);
	if (setgroups(1, &group) < 0 || setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 ||
	    setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0)
		return "cannot become an ordinary user";
	/* The change took away that what we start may be traced. */
	prctl(PR_SET_DUMPABLE, 1);
	return NULL;
}

static const char *find_obstacle(const struct rig *rig)
{
	const char *obstacle = rig->as_user ? become_ordinary() : NULL;
	if (obstacle)
		return obstacle;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return "/dev/kvm cannot be opened";
	close(kvm);
	pid_t pid = fork();
	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	int status;
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return "this machine has no ptrace";
	return access(rig->actor, X_OK) < 0 ? "the programs cannot be read by this user" : NULL;
}

static void parse(struct rig *rig, int argc, char **argv)
{
	static const struct option options[] = {
	    {"user", no_argument, NULL, 'u'},       {"runs", required_argument, NULL, 'r'},
	    {"seed", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'},
	    {"all", no_argument, NULL, 'a'},        {NULL, 0, NULL, 0},
	};
	int id;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (id) {
		case 'u':
			rig->as_user = true;
			break;
		case 'r':
			rig->runs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			rig->seed = strtoull(optarg, NULL, 10);
			break;
		case 'l':
			rig->limit_ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			rig->wants_all = true;
			break;
		default:
			errx(2, "usage: [--user] [--runs N] [--seed N] [--limit MS] [--all]");
		}
	}
}

void rig_init(struct rig *out_rig, int argc, char **argv)
{
	struct rig *rig = out_rig;
	*rig = (struct rig){.runs = RUNS_DEFAULT, .limit_ms = LIMIT_MS_DEFAULT};
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Short enough to be typed. */
	if (getrandom(&rig->seed, 4, 0) != 4)
		err(1, "getrandom");
	parse(rig, argc, argv);
	const char *root = getenv("PLUGVM_BUILD_ROOT");
	snprintf(rig->plugvm, sizeof(rig->plugvm), "%s/src/plugvm", root ? root : BUILD_ROOT);
	snprintf(rig->actor, sizeof(rig->actor), "%s/tests/system/actor", root ? root : BUILD_ROOT);
	snprintf(rig->policy, sizeof(rig->policy), "%s/tests/kill/family.policy", root ? root : BUILD_ROOT);
	const char *obstacle = find_obstacle(rig);
	if (obstacle) {
		printf("1..0 # SKIP %s\n", obstacle);
		exit(0);
	}
	const char *temporary = getenv("TMPDIR");
	snprintf(rig->directory, sizeof(rig->directory), "%s/plugvm-kill-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(rig->directory) || chdir(rig->directory) < 0)
		err(1, "mkdtemp");
	setenv("TMPDIR", rig->directory, 1);
	setenv("HOME", rig->directory, 1);
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	rig->mounts = read_mounts();
}

void rig_fini(struct rig *rig)
{
	free(rig->mounts);
	if (chdir("/") < 0 || rmdir(rig->directory) < 0)
		warn("%s", rig->directory);
}
