/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls in words. The names of constants are those of constants.c, so what is written here can be read back.
 */
#include "policy/decode.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/constants.h"
#include "policy/syscalls.h"

#define PROT      "PROT_READ PROT_WRITE PROT_EXEC"
#define MAP_TYPES "MAP_SHARED MAP_PRIVATE"
#define MAP_FLAGS                                                                                              \
	"MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_32BIT MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE " \
	"MAP_LOCKED MAP_NORESERVE "                                                                            \
	"MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE"
#define OPEN_MODES "O_RDONLY O_WRONLY O_RDWR"
#define OPEN_FLAGS                                                                                           \
	"O_TMPFILE O_SYNC O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_DSYNC O_DIRECT O_LARGEFILE " \
	"O_DIRECTORY O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH"
#define CLONE_FLAGS                                                                                      \
	"CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT " \
	"CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID "  \
	"CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC "    \
	"CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO"
#define FUTEX_OPS                                                                                            \
	"FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI FUTEX_UNLOCK_PI " \
	"FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI FUTEX_CMP_REQUEUE_PI "   \
	"FUTEX_LOCK_PI2"
#define FCNTLS                                                                                             \
	"F_DUPFD F_DUPFD_CLOEXEC F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_OFD_GETLK "    \
	"F_OFD_SETLK F_OFD_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG F_SETLEASE F_GETLEASE F_SETPIPE_SZ " \
	"F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS"
#define PRCTLS                                                                                                   \
	"PR_SET_NAME PR_GET_NAME PR_SET_VMA PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_SET_DUMPABLE PR_GET_DUMPABLE "  \
	"PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_CAPBSET_READ PR_CAPBSET_DROP PR_CAP_AMBIENT PR_SET_SECCOMP " \
	"PR_GET_SECCOMP PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_SET_MM "    \
	"PR_SET_PTRACER PR_SET_KEEPCAPS PR_GET_KEEPCAPS PR_SET_SECUREBITS PR_GET_SECUREBITS "                    \
	"PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER"
#define IOCTLS                                                                                              \
	"FIONREAD FIONBIO FIOCLEX FIONCLEX FIOASYNC TCGETS TCSETS TCSETSW TCSETSF TIOCGWINSZ TIOCSWINSZ "   \
	"TIOCSTI TIOCLINUX TIOCSCTTY TIOCGPGRP TIOCSPGRP TUNGETFEATURES TUNGETIFF TUNSETIFF TUNSETOFFLOAD " \
	"TUNSETVNETHDRSZ TUNSETSNDBUF SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCGIFHWADDR "     \
	"SIOCGIFINDEX"
#define MADVICE                                                                                                  \
	"MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE "             \
	"MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP " \
	"MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ "                 \
	"MADV_POPULATE_WRITE MADV_HWPOISON MADV_COLLAPSE"
#define DOMAINS                                                                                        \
	"AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK AF_ALG AF_XDP AF_BLUETOOTH " \
	"AF_CAN AF_TIPC AF_QIPCRTR"
#define SOCKET_TYPES "SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET SOCK_PACKET"
#define SOCKET_FLAGS "SOCK_CLOEXEC SOCK_NONBLOCK"
#define RLIMITS                                                                                               \
	"RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE " \
	"RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO "  \
	"RLIMIT_RTTIME"
#define CLOCKS                                                                                                 \
	"CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW " \
	"CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_TAI"
#define SIGNALS                                                                                               \
	"SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE " \
	"SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ "   \
	"SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS"
#define PATH_FLAGS "AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW AT_NO_AUTOMOUNT"

