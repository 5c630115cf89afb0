#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks what a script can check of the project's structure and style.

    tools/tidy.py [--verbose] [ROOT]    prints file:line: rule: message; exits with 1 on an error
    tools/tidy.py --self-test           seeds a violation of each rule and sees that it is reported

Each rule is a function over a Tree that yields Findings. The rooms and their ranks are read from
the osv_room() calls in src/. Warnings (a soft limit passed) are printed and do not fail.
"""
import re
import sys
from pathlib import Path
from typing import NamedTuple

TOP_DIRS = ".ci bench cmake examples fuzz include platform sim src tests tools".split()
C_SUFFIXES = {".c", ".h", ".S"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".cmake", ".ld", ".in"}
SCRIPTS = {"osv", ".ci/run"}

HAL_HEADERS = {"osv/hal.h", "hal_inline.h", "osv/hal_inline.h"}
HAL_ROOMS = {"hal", "cpu", "page", "time", "sched", "vm", "dev", "abi", "boot"}
HAL_FUNCTIONS_MAX = 39
FREESTANDING = {name + ".h" for name in (
    "stdint stddef stdbool stdarg stdatomic stdnoreturn stdalign limits float iso646").split()}
GENERATED = {"osv/symbols.h"}  # made when the library is installed
PLATFORM_MACRO = re.compile(
    r"\b(__x86_64(__)?|__amd64(__)?|__i386(__)?|__aarch64__|__arm__|__ARM_\w+|__riscv"
    r"|__linux(__)?|__unix(__)?|__APPLE__|_WIN32|__STDC_HOSTED__"
    r"|OSV_HOST|OSV_SIM|OSV_BARE|OSV_BACKEND\w*|OSV_ISA\w*|HAL_HOST\w*)\b")
PLATFORM_MACRO_ALLOWED = {"include/osv/error.h"}  # a hosted build takes the numbers from its libc
LIMITS = {  # name: (warned above, error above)
    "lines": (600, 650), "function lines": (70, 90), "columns": (100, 110)}
UNFINISHED = re.compile(r"\b(TO(?:)DO|FIX(?:)ME|XX(?:)X|HA(?:)CK)\b")
LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
LABEL = r"[A-Z]{1,3}[0-9]{1,2}"


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    message: str
    warning: bool = False

    def __str__(self):
        kind = "warning: " if self.warning else ""
        return f"{self.path}:{self.line}: {self.rule}: {kind}{self.message}"


class Room(NamedTuple):
    name: str
    rank: int
    headers: list


def blank(match):
    """Replaces what was matched by white space, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def without_comments(text):
    """C text with comments and the insides of string and character literals blanked."""
    comment = r"/\*.*?\*/|//[^\n]*"
    literal = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(f"{comment}|{literal}", blank, text, flags=re.S)


class Source:
    """One file of the tree, by its path from the root."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.name = path.name
        self.suffix = path.suffix
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.split("\n")
        self.is_c = path.suffix in C_SUFFIXES
        self.code = without_comments(self.text) if self.is_c else self.text
        parts = Path(self.path).parts
        self.top = parts[0]
        self.is_public = self.path.startswith("include/osv/")
        self.is_core = self.top == "src" or self.is_public
        self.room_dir = parts[1] if self.top == "src" and len(parts) > 2 else None

    def at(self, line, rule, message, warning=False):
        return Finding(self.path, line, rule, message, warning)

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def includes(self):
        """(line, header, is it in angle brackets?) of each include."""
        for number, line in enumerate(self.lines, 1):
            match = re.match(r"\s*#\s*include\s*([<\"])([^>\"]+)[>\"]", line)
            if match:
                yield number, match.group(2), match.group(1) == "<"

    def comments(self):
        """(line, text) of each comment; // comments on successive lines are one."""
        for match in re.finditer(r"/\*.*?\*/|//[^\n]*(?:\n[ \t]*//[^\n]*)*", self.text, flags=re.S):
            yield self.line_of(match.start()), re.sub(r"\s*\n[\s*/]*", " ", match.group(0))


class Tree:
    def __init__(self, root):
        paths = [p for p in (root / "osv", root / "CMakeLists.txt") if p.is_file()]
        for top in TOP_DIRS:
            paths += sorted(p for p in (root / top).rglob("*") if p.is_file())
        self.sources = [Source(root, p) for p in paths if self.is_ours(root, p)]
        rooms = (room for source in self.sources for room in self.parse_rooms(source))
        self.rooms = {room.name: room for room in rooms}
        self.header_rooms = {}  # osv/x.h -> the rooms that list it
        for room in self.rooms.values():
            for header in room.headers:
                self.header_rooms.setdefault("osv/" + header, []).append(room)

    @staticmethod
    def is_ours(root, path):
        return (path.suffix in CODE_SUFFIXES or path.name == "CMakeLists.txt"
                or path.relative_to(root).as_posix() in SCRIPTS)

    @staticmethod
    def parse_rooms(source):
        if source.top != "src" or source.name != "CMakeLists.txt":
            return
        text = re.sub(r"#[^\n]*", blank, source.text)
        for call in re.finditer(r"\bosv_room\s*\(([^)]*)\)", text):
            fields, key = {}, None
            for word in call.group(1).split():
                if word in ("NAME", "RANK", "HEADERS", "SOURCES", "DEPS"):
                    key = word
                    fields[key] = []
                elif key:
                    fields[key].append(word)
            yield Room(fields["NAME"][0], int(fields["RANK"][0]), fields.get("HEADERS", []))

    def room_of(self, source):
        """The room that a file of the core belongs to, or None."""
        if source.is_public:
            owners = self.header_rooms.get(source.path.removeprefix("include/"), [])
            return owners[0] if owners else None
        return self.rooms.get(source.room_dir)

    def core(self):
        return [s for s in self.sources if s.is_core and s.is_c]


