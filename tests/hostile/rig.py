# SPDX-License-Identifier: BSD-3-Clause
"""A hostile plugin in a real `plugvm run`: started, watched from outside, stopped, and what must be left: nothing."""

import ctypes
import os
import re
import resource
import select
import signal
import socket
import statistics
import struct
import subprocess
import time

DEADLINE_S = 30  # for what must come at all, on a loaded machine
STOP_S = 1.0  # from SIGTERM to the end of the host
PROMPT_STOP_S, QUIET_SHARE = 0.1, 0.2  # beyond the grace, where others use no more than so many processors
BUSY_STOP_S, BUSY_SHARE = 5.0, 0.5  # and while others use more than so many processors
GRACE_MS = 50
LOG_BURST, LOG_PER_SECOND = 2 * 2000, 2 * 200  # twice src/wire/limits.h: two sources of lines
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
HOST_SHARE = 0.35  # of a quarter of a CPU, by ticks of 10 ms
HALF_CPU = ["--limit", "cpu=50%"]  # of a plugin that floods, and of its host's main thread
MEMORY_KIB = 6 * 1024  # by which the host's own memory may grow

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)

STOPPED = r"plugvm: the VM was stopped by SIGTERM(; the plugin did not exit within \d+ ms and was killed)?"


def isolate():
    """Have orphans come to us, and as root mounts of our own, so that what others do does not count."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)


def children():
    """Return the pids of our children, reaped ones and zombies left out."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children", encoding="utf-8") as file:
            found |= {int(word) for word in file.read().split()}
    return found


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        try:
            for task in os.listdir(f"/proc/{todo[0]}/task"):
                with open(f"/proc/{todo[0]}/task/{task}/children", encoding="utf-8") as file:
                    pids = [int(word) for word in file.read().split()]
                    found += pids
                    todo += pids
        except OSError:
            pass
        todo.pop(0)
    return found


def cgroups_of(pid):
    """Return the control groups that are named after this host."""
    found = []
    for parent, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(parent, name) for name in names if re.search(rf"plugvm.*\b{pid}\b", name)]
    return found


