/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugvm.h - the trusted side as a library: run a virtual machine whose brain is somebody else's process.
 *
 * Three levels, each made of the one below:
 *
 *   struct plugvm_machine  a whole run in one call: opens KVM, makes the VM, starts the plugin, runs the vCPUs and tells
 *                          how it ended. The plugvm program is a thin client of this.
 *   struct plugvm_plugin   one plugin process and its channels, for an embedder with a VM and a run loop of its own.
 *   struct plugvm_kvm, plugvm_vm, plugvm_vcpu
 *                          the KVM file descriptors as typed calls, made new or adopted.
 *
 * Pattern of use:
 *
 *     struct plugvm_machine_config config = {
 *         .size = sizeof(config), .path = "/usr/bin/my-plugin", .vcpu_count = 1,
 *         .kvm_fd = -1, .stdin_fd = -1, .stdout_fd = 1, .grace_ms = 1000,
 *     };
 *     struct plugvm_machine *machine = NULL;
 *     struct plugvm_error error;
 *     struct plugvm_result result;
 *     if (plugvm_machine_new(&config, &machine, &error) == 0 && plugvm_machine_run(machine, &result, &error) == 0)
 *             puts(result.text);
 *     plugvm_machine_free(&machine);
 *
 * Errors. Functions that return int give 0 or a positive value on success, a negative errno on failure. Where
 * there is a struct plugvm_error argument (NULL is allowed) it is filled on failure with the failing step in
 * words.
 *
 * Ownership. Handles are opaque. A `..._new` or `..._adopt` stores a handle that the matching `..._free` takes
 * back; free takes T **, stores NULL, and accepts a pointer to NULL. Fds in a configuration stay the caller's.
 *
 * Threads. One thread at a time for each handle, except where a function says more. Handles do not share state,
 * so several machines may run in one process, each in a thread of its own.
 *
 * The library never prints, never exits and never changes the environment. The only thing it does to the process
 * as a whole is to install an empty handler for one signal (plugvm_machine_config.kick_signal). All its fds are
 * close-on-exec.
 *
 * Stability. 0.x: configuration structs begin with their size and grow at the end only; everything else may still
 * change with the minor version.
 */
#ifndef PLUGVM_H
#define PLUGVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The libraries hide everything but what is declared here. */
#pragma GCC visibility push(default)

#define PLUGVM_VERSION_MAJOR 0
#define PLUGVM_VERSION_MINOR 1
#define PLUGVM_VERSION_PATCH 0

/* Store the version of the library that is loaded (not of this header). */
void plugvm_version(unsigned int *out_major, unsigned int *out_minor, unsigned int *out_patch);

/* A limit on what a plugin may send, make or cause. */
struct plugvm_limit {
	const char *name; /* NULL after the last */
	uint64_t value;
	const char *unit;
	const char *reason;
};

/* Return all limits. They are the library's own and do not change. */
const struct plugvm_limit *plugvm_limits(void);

/* What kind of failure it was, for a program that maps failures to exit statuses. */
enum plugvm_error_kind {
	PLUGVM_ERROR_CONFIG,      /* the caller asked for something that cannot be */
	PLUGVM_ERROR_ENVIRONMENT, /* this machine lacks something: KVM, a permission, memory, fds */
	PLUGVM_ERROR_PLUGIN_FILE, /* the plugin's executable was not found or cannot be executed */
	PLUGVM_ERROR_JAIL,        /* a step of the jail failed */
	PLUGVM_ERROR_KVM,         /* KVM refused a call */
};

struct plugvm_error {
	int code; /* positive errno */
	enum plugvm_error_kind kind;
	char text[256]; /* one line, no newline, printable */
};

enum plugvm_log_level {
	PLUGVM_LOG_ERROR,
	PLUGVM_LOG_WARNING,
	PLUGVM_LOG_INFO,
	PLUGVM_LOG_DEBUG,
	PLUGVM_LOG_PLUGIN, /* a line of the plugin's stderr, control bytes escaped */
};

/*
 * Takes one log line (no newline). Called from any thread of the library, so it must be thread-safe, and it should
 * not block: a vCPU or the request loop waits meanwhile.
 */
typedef void plugvm_log_fn(void *context, enum plugvm_log_level level, const char *line);

/* ---- KVM ---- */

struct plugvm_kvm;  /* /dev/kvm */
struct plugvm_vm;   /* a VM */
struct plugvm_vcpu; /* a vCPU of a VM, with its mapped struct kvm_run */

