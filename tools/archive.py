#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the library that is installed: one archive whose globals all begin with osv_, and headers.

    tools/archive.py --core ARCHIVE --output DIR --headers HEADER... [--backend INCLUDE_DIR...]
                     [--define NAME=VALUE]... [--ld LD] [--nm NM] [--objcopy OBJCOPY] [--ar AR]

DIR/libosv.a: the core as one object; every global S without osv_ in front is renamed osv_S.
DIR/include/osv/: the public headers; in host/ the backend's headers that hal.h needs; symbols.h,
which has '#define S osv_S' for each of those that a header names, and how the library was built.
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

SPDX = "/* SPDX-License-Identifier: BSD-3-Clause */\n"


def run(*command):
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def globals_of(nm, path):
    """Names of the global symbols that an object or archive defines."""
    text = run(nm, "--defined-only", "--extern-only", "--format=posix", path)
    return sorted(set(re.findall(r"^(\S+) [A-Za-z] [^:\n]*$", text, re.M)))


def make_archive(tools, core, output):
    """Writes libosv.a; returns the names that were renamed."""
    merged, renamed_object, renames = output / "merged.o", output / "osv.o", output / "renames.txt"
    archive = output / "libosv.a"
    run(tools.ld, "-r", "-o", merged, "--whole-archive", core)
    renamed = [name for name in globals_of(tools.nm, merged) if not name.startswith("osv_")]
    renames.write_text("".join(f"{name} osv_{name}\n" for name in renamed))
    run(tools.objcopy, f"--redefine-syms={renames}", merged, renamed_object)
    archive.unlink(missing_ok=True)
    run(tools.ar, "rcsD", archive, renamed_object)
    merged.unlink()
    foreign = [name for name in globals_of(tools.nm, archive) if not name.startswith("osv_")]
    if foreign:
        sys.exit(f"archive: {archive}: exports names without osv_: {' '.join(foreign)}")
    return renamed


def backend_header(name, backend_dirs):
    return next((d / name for d in backend_dirs if (d / name).is_file()), None)


def copy_headers(headers, backend_dirs, include):
    """Copies the public headers and, to host/, what they include from the backend's directories.
    Returns the identifiers in them."""
    queue = [(header, include / header.name) for header in headers]
    done, words = set(), set()

    def install_include(match):
        found = backend_header(match.group(1), backend_dirs)
        if found is None:
            return match.group(0)
        queue.append((found, include / "host" / found.name))
        return f"#include <osv/host/{found.name}>"

    while queue:
        source, target = queue.pop()
        if target not in done:
            done.add(target)
            text = re.sub(r'#include [<"]([\w.]+)[>"]', install_include, source.read_text())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            code = re.sub(r"/\*.*?\*/|//[^\n]*|#include[^\n]*", "", text, flags=re.S)
            words |= set(re.findall(r"\w+", code))
    for stale in set(include.rglob("*.h")) - done:
        stale.unlink()
    return words


def write_symbols(path, renamed, defines):
    text = SPDX + "/* Generated: how this library was built, and what its globals are called. */\n"
    text += "#pragma once\n"
    for define in defines:
        name, _, value = define.partition("=")
        text += f"#ifndef {name}\n#define {name} {value}\n#elif {name} != {value}\n"
        text += f'#error "this libosv was built with {name} {value}"\n#endif\n'
    text += "".join(f"#define {name} osv_{name}\n" for name in renamed)
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--headers", type=Path, nargs="+", required=True)
    parser.add_argument("--backend", type=Path, nargs="*", default=[])
    parser.add_argument("--define", action="append", default=[])
    for tool in ("ld", "nm", "objcopy", "ar"):
        parser.add_argument("--" + tool, default=tool)
    args = parser.parse_args()

    args.output.mkdir(parents=True, exist_ok=True)
    renamed = make_archive(args, args.core, args.output)
    include = args.output / "include/osv"
    words = copy_headers(args.headers, args.backend, include)
    write_symbols(include / "symbols.h", [name for name in renamed if name in words], args.define)


if __name__ == "__main__":
    main()
