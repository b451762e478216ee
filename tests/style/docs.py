#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Documents: what they say about the tree is true of it.

usage: docs.py ROOT BUILD PLUGVM CC    (BUILD: the build directory; PLUGVM: the program; CC may be several words)
"""

import os
import re
import shlex
import sys
import textwrap

from files import differences, read, run, tree, without_comments
from tap import Tap

GENERATED = ("build",)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXCERPT = re.compile(r"<!-- excerpt: (\S+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A line of the README's ```sh blocks is a verb of ./dev, or a program that `./dev build` has built.
BUILT = "build/debug/"


def markdown(root):
    """Yield (path, text) of every .md file."""
    for path in tree(root):
        if path.endswith(".md"):
            yield path, read(root, path)


def prose(text):
    return FENCE.sub("", text)


# ---- Links, files, functions ----


def anchors(text):
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(root):
    for path, text in markdown(root):
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
            if re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(root, os.path.dirname(path), name)) if name else os.path.join(root, path)
            if not os.path.exists(file):
                yield f"{path}: {target} does not exist"
            elif anchor and anchor not in anchors(read(file)):
                yield f"{path}: {target}: there is no such heading"


def check_files(root):
    """A code span that begins with a folder of the tree names something in it, or is a case of the benchmark."""
    cases = set(re.findall(r'"([\w-]+/[\w/-]+)"', source_text(root, "bench")))
    folders = {entry for entry in os.listdir(root) if os.path.isdir(os.path.join(root, entry))} - set(GENERATED)
    layers = set(os.listdir(os.path.join(root, "src")))
    for path, text in markdown(root):
        for span in CODE_SPAN.findall(prose(text)):
            first, slash, _ = span.partition("/")
            if " " in span or not slash or first not in folders | layers or "." == first or span in cases:
                continue
            if not any(os.path.exists(os.path.join(root, top, span)) for top in ("", "src")):
                yield f"{path}: `{span}` does not exist"


def source_text(root, top):
    parts = [read(root, top, path) for path in tree(os.path.join(root, top)) if path.endswith((".c", ".h"))]
    return without_comments("\n".join(parts))


def check_functions(root):
    """`name()` in a document is a function of the tree."""
    sources = source_text(root, "src") + source_text(root, "include")
    for path, text in markdown(root):
        for name in set(re.findall(r"`(\w+)\(\)`", prose(text))):
            if not re.search(rf"\b{name}\s*\(", sources):
                yield f"{path}: there is no {name}()"


def table_rows(text):
    """Yield the cells of each row of the Markdown tables in text, without the heads."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("|") and not set("".join(cells)) <= set("-: "):
            yield cells


def check_life_of_an_exit(root):
    """Each row's functions are defined in one of the row's files, and the steps are ten."""
    path = "docs/architecture.md"
    section = read(root, path).partition("## The life of an exit")[2].partition("\n## ")[0]
    steps = []
    for cells in list(table_rows(section))[1:]:
        steps += [int(cells[0])] if cells[0] else []
        files = re.findall(r"`([^`]+)`", cells[3])
        missing = [file for file in files if not os.path.exists(os.path.join(root, file))]
        yield from (f"{path}: {file} does not exist" for file in missing)
        sources = [read(root, file) for file in files if file not in missing]
        for name in re.findall(r"`(\w+)\(\)`", cells[2]):
            # A definition begins in the first column, and its parameters are followed by a body.
            definition = re.compile(rf"^\w[^;{{}}()]*\b{name}\([^;{{}}]*\)\s*\{{", re.MULTILINE)
            if not any(definition.search(source) for source in sources):
                yield f"{path}: {name}() is not defined in {cells[3]}"
    if steps != list(range(1, 11)):
        yield f"{path}: the steps are {steps}"


# ---- README ----


def strip_blank(text):
    return textwrap.dedent(text.expandtabs(8)).strip("\n")


def check_code(root, cc):
    """Each C block of docs/porting.md compiles, as a function of a plugin."""
    blocks = [block for language, block in FENCE.findall(read(root, "docs/porting.md")) if language == "c"]
    if not blocks:
        yield "docs/porting.md: no code"
    before = "#include <crosvm.h>\n#include <errno.h>\n"
    before += "void handle(struct crosvm_vcpu *vcpu, struct crosvm_vcpu_event *event);\n"
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", os.path.join(root, "include")]
    for block in blocks:
        result = run([*shlex.split(cc), *options, "-x", "c", "-"], input=before + block)
        if result.returncode:
            yield from (f"docs/porting.md: {line}" for line in result.stdout.splitlines())