/*
 * Open a KVM device (NULL: /dev/kvm) and check its API version.
 *   -ENOENT  there is none; -EACCES or -EPERM  no permission; -ENOTTY  it is no KVM device
 */
int plugvm_kvm_open(const char *path, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error);
/* The same for an open fd, which is taken over on success. */
int plugvm_kvm_adopt(int fd, struct plugvm_kvm **out_kvm, struct plugvm_error *out_error);
void plugvm_kvm_free(struct plugvm_kvm **);
/* Return what KVM_CHECK_EXTENSION says: 0 means no, a positive number yes. */
int plugvm_kvm_check_extension(struct plugvm_kvm *, unsigned int extension);

/* Which interrupt controllers a VM has in the kernel; the plugin emulates the others. */
enum plugvm_irqchip {
	PLUGVM_IRQCHIP_KERNEL = 0, /* all, and the PIT */
	PLUGVM_IRQCHIP_SPLIT,      /* the local APICs */
	PLUGVM_IRQCHIP_NONE,
};

/* Make a VM. The struct plugvm_kvm must outlive it. */
int plugvm_vm_new(struct plugvm_kvm *, enum plugvm_irqchip irqchip, struct plugvm_vm **out_vm,
                  struct plugvm_error *out_error);
/* The same for an existing VM's fd, which is taken over and used as it is: with all of them in the kernel. */
int plugvm_vm_adopt(struct plugvm_kvm *, int fd, struct plugvm_vm **out_vm, struct plugvm_error *out_error);
void plugvm_vm_free(struct plugvm_vm **);
int plugvm_vm_fd(const struct plugvm_vm *);
int plugvm_vm_check_extension(struct plugvm_vm *, unsigned int extension);
/* Return how many bits a guest-physical address has. */
unsigned int plugvm_vm_address_bits(const struct plugvm_vm *);
/*
 * Map `length` bytes at `host` into the guest at `start` under a memory slot; `length` 0 removes the slot. `flags`
 * are KVM_MEM_*. The memory must stay mapped until the slot is removed.
 */
int plugvm_vm_set_memory(struct plugvm_vm *, uint32_t slot, uint32_t flags, uint64_t start, uint64_t length,
                         void *host);

/* Make vCPU `id`. The struct plugvm_vm must outlive it. */
int plugvm_vcpu_new(struct plugvm_vm *, uint32_t id, struct plugvm_vcpu **out_vcpu,
                    struct plugvm_error *out_error);
/* The same for an existing vCPU's fd, which is taken over. */
int plugvm_vcpu_adopt(struct plugvm_vm *, uint32_t id, int fd, struct plugvm_vcpu **out_vcpu,
                      struct plugvm_error *out_error);
void plugvm_vcpu_free(struct plugvm_vcpu **);
uint32_t plugvm_vcpu_id(const struct plugvm_vcpu *);
/* KVM_RUN. Returns 0 when there is an exit reason in plugvm_vcpu_exit(), or -errno (-EINTR: kicked). */
int plugvm_vcpu_run(struct plugvm_vcpu *);
/* Return the vCPU's shared page, owned by the vCPU. */
struct kvm_run *plugvm_vcpu_exit(struct plugvm_vcpu *);
/* Set or clear immediate_exit: while set, KVM_RUN only completes the pending access and gives -EINTR. Any thread. */
void plugvm_vcpu_set_immediate_exit(struct plugvm_vcpu *, bool on);
int plugvm_vcpu_get_regs(struct plugvm_vcpu *, struct kvm_regs *out_regs);
int plugvm_vcpu_set_regs(struct plugvm_vcpu *, const struct kvm_regs *regs);
int plugvm_vcpu_get_sregs(struct plugvm_vcpu *, struct kvm_sregs *out_sregs);
int plugvm_vcpu_set_sregs(struct plugvm_vcpu *, const struct kvm_sregs *sregs);
int plugvm_vcpu_get_fpu(struct plugvm_vcpu *, struct kvm_fpu *out_fpu);
int plugvm_vcpu_set_fpu(struct plugvm_vcpu *, const struct kvm_fpu *fpu);
int plugvm_vcpu_get_debugregs(struct plugvm_vcpu *, struct kvm_debugregs *out_debugregs);
int plugvm_vcpu_set_debugregs(struct plugvm_vcpu *, const struct kvm_debugregs *debugregs);
int plugvm_vcpu_get_lapic(struct plugvm_vcpu *, struct kvm_lapic_state *out_lapic);
int plugvm_vcpu_set_lapic(struct plugvm_vcpu *, const struct kvm_lapic_state *lapic);
int plugvm_vcpu_get_mp_state(struct plugvm_vcpu *, struct kvm_mp_state *out_mp_state);
int plugvm_vcpu_set_mp_state(struct plugvm_vcpu *, const struct kvm_mp_state *mp_state);
int plugvm_vcpu_get_xcrs(struct plugvm_vcpu *, struct kvm_xcrs *out_xcrs);
int plugvm_vcpu_set_xcrs(struct plugvm_vcpu *, const struct kvm_xcrs *xcrs);
int plugvm_vcpu_get_events(struct plugvm_vcpu *, struct kvm_vcpu_events *out_events);
int plugvm_vcpu_set_events(struct plugvm_vcpu *, const struct kvm_vcpu_events *events);

