#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""docs/compatibility.md: every point has a number, and is shown by tests that exist. usage: compatibility.py ROOT"""

import os
import re
import sys

from files import read
from tap import Tap

PAGE = "docs/compatibility.md"
SUITES = ("unit", "host", "peer", "system")
ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)
TEST = re.compile(rf"`((?:{'|'.join(SUITES)})/\w+) ([\w-]+)`")
REGISTERED_IN_C = r'(?:\b(?:JAIL_)?TEST|\bcmocka_unit_test\w*|\bACT(?:_OF_TWO|_UNJAILED)?)\(\s*"?{}"?[,)]'
REGISTERED_IN_PYTHON = r'^def (?:test_|case_)?{}\(|^    "{}": \('


def rows(root):
    """Yield (number, cells)."""
    for number, cells in ROW.findall(read(root, PAGE)):
        yield number, [cell.strip() for cell in cells.split(" | ")]


def check_numbers(root):
    numbers = [number for number, _ in rows(root)]
    for letter in sorted({number[0] for number in numbers}):
        found = [number for number in numbers if number[0] == letter]
        if found != [f"{letter}{i}" for i in range(1, len(found) + 1)]:
            yield f"{PAGE}: {' '.join(found)}"
    if len(numbers) < 80:
        yield f"{PAGE}: only {len(numbers)} points"


def is_registered(root, program, name):
    for ending, pattern in ((".c", REGISTERED_IN_C), (".py", REGISTERED_IN_PYTHON)):
        path = os.path.join(root, "tests", program + ending)
        if os.path.exists(path):
            return bool(re.search(pattern.replace("{}", re.escape(name)), read(path), re.MULTILINE))
    return False


def check_tests(root):
    for number, cells in rows(root):
        if len(cells) != 3 or not all(cells):
            yield f"{PAGE}: {number} has not three parts"
            continue
        tests = TEST.findall(cells[2])
        if len(tests) != cells[2].count("`") / 2 or not tests:
            yield f"{PAGE}: {number}: {cells[2]} are not tests"
        for program, name in tests:
            if not is_registered(root, program, name):
                yield f"{PAGE}: {number}: there is no {program} {name}"


def main(root):
    tap = Tap()
    tap.check("the points are numbered one after the other", check_numbers(root))
    tap.check("each is shown by tests that exist", check_tests(root))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
