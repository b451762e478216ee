# SPDX-License-Identifier: BSD-3-Clause
"""TAP for the tests in Python."""

import subprocess
import sys
import traceback


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Tap:
    """Prints TAP. A check passes if its list of problems is empty."""

    def __init__(self):
        self.count = 0
        self.failed = False

    def check(self, title, problems):
        self.count += 1
        try:
            problems = list(problems)
        except (OSError, subprocess.SubprocessError) as error:
            problems = [str(error)]
        for problem in problems:
            print(f"# {problem}")
        print(f"{'not ok' if problems else 'ok'} {self.count} - {title}", flush=True)
        self.failed = self.failed or bool(problems)

    def skip(self, title, reason):
        self.count += 1
        print(f"# skip: {title}: {reason}")
        print(f"ok {self.count} - {title} # SKIP {reason}", flush=True)

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def run(tests):
    """Run [(name, function)], print TAP and exit."""
    tap = Tap()
    for name, function in tests:
        try:
            function()
        except Skip as reason:
            tap.skip(name, reason)
        except Exception:  # whatever it is, it is this test's failure and the others go on
            tap.check(name, traceback.format_exc().splitlines())
        else:
            tap.check(name, [])
    tap.finish()


def equal(got, wanted, what=""):
    if isinstance(got, (bytes, bytearray)) and isinstance(wanted, (bytes, bytearray)):
        got, wanted = got.hex(" "), wanted.hex(" ")
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")
