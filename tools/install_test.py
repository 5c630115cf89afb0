#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Installs a build of osv and uses it as a stranger would.

    tools/install_test.py --build BUILD --work WORK --root ROOT [--cc CC]

Installs to WORK/prefix; sees that every global of libosv.a begins with osv_, that every header
compiles alone and that it leaves no name of ours without that prefix; then builds and runs
examples/pipeline, copied out of the tree, once by find_package(osv) and once by pkg-config.
"""
import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]


def run(*command, **options):
    """Runs a command, shows it, and ends the test if it fails. Returns its standard output."""
    command = [str(word) for word in command]
    if "input" not in options:
        print("+", shlex.join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}install test: exit status {done.returncode}: {shlex.join(command)}")
    return done.stdout


def check_archive(archive):
    text = run("nm", "--defined-only", "--extern-only", "--format=posix", archive)
    names = re.findall(r"^(\S+) [A-Za-z] [^:\n]*$", text, re.M)
    foreign = [name for name in names if not name.startswith("osv_")]
    if foreign or not names:
        sys.exit(f"install test: {archive}: {len(names)} globals, without osv_: {foreign}")
    print(f"{len(names)} globals, all osv_*")


def check_headers(cc, include):
    """Each header alone: it compiles, and symbols.h comes before the first name that it renames."""
    symbols = (include / "osv/symbols.h").read_text()
    renamed = set(re.findall(r"^#define (\w+) osv_\1$", symbols, re.M))
    headers = sorted((include / "osv").glob("*.h"))
    for header in headers:
        unit = f"#include <osv/{header.name}>\n#include <osv/{header.name}>\n"
        options = ["-x", "c", "-std=gnu11", f"-I{include}", "-"]
        run(cc, "-fsyntax-only", *WARNINGS, *options, input=unit)
        text = run(cc, "-E", "-P", *options, input=unit)
        names = renamed & set(re.findall(r"\w+", re.sub(r'"[^"\n]*"', "", text)))
        if names:
            sys.exit(f"install test: osv/{header.name} must include osv/compiler.h before {names}")
    print(f"{len(headers)} headers, each compiles alone")


def main():
    parser = argparse.ArgumentParser()
    for option in ("build", "work", "root"):
        parser.add_argument("--" + option, type=Path, required=True)
    parser.add_argument("--cc", default="cc")
    args = parser.parse_args()

    shutil.rmtree(args.work, ignore_errors=True)
    prefix, example = args.work / "prefix", args.work / "pipeline"
    run("cmake", "--install", args.build, "--prefix", prefix)
    check_archive(prefix / "lib/libosv.a")
    check_headers(args.cc, prefix / "include")
    shutil.copytree(args.root / "examples/pipeline", example)

    run("cmake", "-S", example, "-B", example / "build", "-G", "Ninja",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={args.cc}",
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    run("cmake", "--build", example / "build")
    print(run(example / "build/pipeline"), end="")

    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "osv", env=environment)
    program = example / "pipeline-pkgconfig"
    run(args.cc, "-std=gnu11", "-O2", *WARNINGS, example / "main.c", "-o", program,
        *shlex.split(flags))
    print(run(program), end="")


if __name__ == "__main__":
    main()
