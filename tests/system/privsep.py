#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""docs/privsep.md against /proc: runs a VM and compares each table of the page. usage: privsep.py ROOT BUILD"""

import os
import re
import signal
import subprocess
import sys
import time

import tap

# As good as any that nobody has.
ORDINARY_USER = 54321
PATIENCE_S = 20
# A build with sanitizers, or for coverage, has no filter of its own, since those need more than the host does.
WITHOUT_HOST_FILTER = bool(os.environ.get("PLUGVM_NO_HOST_FILTER"))

root, build = sys.argv[1:]
PLUGVM = os.path.join(build, "src/plugvm")
ACTOR = os.path.join(build, "tests/system/actor")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def tables():
    """Return {name: [{heading: cell}]} of the page's tables that are marked for this test."""
    found, name, headings = {}, None, None
    for line in read(os.path.join(root, "docs/privsep.md")).splitlines():
        if mark := re.match(r"<!-- test: (.*) -->", line):
            name, headings = mark.group(1), None
        elif name and line.startswith("|"):
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            if headings is None:
                headings, found[name] = cells, []
            elif not cells[0].startswith("---"):
                found[name].append(dict(zip(headings, cells)))
        elif name and headings:
            name = None
    return found


PAGE = tables()


def status(pid, task=None):
    """Return /proc/PID/status as {field: text}, of one thread if it is given."""
    path = f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status"
    return dict(line.split(":\t", 1) for line in read(path).splitlines() if ":\t" in line)


def children(pid):
    """Return the processes that a process has made; one that has ended has none."""
    try:
        return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def links(pid):
    """Return {fd: what /proc says it is}."""
    found, folder = {}, f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            found[int(fd)] = os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:  # that of the folder itself
            pass
    return found


def await_value(what, function):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := function():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


class Machine:
    """A VM that runs: the pids of its processes, as the page calls them."""

    def __init__(self, act, user):
        self.kvm = os.open("/dev/kvm", os.O_RDWR)
        self.user, self.init, self.plugin = user, None, None
        command = [PLUGVM, "run", "--jail", "default", "--kvm-device", f"fd:{self.kvm}", "--", ACTOR, *act]
        self.host = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[self.kvm],
            **({"user": user, "group": user, "extra_groups": []} if user != os.getuid() else {}),
        )

    def __enter__(self):
        try:
            self.init, self.plugin = await_value("the plugin", self.find_plugin)
        except BaseException:
            self.__exit__()
            raise
        return self

    def find_plugin(self):
        """Return (init, plugin) once the plugin has been executed."""
        for init in children(self.host.pid):
            for plugin in children(init):
                try:
                    if status(plugin).get("Name") == "actor":
                        return init, plugin
                except (FileNotFoundError, ProcessLookupError):  # the builder, say
                    pass
        return None

    def await_ready(self):
        """Wait for what the act says when its guest runs."""
        line = ""
        while "ready" not in line:
            line = self.host.stderr.readline().decode()
            if not line:
                raise AssertionError("the plugin ended")

    def thread(self, name):
        for task in os.listdir(f"/proc/{self.host.pid}/task"):
            if status(self.host.pid, task)["Name"] == name:
                return task
        raise AssertionError(f"the host has no thread {name}")

    def __exit__(self, *_):
        if self.host.poll() is None:
            self.host.send_signal(signal.SIGKILL)
        self.host.wait()
        self.host.stderr.close()
        os.close(self.kvm)
        if self.plugin:
            await_value("the plugin's end", lambda: not os.path.exists(f"/proc/{self.plugin}"))


def user_named(cell, machine):
    """Return whether `cell`, of the row of uids, allows this uid."""
    if cell == "the caller's" or machine.user != 0:
        return lambda uid: uid == machine.user
    return lambda uid: uid >= 0x70000000


def check_cell(field, cell, text, machine):
    """Return what is wrong with a field of /proc/PID/status, or None."""
    if field == "Uid":
        right = all(map(user_named(cell, machine), map(int, text.split())))
    elif field == "NSpid":
        numbers = text.split()
        wanted = {"one number": 1}.get(cell, 2)
        right = len(numbers) >= wanted if wanted == 2 else len(numbers) == len(status("self")["NSpid"].split())
        right = right and (wanted == 1 or numbers[-1] == cell.split()[0])
    elif cell == "any":
        right = True
    else:
        right = int(text, 16) == int(cell, 16)
    return None if right else f"{field}: the page says '{cell}', /proc says '{text}'"


