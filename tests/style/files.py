# SPDX-License-Identifier: BSD-3-Clause
"""What the style tests share: the files of the tree."""

import os
import re
import subprocess

SKIPPED_DIRECTORIES = {".git", "build", "__pycache__"}


def tree(root):
    """Yield the path, relative to root, of every file that belongs to the project."""
    for directory, directories, files in os.walk(root):
        directories[:] = sorted(
            d
            for d in directories
            if d not in SKIPPED_DIRECTORIES and not os.path.exists(os.path.join(directory, d, "build.ninja"))
        )
        # In a linked worktree .git is a file.
        for name in sorted(set(files) - SKIPPED_DIRECTORIES):
            yield os.path.relpath(os.path.join(directory, name), root)


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    """Return C text without comments; the lines keep their numbers."""
    text = re.sub(r"/\*.*?\*/", lambda comment: re.sub(r"[^\n]", "", comment.group()), text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", "", text)


def declared_functions(header):
    """Return the names of the functions that a public header declares, in its order."""
    text = re.sub(r"^\s*#.*?(?<!\\)$", "", without_comments(header), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r'extern "C"\s*\{', "", text)
    while (shorter := re.sub(r"\{[^{}]*\}", "", text)) != text:
        text = shorter
    names = []
    for declaration in text.split(";"):
        found = re.search(r"\b((?:plugvm|crosvm)_\w+)\s*\(", declaration)
        if found and not declaration.lstrip().startswith("typedef"):
            names.append(found.group(1))
    return names


def differences(wanted, got, where):
    """Yield a line for each element that only one of two sets has."""
    for name in sorted(set(wanted) - set(got)):
        yield f"{where}: {name} is missing"
    for name in sorted(set(got) - set(wanted)):
        yield f"{where}: {name} is too much"


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