/* ---- Level 1: one plugin process ---- */

struct plugvm_plugin;      /* a plugin process, its connections, and what it made */
struct plugvm_plugin_vcpu; /* what a run loop holds of one vCPU's channel */
struct plugvm_jail;        /* a description of a jail for plugins */
struct plugvm_tap;         /* a network tap for the plugin */

/*
 * Make a tap "vmtap%d" with this address and netmask (network byte order) and MAC, and set it up. Needs CAP_NET_ADMIN in the
 * network namespace. It goes away when it is freed and the plugin has closed its own.
 */
int plugvm_tap_new(uint32_t address, uint32_t netmask, const uint8_t mac[6], struct plugvm_tap **out_tap,
                   struct plugvm_error *out_error);
/* Attach to an existing tap (-ENODEV: there is none), which is left as it is configured. Packets must be plain: no header of the tap's own. */
int plugvm_tap_open(const char *name, struct plugvm_tap **out_tap, struct plugvm_error *out_error);
/*
 * The same for an open fd of a tap, which is taken over on success. That it was made with IFF_NO_PI is the caller's to know: the
 * kernel does not tell.
 */
int plugvm_tap_adopt(int fd, struct plugvm_tap **out_tap, struct plugvm_error *out_error);
const char *plugvm_tap_name(const struct plugvm_tap *);
/* Close the host's end. Not while a plugin has it. */
void plugvm_tap_free(struct plugvm_tap **);

/*
 * A jail: user, mount, pid, network, ipc, uts and cgroup namespaces of its own; no capabilities; an empty read-only
 * root in which the executable is /plugin/NAME; resource limits; Landlock where the kernel has it; a seccomp filter.
 * The object only describes it and is read while a plugin starts, so that it may serve several plugins, one after
 * the other, and must outlive each plugvm_plugin_new().
 *
 * Works for root and for any user who may make user namespaces. As root, each plugin gets a uid of its own, which
 * nobody else has; else it has the caller's.
 */
enum plugvm_jail_profile {
	/*
	 * The root has the system's library directories and the libraries that the executable finds by its run path,
	 * /dev/null, zero, full and urandom, and a small /tmp.
	 */
	PLUGVM_JAIL_DEFAULT,
	/* The root has the executable, which must be static, and what is mounted by plugvm_jail_mount(). */
	PLUGVM_JAIL_STRICT,
};

int plugvm_jail_new(enum plugvm_jail_profile profile, struct plugvm_jail **out_jail,
                    struct plugvm_error *out_error);
void plugvm_jail_free(struct plugvm_jail **);
enum plugvm_jail_profile plugvm_jail_get_profile(const struct plugvm_jail *);

/* The uid and gid outside; needs root. By default one from 0x70000000 on for root (a lower one, or
 * the caller's own, in a user namespace without these), and the caller's own for others. */
#define PLUGVM_JAIL_UID_DEFAULT UINT32_MAX
int plugvm_jail_set_uid(struct plugvm_jail *, uid_t uid, struct plugvm_error *out_error);
/* Show the plugin what is in this directory as its root, read-only, instead of the system's libraries. */
int plugvm_jail_set_root(struct plugvm_jail *, const char *directory, struct plugvm_error *out_error);
/* Show `source` at `target`. Read-only unless writable; what is writable cannot be executed. */
int plugvm_jail_mount(struct plugvm_jail *, const char *source, const char *target, bool writable,
                      struct plugvm_error *out_error);
