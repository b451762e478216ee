#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Source files: their first lines, their size, and words that must not be in them. usage: sources.py ROOT"""

import os
import re
import sys

from files import read, tree, without_comments
from tap import Tap

# What is trusted, in the parts that one reads apart: what serves a plugin, the memory that it shares with one, what
# builds its jail before it runs, and the compiler of policies.
TRUSTED_CODE_LINES_MAX = {
    "host": (("src/base/", "src/wire/", "src/kvm/", "src/host/"), 7000),
    "channel": (("src/channel/",), 1700),
    "jail": (("src/jail/", "src/init/"), 4250),
    "policy": (("src/policy/",), 2200),
}
FILE_LINES_MAX = 650

SLASHES = re.compile(r"^\s*(?:/\*+|\*+/|\*|//)\s?(.*?)(?:\*/)?\s*$")
SEMICOLON = re.compile(r"^;\s?(.*)$")
HASH = re.compile(r"^#(?!!)\s?(.*)$")
COMMENTS = {
    ".c": SLASHES,
    ".h": SLASHES,
    ".map": SLASHES,
    ".proto": SLASHES,
    ".asm": SEMICOLON,
    ".options": HASH,
    ".build": HASH,
    ".py": HASH,
    ".sh": HASH,
}
LICENSE_LINE = "SPDX-License-Identifier: BSD-3-Clause"
# A build description that only lists what is in its folder needs no sentence.
PURPOSE_WORDS = 3
NO_PURPOSE = (".build",)

# Written so that this file does not contain them.
FORBIDDEN = [re.compile(rf"\b{a}{b}\b") for a, b in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"))]
FORBIDDEN += [re.compile(rf"(?<![\w.}}])/{name}/") for name in ("work", "home")]


def texts(root):
    """Yield (path, text) of every text file."""
    for path in tree(root):
        try:
            yield path, read(root, path)
        except UnicodeDecodeError:
            pass


def comment_style(path, text):
    """Return the pattern of a comment line, or None if the file is no source."""
    if text.startswith("#!"):
        return HASH
    return COMMENTS.get(os.path.splitext(path)[1])


def opening(text, comment):
    """Return the words of the comment (or Python's docstring) that a file begins with."""
    lines = text.splitlines()
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
    words = []
    for line in lines:
        found = comment.match(line)
        if not found and line.strip():
            words += line.strip('"\n').split() if line.startswith('"""') else []
            break
        words += found.group(1).split() if found else []
    return " ".join(words)


def check_opening(path, text, comment):
    if not any(LICENSE_LINE in line for line in text.splitlines()[:2]):
        yield f"{path}: no SPDX line at its top"
    purpose = opening(text, comment).replace(LICENSE_LINE, "").split()
    if len(purpose) < PURPOSE_WORDS and not path.endswith(NO_PURPOSE):
        yield f"{path}: its first comment does not say what it is"


def code_lines(text):
    """Return the number of lines that hold code: not blank, and not only a comment."""
    return sum(1 for line in without_comments(text).splitlines() if line.strip())


def check_words(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for word in FORBIDDEN:
            if found := word.search(line):
                yield f"{path}:{number}: {found.group()}"


def check_stats(root):
    """Every call of a plugin is counted: the first thing that a function of crosvm.h does."""
    definition = re.compile(r"^\s*(?:int|void) (crosvm_[\w#]+)\([^;{]*\{[\s\\]*(\w*)", re.MULTILINE)
    found = 0
    for path in tree(os.path.join(root, "src/plugin")):
        if not path.endswith(".c"):
            continue
        for name, first in definition.findall(read(root, "src/plugin", path)):
            found += 1
            if first != "STATS":
                yield f"src/plugin/{path}: {name} does not begin with STATS()"
    if found < 60:
        yield f"src/plugin: only {found} functions of crosvm.h"


def main(root):
    tap = Tap()
    openings, words, sizes = [], [], []
    trusted = dict.fromkeys(TRUSTED_CODE_LINES_MAX, 0)
    for path, text in texts(root):
        words += check_words(path, text)
        comment = comment_style(path, text)
        if comment:
            openings += check_opening(path, text, comment)
        if path.endswith(".c") and text.count("\n") > FILE_LINES_MAX:
            sizes.append(f"{path}: {text.count(chr(10))} lines")
        for part, (folders, _) in TRUSTED_CODE_LINES_MAX.items():
            if path.startswith(folders) and path.endswith((".c", ".h")):
                trusted[part] += code_lines(text)
    tap.check("every source file has its license and says what it is", openings)
    tap.check(f"no .c file has more than {FILE_LINES_MAX} lines", sizes)
    for part, (_, most) in TRUSTED_CODE_LINES_MAX.items():
        print(f"# the trusted part '{part}' has {trusted[part]} lines of code")
        tap.check(
            f"the trusted part '{part}' has fewer than {most} lines of code",
            [] if 0 < trusted[part] < most else [f"{trusted[part]} lines"],
        )
    tap.check("no notes to oneself, no paths of one machine", words)
    tap.check("every function of crosvm.h is in the account of calls", check_stats(root))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
