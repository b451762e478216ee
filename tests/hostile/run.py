#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The hostile plugins, one after the other. usage: run.py PLUGVM PLUGIN PEER_FOLDER [--user] [--seconds N] [--only TEXT]

PEER_FOLDER has wire.py. --user: as an ordinary user, if started as root. --seconds: how long a flood lasts. --only: the
cases whose name contains this. README.md lists the cases and this compares. TAP; exit status 1 if anything failed.
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time

import faults
import rig as rigs
from cases import CASES, burns

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from tap import Tap  # noqa: E402

ORDINARY_ID = 54321
FLOOD_SECONDS = 0.5
ALONE_SECONDS = 0.25
LATENCY_FACTOR = 3
ATTEMPTS = 6
ATTEMPT_SECONDS_MAX = 2
SLOW_SECONDS = 2
# More than every quota; a longer run asks more often.
MANY, MANY_LONG, LONG_SECONDS = 17000, 100000, 5
# The latency is judged where the machine is quiet: with little of it alone, and with few processors used by others, who use
# them by slices of some ms. Elsewhere a bound holds.
QUIET_US, QUIET_SHARE, QUIET_STOLEN, BUSY_US = 1000, 0.2, 0.02, 50000
# What a busy loop costs the VM beside it comes in ticks of the scheduler, and is a tenth in one run of what it is in the next: the
# worst of them is what any plugin can do.
BURN_FACTOR = 1.5


def documented():
    """Return {name: its numbers} of README.md's table."""
    found = {}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")
    for line in rigs.read_lines(path):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[\d, ]+|more", cells[0]):
            numbers = [] if cells[0] == "more" else [int(number) for number in cells[0].split(",")]
            for name in re.findall(r"`([^`]+)`", cells[1]):
                found[name] = numbers
    return found


class Watch:
    """What a flood does to the latency of the VM beside it, against none and against a busy loop of the same share."""

    # Of all floods: {whether the guest computes: the worst p99 in us}.
    beside_burn = {}

    def __init__(self, rig):
        self.rig = rig

    def alone(self):
        """Returns a p99 in us: the worse of just before and of usual, since what the machine does by itself is no flood's."""
        figures = self.rig.canary.alone
        return max(figures[-1:] + sorted(figures)[len(figures) // 2 :][:1], default=QUIET_US)

    def beside(self, run):
        return self.rig.canary.p99(*run.window) if run.window else None

    def burn(self, spins, seconds):
        case = burns(spins)
        case.seconds = seconds
        run = rigs.Run(self.rig, case)
        problems = run.execute()
        # What others do meanwhile is no busy loop's.
        if run.others <= QUIET_SHARE and run.stolen <= QUIET_STOLEN:
            self.beside_burn[spins] = max(self.beside_burn.get(spins, 0), self.beside(run) or 0)
        return problems

    def is_quiet(self, run):
        """Before it, during it and after it."""
        if run.others > QUIET_SHARE or run.stolen > QUIET_STOLEN:
            return False
        self.rig.canary.watch_alone(ALONE_SECONDS)
        return max(self.rig.canary.alone[-2:], default=BUSY_US) <= QUIET_US

    def judge(self, case, run):
        """Returns what is wrong with the latency beside it, and prints the figures."""
        beside, alone = self.beside(run), self.alone()
        if beside is None:
            return ["too few exits of the VM beside it"]
        text = f"p99 {beside:.0f} us beside it, {alone:.0f} us alone"
        most = LATENCY_FACTOR * alone
        if case.spins in self.beside_burn:
            text += f", {self.beside_burn[case.spins]:.0f} us beside a busy loop at its worst"
            most = max(most, BURN_FACTOR * self.beside_burn[case.spins])
        print(f"# {case.name}: {text}; stopped in {1000 * (run.stop_s or 0):.0f} ms")
        if beside <= most:
            return []
        return [f"the VM beside it was slower: {text}"]


def run_flood(rig, case):
    """Run it, and again with the busy loop before it, and longer, if all that is wrong is a time or a share."""
    watch = Watch(rig)
    for attempt in range(ATTEMPTS):
        rig.canary.watch_alone(ALONE_SECONDS * min(1 + attempt, 3))
        problems = watch.burn(case.spins, case.seconds) if attempt > 0 else []
        run = rigs.Run(rig, case)
        problems += run.execute()
        if problems:
            return problems
        slow = watch.judge(case, run)
        wrong = []
        if run.main_share > rigs.HOST_SHARE:
            wrong.append(f"the host's main thread had {run.main_share:.2f} of a CPU")
        if run.is_slow:
            wrong.append(f"the stop took {1000 * run.stop_s:.0f} ms on a quiet machine")
        if slow and not wrong and attempt > 0 and not watch.is_quiet(run):
            print(f"# {case.name}: the latency is not judged: others use {run.others:.1f} processors, {run.stolen:.2f} stolen")
            if watch.beside(run) is not None and watch.beside(run) <= BUSY_US:
                return []
        if not slow and not wrong:
            return []
        case.seconds = min(2 * case.seconds, ATTEMPT_SECONDS_MAX)
    return slow + wrong


def run_promptly(rig, case):
    """Run it, and again if only its stop was slow: what is quiet is known for the whole of it, and not for each moment."""
    for _ in range(ATTEMPTS):
        run = rigs.Run(rig, case)
        problems = run.execute()
        print(f"# {case.name}: stopped in {1000 * (run.stop_s or 0):.0f} ms, others use {run.others:.1f} processors")
        if problems or not run.is_slow:
            return problems
    return [f"the stop took {1000 * run.stop_s:.0f} ms on a quiet machine"]


def run_case(rig, case, seconds):
    case.seconds = seconds
    if case.kind == "flood" and rig.canary:
        return run_flood(rig, case)
    return run_promptly(rig, case) if case.prompt else rigs.Run(rig, case).execute()


def become_ordinary(directory, plugin):
    """As root: make what an ordinary user needs and become one. Returns (path of the KVM node, of the plugin)."""
    if os.geteuid() != 0:
        return None, plugin
    rigs.eyes.stay_root()
    node = os.path.join(directory, "kvm")
    os.mknod(node, 0o20666, os.makedev(10, 232))
    os.chmod(node, 0o666)
    copy = shutil.copy(plugin, os.path.join(directory, "plugin"))
    os.chmod(directory, 0o755)
    os.chown(directory, ORDINARY_ID, ORDINARY_ID)
    os.setgroups([])
    os.setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID)
    os.setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID)
    return node, copy