/* The same from "SOURCE[:[TARGET][:true|false]]", and for each line of a file ('#' begins a comment). */
int plugvm_jail_parse_mount(struct plugvm_jail *, const char *text, struct plugvm_error *out_error);
int plugvm_jail_read_mounts(struct plugvm_jail *, const char *path, struct plugvm_error *out_error);
/* Map gids into the jail, "INNER[:[OUTER][:COUNT]]"; needs root. */
int plugvm_jail_parse_gid_map(struct plugvm_jail *, const char *text, struct plugvm_error *out_error);
int plugvm_jail_read_gid_maps(struct plugvm_jail *, const char *path, struct plugvm_error *out_error);
/*
 * Let the jail be in this cgroup, of either version; for each version-1 hierarchy once. The directory is the caller's
 * to make, to set limits in and to remove, and the caller must be allowed to write its cgroup.procs.
 */
int plugvm_jail_join_cgroup(struct plugvm_jail *, const char *directory, struct plugvm_error *out_error);
/* Set a resource limit (RLIMIT_*, soft and hard) other than the jail's own. */
int plugvm_jail_set_rlimit(struct plugvm_jail *, int resource, uint64_t value, struct plugvm_error *out_error);
enum plugvm_jail_limit {
	/*
	 * Bytes of memory, of all processes in the jail. Where no cgroup can be made: of address space for each process and
	 * of each file, which is weaker and logged as a warning.
	 */
	PLUGVM_LIMIT_MEMORY,
	/* Processes and threads in the jail, its init included. By default 32 and 4 for each vCPU. */
	PLUGVM_LIMIT_PIDS,
	/* Open fds of each process. By default 64, 4 for each vCPU and 2 for each possible event. */
	PLUGVM_LIMIT_FDS,
	/*
	 * CPU time, of all processes in the jail together: percent of one CPU. Needs a cgroup. A struct plugvm_machine
	 * works half as much for what the plugin asks; with a loop of one's own, dispatch so often as one likes.
	 */
	PLUGVM_LIMIT_CPU,
	PLUGVM_LIMIT_COUNT /* how many there are */
};
/*
 * Limit what the plugin uses. With a limit of memory, pids or CPU the VM gets cgroups of its own, of version 1 or 2, where
 * the caller may make them; they are removed with the plugin, and those of hosts that were killed at the next such start.
 * Not beside plugvm_jail_join_cgroup(): then there is only what works without.
 *   -EINVAL      too little or too much
 * plugvm_plugin_new() fails if a limit cannot be held, and logs how each is (PLUGVM_LOG_INFO).
 */
int plugvm_jail_set_limit(struct plugvm_jail *, enum plugvm_jail_limit limit, uint64_t value,
                          struct plugvm_error *out_error);
/*
 * Let the limit of memory be one for the plugin and the calling process together, so that guest memory counts whoever
 * touches it: plugvm_plugin_new() moves the whole process into the VM's cgroup, and plugvm_plugin_free() moves it back.
 * For a process with one VM.
 */
void plugvm_jail_limit_host(struct plugvm_jail *);
/*
 * Take the policy of system calls from this file (plugvm-policy(5)) instead of the profile's. It is read at once, and a
 * mistake told with file, line and column. What it does not allow ends the plugin.
 */
int plugvm_jail_set_policy(struct plugvm_jail *, const char *path, struct plugvm_error *out_error);
/* Let calls that the policy does not allow be made all the same, and log them, but for those that no policy can allow. */
void plugvm_jail_log_failures(struct plugvm_jail *);
/* Let memory be written and executed at once. For the default profile's own policy. */
int plugvm_jail_allow_jit(struct plugvm_jail *, struct plugvm_error *out_error);

/* A system call of a plugin. */
struct plugvm_jail_call {
	int number;
	uint64_t arguments[6];
};
typedef void plugvm_jail_call_fn(void *context, const struct plugvm_jail_call *);
/*
 * Have each call told that the plugin makes, before it is made, instead of a policy: all are let through but those that no
 * policy can allow, and those of other architectures. The plugin waits for each call to be taken, so this is slow.
 * `observe` is called inside plugvm_plugin_try_wait() and wait(), which must go on being called; plugvm_machine_run() does
 * that.
 */
void plugvm_jail_observe(struct plugvm_jail *, plugvm_jail_call_fn *observe, void *context);

/* What takes a text line by line, without its newline. The line is the library's. */
typedef void plugvm_line_fn(void *context, const char *line);

/*
 * Compile a policy of system calls, plugvm-policy(5), and explain it: each rule in words, then the rest, then what may
 * not be what was meant. Returns how many of the lines are warnings.
 *   -EINVAL, -E2BIG and others  *out_error says where and why: "FILE:LINE:COLUMN: ..."
 */
