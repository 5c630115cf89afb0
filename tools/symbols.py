#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""No global of the core may have the name of one of libc's: on the host both are in one program.

    tools/symbols.py [--nm NM] --libc LIBC_SO ARCHIVE...

Prints each name that both define, with the object, and exits with 1 if there is one.
"""
import argparse
import subprocess
import sys

# What the compiler itself may call, and what a program must define for libc.
ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}


def defined(nm, *arguments):
    """(archive:object, name) of each global that the files define; version suffixes are cut off."""
    command = [nm, "--defined-only", "--extern-only", "--format=posix", "--print-file-name"]
    command += arguments
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        where, _, rest = line.partition(": ")
        yield where, rest.split()[0].partition("@")[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--libc", required=True)
    parser.add_argument("archives", nargs="+")
    args = parser.parse_args()
    libc = {name for _, name in defined(args.nm, "--dynamic", args.libc)}
    ours = list(defined(args.nm, *args.archives))
    if len(libc) < 1000 or not ours:
        sys.exit(f"symbols: only {len(libc)} names in {args.libc} and {len(ours)} of ours")
    collisions = [(where, name) for where, name in ours if name in libc and name not in ALLOWED]
    for where, name in collisions:
        print(f"{where}: symbols: {name} is also libc's; rename it or make it static")
    print(f"symbols: {len(ours)} of ours, {len(libc)} of libc's, {len(collisions)} in common")
    sys.exit(1 if collisions else 0)


if __name__ == "__main__":
    main()
