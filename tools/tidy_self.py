# SPDX-License-Identifier: BSD-3-Clause
"""tools/tidy.py --self-test: seeds violations of each rule and sees that they are reported."""
import tempfile
from pathlib import Path

import tidy

SPDX_C = "/* SPDX-License-Identifier: BSD-3-Clause */\n"
SPDX_SH = "# SPDX-License-Identifier: BSD-3-Clause\n"
HEADER = SPDX_C + "#pragma once\n"
CLEAN = {
    "osv": "#!/bin/sh\n" + SPDX_SH,
    "src/CMakeLists.txt": SPDX_SH + "osv_room(NAME hal RANK 1 HEADERS hal.h)  # (no sources)\n",
    "src/base/CMakeLists.txt":
        SPDX_SH + "osv_room(NAME base RANK 0 HEADERS ring.h error.h compiler.h)\n",
    "src/sync/CMakeLists.txt":
        SPDX_SH + "osv_room(NAME sync RANK 6\n  HEADERS mutex.h lockrank.h\n  SOURCES mutex.c)\n",
    "include/osv/compiler.h": HEADER + "#include <osv/symbols.h>\n",
    "include/osv/error.h": HEADER + "#if defined(__linux__)\n#include <errno.h>\n#endif\n",
    "include/osv/hal.h":
        HEADER + "#include <stdint.h>\nvoid hal_cpu_idle(void);\n#include <hal_inline.h>\n",
    "include/osv/ring.h":
        HEADER + "/* R1 publishes, pairs with A1 in f and g and A2. A1 sees it: pairs with R1.\n"
                 " * A2 sees it too;\n * pairs with R1. */\n",
    "include/osv/mutex.h": HEADER + "#include <osv/ring.h>\n",
    "include/osv/lockrank.h":
        HEADER + "enum rank {\n    RANK_NONE = 0, /* none */\n    RANK_A = 10,\n};\n",
    "src/sync/mutex.c":
        SPDX_C + '#include "mutex_internal.h"\n#include <osv/mutex.h>\n'
                 'static const char *text = "#if __x86_64__";\n',
    "src/sync/mutex_internal.h": HEADER,
    "platform/host/hal_inline.h": HEADER + "#include <osv/hal.h>\n#ifdef __x86_64__\n#endif\n",
}
MUTEX = "src/sync/mutex.c"
RING = "include/osv/ring.h"
SEEDED = [  # (rule, file, text): with the file added or replaced, the rule is reported in it
    ("room", RING, HEADER + "#include <osv/mutex.h>\n"),
    ("room", "include/osv/lone.h", HEADER),
    ("room", MUTEX, SPDX_C + '#include "../base/ring_internal.h"\n'),
    ("room", "src/lost/lost.c", SPDX_C),
    ("room", "include/osv/hal.h", HEADER + "#include <osv/mutex.h>\n"),
    ("hal", MUTEX, SPDX_C + "#include <osv/hal.h>\n"),
    ("hal", "fuzz/fuzz_ring.c", SPDX_C + "#include <osv/hal.h>\n"),
    ("hal-count", "include/osv/hal.h", HEADER + "".join(f"int hal_{i}();\n" for i in range(40))),
    ("platform", MUTEX, SPDX_C + "#if 1 && defined(__aarch64__)\n#endif\n"),
    ("freestanding", MUTEX, SPDX_C + "#include <stdio.h>\n"),
    ("freestanding", "include/osv/mutex.h", HEADER + "#include <errno.h>\n"),
    ("spdx", "osv", "#!/bin/sh\n"),
    ("spdx", "src/sync/CMakeLists.txt", "\n\n" + CLEAN["src/sync/CMakeLists.txt"]),
    ("length", MUTEX, SPDX_C + "int x;\n" * 650),
    ("length", MUTEX, SPDX_C + "void f(void)\n{\n" + "    f();\n" * 91 + "}\n"),
    ("length", MUTEX, SPDX_C + "/*" + "x" * 110 + "*/\n"),
    ("space", MUTEX, SPDX_C + "\tint x;\n"),
    ("space", MUTEX, SPDX_C + "int x; \n"),
    ("space", MUTEX, SPDX_C + "int x;"),
    ("order", RING, HEADER + "/* R1 publishes, pairs with A1. */\n"),
    ("order", RING, HEADER + "/* R1 publishes, pairs with A1. */\n/* A1 reads, pairs with R2. */\n"
                             "// R2 publishes,\n// pairs with A1\n"),
    ("order", RING, HEADER + "/* publishes, pairs with A1. */ /* A1 reads, pairs with A1 */\n"),
    ("order", RING, HEADER + "/* R1 publishes, pairs with the load in ring_pop(). */\n"),
    ("unfinished", MUTEX, SPDX_C + "/* TO" "DO: the rest */\n"),
    ("pragma", "include/osv/mutex.h", SPDX_C),
    ("lockrank", "include/osv/lockrank.h",
     HEADER + "enum rank {\n    RANK_A = 10,\n    RANK_B = 10, /* the same */\n};\n"),
]


def run():
    def findings_with(changes):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in {**CLEAN, **changes}.items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return tidy.check(Path(directory))[1]

    failed = [f"clean tree: {finding}" for finding in findings_with({})]
    for rule, name, text in SEEDED:
        found = findings_with({name: text})
        if not any(f.rule == rule and f.path == name and not f.warning for f in found):
            failed.append(f"not reported: {rule} in {name} with {text[-60:]!r}")
        failed += [f"unrelated to the seeded {rule}: {f}" for f in found if f.rule != rule]
    soft = findings_with({"src/sync/mutex.c": SPDX_C + "/*" + "x" * 100 + "*/\n"})
    if [f.warning for f in soft] != [True]:
        failed.append("a line over the soft limit is a warning and no error")
    seeded = {rule for rule, _, _ in SEEDED}
    rules = {rule.__name__.removeprefix("rule_").replace("_", "-") for rule in tidy.RULES}
    failed += [f"no seeded violation of the rule {name}" for name in sorted(rules - seeded)]
    for line in failed:
        print(line)
    print(f"tidy self-test: {len(SEEDED)} violations of {len(rules)} rules, {len(failed)} failures")
    return 1 if failed else 0
