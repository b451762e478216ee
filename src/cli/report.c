/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What plugvm prints, all of it on stderr.
 */
#include "cli/report.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a log line may wait for a slow reader. The first that waited in vain is the last that waits. */
#define LOG_PATIENCE_MS 20

/* Lines that nobody was there to read, since one could be written. */
static atomic_uint lost_lines;

/*
 * Write one line, unless that would block. It goes in one write, so that lines of several threads do not mix, and of at
 * most PIPE_BUF bytes, because a pipe that is ready takes so many without blocking.
 */
static void write_line(const char *prefix, const char *line)
{
	struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&poll_fd, 1, atomic_load(&lost_lines) ? 0 : LOG_PATIENCE_MS) <= 0) {
		atomic_fetch_add(&lost_lines, 1);
		return;
	}
	char text[PIPE_BUF];
	unsigned lost = atomic_exchange(&lost_lines, 0);
	int size = lost ? snprintf(text, sizeof(text),
	                           "plugvm: warning: %u lines were lost: nobody read them\n%s%s\n", lost, prefix,
	                           line)
	                : snprintf(text, sizeof(text), "%s%s\n", prefix, line);
	size_t length = size < (int)sizeof(text) ? (size_t)size : sizeof(text) - 1;
	text[length - 1] = '\n';
	ssize_t ignored = write(STDERR_FILENO, text, length);
	(void)ignored;
}

void report_log(void *context, enum plugvm_log_level level, const char *line)
{
	static const char *const prefixes[] = {
	    [PLUGVM_LOG_ERROR] = "plugvm: error: ", [PLUGVM_LOG_WARNING] = "plugvm: warning: ",
	    [PLUGVM_LOG_INFO] = "plugvm: ",         [PLUGVM_LOG_DEBUG] = "plugvm: ",
	    [PLUGVM_LOG_PLUGIN] = "plugin: ",
	};
	const struct options *options = context;
	bool wanted = level == PLUGVM_LOG_ERROR || options->verbosity == VERBOSE ||
	              (options->verbosity == NORMAL && level != PLUGVM_LOG_INFO && level != PLUGVM_LOG_DEBUG);
	if (wanted)
		write_line(prefixes[level], line);
}

static void advise_on_kvm(const struct options *options, const struct plugvm_error *error)
{
	const char *path = options->machine.kvm_path ? options->machine.kvm_path : "/dev/kvm";
	int code = error->code;
	/* Only what is wrong with the device itself begins with its name. */
	if (strncmp(error->text, path, strlen(path)) != 0)
		return;
	struct stat node;
	if (code == ENOENT || code == ENODEV || code == ENXIO) {
		fprintf(
		    stderr,
		    "plugvm: this machine offers no KVM there: the CPU's virtualization may be switched off in "
		    "the firmware, or the kernel's module (kvm_intel, kvm_amd) not loaded\n");
	} else if ((code == EACCES || code == EPERM) && stat(path, &node) == 0) {
		/* usermod(8) takes the number where there is no name. */
		const struct group *group = getgrgid(node.st_gid);
		char name[32];
		snprintf(name, sizeof(name), "%u", node.st_gid);
		const char *shown = group ? group->gr_name : name;
		if (node.st_gid != 0 && (node.st_mode & S_IRGRP) && (node.st_mode & S_IWGRP))
			fprintf(stderr,
			        "plugvm: join the group that may use it: sudo usermod -aG %s \"$USER\", then log "
			        "in anew\n",
			        shown);
		else
			fprintf(stderr,
			        "plugvm: only its owner may use it (mode %04o, group %s); usual is mode 0660 and "
			        "group kvm\n",
			        node.st_mode & 07777, shown);
	}
}

static void advise_on_plugin(const struct options *options, int code)
{
	struct stat file;
	if (stat(options->path, &file) < 0)
		return;
	if (code == ENOENT)
		fprintf(stderr,
		        "plugvm: the file is there, but not the interpreter or dynamic loader that it names\n");
	else if (code == ENOEXEC)
		fprintf(stderr,
		        "plugvm: it is neither an ELF program of this architecture nor a script with #!\n");
	else if (code == EACCES && S_ISDIR(file.st_mode))
		fprintf(stderr, "plugvm: it is a directory\n");
	else if (code == EACCES && !(file.st_mode & 0111))
		fprintf(stderr, "plugvm: it is not executable: chmod +x\n");
}

