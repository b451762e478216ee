#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Man pages of section 3: they are about the functions of crosvm.h, all of them, and as the header has them.

usage: man.py ROOT CC PLUGVM LIBRARY    (CC may be several words; LIBRARY: libcrosvm_plugin.so)
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile

from files import declared_functions, differences, read, run, without_comments
from tap import Tap

PAGES = "docs/man"
OVERVIEW = "crosvm_plugin"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "ERRORS", "THREADS", "VERSIONS", "SEE ALSO"]
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROTOTYPE = re.compile(r"^(?:int|void) (crosvm_\w+)\([^;{]*\);", re.MULTILINE)
LINE_MAX = 140


def pages(root):
    """Return {name: text} of the pages of section 3."""
    names = sorted(name for name in os.listdir(os.path.join(root, PAGES)) if name.endswith(".3.scd"))
    return {name[: -len(".3.scd")]: read(root, PAGES, name) for name in names}


def section(text, title):
    return text.partition(f"\n# {title}\n")[2].partition("\n# ")[0]


def prose(text):
    return BLOCK.sub("", text)


def prototypes(text):
    """Yield (function, its prototype in one line)."""
    for found in PROTOTYPE.finditer(text):
        yield found.group(1), " ".join(found.group().split())


def bold_functions(text):
    return re.findall(r"\*(crosvm_\w+)\*\(\)", prose(text))


# ---- The pages beside the header ----


def check_synopses(root):
    """Each function stands in one SYNOPSIS, as the header declares it, at the beginning of a line."""
    header = read(root, "include/crosvm.h")
    wanted = dict(prototypes(without_comments(header)))
    yield from differences(declared_functions(header), wanted, "crosvm.h, as this test reads it")
    places = {}
    for page, text in pages(root).items():
        for name, prototype in prototypes("\n".join(BLOCK.findall(section(text, "SYNOPSIS")))):
            if name in places:
                yield f"{page}(3): {name}() is in {places[name]}(3) as well"
            places[name] = page
            if prototype != wanted.get(name):
                yield f"{page}(3): {prototype} is not crosvm.h's"
        lines = re.findall(r"^(?:int|void) (crosvm_\w+)\(", text, flags=re.MULTILINE)
        if sorted(lines) != sorted(name for name, place in places.items() if place == page):
            yield f"{page}(3): a prototype outside its SYNOPSIS"
    yield from differences(wanted, places, "the pages")


def functions_of(text):
    return [name for name, _ in prototypes(section(text, "SYNOPSIS"))]


def check_descriptions(root):
    """Each function of a page is described there, and no other; others have a section number."""
    declared = set(declared_functions(read(root, "include/crosvm.h")))
    for page, text in pages(root).items():
        own = functions_of(text)
        described = bold_functions(section(text, "DESCRIPTION"))
        yield from (f"{page}(3): {name}() is not described" for name in own if name not in described)
        yield from (f"{page}(3): {name}() is another page's" for name in set(bold_functions(text)) - set(own))
        for name in re.findall(r"\*(crosvm_\w+)\*\(3\)", prose(text)):
            if name not in declared | set(pages(root)):
                yield f"{page}(3): there is no {name}(3)"
            elif name in own:
                yield f"{page}(3): {name}(3) is itself"


def commented_errors(header):
    """Yield (function, the errnos of the comment above it). A comment holds for the lines below it, to the next."""
    errors = []
    for piece in re.finditer(r"/\*.*?\*/|" + PROTOTYPE.pattern, header, re.MULTILINE | re.DOTALL):
        if piece.group(1):
            yield piece.group(1), errors
        else:
            errors = re.findall(r"-E[A-Z0-9]+\b", piece.group())


def check_errors(root):
    """What crosvm.h says of a function's errors, its page says too."""
    places = {name: page for page, text in pages(root).items() for name in functions_of(text)}
    for name, errors in commented_errors(read(root, "include/crosvm.h")):
        page = places.get(name, OVERVIEW)
        text = section(pages(root)[page], "ERRORS") + section(pages(root)[page], "VERSIONS")
        for error in errors:
            if not re.search(rf"\*{error}\*", text):
                yield f"{page}(3): {name}(): {error} is missing"
    overview = section(pages(root)[OVERVIEW], "ERRORS")
    common = read(root, "include/crosvm.h").partition("Common to all")[2].partition("Errors of KVM")[0]
    for error in re.findall(r"-E[A-Z0-9]+\b", common):
        if f"*{error}*" not in overview:
            yield f"{OVERVIEW}(3): {error} is missing"