# --- Rules ----------------------------------------------------------------------------------------

def rule_room(tree):
    """A file of the core is in one room and includes its own files and headers of lower rank."""
    own = {(s.room_dir, s.name) for s in tree.sources if s.room_dir}
    for source in tree.core():
        header = source.path.removeprefix("include/")
        owners = tree.header_rooms.get(header, [])
        if source.is_public and len(owners) != 1:
            names = ", ".join(room.name for room in owners) or "none"
            yield source.at(1, "room", "must be in the HEADERS of one osv_room(), is in: " + names)
        room = tree.room_of(source)
        if room is None:
            if not source.is_public:
                yield source.at(1, "room", f"no osv_room(NAME {source.room_dir} ...) in src/")
            continue
        for line, name, angle in source.includes():
            if name.startswith("osv/") and name not in GENERATED:
                for other in tree.header_rooms.get(name, []):
                    if other.name != room.name and other.rank >= room.rank:
                        yield source.at(line, "room", f"{room.name} ({room.rank}) includes {name} "
                                        f"of {other.name} ({other.rank}): not a lower rank")
            elif not angle and (room.name, Path(name).name) not in own:
                yield source.at(line, "room", f'"{name}" is not a file of src/{room.name}/; '
                                "another room is reached through its header in include/osv/")


def rule_hal(tree):
    """Only some rooms, the platforms, the tests and the benchmarks see hal.h."""
    for source in tree.sources:
        room = tree.room_of(source) if source.is_core else None
        if not source.is_c or source.top in ("platform", "sim", "tests", "bench"):
            continue
        if (room and room.name in HAL_ROOMS) or (source.is_public and not room):
            continue
        who = f"the room {room.name}" if room else source.top + "/"
        for line, name, _ in source.includes():
            if name in HAL_HEADERS:
                yield source.at(line, "hal", f"{who} may not include {name}; only "
                                f"{', '.join(sorted(HAL_ROOMS - {'hal'}))} may")


def hal_functions(tree):
    """Names of the functions that hal.h declares: hal_x( outside braces and preprocessor lines."""
    names = set()
    for source in tree.sources:
        if source.path == "include/osv/hal.h":
            text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, source.code, flags=re.M)
            previous = None
            while previous != text:
                previous, text = text, re.sub(r"\{[^{}]*\}", blank, text)
            names |= set(re.findall(r"\b(hal_\w+)\s*\(", text))
    return names


def rule_hal_count(tree):
    """The boundary stays small."""
    count = len(hal_functions(tree))
    if count > HAL_FUNCTIONS_MAX:
        yield Finding("include/osv/hal.h", 1, "hal-count",
                      f"declares {count} functions; at most {HAL_FUNCTIONS_MAX} are allowed")


def rule_platform(tree):
    """No conditional compilation on ISA or platform in the core: a backend supplies a file."""
    for source in tree.core():
        if source.path in PLATFORM_MACRO_ALLOWED:
            continue
        for number, line in enumerate(source.code.split("\n"), 1):
            condition = re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line)
            found = condition and PLATFORM_MACRO.search(line)
            if found:
                yield source.at(number, "platform", f"#if on {found.group(0)}: let the backend "
                                "supply a file of the same name, or move it behind hal.h")


def rule_freestanding(tree):
    """The core includes no hosted C header."""
    for source in tree.core():
        for line, name, angle in source.includes():
            allowed = (name.startswith("osv/") or name in FREESTANDING
                       or (source.path, name) in {("include/osv/error.h", "errno.h"),
                                                  ("include/osv/hal.h", "hal_inline.h")})
            if angle and not allowed:
                yield source.at(line, "freestanding", f"<{name}> is not a freestanding C header; "
                                "these are: " + ", ".join(sorted(FREESTANDING)))


def rule_spdx(tree):
    """Every file says its licence."""
    for source in tree.sources:
        if not any(LICENCE in line for line in source.lines[:2]):
            yield source.at(1, "spdx", f"no '{LICENCE}' in the first two lines")


def over(source, line, what, count):
    """The finding for a length over its limit, if it is."""
    soft, hard = LIMITS[what]
    if count > soft:
        yield source.at(line, "length", f"{count} {what}; the limit is {soft}", count <= hard)


