# SPDX-License-Identifier: Apache-2.0
"""The commands of the documentation work as they stand there."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

from lib import kit

DOCS = kit.ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def commands(path):
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.M | re.S))


def test_get_started(tmp_path):
    text = commands(DOCS / "get-started.md")
    assert "mosquitto_sub" in text and "curl" in text
    # The test's own ports and directory in place of the page's, the binary under test in place of the build.
    for fixed, own in ((":8080", f":{kit.free_port()}"), ("18830", str(kit.free_port())), ("./sluice-data", str(tmp_path / "data")),
                       ("./dev build\n", ""), ("build/release/sluice", str(kit.BINARY))):
        assert fixed in text, fixed
        text = text.replace(fixed, own)
    out = tmp_path / "out"
    with open(out, "wb") as file:
        child = subprocess.Popen(["bash", "-euo", "pipefail", "-c", text], cwd=kit.ROOT, stdout=file, stderr=subprocess.STDOUT,
                                 start_new_session=True)
        try:
            status = child.wait(120)
        finally:
            os.killpg(child.pid, signal.SIGTERM)  # the server and the broker that the page leaves running
    shown = out.read_text()
    assert status == 0, shown
    assert '"payload":{"temperature":20.79,"humidity":45,"battery":3.6}' in shown
    assert '"message":{"temperature":20.79,"humidity":45,"battery":3.6}' in shown
    assert re.search(r"arrived 60, lost 0, duplicates 0", shown), shown


@pytest.mark.parametrize("page", sorted(path.relative_to(kit.ROOT) for path in
                                        [*kit.ROOT.glob("*.md"), *DOCS.glob("*.md"), *(kit.ROOT / "examples").rglob("*.md")]),
                         ids=str)
def test_links_lead_somewhere(page):
    path = kit.ROOT / page
    for target in LINK.findall(path.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / pathlib.PurePosixPath(target)).exists(), f"{page} links to {target}"


def test_every_word_of_dev_is_in_its_help():
    script = (kit.ROOT / "dev").read_text()
    words = re.findall(r"^  ([a-z]+)\) [a-z_]+(?: \"\$@\")? ;;", script, re.M)
    shown = subprocess.run(["./dev", "help"], cwd=kit.ROOT, capture_output=True, text=True, check=True).stdout
    assert len(words) >= 9
    for word in words:
        assert re.search(rf"^  {word}\b", shown, re.M), word
