#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Add up what the tests said.

usage: summary.py LABEL=TESTLOG.json|LABEL=TAP.txt ...

Reads meson's testlog.json files (every test in them prints TAP) and plain TAP files, prints the names of what failed
and the reason of what was skipped, and ends with one line: N passed, N failed, N skipped. Fails if anything failed, if
nothing passed, or if a suite skipped all that it had.
"""

import json
import re
import sys
from collections import Counter

RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
SKIPS_ALL = re.compile(r"^1\.\.0\s*#\s*skip\S*\s*(.*)$", re.IGNORECASE)
REASON = re.compile(r"^# skip: (.*)$")


def read_tap(name, text, finished):
    """Return (counts, failures, skips) of one test program's output."""
    counts, failures, skips, reasons = Counter(), [], [], []
    planned = seen = 0
    for line in text.splitlines():
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
                failures.append(f"{name}: {title}")
            else:
                counts["passed"] += 1
    if seen < planned or (not finished and not failures) or seen == 0:
        counts["failed"] += 1
        failures.append(f"{name}: ended after {seen} of {planned} results")
    return counts, failures, skips


def read_file(path):
    """Yield (name, output, finished) for each test program in a file."""
    if not path.endswith(".json"):
        with open(path, encoding="utf-8", errors="replace") as file:
            yield path, file.read(), True
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            test = json.loads(line)
            yield test["name"], test.get("stdout", ""), test["result"] in ("OK", "SKIP", "EXPECTEDFAIL", "FAIL")


def main(arguments):
    total, empty = Counter(), []
    for argument in arguments:
        label, path = argument.split("=", 1)
        part = Counter()
        for name, text, finished in read_file(path):
            counts, failures, skips = read_tap(name, text, finished)
            part += counts
            for failure in failures:
                print(f"FAILED   {label} {failure}")
            for skip in skips:
                print(f"skipped  {label} {skip}")
        if not part["passed"]:
            empty.append(label)
        total += part
    for label in empty:
        print(f"FAILED   {label}: nothing in it passed")
        total["failed"] += 1
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
