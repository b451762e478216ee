# SPDX-License-Identifier: BSD-3-Clause
"""TAP for the tests of this folder."""

import traceback


class Skip(Exception):
    """The test cannot run here; the text says why."""


def run(tests):
    """Run [(name, function)], print TAP, return the exit status."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for index, (name, function) in enumerate(tests, 1):
        try:
            function()
        except Skip as reason:
            print(f"# skip: {name}: {reason}\nok {index} - {name} # SKIP {reason}", flush=True)
        except Exception:  # whatever it is, it is this test's failure and the others go on
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print(f"not ok {index} - {name}", flush=True)
        else:
            print(f"ok {index} - {name}", flush=True)
    return 1 if failed else 0


def equal(got, wanted, what=""):
    if isinstance(got, (bytes, bytearray)) and isinstance(wanted, (bytes, bytearray)):
        got, wanted = got.hex(" "), wanted.hex(" ")
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")
