# SPDX-License-Identifier: BSD-3-Clause
"""The list of cases: what each is, how it must end, and what the log may say."""

import os
import re
from dataclasses import dataclass, field

from rig import MEMORY_KIB, STOPPED, lower_fd_limit

FIXED_SEED = 4711
BROKE = r"plugvm: the plugin broke the protocol.*"
DROPPED = r"a connection of the plugin was dropped: {} \(E\w+\)"
DECODE = DROPPED.format("a request does not decode")
TOO_MANY_FDS = DROPPED.format("a request came with too many fds")
UNREAD = DROPPED.format("the plugin does not read its replies")
LEFT_OUT = r"\d+ lines like the next were left out"
PLUGIN_LEFT_OUT = r"\d+ lines of the plugin were left out"


@dataclass
class Case:
    """`kind`: the host lives and is stopped afterwards; it is stopped meanwhile (hangs, and flood, beside which another VM
    is watched); it ends by itself (ends)."""

    name: str
    numbers: list
    what: str
    kind: str = "lives"
    status: int = 143
    end_line: str = STOPPED
    warnings: tuple = ()
    arguments: tuple = ()
    options: tuple = ()
    jailed: bool = True
    python: bool = False
    plugin_case: str = ""
    quiet: bool = False  # says nothing: there is no stdio to say it by
    speaks: bool = False  # its stderr comes into the log
    registers: bool = False  # a guest that crashed has them printed
    keeps_fds: int = 0
    may_warn: tuple = ()  # warnings that may come, or not
    slack_fds: int = 0
    memory_kib: int = MEMORY_KIB
    lasts: float = 0
    root_only: bool = False
    spins: bool = False  # its guest keeps a processor busy
    prompt: bool = False  # its stop has the bound of a quiet machine, if this is one
    before: object = None
    popen: dict = field(default_factory=dict)
    seconds: float = 1


def lives(number, name, what, *warnings, **more):
    return Case(name, number, what, warnings=warnings, **more)


def flood(number, name, what, *warnings, **more):
    return Case(name, number, what, kind="flood", warnings=warnings, **more)


def hangs(number, name, what, *warnings, **more):
    return Case(name, number, what, kind="hangs", warnings=warnings, prompt=True, **more)


def burns(spins):
    """The yardstick of a flood: a plugin that asks for nothing, and uses up the time that it may have."""
    name = "burn-spinning" if spins else "burn-held"
    return Case(name, [], "a busy loop", kind="flood", spins=spins)


def ends(number, name, what, status, end_line, **more):
    return Case(name, number, what, kind="ends", status=status, end_line=end_line, **more)


def without_stdio():
    os.closerange(0, 3)


def with_many_fds():
    """A thousand fds that are inherited, with and without names."""
    first = os.open("/dev/null", os.O_RDWR)
    for number in range(100, 1100):
        os.dup2(first, number, inheritable=True)


def broke(number, name, what, reason, **more):
    return ends(number, name, what, 7, rf"plugvm: .*{reason}.*", **more)