def check_excerpts(root):
    readme = read(root, "README.md")
    excerpts = EXCERPT.findall(readme)
    if not excerpts or len(excerpts) != len(re.findall("<!-- excerpt:", readme)):
        yield "README.md: no excerpt, or one without a block"
    for path, block in excerpts:
        lines = strip_blank(block).splitlines()
        source = read(root, path).expandtabs(8).splitlines()
        windows = (source[i : i + len(lines)] for i in range(len(source) - len(lines) + 1))
        if not any(strip_blank("\n".join(window)).splitlines() == lines for window in windows):
            yield f"README.md: the excerpt is not in {path}"


def readme_commands(root):
    for language, block in FENCE.findall(read(root, "README.md")):
        if language == "sh":
            yield from (line for line in block.splitlines() if line and not line.startswith("#"))


def dev_verbs(root):
    return set(re.findall(r"^  (\w+) ", run([os.path.join(root, "dev"), "help"]).stdout, flags=re.MULTILINE))


def check_commands(root):
    verbs = dev_verbs(root)
    commands = list(readme_commands(root))
    for needed in ("./dev demo", "./dev test"):
        if needed not in commands:
            yield f"README.md: `{needed}` is missing"
    for command in commands:
        words = command.split()
        if words[0] == "./dev" and words[1] in verbs:
            continue
        if not words[0].startswith(BUILT):
            yield f"README.md: `{command}` is neither a verb of ./dev nor a program of the build"


def check_verbs(root):
    """Every `./dev VERB` in a document is one, and HACKING.md has them all."""
    verbs = dev_verbs(root)
    for path, text in markdown(root):
        for verb in re.findall(r"\./dev (\w+)", text):
            if verb not in verbs:
                yield f"{path}: ./dev has no verb {verb}"
    for verb in verbs - set(re.findall(r"^\| `\./dev (\w+)", read(root, "HACKING.md"), flags=re.MULTILINE)):
        yield f"HACKING.md: the table lacks ./dev {verb}"


def check_readme_runs(root, build):
    """The README's programs run as it says, from this build directory."""
    for command in readme_commands(root):
        if not command.startswith(BUILT):
            continue
        words = [os.path.join(build, word[len(BUILT) :]) if word.startswith(BUILT) else word for word in command.split()]
        result = run(words, timeout=60)
        if result.returncode != 0:
            yield f"README.md: `{command}` gives {result.returncode}: {result.stdout.strip()}"
        elif os.path.basename(words[-1]) == "hello" and read(root, "examples/hello/expected") not in result.stdout:
            yield f"README.md: `{command}` prints {result.stdout!r}"


# ---- plugvm(1) ----