def rule_length(tree):
    """Files, functions and lines that fit a reader's eye."""
    for source in tree.sources:
        if source.is_c:
            yield from over(source, 1, "lines", len(source.lines) - 1)
            start = None
            for number, line in enumerate(source.code.split("\n"), 1):
                if line.rstrip() == "{":
                    start = number
                elif line.startswith("}") and start:
                    if line.rstrip() == "}":
                        yield from over(source, start, "function lines", number - start - 1)
                    start = None
        if source.is_c or source.suffix in (".py", ".sh") or source.path in SCRIPTS:
            for number, line in enumerate(source.lines, 1):
                yield from over(source, number, "columns", len(line))


def rule_space(tree):
    """No tabs in C, no trailing white space, a final newline."""
    for source in tree.sources:
        for number, line in enumerate(source.lines, 1):
            if source.suffix in (".c", ".h") and "\t" in line:
                yield source.at(number, "space", "a tab; indent with four spaces")
            if line != line.rstrip():
                yield source.at(number, "space", "trailing white space")
        if source.lines[-1] != "":
            yield source.at(len(source.lines), "space", "no newline at the end of the file")


def ordering_edges(source):
    """(line, label, partner) of each 'label ... pairs with partner[ in f and partner]' in comments.
    A label that is missing is None."""
    sentence = r"(?:(?!pairs with|\.\s).)*?"
    partners = rf"{LABEL}(?:(?:(?: in [\w(), ]*?)? and |, and |, |/){LABEL})*"
    for line, text in source.comments():
        edge = rf"(?:\b({LABEL})\b{sentence})?\bpairs with(?: ({partners}))?"
        for match in re.finditer(edge, text):
            for partner in re.findall(LABEL, match.group(2) or "") or [None]:
                yield line, match.group(1), partner


def rule_order(tree):
    """Both ends of an ordering edge have a label and name each other, in one room or directory."""
    edges = {}  # scope -> [(source, line, label, partner)]
    for source in tree.sources:
        if not source.is_c or source.top not in ("src", "include", "platform", "sim"):
            continue
        room = tree.room_of(source)
        scope = room.name if room else str(Path(source.path).parent)
        edges.setdefault(scope, []).extend((source, *edge) for edge in ordering_edges(source))
    for scope, found in edges.items():
        pairs = {(label, partner) for _, _, label, partner in found}
        labels = {label for _, _, label, _ in found}
        for source, line, label, partner in found:
            if label is None or partner is None:
                which = "this end" if label is None else "the other end"
                message = f"write 'L1 what it orders, pairs with L2': {which} has no label"
            elif partner not in labels:
                message = f"{label} pairs with {partner}, which no comment in {scope} introduces"
            elif (partner, label) not in pairs:
                message = f"{label} pairs with {partner}, which does not say 'pairs with {label}'"
            else:
                continue
            yield source.at(line, "order", message)


def rule_unfinished(tree):
    """What is left to do stands in an issue, not in the source."""
    for source in tree.sources:
        if source.top in ("src", "include", "platform", "sim", "tests", "tools", "bench"):
            for number, line in enumerate(source.lines, 1):
                found = UNFINISHED.search(line)
                if found:
                    yield source.at(number, "unfinished",
                                    f"{found.group(0)}: finish it or say it in an issue")


def rule_pragma(tree):
    """Headers are included once."""
    for source in tree.sources:
        if source.suffix == ".h" and "#pragma once" not in source.lines:
            yield source.at(1, "pragma", "no '#pragma once'")


def rule_lockrank(tree):
    """The lock order is total: the values of lockrank.h rise from line to line."""
    for source in tree.sources:
        if source.path != "include/osv/lockrank.h":
            continue
        previous = -1
        entry = r"\s*(?:#\s*define\s+)?([A-Z]\w*)\s*=?\s*(0x[0-9a-fA-F]+|\d+)u?,?\s*$"
        for number, line in enumerate(source.code.split("\n"), 1):
            match = re.match(entry, line)
            if match:
                value = int(match.group(2), 0)
                if value <= previous:
                    yield source.at(number, "lockrank",
                                  f"{match.group(1)} = {value} does not rise above {previous}")
                previous = value


RULES = [rule_room, rule_hal, rule_hal_count, rule_platform, rule_freestanding, rule_spdx,
         rule_length, rule_space, rule_order, rule_unfinished, rule_pragma, rule_lockrank]


def check(root):
    tree = Tree(root)
    return tree, sorted(finding for rule in RULES for finding in rule(tree))


def main(arguments):
    if "--self-test" in arguments:
        import tidy_self
        return tidy_self.run()
    roots = [a for a in arguments if not a.startswith("--")]
    tree, findings = check(Path(roots[0] if roots else Path(__file__).parent.parent).resolve())
    for finding in findings:
        print(finding)
    if "--verbose" in arguments:
        for room in sorted(tree.rooms.values(), key=lambda r: r.rank):
            print(f"room {room.rank:2} {room.name}: {' '.join(room.headers)}")
        print(f"hal.h declares {len(hal_functions(tree))} functions (at most {HAL_FUNCTIONS_MAX})")
    errors = sum(not finding.warning for finding in findings)
    print(f"tidy: {len(tree.sources)} files, {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