int plugvm_policy_explain(const char *path, plugvm_line_fn *take_line, void *context,
                          struct plugvm_error *out_error);
/*
 * What a plugin did, as a policy that would have sufficed. plugvm_policy_learn() takes each call, with the learner as its
 * context; write() then gives the policy's text. Arguments are told apart where the call's number alone allows too much.
 */
struct plugvm_policy_learner;
int plugvm_policy_learner_new(struct plugvm_policy_learner **out_learner);
void plugvm_policy_learner_free(struct plugvm_policy_learner **);
/* Add to the rules of this file, once, instead of beginning with none. Its refusals stay. Errors as of explain(). */
int plugvm_policy_learner_add_file(struct plugvm_policy_learner *, const char *path,
                                   struct plugvm_error *out_error);
void plugvm_policy_learn(void *learner, const struct plugvm_jail_call *call);
/* -ENOMEM */
int plugvm_policy_learner_write(struct plugvm_policy_learner *, plugvm_line_fn *take_line, void *context);
/* Return the text of a built-in policy, "default" or "strict"; NULL: there is none of this name. */
const char *plugvm_policy_text(const char *name);

/* The most vCPUs that a VM can have here; the kernel may take fewer (KVM_CAP_MAX_VCPUS). */
#define PLUGVM_VCPUS_MAX 1024

/* Of spin_us. */
#define PLUGVM_SPIN_AUTO  0
#define PLUGVM_SPIN_NEVER (-1)
#define PLUGVM_SPIN_MAX   1000000

/*
 * How many fds a VM with that many vCPUs can need beside the embedder's own: RLIMIT_NOFILE should allow them. A vCPU has
 * its own and the four ends of its channel, two of which go to the plugin; 1,024 are for events.
 */
#define PLUGVM_FDS_NEEDED(vcpu_count) (256 + 1024 + 5 * (vcpu_count))

/* An fd that the plugin inherits under a number of the caller's choice (4 to 255). */
struct plugvm_fd_map {
	int fd;
	int number;
};

struct plugvm_plugin_config {
	size_t size; /* sizeof(struct plugvm_plugin_config) */

	const char *path;        /* the executable; used as it is, not searched */
	const char *const *argv; /* NULL-terminated, argv[0] included; NULL: just the path */
	const char *const *env;  /* NULL-terminated "NAME=VALUE"; NULL: none. CROSVM_SOCKET is added */
	uint32_t vcpu_count;     /* 1 to PLUGVM_VCPUS_MAX; one with an original client library takes up to 16 */
	int stdin_fd;            /* -1: /dev/null, as for the next two */
	int stdout_fd;
	int stderr_fd;
	const struct plugvm_fd_map *fds; /* further fds, or NULL */
	size_t fd_count;
	struct plugvm_jail *jail; /* NULL: none. The plugin is then a plain child in a session of its own */
	struct plugvm_tap *const
	    *taps; /* NULL: none. The API shows the plugin the first; they stay the caller's */
	size_t tap_count;

	uint32_t first_slot; /* the memory slots first_slot ... are the plugin's, those below the caller's */
	uint32_t first_gsi;  /* so are the GSIs; in this version nothing uses them */
	unsigned answer_timeout_ms; /* for each event, how long the plugin may take; 0: for ever */

	/*
	 * Kill the plugin when the thread that calls plugvm_plugin_new() ends (prctl(2), PR_SET_PDEATHSIG), so
	 * that it cannot outlive a host that was killed.
	 */
	bool die_with_thread;

	/*
	 * Called inside handle_socket() when the plugin asks to start; makes the vCPUs. A negative errno is the
	 * answer to the plugin, and the VM is not started. NULL: always successful.
	 */
	int (*start)(void *context);
	/*
	 * Make vCPU `cpu` leave KVM_RUN soon: set immediate_exit, signal its thread. Called by signal_kill(),
	 * possibly in a signal handler; for a vCPU that does not exist too. NULL: nobody to call.
	 */
	void (*kick)(void *context, uint32_t cpu);
	plugvm_log_fn *log; /* NULL: nothing is logged */
	void *context;      /* for the three */

	/*
	 * How long a vCPU's thread and the plugin's library look for each other's message, in the memory that they share,
	 * before they sleep: PLUGVM_SPIN_AUTO, as long as it helps, which they find out; PLUGVM_SPIN_NEVER; or so many
	 * microseconds, up to PLUGVM_SPIN_MAX.
	 */
	int spin_us;
};