static const struct decode_argument known[] = {
    {"arch_prctl", 0, true, "op", "ARCH_SET_GS ARCH_SET_FS ARCH_GET_FS ARCH_GET_GS ARCH_CET_STATUS", NULL},
    {"clock_getres", 0, false, "clockid", CLOCKS, NULL},
    {"clock_gettime", 0, false, "clockid", CLOCKS, NULL},
    {"clock_nanosleep", 0, false, "clockid", CLOCKS, NULL},
    {"clone", 0, true, "flags", SIGNALS, CLONE_FLAGS},
    {"dup3", 2, false, "flags", NULL, "O_CLOEXEC"},
    {"epoll_create1", 0, false, "flags", NULL, "EPOLL_CLOEXEC"},
    {"epoll_ctl", 1, false, "op", "EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD", NULL},
    {"eventfd2", 1, false, "flags", NULL, "EFD_CLOEXEC EFD_NONBLOCK EFD_SEMAPHORE"},
    {"execveat", 0, true, "dirfd", "AT_FDCWD", NULL},
    {"execveat", 4, true, "flags", NULL, PATH_FLAGS},
    {"fallocate", 1, true, "mode", NULL,
     "FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE "
     "FALLOC_FL_INSERT_RANGE FALLOC_FL_UNSHARE_RANGE"},
    {"fcntl", 1, true, "op", FCNTLS, NULL},
    {"fadvise64", 3, false, "advice",
     "POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED POSIX_FADV_DONTNEED "
     "POSIX_FADV_NOREUSE",
     NULL},
    {"futex", 1, true, "op", FUTEX_OPS, "FUTEX_PRIVATE_FLAG FUTEX_CLOCK_REALTIME"},
    {"getitimer", 0, false, "which", "ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF", NULL},
    {"getrandom", 2, false, "flags", NULL, "GRND_NONBLOCK GRND_RANDOM GRND_INSECURE"},
    {"getrlimit", 0, false, "resource", RLIMITS, NULL},
    {"getsockopt", 1, false, "level", "SOL_SOCKET", NULL},
    {"ioctl", 1, true, "op", IOCTLS, NULL},
    {"kill", 1, true, "sig", SIGNALS, NULL},
    {"lseek", 2, false, "whence", "SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE", NULL},
    {"madvise", 2, true, "advice", MADVICE, NULL},
    {"memfd_create", 1, true, "flags", NULL, "MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB MFD_NOEXEC_SEAL MFD_EXEC"},
    {"mmap", 2, true, "prot", "PROT_NONE", PROT},
    {"mmap", 3, true, "flags", MAP_TYPES, MAP_FLAGS},
    {"mprotect", 2, true, "prot", "PROT_NONE", PROT},
    {"mremap", 3, true, "flags", NULL, "MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP"},
    {"newfstatat", 3, false, "flags", NULL, PATH_FLAGS},
    {"open", 1, true, "flags", OPEN_MODES, OPEN_FLAGS},
    {"openat", 2, true, "flags", OPEN_MODES, OPEN_FLAGS},
    {"pipe2", 1, false, "flags", NULL, "O_CLOEXEC O_NONBLOCK O_DIRECT"},
    {"pkey_mprotect", 2, true, "prot", "PROT_NONE", PROT},
    {"prctl", 0, true, "op", PRCTLS, NULL},
    {"prlimit64", 0, true, "pid", NULL, NULL},
    {"prlimit64", 1, true, "resource", RLIMITS, NULL},
    {"prlimit64", 2, true, "new_limit", NULL, NULL},
    {"recvfrom", 3, false, "flags", NULL, "MSG_CMSG_CLOEXEC MSG_DONTWAIT MSG_PEEK MSG_TRUNC MSG_WAITALL"},
    {"recvmsg", 2, false, "flags", NULL, "MSG_CMSG_CLOEXEC MSG_DONTWAIT MSG_PEEK MSG_TRUNC MSG_WAITALL"},
    {"rt_sigaction", 0, false, "sig", SIGNALS, NULL},
    {"rt_sigprocmask", 0, false, "how", "SIG_BLOCK SIG_UNBLOCK SIG_SETMASK", NULL},
    {"sched_setaffinity", 0, true, "pid", NULL, NULL},
    {"sendmsg", 2, false, "flags", NULL, "MSG_NOSIGNAL MSG_DONTWAIT MSG_MORE MSG_EOR"},
    {"sendto", 3, false, "flags", NULL, "MSG_NOSIGNAL MSG_DONTWAIT MSG_MORE MSG_EOR"},
    {"setitimer", 0, false, "which", "ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF", NULL},
    {"setrlimit", 0, true, "resource", RLIMITS, NULL},
    {"setsockopt", 1, true, "level", "SOL_SOCKET", NULL},
    {"setsockopt", 2, true, "name",
     "SO_RCVTIMEO SO_SNDTIMEO SO_RCVBUF SO_SNDBUF SO_REUSEADDR SO_KEEPALIVE SO_PASSCRED SO_LINGER", NULL},
    {"shutdown", 1, false, "how", "SHUT_RD SHUT_WR SHUT_RDWR", NULL},
    {"socket", 0, true, "domain", DOMAINS, NULL},
    {"socket", 1, true, "type", SOCKET_TYPES, SOCKET_FLAGS},
    {"socketpair", 0, true, "domain", DOMAINS, NULL},
    {"socketpair", 1, true, "type", SOCKET_TYPES, SOCKET_FLAGS},
    {"statx", 2, false, "flags", NULL, PATH_FLAGS},
    {"tgkill", 0, true, "tgid", NULL, NULL},
    {"tgkill", 2, false, "sig", SIGNALS, NULL},
    {"timerfd_create", 0, false, "clockid", CLOCKS, NULL},
    {"timerfd_create", 1, false, "flags", NULL, "TFD_CLOEXEC TFD_NONBLOCK"},
    {"timerfd_settime", 1, false, "flags", NULL, "TFD_TIMER_ABSTIME TFD_TIMER_CANCEL_ON_SET"},
    {"tkill", 1, true, "sig", SIGNALS, NULL},
};