def run_all(tap, arguments, directory):
    rigs.isolate()
    kvm, plugin = become_ordinary(directory, arguments.plugin) if arguments.user else (None, arguments.plugin)
    if not os.access(kvm or "/dev/kvm", os.R_OK | os.W_OK):
        tap.skip("hostile plugins", "no KVM")
        return
    if not os.access(arguments.plugvm, os.X_OK):
        tap.skip("hostile plugins", "this user cannot reach the build directory")
        return
    rig = rigs.Rig(arguments.plugvm, plugin, arguments.peer, directory, kvm)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"# the random cases' seed: {seed} (and the fixed one)")
    many = MANY_LONG if arguments.seconds >= LONG_SECONDS else MANY
    chosen = [case for case in CASES(seed, many) if not arguments.only or arguments.only in case.name]
    if arguments.user:
        chosen = [case for case in chosen if not case.root_only]
    ran = {}
    try:
        if os.geteuid() == 0 and any(case.kind == "flood" for case in chosen):
            if rig.can_limit_cpu():
                rig.start_canary()
                rig.canary.watch_alone(1.0)
            else:
                print("# no control group for half a CPU is to be had: latency is not judged")
        for case in chosen:
            began = time.monotonic()
            tap.check(f"{case.name}: {case.what}", run_case(rig, case, case.lasts or arguments.seconds))
            if time.monotonic() - began > SLOW_SECONDS:
                print(f"# {case.name} took {time.monotonic() - began:.1f} s")
            ran[case.name] = case.numbers
        for name, numbers, what, problems in faults.run(rig, arguments.only):
            tap.check(f"{name}: {what}", problems)
            ran[name] = numbers
        if rig.canary:
            canary, rig.canary = rig.canary, None
            tap.check("the VM beside them lived through it all", [] if canary.stop() == 143 else ["it ended"])
    finally:
        if rig.canary:
            rig.canary.stop()
    if not arguments.only and not arguments.user:
        check_list(tap, ran)


def check_list(tap, ran):
    table = documented()
    numbers = {number for of_one in ran.values() for number in of_one}
    tap.check("each of the thirty inputs was tried", [f"number {n}" for n in range(1, 31) if n not in numbers])
    tap.check(
        "README.md lists what ran",
        [f"{name}: here {ran.get(name)}, there {table.get(name)}" for name in sorted(ran.keys() | table.keys())
         if ran.get(name) != table.get(name)],
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("plugvm", type=os.path.abspath)
    parser.add_argument("plugin", type=os.path.abspath)
    parser.add_argument("peer", type=os.path.abspath)
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--seconds", type=float, default=FLOOD_SECONDS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    tap = Tap()
    directory = tempfile.mkdtemp(prefix="plugvm-hostile-")
    try:
        run_all(tap, arguments, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    tap.finish()


if __name__ == "__main__":
    main()
