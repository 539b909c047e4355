# SPDX-License-Identifier: Apache-2.0
"""docs/write-a-connector.md works as it stands there, in a copy of the tree; and what `./dev new connector` refuses."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lib import kit

PAGE = kit.ROOT / "docs/write-a-connector.md"
TOOL = kit.ROOT / "tools/new_connector.py"


def run(words, cwd, seconds=60):
    """(exit code, what it said)."""
    got = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=seconds)
    return got.returncode, got.stdout + got.stderr


def new_connector(directory, *words):
    return run([sys.executable, TOOL, "--directory", directory, *words], kit.ROOT)


@pytest.fixture
def tree(tmp_path):
    """A copy of the tree without what was built. Compiling it costs little: ccache has it all but the new folder."""
    copy = tmp_path / "tree"
    shutil.copytree(kit.ROOT, copy, ignore=shutil.ignore_patterns("build", ".git", "sluice-data", "node_modules", "__pycache__"))
    return copy


def test_the_guide_from_nothing_to_passing(tree):
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.M | re.S))
    port = str(kit.free_port())
    # Of the kit that what `./dev test` takes of each connector.
    kit_alone = f"{sys.executable} -m pytest -q -p no:cacheprovider tests/conformance --connector my_cloud"
    for fixed, own in (("8090", port), ("./dev conformance my_cloud", kit_alone)):
        assert fixed in commands, fixed
        commands = commands.replace(fixed, own)
    out = tree / "out"
    environment = {name: value for name, value in os.environ.items() if name != "SLUICE_BINARY"}
    with open(out, "wb") as file:
        child = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=tree, stdout=file, stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
        try:
            status = child.wait(1500)
        finally:
            try:
                os.killpg(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
    shown = out.read_text(errors="replace")
    assert status == 0, shown[-6000:]
    assert re.search(r"MyCloudConnector\.Conforms \(", shown) and "[  PASSED  ]" in shown, shown[-6000:]
    assert '"id":"custom-my-cloud"' in shown, shown[-6000:]
    assert re.search(r"^[0-9]+ passed", shown, re.M), shown[-6000:]
    assert re.search(r"^\| my_cloud: .* msg/s|^\| my_cloud: ", shown, re.M), shown[-6000:]
    assert "layers hold" in shown, shown[-6000:]


def test_names_are_filled_in(tmp_path):
    status, said = new_connector(tmp_path, "my_cloud_2", "--producer", "acme", "--title", "My cloud & more")
    assert status == 0, said
    folder = tmp_path / "my_cloud_2"
    schema = json.loads((folder / "schema.json").read_text())
    assert schema["id"] == "acme-my-cloud-2"
    assert schema["description"] == "My cloud & more"
    assert "namespace sluice::connector::my_cloud_2 {" in (folder / "connector.cpp").read_text()
    assert json.loads((folder / "examples/tls.json").read_text())["connectorId"] == "acme-my-cloud-2"
    for path in folder.rglob("*"):
        assert path.is_dir() or not re.search("template", path.read_text(), re.I), path
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    template = kit.ROOT / "tools/connector_template"
    assert made == sorted(str(path.relative_to(template)) for path in template.rglob("*")
                          if path.is_file() and path.suffix != ".pyc")
    for name in made:
        assert re.search(rf"^  {re.escape(name)} +\S", said, re.M), name


@pytest.mark.parametrize("words, why", [
    (["My"], "no name of a folder"), (["9lives"], "no name of a folder"), (["a__b"], "no name of a folder"),
    (["../up"], "no name of a folder"), (["a" * 41], "no name of a folder"), ([""], "no name of a folder"),
    (["net"], "something else"), (["json"], "something else"), (["validate"], "something else"), (["class"], "something else"),
    (["fine", "--producer", "A B"], "no producer"), (["fine", "--title", 'a "quoted" one'], "title"),
    (["fine", "--title", "two\nlines"], "title"), (["fine", "--title", " "], "title"),
    (["there"], "nothing is overwritten"), (["taken"], "already"), (["fine", "--producer", "acme"], "already"),
    (["fine", "--directory", "nowhere"], "no directory"),
], ids=lambda value: "-".join(value) if isinstance(value, list) else "")
def test_what_is_refused(tmp_path, words, why):
    (tmp_path / "there").mkdir()
    (tmp_path / "outer/taken").mkdir(parents=True)
    (tmp_path / "outer/taken/connector.cpp").write_text("")
    (tmp_path / "outer/schema.json").write_text('{"id": "acme-fine"}')
    before = sorted(str(path) for path in pathlib.Path(tmp_path).rglob("*"))
    status, said = new_connector(tmp_path, *words)
    assert status != 0 and why in said and "Traceback" not in said, said
    assert sorted(str(path) for path in pathlib.Path(tmp_path).rglob("*")) == before