/*
 * Make the first connection and the vCPU channels and start the plugin. Returns when the executable has been started
 * for sure, or with the reason why not:
 *   -ENOENT, -EACCES, -ENOEXEC ...  the executable (kind PLUGVM_ERROR_PLUGIN_FILE)
 *   any other, with kind PLUGVM_ERROR_JAIL  the named step of the jail; the plugin has not run
 */
int plugvm_plugin_new(const struct plugvm_plugin_config *, struct plugvm_plugin **out_plugin,
                      struct plugvm_error *out_error);

/*
 * Kill the plugin if it lives, reap it, and take all that it made out of KVM. The struct plugvm_plugin_vcpu
 * objects must be gone, and `vm` (NULL if there was none) is the one that handle_socket() was given. Takes at most
 * 5 s, and normally a few milliseconds.
 */
void plugvm_plugin_free(struct plugvm_plugin **, struct plugvm_vm *vm);

pid_t plugvm_plugin_pid(const struct plugvm_plugin *);
/* Return a pidfd, owned by the object: readable once the plugin has exited. In a jail it is that of the jail's init. */
int plugvm_plugin_pidfd(const struct plugvm_plugin *);
/* Tell whether the plugin has asked to start. Any thread. */
bool plugvm_plugin_is_started(const struct plugvm_plugin *);

/*
 * Store the fds of the main connections, at most `capacity`, and return how many there are. Index i is what
 * handle_socket() and drop_sockets() take. handle_socket() may append one; nothing moves but by drop_sockets(),
 * which closes the named ones and moves the later ones up.
 */
size_t plugvm_plugin_sockets(const struct plugvm_plugin *, int *fds, size_t capacity);
int plugvm_plugin_drop_sockets(struct plugvm_plugin *, const size_t *indices, size_t count);

/*
 * Receive, check, serve and answer one request on a connection. `vm` may be NULL: requests that need it get ENODEV.
 * Does not block.
 *   -EAGAIN      nothing was there
 *   -ECONNRESET  the peer has closed it
 *   -EPROTO      the peer broke the protocol, or does not read its answers
 * After the last two the caller drops the connection; the VM goes on.
 */
int plugvm_plugin_handle_socket(struct plugvm_plugin *, size_t index, struct plugvm_vm *vm);

/*
 * For those who do not want to hold the list of sockets: one fd that is readable when a connection has something,
 * and a call that handles a bounded number of requests and drops what has ended. dispatch returns how many
 * connections are left.
 */
int plugvm_plugin_poll_fd(const struct plugvm_plugin *);
int plugvm_plugin_dispatch(struct plugvm_plugin *, struct plugvm_vm *vm);

/* How a run ended: the first thing that ended it, not what followed from that. */
enum plugvm_end {
	PLUGVM_END_PLUGIN_EXITED,  /* value: its exit code */
	PLUGVM_END_PLUGIN_KILLED,  /* by a signal that this library did not send; value: the signal */
	PLUGVM_END_GUEST_CRASHED,  /* triple fault, emulation failure ...; value: KVM's exit reason */
	PLUGVM_END_KVM_ERROR,      /* KVM_RUN or a call around it failed; value: errno */
	PLUGVM_END_PROTOCOL_ERROR, /* the plugin broke the protocol or let a timeout pass; value: errno */
	PLUGVM_END_STOPPED,        /* plugvm_machine_stop(); value: what it was given */
};

/*
 * Say why the VM ends, for a plugin that asks (crosvm_get_end()); before signal_kill(). `cpu` is the vCPU that it was
 * about, or -1. The text is copied.
 */
void plugvm_plugin_set_end(struct plugvm_plugin *, enum plugvm_end end, int value, int cpu, const char *text);

/*
 * Ask the plugin to exit (its shutdown eventfd fires) and end the vCPU channels: whoever waits in one returns
 * -ECANCELED, now and ever after. Then call kick() for each vCPU. Never blocks. Any thread, and signal handlers.
 */
void plugvm_plugin_signal_kill(struct plugvm_plugin *);

/* Kill the plugin, at once; what is left of its process group follows when it is reaped. Never blocks. Any thread,
 * and signal handlers. */
void plugvm_plugin_kill(struct plugvm_plugin *);

enum plugvm_plugin_state {
	PLUGVM_PLUGIN_RUNNING,
	PLUGVM_PLUGIN_EXITED,   /* value: exit code */
	PLUGVM_PLUGIN_SIGNALED, /* value: signal */
};

