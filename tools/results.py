#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the results below a directory and prints the last line of `./dev test`: "N passed, N failed".

Read are GoogleTest's XML (unit-*/NAME.xml), ctest's JUnit (unit-*/ctest.junit, for a binary that died before it could write
its own), pytest's JUnit (*.junit) and NAME.step ("single passed": the step is one test; "counted failed": it failed, and
counts only where none of its tests did)."""
import pathlib
import sys
import xml.etree.ElementTree as xml


def suite(path):
    """(passed, names of what failed) of a JUnit-like file."""
    passed, failed = 0, []
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed.append(name)
        elif case.find("skipped") is None and case.get("status") not in ("notrun", "disabled"):
            passed += 1
    return passed, failed


def unit(directory):
    """The tests of one preset: each binary by its own report, by ctest's where that is missing or hides a failure."""
    passed, failed = 0, []
    own = {}
    for path in directory.glob("*.xml"):
        try:
            own[path.stem] = suite(path)
        except xml.ParseError:
            pass  # cut off by a crash: ctest tells
    binaries = {}
    if (directory / "ctest.junit").exists():
        for case in xml.parse(directory / "ctest.junit").getroot().iter("testcase"):
            binaries[case.get("name")] = case.get("status") == "fail" or case.find("failure") is not None
    for name, bad in binaries.items():
        count, faults = own.pop(name + "_test", own.pop(name, (None, None)))
        if count is None:
            passed, failed = (passed, failed + [name]) if bad else (passed + 1, failed)
            continue
        passed += count
        failed += faults or ([f"{name} (after its tests)"] if bad else [])
    for count, faults in own.values():
        passed, failed = passed + count, failed + faults
    return passed, failed


def main():
    root = pathlib.Path(sys.argv[1])
    groups = {}
    for directory in sorted(root.glob("unit-*/")):
        groups[directory.name] = unit(directory)
    for path in sorted(root.glob("*.junit")):
        groups[path.stem] = suite(path)
    for path in sorted(root.glob("*.step")):
        kind, status = path.read_text().split()
        if kind == "single":
            groups[path.stem] = (1, []) if status == "passed" else (0, [path.stem])
        elif not groups.get(path.stem, (0, []))[1]:
            groups[path.stem] = (groups.get(path.stem, (0, []))[0], [path.stem])
    passed = sum(group[0] for group in groups.values())
    failed = sum(len(group[1]) for group in groups.values())
    for name, (good, bad) in groups.items():
        print(f"   {name}: {good} passed, {len(bad)} failed" + "".join(f"\n      FAILED {fault}" for fault in bad))
    if passed == 0 and failed == 0:
        failed = 1  # no result at all is no success
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