def CASES(seed, many):
    """`many`: how many ranges are asked for; of what has a smaller quota, less."""
    packets = [
        lives([1], "empty-packet", "an empty packet ends its connection alone"),
        ends([1], "last-connection", "an empty packet on the only connection", 7, r"plugvm: .*connection.*"),
        lives([2], "long-packet", "a byte more than a request may have: EMSGSIZE"),
        broke([2], "vcpu-long", "a byte more on a vCPU channel", "longer than 65536 bytes"),
        lives([3], "length-lies", "lengths that disagree with the bytes", DECODE),
        broke([3], "vcpu-length-lies", "the same on a vCPU channel", "does not decode"),
        lives([4], "huge-counts", "counts too large, and those that wrap", may_warn=(DECODE,)),
        lives([4, 12], "vcpu-counts", "more entries than there may be, or announced than sent"),
        lives([5], "start-twice", "start twice, get_vcpus twice"),
        lives([6], "unknown", "unknown messages, enums, bits"),
        lives([6], "vcpu-unknown", "the same on a vCPU channel"),
        lives([8], "addresses", "addresses and GSIs beyond the last"),
        lives([11], "state-lengths", "states of the VM of a wrong length"),
        lives([11], "vcpu-state-lengths", "states of a vCPU of a wrong length"),
        lives([16], "two-messages", "two messages in one packet get one reply"),
        lives([16], "half-message", "half a message", DECODE),
        lives([19], "two-fds", "more fds than are due"),
        lives([20], "many-fds", "up to 253 fds", TOO_MANY_FDS),
        lives([20], "fds-on-bad-frame", "fds on what does not decode", DECODE),
        lives([], "unwanted-fds", "each request with an fd of each kind"),
        lives([], "ids", "the highest id, and id 0"),
        lives([13], "check-capabilities", "questions for every capability"),
        lives([13], "enable-capabilities", "capabilities 0 to 300 enabled"),
        lives([], "broken-connections", "5000 broken connections: a bounded log", DECODE, LEFT_OUT, arguments=("5000",)),
        lives([], "msis", "MSIs to every address bit"),
    ]
    memory = [
        lives([7], "memory-shapes", "memory unaligned, wrapping, past its file"),
        lives([22], "memory-kinds", "what is no sealed memfd, as memory and for a dirty log"),
        lives([23], "holes", "holes in memory, in use and in dirty logs", keeps_fds=0),
        ends([23], "holes-under-code", "holes under the guest's code", 5, r"plugvm: the guest crashed on vCPU 0.*",
             registers=True),
        lives([10], "sparse", "64 GiB of nothing", arguments=("64",), memory_kib=16384),
        lives([10], "sparse-tib", "1 TiB; the jail has no such files", plugin_case="sparse", arguments=("1024",),
              jailed=False, memory_kib=16384),
        lives([9], "slots", "memory slots without end", arguments=("1500",)),
        lives([9], "ranges", "ranges without end", arguments=(str(many),)),
        lives([9], "events", "io events without end", arguments=(str(many // 10),)),
        lives([9], "connections", "connections without end", arguments=(str(many // 100),)),
        lives([21], "host-fd-limit", "the host has no fd left: EMFILE, and it stops", before=lower_fd_limit),
    ]
    vcpus = [
        lives([15], "resume-short", "no answer to a read"),
        lives([15], "resume-long", "too long an answer to a read"),
        broke([15], "resume-twice", "two resumes of INIT", "resumed a vCPU that was running"),
        broke([15], "resume-twice-held", "two resumes of an access", "resumed a vCPU that was running"),
        lives([15], "resume-before-wait", "resume before wait; wait twice", keeps_fds=1),
        broke([], "garbage-unstarted", "garbage before the start", "does not decode"),
        broke([], "garbage-at-init", "garbage at INIT", "does not decode"),
        broke([], "garbage-held", "garbage at a write", "does not decode"),
        broke([], "garbage-held-in", "garbage at a read", "does not decode"),
        broke([], "garbage-running", "garbage while the vCPU runs", "does not decode"),
        broke([], "garbage-halted", "garbage while the vCPU waits", "does not decode"),
        broke([1], "vcpu-empty", "an empty packet on a vCPU channel", "closed"),
        broke([20], "vcpu-fds", "fds on a vCPU channel", "with file descriptors"),
        broke([], "vcpu-shutdown", "the host's own message", "shutdown message"),
        broke([], "vcpu-closed", "a vCPU channel is closed", "closed"),
        broke([], "storm-while-running", "80 requests while the vCPU runs", "requests came while the vCPU was running"),
        lives([], "requests-while-running", "40 requests while the vCPU runs"),
        lives([], "msrs", "every MSR with strange values", arguments=("0",)),
        ends([], "strange-states", "a vCPU in a state that cannot be", (5, 6), r"plugvm: (the guest crashed|KVM failed).*",
             registers=True),
        lives([], "vcpu-ext", "interrupts, NMIs, translations"),
    ]
    for state in ("bare", "set-up", "at-init", "held", "running", "halted"):
        vcpus.append(ends([], f"exit-{state}", "the plugin exits in this state", 1,
                          r"plugvm: the plugin exited with status 7"))
    floods = [
        lives([14], "never-reads", "replies that are not read: dropped, others are served", UNREAD),
        flood([14], "never-reads-flood", "again and again", may_warn=(UNREAD,)),
        flood([17], "channel-full", "a channel full of events, and a stop"),
        flood([17], "requests-full", "a channel full of requests, and a stop"),
        flood([17], "replies-full", "a channel full of replies, and a stop"),
        lives([18], "shared-flags", "O_NONBLOCK and small buffers at the peer's end"),
        lives([18], "pipe-size", "small pipes; the jail's filter knows no F_SETPIPE_SZ", jailed=False, speaks=True),
        flood([24], "shared-words", "all that is shared changes while it is used"),
        flood([25], "async-queue", "a queue whose reader stops and runs, and whose range comes and goes"),
        broke([25], "async-answers", "answers to a queue", "resumed a vCPU that was running"),
        lives([26], "eventfds-full", "eventfds at 2^64-2: io, irq, shutdown", keeps_fds=2),
        flood([], "request-flood", "requests without end"),
        flood([], "unread-flood", "requests on 20 connections, unread", may_warn=(UNREAD,)),
        flood([], "connection-flood", "connections made and closed"),
        flood([], "slow-requests", "16 GiB mapped and unmapped", memory_kib=65536),
        flood([], "log-flood", "connections that each cost a line", DECODE, may_warn=(LEFT_OUT,)),
        flood([], "stderr-lines", "lines to stderr without end", may_warn=(PLUGIN_LEFT_OUT,), speaks=True),
        flood([], "stderr-endless-line", "a line without end", may_warn=(PLUGIN_LEFT_OUT,), speaks=True),
        flood([], "stderr-ansi", "control bytes for the terminal", may_warn=(PLUGIN_LEFT_OUT,), speaks=True),
        flood([], "pause-storm", "pauses and requests without end", spins=True),
        flood([], "exit-storm", "exits without end"),
        flood([], "racing-connections", "three threads make and destroy the same objects", spins=True),
    ]
    processes = [
        lives([27], "ignores-shutdown", "a plugin that ignores everything"),
        flood([27], "stops-itself", "SIGSTOP", spins=True),
        lives([27], "thread-bomb", "threads without end, fork", memory_kib=65536),
        lives([27], "fork-bomb", "200 processes; in the jail there is no fork", jailed=False, arguments=("200",)),
        lives([28], "high-bits", "arguments with the high 32 bits set; clone3"),
        ends([28], "int-0x80", "system calls of 32 bits", 4, r"plugvm: the plugin was killed by .*SIGSYS.*"),
        ends([28], "x32", "system calls of x32", 4, r"plugvm: the plugin was killed by .*SIGSYS.*"),
        lives([29], "own-fds", "what a plugin inherits"),
        ends([29], "no-stdio", "the host without fds 0 to 2", 0, r"", plugin_case="own-fds-quietly", quiet=True,
             options=("--stdin", "null", "--stdout", "null"), popen={"preexec_fn": without_stdio}),
        ends([29], "many-inherited", "the host with 1000 fds of others", 0, r"plugvm: the plugin exited",
             plugin_case="own-fds-quietly", quiet=True, options=("--stdin", "null", "--stdout", "null"),
             popen={"preexec_fn": with_many_fds, "close_fds": False}),
        lives([], "at-others", "signals at init and at strangers", may_warn=(r"system call 'kill' .* is not allowed.*",)),
        lives([], "look-around", "/proc, /sys, devices, files of the host"),
        ends([], "closing-race", "everything is closed at once, and the plugin exits", 1,
             r"plugvm: the plugin exited with status 7", may_warn=(DECODE,)),
        lives([], "disk-full", "/tmp filled"),
        lives([], "fds-without-end", "as many fds as there can be"),
    ]
    for name, number in (("ptrace", 101), ("process_vm_readv", 310), ("process_vm_writev", 311), ("pidfd_getfd", 438),
                         ("bpf", 321), ("userfaultfd", 323), ("io_uring_setup", 425), ("mount", 165),
                         ("setns", 308), ("unshare", 272), ("keyctl", 250), ("chroot", 161), ("pivot_root", 155),
                         ("perf_event_open", 298), ("open_by_handle_at", 304), ("init_module", 175)):
        processes.append(ends([], f"call-{name}", "a system call that kills", 4,
                              r"plugvm: the plugin was killed by .*SIGSYS.*", plugin_case="one-call",
                              arguments=(str(number),)))
    python = [
        lives([3, 16], "frames", "every cut and every changed byte of each request", DECODE, python=True, slack_fds=60),
        flood([24], "toctou", "messages changed while they are sent, by threads", DECODE, python=True, may_warn=(LEFT_OUT,)),
        lives([], "model-fixed", "a random sequence against a model", python=True, plugin_case="model",
              arguments=(str(FIXED_SEED), "1500")),
        lives([], "model-random", "another random sequence", python=True, plugin_case="model",
              arguments=(str(seed), "1500")),
    ]
    return packets + memory + vcpus + floods + processes + python + shared_memory()


NONSENSE = "makes no sense"
OUT_OF_TURN = "while its vCPU was running"
UNANSWERED = ("--answer-timeout", "300")


def shared_memory():
    """The memory of the vCPUs' messages."""
    cases = [
        lives([], "area-twice", "the area twice, with fds, and for others", keeps_fds=-1),
        lives([], "area-late", "the area after the start"),
        lives([], "area-seals", "the area shrunk, grown, sealed", keeps_fds=-1),
        lives([], "area-as-memory", "the area as memory of the guest"),
        hangs([], "area-unmapped", "the area given up"),
        broke([23], "area-holes", "a hole in it, at an access", NONSENSE),
        broke([23], "area-holes-running", "a hole in it, while the vCPU runs", OUT_OF_TURN),
        flood([24], "page-words", "every word that may be anything changes without end", spins=True, prompt=True),
        ends([24], "page-all-words", "every word changes, at an access", (5, 6, 7), r"plugvm: .*"),
        ends([24], "page-all-words-running", "every word changes while the vCPU runs", (5, 6, 7), r"plugvm: .*"),
        broke([], "page-early", "a resume while the vCPU runs", OUT_OF_TURN),
        broke([15], "page-twice", "two resumes", rf"({OUT_OF_TURN}|{NONSENSE})"),
        lives([15], "page-resume-sizes", "wrong sizes of an answer: the same event again"),
        lives([24], "page-sets", "every combination of registers set and wanted"),
        lives([6], "page-requests", "requests that are refused"),
        flood([24], "page-request-race", "a request and its size change while they are read", spins=True),
        hangs([25], "ring-full", "a ring that nobody reads"),
        flood([25], "ring-words", "a ring whose entries change", spins=True),
        flood([24], "page-swallow", "wake-ups that others of the plugin have", prompt=True),
        lives([24], "page-requeue-jailed", "to requeue: the filter refuses it", plugin_case="page-requeue"),
        hangs([24], "page-requeue", "the host's thread requeued to another word", jailed=False, options=("--spin", "0")),
        flood([24], "page-posts", "posts without end that say nothing", spins=True),
        broke([], "page-posts-timeout", "the same, and answers have a deadline", "did not answer for 300 ms",
              plugin_case="page-posts", options=UNANSWERED),
        hangs([], "page-silent", "no answer"),
        broke([], "page-silent-timeout", "the same, and answers have a deadline", "did not answer for 300 ms",
              plugin_case="page-silent", options=UNANSWERED),
        hangs([27], "page-stops-itself", "SIGSTOP while the host spins", options=("--spin", "1000000")),
        lives([17], "page-unread", "the fd that tells of events is never read"),
        lives([], "page-packets", "packets where there are none any more"),
        broke([], "page-closed", "the vCPU's ends are closed", "closed the channel"),
    ]
    for name, added in (("none", 2), ("back", 0xFFFFFFFF), ("far", 0x80000000)):
        cases.append(broke([], f"page-turn-{name}", "a turn that jumps", NONSENSE, plugin_case="page-turn",
                           arguments=(str(added),)))
    for number in range(10):
        cases.append(broke([6], f"page-answer-{number}", "an answer of a kind, size or set that is none", NONSENSE,
                           plugin_case="page-answer", arguments=(str(number),)))
    for name, member, reason in (("garbage", 0, "does not decode"), ("resume", 2, "does not belong"),
                                 ("shutdown", 8, "does not belong")):
        cases.append(broke([6], f"page-request-{name}", "a request that is none", reason, plugin_case="page-bad-request",
                           arguments=(str(member),)))
    for name, added in (("ahead", 1), ("back", 0xFFFFFF00), ("far", 0x80000000)):
        cases.append(broke([25], f"ring-tail-{name}", "a tail that jumps", NONSENSE, plugin_case="ring-tail",
                           arguments=(str(added),)))
    return cases