def check_status(machine):
    host = machine.host.pid
    columns = {
        "host, main thread": status(host),
        "host, vCPU thread": status(host, machine.thread("vcpu0")),
        "init": status(machine.init),
        "plugin": status(machine.plugin),
    }
    problems = []
    tap.equal(list(PAGE["status"][0])[1:], list(columns), "the columns of the page")
    for row in PAGE["status"]:
        for column, fields in columns.items():
            if row["field"] in ("NoNewPrivs", "Seccomp") and column.startswith("host") and WITHOUT_HOST_FILTER:
                continue
            if problem := check_cell(row["field"], row[column], fields[row["field"]].strip(), machine):
                problems.append(f"{column}: {problem}")
    tap.equal(problems, [])


def check_namespaces(machine):
    def namespace(pid, name):
        return os.readlink(f"/proc/{pid}/ns/{name}")

    for row in PAGE["namespaces"]:
        name = row["namespace"]
        tap.equal(namespace(machine.host.pid, name), namespace("self", name), f"the host's {name}")
        is_own = namespace(machine.init, name) != namespace("self", name)
        tap.equal("own" if is_own else "the caller's", row["init"], f"init's {name}")
        tap.equal(namespace(machine.plugin, name), namespace(machine.init, name), f"the plugin's {name}")
    tap.equal(len(PAGE["namespaces"]), 8, "namespaces of the page")


def check_plugin_fds(machine):
    got = links(machine.plugin)
    rows = PAGE["plugin fds"]
    tap.equal(sorted(got), [int(row["number"]) for row in rows], "the plugin's fds")
    for row in rows:
        link = got[int(row["number"])]
        assert link.startswith(row["link"]), f"fd {row['number']} is {link}, not {row['link']}"


def check_listed(got, rows):
    """Each fd is on the page, and each of the page is there, as often as it says."""
    for link in got:
        assert any(link.startswith(row["link"]) for row in rows), f"{link} is not on the page"
    for row in rows:
        count = sum(link.startswith(row["link"]) for link in got)
        wanted = row.get("how many", "1")
        number = {"some": None, "one each": 1}.get(wanted, int(wanted) if wanted.isdigit() else None)
        assert count == number if number else count > 0, f"{row['link']}: {count}, the page says {wanted}"


def check_init_fds(machine):
    check_listed(list(links(machine.init).values()), PAGE["init fds"])


def check_host_fds(machine):
    own = links("self")
    inherited = set(own.values())
    got = [link for fd, link in links(machine.host.pid).items() if fd > 2 and link not in inherited - {"/dev/kvm"}]
    # The one that it was given, and its own copy of it.
    got.remove("/dev/kvm")
    got = [link for link in got if link != "/dev/null"]
    check_listed(got, PAGE["host fds"])


def check_undumpable(machine):
    """Of its own user's other processes: none reads the host's fds."""
    if WITHOUT_HOST_FILTER:
        raise tap.Skip("a build with sanitizers, or for coverage, looks at itself")
    for pid in (machine.host.pid, machine.init):
        command = ["/bin/ls", f"/proc/{pid}/fd"]
        result = subprocess.run(
            command, user=ORDINARY_USER, group=ORDINARY_USER, extra_groups=[], capture_output=True, check=False
        )
        assert result.returncode != 0 and b"ermission" in result.stderr, f"{pid}: {result.stderr!r}"


def can_execute(user, path):
    """Can this user's processes execute the program?"""
    if user == os.getuid():
        return True
    command = ["/bin/sh", "-c", 'test -x "$0"', path]
    return subprocess.run(command, user=user, group=user, extra_groups=[], check=False).returncode == 0


def both(name, check, act, ready=True):
    """The check as two tests: as root, and as an ordinary user."""
    def as_user(user):
        def test():
            if not os.access("/dev/kvm", os.R_OK | os.W_OK):
                raise tap.Skip("no KVM that this user may use")
            if os.getuid() != 0:
                raise tap.Skip("only root can look into a host, which is not dumpable")
            if not can_execute(user, PLUGVM):
                raise tap.Skip("this user cannot reach the build directory")
            with Machine(act, user) as machine:
                if ready:
                    machine.await_ready()
                check(machine)
        return test

    return [(f"{name}: started by root", as_user(0)), (f"{name}: started by a user", as_user(ORDINARY_USER))]


def main():
    tests = both("rights", check_status, ["halt"])
    tests += both("namespaces", check_namespaces, ["halt"])
    tests += both("the plugin's fds", check_plugin_fds, ["life", "begin", "rest"], ready=False)
    tests += both("init's fds", check_init_fds, ["halt"])
    tests += both("the host's fds", check_host_fds, ["halt"])
    tests += both("nobody looks in", check_undumpable, ["halt"])[1:]
    tap.run(tests)


main()
