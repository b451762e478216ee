/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every limit on what a peer may send or make: name, value, unit, reason. One list, from which the constants,
 * the table that is printed and the tests come. docs/limits.md is compared with it by a test.
 */
#ifndef PLUGVM_WIRE_LIMITS_H
#define PLUGVM_WIRE_LIMITS_H

#define WIRE_LIMITS(X)                                                                                           \
	X(LIMIT_REQUEST_BYTES, 131072, "bytes",                                                                  \
	  "one main request: 4096 MSI routes at 28 bytes, the largest, and some room")                           \
	X(LIMIT_REQUEST_FDS, 1, "fds", "one main request: the memfd of create memory")                           \
	X(LIMIT_PACKET_FDS, 8, "fds",                                                                            \
	  "one packet: surplus fds are refused, more than these are not even received")                          \
	X(LIMIT_RESPONSE_BYTES, 262144, "bytes", "one main response, as the original client accepts")            \
	X(LIMIT_VCPU_REQUEST_BYTES, 65536, "bytes",                                                              \
	  "one vCPU request: 256 CPUID entries at 40 bytes or one page of data, with room to refuse more")       \
	X(LIMIT_VCPU_RESPONSE_BYTES, 65536, "bytes", "one vCPU response: as for a request")                      \
	X(LIMIT_ACCESS_BYTES, 4096, "bytes", "one guest access: a page of `rep ins` or `rep outs`")              \
	X(LIMIT_BASELINE_VCPUS, 16, "vCPUs", "an original client takes 32 fds in a packet, two for a vCPU")      \
	X(LIMIT_VCPUS, 1024, "vCPUs", "what KVM on x86 takes (KVM_CAP_MAX_VCPUS); a kernel may offer fewer")     \
	X(LIMIT_VCPUS_PER_REPLY, 64, "vCPUs", "two fds each: a packet takes 253 (SCM_MAX_FD)")                   \
	X(LIMIT_CONNECTIONS, 64, "connections", "each costs the host an fd; one per plugin thread is ample")     \
	X(LIMIT_MEMORY_GIB, 64, "GiB",                                                                           \
	  "guest memory in all: KVM takes 7 ms and 2.7 MiB per GiB, and a stop has to wait for it")              \
	X(LIMIT_MEMORY_SLOTS, 509, "slots", "what KVM on x86 offered user space for long (KVM_USER_MEM_SLOTS)")  \
	X(LIMIT_RANGES, 16384, "ranges", "a table of this size is 384 KiB; vCPUs search it at each exit")        \
	X(LIMIT_EVENTS, 1024, "events", "io and irq events together: each costs the host an fd or two")          \
	X(LIMIT_HINT_DETAILS, 32, "details", "register matches of a hint, as the API says")                      \
	X(LIMIT_GSI, 4095, "GSI", "the highest GSI: KVM routes 4096 of them (KVM_MAX_IRQ_ROUTES)")               \
	X(LIMIT_IRQ_ROUTES, 4096, "routes", "of a routing table: what KVM takes (KVM_MAX_IRQ_ROUTES)")           \
	X(LIMIT_CPUID_ENTRIES, 256, "entries", "of a CPUID table: what KVM takes (KVM_MAX_CPUID_ENTRIES)")       \
	X(LIMIT_MSRS, 255, "MSRs", "of one request: KVM takes fewer than 256 (MAX_IO_MSRS)")                     \
	X(LIMIT_MSR_FILTER_RANGES, 16, "ranges", "of an MSR filter: what KVM takes (KVM_MSR_FILTER_MAX_RANGES)") \
	X(LIMIT_MSR_FILTER_COUNT, 12288, "MSRs", "of one range: KVM takes a bitmap of 0x600 bytes")              \
	X(LIMIT_DIRTY_LOG_BYTES, 196608, "bytes", "of a dirty log in a reply: what a socket buffer holds")       \
	X(LIMIT_GUEST_ADDRESS_BITS, 52, "bits", "of a guest-physical address, where KVM does not say fewer")     \
	X(LIMIT_FD_RESERVE, 16, "fds", "kept free for the host's own needs")                                     \
	X(LIMIT_JAIL_FDS, 64, "fds",                                                                             \
	  "of each process of a jailed plugin: its own files and connections; and ...")                          \
	X(LIMIT_JAIL_FDS_PER_VCPU, 4, "fds",                                                                     \
	  "for each vCPU: the two ends of its channel, and as many of the plugin's")                             \
	X(LIMIT_JAIL_FDS_PER_EVENT, 2, "fds", "for each of LIMIT_EVENTS: an irq event has two")                  \
	X(LIMIT_JAIL_PIDS, 32, "processes", "and threads of a jailed plugin, its init included; and ...")        \
	X(LIMIT_JAIL_PIDS_PER_VCPU, 4, "processes", "for each vCPU: its thread, and some helpers")               \
	X(LIMIT_JAIL_MEMLOCK_KIB, 64, "KiB", "locked memory of a jailed plugin: a few pages of keys")            \
	X(LIMIT_JAIL_STACK_MIB, 8, "MiB", "of stack of a thread in the jail, as is usual")                       \
	X(LIMIT_JAIL_SIGNALS, 64, "signals", "pending for a jailed plugin")                                      \
	X(LIMIT_JAIL_TMP_MIB, 4, "MiB", "in the jail's /tmp, which is memory")                                   \
	X(LIMIT_JAIL_LEAST_FDS, 16, "fds", "that --limit must leave: stdio, the connection, the loader's")       \
	X(LIMIT_JAIL_LEAST_PIDS, 3, "processes",                                                                 \
	  "that --limit must leave: the plugin, its init, a helper at the start")                                \
	X(LIMIT_JAIL_LEAST_MEMORY_MIB, 4, "MiB", "that --limit must leave: a jail is built with 1 or 2")         \
	X(LIMIT_LOG_LINES_PER_SECOND, 200, "lines", "of the plugin's stderr, and of what a peer causes")         \
	X(LIMIT_LOG_LINES_BURST, 2000, "lines", "before the limit per second holds")                             \
	X(LIMIT_LOG_LINE_BYTES, 1000, "bytes", "of one line: escaped it still fits one write to a pipe")         \
	X(LIMIT_POLICY_BYTES, 65536, "bytes", "of one policy file: a line of 128 bytes for each system call")    \
	X(LIMIT_POLICY_FILES, 16, "files", "of one policy: the first, and what it includes")                     \
	X(LIMIT_POLICY_RULES, 512, "rules", "of one policy: as many as there can be system calls")               \
	X(LIMIT_POLICY_COMPARISONS, 1024, "comparisons",                                                         \
	  "of one policy: more hardly fit a filter, which has 4096 instructions (BPF_MAXINSNS)")                 \
	X(LIMIT_POLICY_DEPTH, 16, "parentheses", "within each other in a policy: the parser calls itself")

#define WIRE_LIMIT_CONSTANT(name, value, unit, reason) name = value,
enum { WIRE_LIMITS(WIRE_LIMIT_CONSTANT) };
#undef WIRE_LIMIT_CONSTANT

#endif
