#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a folder to start a connector from: a small one that builds, works and passes its tests (tools/connector_template)."""
import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "tools/connector_template"
# What the folder holds, in the order in which one reads it.
FILES = {
    "schema.json": "who the connector is, and each property of its connections: type, default, limits, text",
    "connector.cpp": "the code: open, send, close",
    "connector_test.cpp": "its tests: what every connector must do, then its own cases",
    "conformance.py": "its peer, for the conformance kit",
    "bench.py": "its peer, for ./dev bench connectors",
    "README.md": "for its users: set-up, delivery, limits, troubleshooting",
    "examples/clear.json": "a connection's body, without TLS",
    "examples/tls.json": "a connection's body, with TLS",
}
CPP_WORDS = """alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const constexpr continue
decltype default delete do double dynamic else enum explicit export extern false float for friend goto if inline int long main mutable
namespace new noexcept not nullptr operator or private protected public register requires return short signed sizeof static std
struct switch template this throw true try typedef typeid typename union unix linux unsigned using virtual void volatile wchar
while xor boost asio""".split()
NAME, PRODUCER = r"[a-z][a-z0-9]*(_[a-z0-9]+)*", r"[a-z][a-z0-9]*"
LONGEST = 40


def refuse(why):
    sys.exit(f"new connector: {why}")


def taken_names(source):
    """Names that mean something in the namespace where a connector's own would stand: folder name -> what has it."""
    taken = {word: "C++" for word in CPP_WORDS}
    for folder in source.iterdir():
        if folder.is_dir():
            taken[folder.name] = f"the folder src/{folder.name}"
    for folder in ("base", "connector"):
        for header in sorted((source / folder).glob("*.h")):
            text = header.read_text()
            spaces = re.findall(r"\bnamespace [\w:]*?(\w+) \{", text)
            functions = re.findall(r"^(?:\[\[\w+\]\] )?[\w:<>&*, ]+[ &*](\w+)\(", text, re.M)
            for name in spaces + functions:
                taken.setdefault(name, f"src/{folder}/{header.name}")
    return taken


def check(name, producer, title, connectors, source):
    if not re.fullmatch(NAME, name) or len(name) > LONGEST:
        refuse(f"'{name}' is no name of a folder: lower-case letters, digits and single underscores between them, at most {LONGEST}, "
               "as in my_cloud")
    if not re.fullmatch(PRODUCER, producer) or len(producer) > LONGEST:
        refuse(f"'{producer}' is no producer: lower-case letters and digits, as in actility")
    if not title.strip() or len(title) > 80 or re.search(r'["\\\x00-\x1f]', title):
        refuse("a title is one line of at most 80 characters without quotation marks and backslashes")
    # A connector inside another's folder has a name of its own, too.
    for other in [path.parent for pattern in ("*/connector.cpp", "*/*/connector.cpp") for path in connectors.glob(pattern)]:
        if other.name == name:
            refuse(f"there is a connector {name} already: {other}")
    if (connectors / name).exists() or (connectors / name).is_symlink():
        refuse(f"{connectors / name} is there already: nothing is overwritten; choose another name")
    owner = taken_names(source).get(name)
    if owner:
        refuse(f"'{name}' would be the connector's namespace, but means something else there already ({owner}): choose another, as "
               f"{name}_cloud")
    ident = f"{producer}-{name.replace('_', '-')}"
    for schema in connectors.glob("**/schema.json"):
        if json.loads(schema.read_text()).get("id") == ident:
            refuse(f"there is a connector with the id {ident} already: {schema.parent}")


def main():
    parser = argparse.ArgumentParser(prog="./dev new connector", description="Makes src/connector/NAME: a small connector that builds, "
                                     "works and passes its tests, to be changed into yours (docs/write-a-connector.md).")
    parser.add_argument("name", metavar="NAME", help="of the folder: lower-case letters, digits and underscores, as my_cloud")
    parser.add_argument("--producer", default="custom", help="who writes it: first part of the connector's id (custom)")
    parser.add_argument("--title", help="what people call it; default: from NAME")
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "src/connector",
                        help="where the folder is made; default: src/connector, where the build finds it")
    options = parser.parse_args()
    name = options.name
    title = options.title if options.title is not None else name.replace("_", " ").capitalize()
    if not options.directory.is_dir():
        refuse(f"there is no directory {options.directory}")
    check(name, options.producer, title, options.directory, ROOT / "src")

    words = {"template_name": name, "template-name": name.replace("_", "-"), "template_producer": options.producer,
             "TemplateName": "".join(part.capitalize() for part in name.split("_")), "TEMPLATE_TITLE": title.strip()}
    folder = options.directory / name
    try:
        for file in FILES:
            text = re.sub("|".join(words), lambda found: words[found[0]], (TEMPLATE / file).read_text())
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
    except OSError as error:
        refuse(f"cannot write {error.filename}: {error.strerror}")
    inside = folder.resolve().is_relative_to(ROOT)
    shown = folder.resolve().relative_to(ROOT) if inside else folder
    print(f"Made {shown}/, the connector {options.producer}-{words['template-name']}")
    for file, purpose in FILES.items():
        print(f"  {file:<20} {purpose}")
    print("Next:\n"
          f"  ./dev build release connector_{name}_test\n"
          f"  build/release/connector_{name}_test\n"
          "then docs/write-a-connector.md")
    if not (inside and folder.resolve().parent == ROOT / "src/connector"):
        print("Note: the build takes connectors from src/connector only: move the folder there.")


if __name__ == "__main__":
    main()