def check_versions(root):
    """The VERSIONS of a page name the functions that API 0.22 does not have."""
    version_map = read(root, "src/plugin/libcrosvm_plugin.map")
    nodes = re.findall(r"^CROSVM_PLUGIN_0\.(\d+) \{(.*?)^\}", version_map, re.MULTILINE | re.DOTALL)
    added = {name for minor, body in nodes if int(minor) > 22 for name in re.findall(r"^\t(\w+);", body, re.MULTILINE)}
    for page, text in pages(root).items():
        own = functions_of(text)
        new = [name for name in own if name in added]
        versions = section(text, "VERSIONS")
        named = bold_functions(versions)
        if not own:
            continue
        if new and "API 0.23" not in versions or len(new) < len(own) and "API 0.22" not in versions:
            yield f"{page}(3): VERSIONS lacks a version"
        if len(new) < len(own) or named:
            yield from (f"{page}(3): VERSIONS lacks {name}()" for name in new if name not in named)
        elif "0.23: all" not in versions:
            yield f"{page}(3): VERSIONS lacks all"


def check_constants(root):
    """Constants that a page names are the header's, and the header's are named."""
    header = read(root, "include/crosvm.h")
    known = set(re.findall(r"\bCROSVM_[A-Z0-9_]+\b", without_comments(header)))
    named = set()
    for page, text in pages(root).items():
        found = set(re.findall(r"\bCROSVM_[A-Z0-9_]+\b", text.replace("\\", "")))
        named |= found
        whole = {name for name in found if not name.endswith("_")} - {"CROSVM_SOCKET", "CROSVM_STATS"}
        yield from (f"{page}(3): there is no {name}" for name in whole - known)
    families = "CROSVM_(FEATURE|EXIT|VCPU_EVENT_KIND|ADDRESS|IRQ_ROUTE|MAX|HINT)_"
    wanted = {name for name in known if re.match(families, name)}
    yield from (f"no page names {name}" for name in wanted - named)


# ---- The pages as such ----


def check_shape(root):
    for page, text in pages(root).items():
        if not text.startswith(f"{page}(3)\n\n# NAME\n\n{page} - "):
            yield f"{page}(3) does not begin with its name"
        titles = re.findall(r"^# (.*)$", prose(text), flags=re.MULTILINE)
        if [title for title in titles if title in SECTIONS] != SECTIONS:
            yield f"{page}(3): its sections are {titles}"
        yield from (f"{page}(3): a line is too long: {line}" for line in text.splitlines() if len(line) > LINE_MAX)


def check_build(root):
    """scdoc has nothing to complain of, nor has groff, if it is there."""
    has_man = run(["sh", "-c", "command -v man && command -v groff"]).returncode == 0
    for page, text in pages(root).items():
        built = subprocess.run(["scdoc"], input=text, capture_output=True, text=True, check=False)
        if built.returncode or built.stderr:
            yield f"{page}(3): scdoc: {built.stderr.strip() or built.returncode}"
        elif has_man:
            with tempfile.NamedTemporaryFile("w", suffix=".3", encoding="utf-8") as file:
                file.write(built.stdout)
                file.flush()
                shown = subprocess.run(
                    ["man", "--warnings", "-l", file.name],
                    capture_output=True,
                    text=True,
                    check=False,
                    env={**os.environ, "MANWIDTH": "100", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
                )
            if shown.returncode or shown.stderr:
                yield f"{page}(3): man: {shown.stderr.strip() or shown.returncode}"


def compile_example(root, cc, library, directory):
    """Return (the program, None) or (None, what is wrong)."""
    source = BLOCK.search(section(read(root, PAGES, f"{OVERVIEW}.3.scd"), "EXAMPLES")).group(1)
    path = os.path.join(directory, "plugin")
    with open(path + ".c", "w", encoding="utf-8") as file:
        file.write(source)
    command = [*cc, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(root, "include")]
    command += ["-o", path, path + ".c", library, f"-Wl,-rpath,{os.path.dirname(library)}"]
    result = run(command)
    return (None, result.stdout.splitlines()) if result.returncode else (path, None)


def check_example(root, cc, plugvm, library, has_kvm):
    with tempfile.TemporaryDirectory(prefix="plugvm-man.") as directory:
        program, problems = compile_example(root, cc, library, directory)
        if problems:
            yield from problems
        elif has_kvm:
            command = [plugvm, "run", "-q", "--", program]
            result = run(command, timeout=60)
            if (result.returncode, result.stdout) != (0, "ok\n"):
                yield f"{shlex.join(command)}: status {result.returncode}: {result.stdout!r}"


def main(root, cc, plugvm, library):
    tap = Tap()
    tap.check("every function is in one SYNOPSIS, as crosvm.h declares it", check_synopses(root))
    tap.check("every function is described on its page", check_descriptions(root))
    tap.check("every errno of crosvm.h is on the function's page", check_errors(root))
    tap.check("VERSIONS name what API 0.22 does not have", check_versions(root))
    tap.check("constants are those of crosvm.h", check_constants(root))
    tap.check("every page has the same sections", check_shape(root))
    tap.check("pages build without a warning", check_build(root))
    has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
    title = "the example compiles" + (" and runs" if has_kvm else "")
    tap.check(title, check_example(root, shlex.split(cc), plugvm, library, has_kvm))
    if not has_kvm:
        tap.skip("the example runs", "no /dev/kvm that this user may use")
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