const struct decode_argument *decode_argument(int number, unsigned int argument)
{
	char call[DECODE_TEXT_MAX];
	decode_call(number, call);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].argument == argument && strcmp(known[i].call, call) == 0)
			return &known[i];
	}
	return NULL;
}

void decode_call(int number, char out_text[DECODE_TEXT_MAX])
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
	if (name)
		snprintf(out_text, DECODE_TEXT_MAX, "%s", name);
	else
		snprintf(out_text, DECODE_TEXT_MAX, "%d", number);
	free(name);
}

/* Cut the first word off *list; returns its length, 0 at the end. Leaves *list where the word begins. */
static size_t next_word(const char **list)
{
	*list += strspn(*list, " ");
	return strcspn(*list, " ");
}

static void append(char *text, const char *word, size_t size)
{
	size_t used = strlen(text);
	snprintf(text + used, DECODE_TEXT_MAX - used, "%s%.*s", used ? "|" : "", (int)size, word);
}

/* Append the names of the flags that are in *value, and take those out of it. */
static void take_flags(const char *list, uint64_t *value, char *out_text)
{
	for (size_t size; (size = next_word(&list)) > 0; list += size) {
		uint64_t flag;
		/* A name that the headers lack is skipped: its bit then shows as a number. */
		if (!constants_find(list, size, &flag) || flag == 0 || (*value & flag) != flag)
			continue;
		append(out_text, list, size);
		*value &= ~flag;
	}
}

/* As wide as the argument is: a negative constant is stored with its sign. */
static bool take_value(const char *list, uint64_t *value, uint64_t top, char *out_text)
{
	for (size_t size; (size = next_word(&list)) > 0; list += size) {
		uint64_t named;
		if (constants_find(list, size, &named) && (named & top) == *value) {
			append(out_text, list, size);
			return true;
		}
	}
	return false;
}

void decode_bits(int number, unsigned int argument, uint64_t value, char out_text[DECODE_TEXT_MAX])
{
	const struct decode_argument *known_argument = decode_argument(number, argument);
	char word[32];
	out_text[0] = '\0';
	if (known_argument && known_argument->flags)
		take_flags(known_argument->flags, &value, out_text);
	if (out_text[0] && value == 0)
		return;
	int size = snprintf(word, sizeof(word), value < 10 ? "%llu" : "0x%llx", (unsigned long long)value);
	append(out_text, word, (size_t)size);
}

void decode_value(int number, unsigned int argument, uint64_t value, char out_text[DECODE_TEXT_MAX])
{
	const struct decode_argument *known_argument = decode_argument(number, argument);
	unsigned int bits = syscalls_argument_bits(number, argument);
	uint64_t top = UINT64_MAX >> (64 - (bits ? bits : 64));
	const char *values = known_argument ? known_argument->values : NULL;
	const char *flags = known_argument ? known_argument->flags : NULL;
	value &= top;
	out_text[0] = '\0';
	if (values && take_value(values, &value, top, out_text))
		return;
	uint64_t rest = value;
	if (flags)
		take_flags(flags, &rest, out_text);
	/* The rest may be a value with a name, but nothing is no value to be united with. */
	if (rest == value || rest == 0 || !values || !take_value(values, &rest, top, out_text))
		decode_bits(number, argument, value, out_text);
}