/*
 * The exit code of a plugin whose status was taken by somebody else: this process ignores SIGCHLD, or waits for
 * any child elsewhere. A program that uses this library does neither while a plugin runs.
 */
#define PLUGVM_PLUGIN_STATUS_LOST 255

struct plugvm_plugin_status {
	enum plugvm_plugin_state state;
	int value;
	bool is_refused; /* the next says which system call, not allowed by its jail's policy, it was killed for */
	int system_call;
};

/* Tell how the plugin is; reaps it once it has exited. Never blocks. */
int plugvm_plugin_try_wait(struct plugvm_plugin *, struct plugvm_plugin_status *out_status);
/* The same, but wait up to `timeout_ms` (-1: for ever) for it to exit. -ETIMEDOUT: it still runs. */
int plugvm_plugin_wait(struct plugvm_plugin *, int timeout_ms, struct plugvm_plugin_status *out_status);

/*
 * Make the object that vCPU `cpu`'s run loop uses. Objects of one vCPU share its state; one is used at a time. The
 * struct plugvm_plugin must outlive it.
 *   -EINVAL  no such vCPU
 */
int plugvm_plugin_vcpu_new(struct plugvm_plugin *, uint32_t cpu, struct plugvm_plugin_vcpu **out_pv);
void plugvm_plugin_vcpu_free(struct plugvm_plugin_vcpu **);

/*
 * The calls of a run loop, from the vCPU's own thread. They send an event to the plugin and serve its requests on
 * `vcpu` until it resumes. Those that return int give, beside what is said there:
 *   -ECANCELED  signal_kill() was called: leave the loop
 *   -EPIPE      the plugin has closed the channel
 *   -EPROTO     the plugin broke the protocol
 *   -ETIMEDOUT  answer_timeout_ms has passed
 * plugvm_plugin_vcpu_fault() says more about the last three. The vCPU must not run on after any of them.
 */
/* The INIT event, before the first run. Blocks until the plugin has fetched and resumed it. */
int plugvm_plugin_vcpu_init(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu);
/* Before every KVM_RUN: 0 to go on, -ECANCELED to leave. */
int plugvm_plugin_vcpu_pre_run(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu);
/* After every KVM_RUN that gave an exit. */
void plugvm_plugin_vcpu_post_run(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu);
/*
 * Any other exit in plugvm_vcpu_exit(vcpu), if the plugin asked for its kind: MSR accesses, debug, halt, triple fault,
 * internal error, interrupt window, IOAPIC EOI. Returns 1 if it was answered and the vCPU can run on; 0 if the plugin
 * did not ask for it, or wants it to be treated as if it had not.
 */
int plugvm_plugin_vcpu_other_exit(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu);
/*
 * A port or MMIO access of the guest: `size` bytes at `data`, from `address`. `width` is how many addresses it
 * touches: for a repeated port access that is less than `size`. Returns 1 if the plugin claimed it; 0 if not (a
 * read is then filled with zeros).
 */
int plugvm_plugin_vcpu_io_read(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint16_t address,
                               uint32_t width, void *data, uint32_t size);
int plugvm_plugin_vcpu_io_write(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint16_t address,
                                uint32_t width, const void *data, uint32_t size);
int plugvm_plugin_vcpu_mmio_read(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint64_t address,
                                 void *data, uint32_t size);
int plugvm_plugin_vcpu_mmio_write(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint64_t address,
                                  const void *data, uint32_t size);
/* A Hyper-V hypercall of the guest; what the plugin answers goes to *out_result. */
int plugvm_plugin_vcpu_hyperv_call(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint64_t input,
                                   const uint64_t params[2], uint64_t *out_result);
/* A change of the guest's Hyper-V synthetic interrupt controller. */
int plugvm_plugin_vcpu_hyperv_synic(struct plugvm_plugin_vcpu *, struct plugvm_vcpu *vcpu, uint32_t msr,
                                    uint64_t control, uint64_t evt_page, uint64_t msg_page);
/* Return what went wrong, in words; "" if nothing did. Valid as long as the object. */
const char *plugvm_plugin_vcpu_fault(const struct plugvm_plugin_vcpu *);

