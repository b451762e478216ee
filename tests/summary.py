#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Add up what the tests said.

usage: summary.py LABEL=TESTLOG.json|LABEL=TAP.txt ...

Reads meson's testlog.json files (every test in them prints TAP) and plain TAP files, prints the reason of what was
skipped, then the names of what failed with what it said, and ends with one line: N passed, N failed, N skipped. Fails if
anything failed, if nothing passed, or if a suite skipped all that it had.
"""

import json
import re
import sys
from collections import Counter

RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
SKIPS_ALL = re.compile(r"^1\.\.0\s*#\s*skip\S*\s*(.*)$", re.IGNORECASE)
REASON = re.compile(r"^# skip: (.*)$")
# Of what a failed test said, before its result and after it.
LINES_BEFORE, LINES_AFTER = 40, 10


def said_around(lines, at):
    """Return what was said for the result in line `at`: from the result before it to the next, and not all if it is much."""
    first = last = at
    while first > max(0, at - LINES_BEFORE) and not RESULT.match(lines[first - 1]):
        first -= 1
    while last + 1 < min(len(lines), at + 1 + LINES_AFTER) and not RESULT.match(lines[last + 1]):
        last += 1
    return lines[first : last + 1]


def read_tap(name, text, finished):
    """Return (counts, failures, skips) of one test program's output; a failure is its name and what was said."""
    counts, failures, skips, reasons = Counter(), [], [], []
    planned = seen = 0
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if whole := SKIPS_ALL.match(line):
            seen += 1
            counts["skipped"] += 1
            skips.append(f"{name}: all of it: {whole.group(1)}")
        elif plan := PLAN.match(line):
            planned += int(plan.group(1))
        elif reason := REASON.match(line):
            reasons.append(reason.group(1))
        elif result := RESULT.match(line):
            seen += 1
            title = result.group(3)
            # cmocka 1.1.5 says "not ok ... # SKIP".
            if re.search(r"#\s*skip", title, re.IGNORECASE):
                counts["skipped"] += 1
                plain = re.sub(r"\s*#\s*skip\b:?\s*", " ", title, flags=re.IGNORECASE).strip()
                skips.append(f"{name}: {reasons.pop(0) if reasons else plain}")
            elif result.group(1):
                counts["failed"] += 1
                failures.append((f"{name}: {title}", said_around(lines, at)))
            else:
                counts["passed"] += 1
    if seen < planned or (not finished and not failures) or seen == 0:
        counts["failed"] += 1
        failures.append((f"{name}: ended after {seen} of {planned} results", lines[-LINES_BEFORE:]))
    return counts, failures, skips


def read_file(path):
    """Yield (name, output, errors, finished) for each test program in a file."""
    if not path.endswith(".json"):
        with open(path, encoding="utf-8", errors="replace") as file:
            yield path, file.read(), "", True
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            test = json.loads(line)
            finished = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL", "FAIL")
            yield test["name"], test.get("stdout", ""), test.get("stderr", ""), finished


def main(arguments):
    total, empty, failed = Counter(), [], []
    for argument in arguments:
        label, path = argument.split("=", 1)
        part = Counter()
        for name, text, errors, finished in read_file(path):
            counts, failures, skips = read_tap(name, text, finished)
            part += counts
            if failures:
                failures[-1][1].extend(errors.splitlines()[-LINES_BEFORE:])
            failed += [(f"{label} {failure}", said) for failure, said in failures]
            for skip in skips:
                print(f"skipped  {label} {skip}")
        if not part["passed"]:
            empty.append(label)
        total += part
    for failure, said in failed:
        print(f"FAILED   {failure}")
        for line in said:
            print(f"         | {line}")
    for label in empty:
        print(f"FAILED   {label}: nothing in it passed")
        total["failed"] += 1
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