/* An fd that is one too many, or a number that is too high for one. */
static void advise_on_fds(const struct options *options, int code)
{
	rlim_t needed = PLUGVM_FDS_NEEDED((rlim_t)options->machine.vcpu_count);
	struct rlimit limit;
	if ((code == EMFILE || code == EINVAL) && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed)
		fprintf(stderr,
		        "plugvm: this process may have %llu file descriptors, and a machine of this size can need "
		        "%llu: raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)\n",
		        (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
}

int report_error(const struct options *options, const struct plugvm_error *error)
{
	fprintf(stderr, "plugvm: %s\n", error->text);
	if (error->kind == PLUGVM_ERROR_ENVIRONMENT || error->kind == PLUGVM_ERROR_JAIL)
		advise_on_fds(options, error->code);
	switch (error->kind) {
	case PLUGVM_ERROR_CONFIG:
		return STATUS_USAGE;
	case PLUGVM_ERROR_ENVIRONMENT:
		advise_on_kvm(options, error);
		return STATUS_ENVIRONMENT;
	case PLUGVM_ERROR_PLUGIN_FILE:
		advise_on_plugin(options, error->code);
		return STATUS_PLUGIN_FILE;
	case PLUGVM_ERROR_JAIL:
		return STATUS_JAIL;
	case PLUGVM_ERROR_KVM:
		return STATUS_KVM;
	}
	return STATUS_ENVIRONMENT;
}

static void print_segment(const char *name, const struct kvm_segment *segment)
{
	fprintf(stderr, "  %-3s %04x base %016llx limit %08x\n", name, segment->selector,
	        (unsigned long long)segment->base, segment->limit);
}

static void print_registers(const struct plugvm_result *result)
{
	const struct kvm_regs *r = &result->regs;
	const struct kvm_sregs *s = &result->sregs;
	const struct {
		const char *name;
		unsigned long long value;
	} registers[] = {
	    {"rip", r->rip}, {"rfl", r->rflags}, {"rax", r->rax},   {"rbx", r->rbx}, {"rcx", r->rcx},
	    {"rdx", r->rdx}, {"rsi", r->rsi},    {"rdi", r->rdi},   {"rsp", r->rsp}, {"rbp", r->rbp},
	    {"r8", r->r8},   {"r9", r->r9},      {"r10", r->r10},   {"r11", r->r11}, {"r12", r->r12},
	    {"r13", r->r13}, {"r14", r->r14},    {"r15", r->r15},   {"cr0", s->cr0}, {"cr2", s->cr2},
	    {"cr3", s->cr3}, {"cr4", s->cr4},    {"efer", s->efer},
	};
	size_t count = sizeof(registers) / sizeof(registers[0]);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "%s%-4s %016llx%s", i % 4 == 0 ? "  " : " ", registers[i].name, registers[i].value,
		        i % 4 == 3 || i + 1 == count ? "\n" : "");
	/* That is all that KVM leaves of a triple fault on AMD, where it resets the vCPU before it tells. */
	if (r->rip == 0xfff0 && s->cs.base == 0xffff0000)
		fprintf(stderr, "  (these are the registers of a vCPU after its reset)\n");
	print_segment("cs", &s->cs);
	print_segment("ss", &s->ss);
	print_segment("ds", &s->ds);
	print_segment("es", &s->es);
}

static int result_status(const struct plugvm_result *result)
{
	switch (result->end) {
	case PLUGVM_END_PLUGIN_EXITED:
		return result->value == 0 ? STATUS_OK : STATUS_PLUGIN_FAILED;
	case PLUGVM_END_PLUGIN_KILLED:
		return STATUS_PLUGIN_KILLED;
	case PLUGVM_END_GUEST_CRASHED:
		return STATUS_GUEST_CRASH;
	case PLUGVM_END_KVM_ERROR:
		return STATUS_KVM;
	case PLUGVM_END_PROTOCOL_ERROR:
		return STATUS_PROTOCOL;
	case PLUGVM_END_STOPPED:
		return STATUS_SIGNAL_BASE + result->value;
	}
	return STATUS_KVM;
}

int report_result(const struct options *options, const struct plugvm_result *result)
{
	int status = result_status(result);
	if (status == STATUS_OK && options->verbosity == QUIET)
		return status;
	fprintf(stderr, "plugvm: %s", result->text);
	if (result->end == PLUGVM_END_STOPPED)
		fprintf(stderr, " by SIG%s", sigabbrev_np(result->value));
	if (result->grace_over && result->grace_cut)
		fprintf(stderr, "; the plugin was killed, without more grace");
	else if (result->grace_over)
		fprintf(stderr, "; the plugin did not exit within %u ms and was killed",
		        options->machine.grace_ms);
	fprintf(stderr, "\n");
	if (result->has_registers)
		print_registers(result);
	return status;
}

static void print_range(const struct plugvm_exit_count *line)
{
	char range[48] = "";
	int digits = line->is_port ? 4 : 8;
	if (line->has_range)
		snprintf(range, sizeof(range), "%0*llx-%0*llx", digits, (unsigned long long)line->start, digits,
		         (unsigned long long)line->last);
	fprintf(stderr, "  %-24s %-33s %10llu %12.1f %12.1f\n", line->kind, range, (unsigned long long)line->count,
	        (double)line->total_ns / (double)line->count / 1000, (double)line->max_ns / 1000);
}

void report_exit_counts(const struct plugvm_machine *machine)
{
	size_t count = plugvm_machine_exit_counts(machine, NULL, 0);
	struct plugvm_exit_count *lines = calloc(count ? count : 1, sizeof(lines[0]));
	if (!lines)
		return;
	plugvm_machine_exit_counts(machine, lines, count);
	fprintf(stderr, "plugvm: exits, and how long each took to be answered:\n");
	fprintf(stderr, "  %-24s %-33s %10s %12s %12s\n", "kind", "range", "count", "mean us", "longest us");
	for (size_t i = 0; i < count; i++)
		print_range(&lines[i]);
	free(lines);
}