/*
 * Give up, for the whole process and for ever, what the host no longer needs once its last plugin has been started:
 * the calling thread's capabilities, and being traced or dumped by others of the same user; and put every thread under
 * a seccomp filter that has what this library needs and no more. No file can be opened then and no process started;
 * KVM takes the requests that the library makes. Any other system call ends the process by SIGSYS, the embedder's own
 * calls not excepted. The uid stays. Returns 1; or 0 if the library was built with a sanitizer or for coverage, whose
 * runtime cannot live with that, and only the capabilities are gone. A second call changes nothing.
 *   -EINVAL  this kernel has no seccomp filters
 *   -ESRCH   a thread has a filter of its own
 */
int plugvm_drop_privileges(struct plugvm_error *out_error);

/* ---- Level 2: a whole run ---- */

struct plugvm_machine;

struct plugvm_machine_config {
	size_t size; /* sizeof(struct plugvm_machine_config) */

	const char *kvm_path; /* the KVM device; NULL: /dev/kvm */
	int kvm_fd;           /* an open one instead, which is duplicated; -1: none */
	uint32_t vcpu_count;  /* 1 to what the kernel takes (KVM_CAP_MAX_VCPUS), and at most PLUGVM_VCPUS_MAX */
	enum plugvm_irqchip irqchip;

	/* As in struct plugvm_plugin_config; the plugin's stderr becomes log lines. */
	const char *path;
	const char *const *argv;
	const char *const *env;
	int stdin_fd;
	int stdout_fd;
	const struct plugvm_fd_map *fds;
	size_t fd_count;
	struct plugvm_jail *jail;
	struct plugvm_tap *const *taps;
	size_t tap_count;
	bool die_with_thread;

	unsigned grace_ms;          /* between asking the plugin to exit and killing it; 0: at once */
	unsigned start_timeout_ms;  /* how long the plugin may take to start; 0: for ever */
	unsigned answer_timeout_ms; /* how long it may take for each event; 0: for ever */

	/*
	 * The real-time signal that gets a vCPU thread out of KVM_RUN; 0: SIGRTMIN. plugvm_machine_run() installs
	 * an empty handler for it and leaves it in place. Nothing else in the process may use it.
	 */
	int kick_signal;
	bool measure; /* time every exit: two clock readings more for each */

	plugvm_log_fn *log; /* NULL: nothing is logged */
	void *context;      /* for log */

	/*
	 * Call plugvm_drop_privileges() once the plugin has been started, and put the vCPUs' threads under a filter
	 * of their own. For a process that runs one machine and does nothing else.
	 */
	bool drop_privileges;
	int spin_us; /* as of struct plugvm_plugin_config */
};

struct plugvm_result {
	enum plugvm_end end;
	int value;
	int cpu;         /* the vCPU that it was about; -1: none */
	char text[256];  /* one line that says what ended the VM and why */
	bool grace_over; /* the plugin did not exit within the grace time and was killed */
	bool grace_cut;  /* a second stop had cut the grace time short */
	struct plugvm_plugin_status plugin;

	bool has_registers; /* the next two are those of `cpu` when the guest crashed */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

/* One line of the account of exits. */
struct plugvm_exit_count {
	const char *kind; /* "port read", "MMIO write", "unclaimed port read", "hlt" ... */
	bool has_range;   /* false: the next three say nothing */
	bool is_port;
	uint64_t start; /* first and last address of the reserved range */
	uint64_t last;
	uint64_t count;
	uint64_t total_ns; /* from KVM_RUN's return to the answer; 0 without plugvm_machine_config.measure */
	uint64_t max_ns;
};

/* Check the configuration, open KVM and make the VM. */
int plugvm_machine_new(const struct plugvm_machine_config *, struct plugvm_machine **out_machine,
                       struct plugvm_error *out_error);

/*
 * Start the plugin and run the machine until it ends. Once per machine; the calling thread serves the plugin's
 * requests meanwhile. 0 with a result if the plugin was started; else -errno, and the result is untouched.
 */
int plugvm_machine_run(struct plugvm_machine *, struct plugvm_result *out_result, struct plugvm_error *out_error);

/*
 * End the run in order: the plugin is asked to exit and has the grace time. `value` (a signal number, say) goes
 * into the result. Before run(): it ends at once. A second call ends the grace time. Any thread, and signal
 * handlers.
 */
void plugvm_machine_stop(struct plugvm_machine *, int value);

/* Store the account of exits of a finished run, at most `capacity` lines, and return how many there are. */
size_t plugvm_machine_exit_counts(const struct plugvm_machine *, struct plugvm_exit_count *counts,
                                  size_t capacity);

/* Free the machine. Not while plugvm_machine_run() is in it. */
void plugvm_machine_free(struct plugvm_machine **);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