def options_of(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def check_options(root, plugvm):
    source = read(root, "src/cli/options.c")
    table = source[source.index("long_options[]") :]
    table = table[: table.index("};")]
    options = {"--" + name for name in re.findall(r'\{"([a-z-]+)"', table)}
    page = read(root, "docs/man/plugvm.1.scd")
    section = page.partition("# OPTIONS")[2].partition("\n# ")[0]
    described = options_of(" ".join(re.findall(r"^\*-.*$", section, flags=re.MULTILINE)))
    usage = run([plugvm, "help"]).stdout
    short = {letter for letter in re.findall(r'"\+([a-z:]+)"', source)[0] if letter != ":"}
    yield from differences(options, described, "plugvm.1.scd")
    # Those of `policy learn` are its own.
    others = {"--version", "--output", "--merge"}
    yield from differences(options, options_of(usage) - others, "plugvm help")
    for text, where in ((section, "plugvm.1.scd"), (usage, "plugvm help")):
        found = set(re.findall(r"^\s*\*?-([a-z])\*?,", text, flags=re.MULTILINE))
        yield from differences(short, found, f"{where}, short options")
    # What is said anywhere else about an option must be about one that exists.
    for path, text in markdown(root):
        for command in re.findall(r"plugvm run ([^\n`]*?) --(?: |$)", text):
            yield from (f"{path}: plugvm run has no {name}" for name in options_of(command) - options)


def check_statuses(root, plugvm):
    enum = dict(re.findall(r"STATUS_(\w+) = (\d+),", read(root, "src/cli/options.h")))
    base = enum.pop("SIGNAL_BASE")
    statuses = set(enum.values()) | {f"{base}+N"}
    page = read(root, "docs/man/plugvm.1.scd").partition("# EXIT STATUS")[2].partition("\n# ")[0]
    usage = run([plugvm, "help"]).stdout.partition("Exit status:")[2]
    yield from differences(statuses, re.findall(r"^\*([\d+N]+)\*$", page, flags=re.MULTILINE), "plugvm.1.scd, statuses")
    found = re.findall(r"(?:^|;)\s*(\d+(?:\+N)?) ", usage)
    yield from differences(statuses, found, "plugvm help, statuses")


# ---- plugvm-policy(5) ----


def words_of(text):
    return re.findall(r"[\w.]+", text.replace("\\", ""))


def check_policy_page(root):
    """The page has the constants' families, the calls that are never allowed, and the limits."""
    page = read(root, "docs/man/plugvm-policy.5.scd")
    sections = dict(re.findall(r"^# ([^\n]+)\n(.*?)(?=^# |\Z)", page, re.MULTILINE | re.DOTALL))
    families = re.search(r"^FAMILIES = \(\n(.*?)^\)", read(root, "src/policy/make_constants.py"), re.MULTILINE | re.DOTALL)
    described = [word[:-1] for word in words_of(sections["VALUES"]) if re.fullmatch(r"[A-Z_]+_", word)]
    yield from differences(families.group(1).replace('"', "").split(), described, "plugvm-policy.5.scd, constants")
    source = read(root, "src/policy/syscalls.c")
    never = re.findall(r"__NR_(\w+)", source) + re.findall(r"\d /\* (\w+) \*/", source)
    items = " ".join(re.findall(r"^(?:- |  )(.*)$", sections["WHAT NO POLICY ALLOWS"], flags=re.MULTILINE))
    yield from differences(never, words_of(items), "plugvm-policy.5.scd, calls")
    limits = re.findall(r"X\(LIMIT_POLICY_\w+, (\d+),", read(root, "src/wire/limits.h"))
    numbers = re.findall(r"\d+", sections["LIMITS"])
    yield from differences([*limits, "4096"], numbers, "plugvm-policy.5.scd, limits")


# ---- Tables ----


def check_limits(root, plugvm):
    header = read(root, "src/wire/limits.h")
    macro = header[header.index("#define WIRE_LIMITS(") : header.index("#define WIRE_LIMIT_CONSTANT")]
    limits = re.findall(r'X\((\w+),\s*(\d+),\s*"([^"]*)",\s*"([^"]*)"\)', macro.replace("\\\n", ""))
    wanted = [f"| `{name}` | {value} | {unit} | {reason} |" for name, value, unit, reason in limits]
    got = [line for line in read(root, "docs/limits.md").splitlines() if line.startswith("| `")]
    if macro.count("X(LIMIT_") != len(limits):
        yield "src/wire/limits.h: a line that this test cannot read"
    yield from differences(wanted, got, "docs/limits.md")
    printed = [re.sub(" +", " ", line) for line in run([plugvm, "limits"]).stdout.splitlines()]
    yield from differences([" ".join(limit) for limit in limits], printed, "plugvm limits")
    if not set(wanted) ^ set(got) and wanted != got:
        yield "docs/limits.md: another order than src/wire/limits.h"


def check_protocol(root):
    """docs/protocol.md has the additions of the schema under their numbers."""
    schema = read(root, "proto/plugin.proto")
    added = re.findall(r"^    \w+ (\w+) = ((?:1|2)\d\d);", schema, flags=re.MULTILINE)
    section = read(root, "docs/protocol.md").partition("## Extensions")[2]
    named = set(re.findall(r"`(\w+)` \((\d{3})\)", section))
    for cells in table_rows(section):
        named |= set(zip(CODE_SPAN.findall(cells[1]), re.findall(r"\d{3}", cells[0])))
    # 101 on a main connection is of API 0.22.
    yield from differences(set(added) - {("dirty_log", "101")}, named, "docs/protocol.md")
    events = re.search(r"oneof exit {\n([^}]*msr[^}]*)}", schema).group(1)
    table = " ".join(cells[0] for cells in table_rows(section.partition("### Events")[2]))
    yield from differences(re.findall(r" (\w+) = ", events), CODE_SPAN.findall(table), "docs/protocol.md, events")


def check_features(root):
    """docs/status.md has the features that depend on the kernel, with the capability."""
    conditions = re.findall(r"{WIRE_FEATURE_(\w+), (KVM_CAP_\w+)}", read(root, "src/host/features_x86.c"))
    rows = [cells for cells in table_rows(read(root, "docs/status.md")) if cells[0].startswith("`CROSVM_FEATURE_")]
    found = {tuple(CODE_SPAN.findall(name + needs)[:2]) for name, needs in rows}
    wanted = {(f"CROSVM_FEATURE_{name}", capability) for name, capability in conditions}
    wanted |= {("CROSVM_FEATURE_SIGNAL_MSI", "KVM_CAP_SIGNAL_MSI"), ("CROSVM_FEATURE_INTERRUPTS", "--irqchip split")}
    yield from differences(wanted, found, "docs/status.md")


# The link's own (src/host/link.c); the last is the original host's.
NO_ROW = {"wait", "resume", "shutdown"}


def members(root, message):
    """Return the names in the top-level oneof of a message of the schema."""
    body = re.search(rf"^message {message} {{\n(.*?)^}}", read(root, "proto/plugin.proto"), re.MULTILINE | re.DOTALL)
    oneof = re.search(r"^  oneof message {\n(.*?)^  }", body.group(1), re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^    \w+ (\w+) = \d+;", oneof.group(1), flags=re.MULTILINE))


def check_status(root):
    """Every request of the schema has its row, and no handler is one that refuses whatever comes."""
    for path, message, row in (
        ("requests.c", "MainRequest", r"{REQUEST\((\w+)\)"),
        ("vcpu_requests.c", "VcpuRequest", r"{wire_VcpuRequest_(\w+)_tag"),
    ):
        text = read(root, "src/host", path)
        yield from differences(members(root, message) - NO_ROW, re.findall(row, text), f"src/host/{path}")
        if "ENOSYS" in text:
            yield f"src/host/{path}: ENOSYS"
    for path in tree(os.path.join(root, "src/plugin")):
        if "ENOSYS" in read(root, "src/plugin", path):
            yield f"src/plugin/{path}: ENOSYS"
    if "Every function of API 0.22" not in read(root, "docs/status.md"):
        yield "docs/status.md does not say that every function is served"


def check_dependencies(root):
    packages = set()
    for value in re.findall(r"^\w+_packages='([^']*)'", read(root, "dev"), flags=re.MULTILINE):
        packages |= set(value.split())
    for value in re.findall(r'^\w+_packages="([^"]*)"', read(root, "dev"), flags=re.MULTILINE):
        packages |= {word for word in value.split() if not word.startswith("$")}
    page = read(root, "docs/dependencies.md")
    rows = " ".join(cells[0] for cells in table_rows(page))
    yield from differences(packages | {"linux-image-cloud-amd64"}, CODE_SPAN.findall(rows), "docs/dependencies.md")


def check_flags(root):
    """Each compiler flag of meson.build has its reason in HACKING.md, and no other."""
    flags = re.findall(r"^\s+'(-[Wf][\w=-]+|-m[\w-]+)(?:=[^']*)?',$", read(root, "meson.build"), flags=re.MULTILINE)
    section = read(root, "HACKING.md").partition("## Warnings")[2].partition("\n## ")[0]
    described = " ".join(cells[0] for cells in table_rows(section))
    yield from differences(flags, re.findall(r"`(-[^`]+)`", described), "HACKING.md, flags")


def main(root, build, plugvm, cc):
    tap = Tap()
    tap.check("links lead somewhere", check_links(root))
    tap.check("files that documents name exist", check_files(root))
    tap.check("functions that documents name exist", check_functions(root))
    tap.check("the life of an exit names what is there", check_life_of_an_exit(root))
    tap.check("the README's excerpts are those of the sources", check_excerpts(root))
    tap.check("the code of docs/porting.md compiles", check_code(root, cc))
    tap.check("the README's commands are verbs of ./dev or programs of the build", check_commands(root))
    tap.check("verbs of ./dev in documents exist, and HACKING.md has all", check_verbs(root))
    title = "the README's programs run"
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        tap.check(title, check_readme_runs(root, build))
    else:
        tap.skip(title, "no /dev/kvm that this user may use")
    tap.check("plugvm(1) and the usage text have the program's options", check_options(root, plugvm))
    tap.check("plugvm(1) and the usage text have the program's exit statuses", check_statuses(root, plugvm))
    tap.check("plugvm-policy(5) has what the sources have", check_policy_page(root))
    tap.check("docs/limits.md and what is printed are src/wire/limits.h", check_limits(root, plugvm))
    tap.check("docs/protocol.md has the additions of the schema", check_protocol(root))
    tap.check("docs/status.md has the features of the kernel", check_features(root))
    tap.check("every request is served, as docs/status.md says", check_status(root))
    tap.check("docs/dependencies.md has the packages of ./dev", check_dependencies(root))
    tap.check("HACKING.md has the compiler's flags", check_flags(root))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