def read_lines(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def host_memory(pid):
    """Return the host's own memory in KiB; the guest's is shared."""
    for line in read_lines(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


class Eyes:
    """Looks into hosts. Only root can: a host gives up that its own user may. So who becomes an ordinary user leaves a
    process behind that stays root, and asks that."""

    def __init__(self):
        self.channel = None

    def stay_root(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            while request := theirs.recv(64):
                what, pid = request.decode().split()
                theirs.send(str(getattr(self, what)(int(pid))).encode())
            os._exit(0)
        theirs.close()
        self.channel = ours

    def ask(self, what, pid):
        """Return -1 if nobody can tell, or the process has ended."""
        if not self.channel:
            return getattr(self, what)(pid)
        self.channel.send(f"{what} {pid}".encode())
        return int(self.channel.recv(64))

    @staticmethod
    def count_fds(pid):
        try:
            return len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return -1

    @staticmethod
    def highest_fd(pid):
        try:
            return max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return -1


eyes = Eyes()


def host_fds(pid):
    return eyes.ask("count_fds", pid)


def ticks_of(pid):
    """Return the processor time of a process and of those that it has reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:15])
    except OSError:
        return 0


def main_ticks(pid):
    """Return the processor time of a process's main thread."""
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
    except OSError:
        return 0


class Others:
    """What else the machine does: processor time that is neither ours nor that of what we have started."""

    def __init__(self):
        self.began, (self.ticks, self.stolen_ticks) = time.monotonic(), self.measure()

    @staticmethod
    def measure():
        user, nice, system, _, _, irq, softirq, steal = (int(word) for word in read_lines("/proc/stat")[0].split()[1:9])
        ours = sum(ticks_of(pid) for pid in (os.getpid(), *descendants(os.getpid())))
        return user + nice + system + irq + softirq + steal - ours, steal

    def per_second(self, ticks):
        return ticks / TICKS_PER_S / (time.monotonic() - self.began)

    def share(self):
        """Return how many processors they used since."""
        return self.per_second(self.measure()[0] - self.ticks)

    def stolen(self):
        """Return how many processors the machine under this one did not give it."""
        return self.per_second(self.measure()[1] - self.stolen_ticks)


class Canary:
    """A VM of another host beside it, which measures how long its exits take."""

    def __init__(self, command, path):
        self.path, self.offset, self.samples, self.rest = path, 0, [], b""
        with open(path, "wb"):
            pass
        self.errors = open(path + ".err", "w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=self.errors)
        self.alone = []

    def take(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read()
        whole = len(data) // 16 * 16
        self.offset += whole
        self.samples += [struct.unpack_from("=QQ", data, at) for at in range(0, whole, 16)]

    def p99(self, begin, end):
        """Return the 99th percentile in us of what ended between two times of the monotonic clock, or None."""
        self.take()
        found = [took / 1000 for at, took in self.samples if begin * 1e9 <= at <= end * 1e9]
        return statistics.quantiles(found, n=100)[98] if len(found) >= 200 else None

    def watch_alone(self, seconds):
        """Measure while nothing else of ours runs."""
        begin = time.monotonic()
        time.sleep(seconds)
        figure = self.p99(begin, time.monotonic())
        if figure is not None:
            self.alone.append(figure)
        return figure

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE_S)
        self.errors.close()
        return status


class Run:
    """One run of one case. `problems` is what is wrong with it."""

    def __init__(self, rig, case):
        self.rig, self.case, self.problems = rig, case, []
        self.output = b""
        self.marks = []
        self.window = None
        self.others = self.stolen = 0.0  # processors that somebody else used meanwhile, and of these, another machine
        self.main_share = 0.0  # of a processor, that the host's main thread had
        self.stop_s = None
        self.is_slow = False  # for a machine that was quiet

    def complain(self, text):
        self.problems.append(text)

    # ---- The plugin's words ----

    def pump(self, timeout):
        """Read what comes within `timeout`. Returns False at the end."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        self.output += data
        while b"\n" in self.output:
            line, self.output = self.output.split(b"\n", 1)
            text = line.decode("utf-8", "replace")
            if text.startswith("mark "):
                self.marks.append(text[5:])
            elif text.startswith("problem: "):
                self.complain(text[9:])
            elif text.startswith("# "):
                print(text)
            elif text:
                self.complain(f"stdout: {text[:200]}")
        return bool(data)

    def await_mark(self, name):
        until = time.monotonic() + max(DEADLINE_S, self.case.seconds * 2)
        while name not in self.marks:
            if time.monotonic() > until:
                self.complain(f"no '{name}' of the plugin in {DEADLINE_S} s")
                return False
            if not self.pump(0.1) and name not in self.marks:
                self.complain(f"the plugin ended before '{name}'")
                return False
        return True

    def go_on(self):
        try:
            self.process.stdin.write(b"g")
            self.process.stdin.flush()
        except OSError:
            pass

    # ---- Phases ----

    def settle(self, wanted):
        """Wait until the host has so many fds; what a peer sent is closed by another thread. Returns how many it has."""
        until = time.monotonic() + 3
        while (count := host_fds(self.process.pid)) != wanted and time.monotonic() < until:
            time.sleep(0.01)
        return count

    def stop(self):
        """SIGTERM, and the end in time."""
        others, began = Others(), time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.await_end()
        self.stop_s = time.monotonic() - began
        self.is_slow = self.case.prompt and self.stop_s > GRACE_MS / 1000 + PROMPT_STOP_S and others.share() <= QUIET_SHARE
        if self.stop_s > (STOP_S if others.share() <= BUSY_SHARE else BUSY_STOP_S):
            self.complain(f"the stop took {self.stop_s:.2f} s, while others used {others.share():.1f} processors")

    def await_end(self):
        until = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            if time.monotonic() > until:
                self.complain(f"the host did not end within {DEADLINE_S} s")
                self.process.kill()
            self.pump(0.005)
        self.process.wait()
        while self.pump(0):
            ready, _, _ = select.select([self.process.stdout], [], [], 0)
            if not ready:
                break

    def attack(self):
        case, pid = self.case, self.process.pid
        if not case.quiet and not self.await_mark("ready"):
            self.process.send_signal(signal.SIGTERM)
            self.await_end()
            return
        if case.quiet:
            self.await_end()
            return
        fds, memory = host_fds(pid), host_memory(pid)
        if case.before:
            case.before(self)
        self.go_on()
        if case.kind == "ends":
            self.await_end()
            return
        if case.kind in ("flood", "hangs"):
            begin = time.monotonic() + 0.1
            others, ticks, began = Others(), main_ticks(pid), time.monotonic()
            while time.monotonic() < begin + case.seconds and self.process.poll() is None:
                self.pump(0.02)
            self.window = (begin, time.monotonic())
            self.others, self.stolen = others.share(), others.stolen()
            self.main_share = (main_ticks(pid) - ticks) / TICKS_PER_S / (time.monotonic() - began)
            if self.process.poll() is not None:
                self.complain("the host ended by itself")
        else:
            if self.await_mark("done"):
                now = self.settle(fds + case.keeps_fds)
                if abs(now - fds - case.keeps_fds) > case.slack_fds:
                    self.complain(f"the host had {fds} fds, and has {now}")
        if self.process.poll() is None:
            grown = host_memory(pid) - memory
            if grown > case.memory_kib:
                self.complain(f"the host's memory grew by {grown} KiB")
        self.stop()

    # ---- Afterwards ----

    def check_log(self, path):
        ends, warnings = [], []
        lines = read_lines(path)
        most = LOG_BURST + LOG_PER_SECOND * (time.monotonic() - self.began + 1)
        if len(lines) > most:
            self.complain(f"{len(lines)} lines in the log")
        for line in lines:
            if line.startswith("plugvm: warning: "):
                if self.case.jailed or "--disable-sandbox" not in line:
                    warnings.append(line[17:])
            elif line.startswith("plugin: "):
                if not self.case.speaks:
                    self.complain(f"the plugin's stderr: {line[:200]}")
            elif line.startswith("plugvm: "):
                ends.append(line)
            elif line.startswith("  ") and self.case.registers:
                pass
            else:
                self.complain(f"stderr: {line[:200]}")
            if re.search(r"[\x00-\x08\x0b-\x1f\x7f\x9b]", line):
                self.complain(f"control bytes in the log: {line[:100]!r}")
        if not self.case.end_line:
            pass  # there is no stderr
        elif len(ends) != 1 or not re.fullmatch(self.case.end_line, ends[0]):
            self.complain(f"the end was told as {ends[:3]}, and not {self.case.end_line}")
        for line in warnings:
            if not any(re.fullmatch(pattern, line) for pattern in self.case.warnings + self.case.may_warn):
                self.complain(f"warning: {line[:200]}")
                break
        for pattern in self.case.warnings:
            if not any(re.fullmatch(pattern, line) for line in warnings):
                self.complain(f"no warning '{pattern}'")

    def check_left(self, before):
        """What must be as it was, within a second."""
        pid = self.process.pid
        until = time.monotonic() + 1
        while (left := children() - before["children"]) and time.monotonic() < until:
            for child in left:
                try:
                    os.waitpid(child, os.WNOHANG)
                except ChildProcessError:
                    pass
            time.sleep(0.01)
        for child in left:
            self.complain(f"process {child} is left")
            os.kill(child, signal.SIGKILL)  # our own child by now, and found by its id
        for path in cgroups_of(pid):
            self.complain(f"{path} is left")
        after = self.rig.world()
        for name in ("mounts", "files", "fds"):
            if after[name] != before[name]:
                self.complain(f"{name}: {before[name]} before, {after[name]} now")

    def execute(self):
        case, rig = self.case, self.rig
        before = rig.world()
        self.began = time.monotonic()
        log = os.path.join(rig.logs, "log")
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                rig.command(case),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                env=dict(os.environ, TMPDIR=rig.temporary),
                **case.popen,
            )
        try:
            self.attack()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        statuses = case.status if isinstance(case.status, tuple) else (case.status,)
        if self.process.returncode not in statuses:
            self.complain(f"the host's status is {self.process.returncode}, not {case.status}")
        self.check_log(log)
        self.check_left(before)
        return self.problems


class Rig:
    """Where the runs are made."""

    def __init__(self, plugvm, plugin, peer, directory, kvm):
        self.plugvm, self.plugin, self.peer, self.kvm = plugvm, plugin, peer, kvm
        self.logs = os.path.join(directory, "logs")
        self.temporary = os.path.join(directory, "tmp")
        os.mkdir(self.logs)
        os.mkdir(self.temporary)
        self.canary = None

    def world(self):
        return {
            "children": children(),
            "mounts": len(read_lines("/proc/self/mountinfo")),
            "files": sorted(os.listdir(self.temporary)),
            "fds": len(os.listdir("/proc/self/fd")),
        }

    def command(self, case):
        out = [self.plugvm, "run", "--grace", str(GRACE_MS), *(["--kvm-device", self.kvm] if self.kvm else [])]
        out += ["--jail", "default"] if case.jailed else ["--disable-sandbox"]
        if not case.quiet:
            out += ["--stdin", "inherit", "--stdout", "inherit"]
        if case.kind == "flood" and self.canary:
            out += HALF_CPU
        out += case.options
        if case.python:
            folder = os.path.dirname(os.path.abspath(__file__))
            if case.jailed:
                for path in (folder, self.peer):
                    out += ["--plugin-mount", path]
            script = os.path.join(folder, "plugin.py")
            return [*out, "--", "/usr/bin/python3", "-B", "-I", script, self.peer, case.plugin_case or case.name, *case.arguments]
        return [*out, "--", self.plugin, case.plugin_case or case.name, *case.arguments]

    def can_limit_cpu(self):
        """Is there a control group for a share of CPU time?"""
        command = [self.plugvm, "run", *(["--kvm-device", self.kvm] if self.kvm else []), *HALF_CPU, "--", "/bin/true"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def start_canary(self):
        path = os.path.join(self.logs, "canary")
        command = [self.plugvm, "run", *(["--kvm-device", self.kvm] if self.kvm else []), "--disable-sandbox"]
        self.canary = Canary([*command, "--stdout", path, "--", self.plugin, "canary"], path)


def lower_fd_limit(run):
    """Leave the host no more than it has. Numbers count, not fds: the highest, and the host's own reserve."""
    pid = run.process.pid
    most = eyes.ask("highest_fd", pid) + 1
    if most > 0:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
