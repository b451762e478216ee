#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The model of the hand-over: Spin finds nothing wrong with it, and something with each mutant. usage: run.py MODEL CC"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

MUTANTS = {
    "MUTANT_STORE": "a release store instead of the exchange",
    "MUTANT_NO_RECHECK": "no look between saying that it sleeps and sleeping",
    "MUTANT_NO_KICK": "the kick's word is not read",
    "MUTANT_EVENT_FIRST": "the ring is drained after the event",
}
# Events, and posted writes before each: one event after another, and a ring that is full.
SIZES = ((2, 1), (1, 2))


def verify(model, cc, size, mutant=None):
    """Return (number of errors, number of states, what Spin's program printed)."""
    with tempfile.TemporaryDirectory() as directory:
        options = [f"-DEVENTS={size[0]}", f"-DWRITES={size[1]}", *([f"-D{mutant}"] if mutant else [])]
        subprocess.run(["spin", "-a", *options, model], cwd=directory, check=True, capture_output=True)
        subprocess.run(
            [*cc.split(), "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=directory, check=True
        )
        pan = subprocess.run(["./pan", "-m100000"], cwd=directory, check=True, capture_output=True, text=True)
    errors = re.search(r"errors: (\d+)", pan.stdout)
    states = re.search(r"(\d+) states, stored", pan.stdout)
    complete = "Search not completed" not in pan.stdout and "max search depth" not in pan.stdout
    assert errors and states and (complete or mutant), pan.stdout
    return int(errors.group(1)), int(states.group(1)), pan.stdout


def main(model, cc):
    tap = Tap()
    model = os.path.abspath(model)
    if not shutil.which("spin"):
        tap.skip("the hand-over", "there is no spin: ./dev setup all installs it")
        tap.finish()
        return
    for size in SIZES:
        errors, states, output = verify(model, cc, size)
        print(f"# {states} states")
        # A model in which nothing happens has nothing wrong with it.
        problems = [output] if errors or states < 100000 else []
        tap.check(f"nothing is wrong with the hand-over: {size[0]} events, {size[1]} posted writes before each", problems)
    for mutant, words in MUTANTS.items():
        found = [verify(model, cc, size, mutant)[0] for size in SIZES]
        tap.check(f"a mutant is caught: {words}", [] if any(found) else [f"{mutant}: no error is found"])
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
