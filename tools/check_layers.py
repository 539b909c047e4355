#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every `#include "folder/..."` below src/ against the uses each folder is allowed (docs/architecture.md).

The table is read from CMakeLists.txt, where the libraries are linked by it, so the two cannot drift apart. A connector may
not include another connector's folder."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
FOLDER = re.compile(r"^sluice_folder\((\w+)\s*(.*?)\)", re.M | re.S)
CONNECTORS = re.compile(r"^sluice_connectors\(\s*(.*?)\)", re.M | re.S)
KEYWORDS = {"USES", "LINK", "EXECUTABLE"}


def uses(arguments):
    words, taken, active = arguments.split(), set(), False
    for word in words:
        if word in KEYWORDS:
            active = word == "USES"
        elif active:
            taken.add(word)
    return taken


def allowed():
    text = (ROOT / "CMakeLists.txt").read_text()
    table = {name: uses(arguments) for name, arguments in FOLDER.findall(text)}
    for arguments in CONNECTORS.findall(text):
        table["connector"] = uses(arguments)
    return table


def check(root, table):
    """The faults found, one text each."""
    faults = []
    source = root / "src"
    for path in sorted(source.rglob("*")):
        if path.suffix not in (".h", ".cpp"):
            continue
        relative = path.relative_to(source)
        folder = relative.parts[0]
        if folder not in table:
            faults.append(f"src/{relative}: folder '{folder}' is not declared in CMakeLists.txt")
            continue
        for target in INCLUDE.findall(path.read_text()):
            parts = pathlib.PurePosixPath(target).parts
            if parts[0] not in table and not (source / target).exists():
                faults.append(f'src/{relative}: "{target}" is not a path below src/')
                continue
            if parts[0] != folder and parts[0] not in table[folder]:
                faults.append(f"src/{relative}: '{folder}' may not use '{parts[0]}' (\"{target}\")")
            if (folder == parts[0] == "connector" and len(parts) > 2 and len(relative.parts) > 2
                    and parts[1] not in (relative.parts[1], "testing")):
                faults.append(f"src/{relative}: connector '{relative.parts[1]}' may not use connector '{parts[1]}'")
    return faults


def main():
    table = allowed()
    if not {"base", "connector", "app"} <= set(table):
        sys.exit("check_layers: the folders' table was not found in CMakeLists.txt")
    faults = check(ROOT, table)
    for fault in faults:
        print(fault)
    print(f"{len(faults)} forbidden uses" if faults else "layers hold")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
