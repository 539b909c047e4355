# SPDX-License-Identifier: Apache-2.0
"""`sluice driver import`: a catalogue goes into a stopped and into a running server, again and changed."""
import json
import os
import subprocess
import zlib

import pytest

from lib import kit

CODE = """function decodeUplink(input) { return { data: { release: %d, n: input.bytes.length } }; }
"""


class Catalogue:
    """Made for the test: vendors/maker with three drivers, one of them broken, one without code."""

    def __init__(self, directory):
        self.root = directory
        self.driver("one", "maker:one:1", CODE % 1, "packageName: '@lab/one'\npackageVersion: 1.1.0\nuseContext: true\n")
        self.driver("two", "maker:two:1", CODE % 1)
        self.driver("broken", "maker:broken:1", "function decodeUplink( {")
        self.driver("hidden", "maker:hidden:1", None)
        self.write("vendors/maker/models/m/model.yaml", "modelId: maker:m:1\nprotocolId: maker:one:1\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def driver(self, name, protocol, code, more=""):
        folder = f"vendors/maker/drivers/{name}"
        self.write(f"{folder}/driver.yaml", f"name: Driver {name}\nproducerId: lab\nprotocolId: {protocol}\n{more}")
        if code is not None:
            self.write(f"{folder}/index.js", code)
        self.write(f"{folder}/examples.json", json.dumps([
            {"type": "uplink", "description": "two bytes", "input": {"bytes": "0102", "fPort": 1},
             "output": {"data": {"release": 1, "n": 2}}}]))


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path / "catalogue")


def run(data, path, *options, env=None):
    """(exit code, report, text on standard error)"""
    done = subprocess.run([str(kit.BINARY), "driver", "import", "--data", str(data), "--report", "-", *options, str(path)],
                          capture_output=True, text=True, timeout=120, env={**os.environ, "NO_COLOR": "1", **(env or {})})
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def outcomes(report):
    return {os.path.basename(one["path"]): one["outcome"] for one in report["drivers"]}


def decode(api, module):
    return api.post("/decode", {"direction": "uplink", "meta": {"lorawan": {"fPort": 1}}, "raw": {"binary": "0102"},
                                "thing": {"application": {"producerId": "maker", "moduleId": module, "version": "1"}}})


ALL = {"one": "created", "two": "created", "broken": "refused", "hidden": "created"}
SAME = {"one": "unchanged", "two": "unchanged", "broken": "refused", "hidden": "unchanged"}


def test_into_a_stopped_server_and_its_start(tmp_path, catalogue):
    data = tmp_path / "server/data"
    code, report, _ = run(data, catalogue.root)
    assert code == 1  # one is broken
    assert outcomes(report) == ALL
    assert "SyntaxError" in next(one["reason"] for one in report["drivers"] if one["outcome"] == "refused")
    assert outcomes(run(data, catalogue.root)[1]) == SAME
    server = kit.Sluice(tmp_path / "server")
    try:
        api = server.api()
        assert decode(api, "one")["message"] == {"release": 1, "n": 2}
        driver = api.get("/drivers/lab:one:1")
        assert (driver["source"], driver["version"], driver["useContext"]) == ("system", "1.1.0", True)
        assert [one["description"] for one in driver["examples"]] == ["two bytes"]
        assert (data / "url").stat().st_mode & 0o777 == 0o600
    finally:
        server.stop()
    assert not (data / "url").exists()


def test_into_a_running_server(sluice, api, catalogue):
    code, report, _ = run(sluice.data, catalogue.root)
    assert (code, outcomes(report)) == (1, ALL)
    assert report["target"] == f"the server {sluice.url}"
    assert decode(api, "one")["message"]["release"] == 1
    assert outcomes(run(sluice.data, catalogue.root)[1]) == SAME

    # Changed: there at once, with the answer.
    catalogue.driver("two", "maker:two:1", CODE % 2)
    code, report, _ = run(sluice.data, catalogue.root / "vendors/maker/drivers/two")
    assert (code, outcomes(report)) == (0, {"two": "replaced"})
    assert decode(api, "two")["message"]["release"] == 2

    # Older: only by force.
    catalogue.driver("one", "maker:one:1", CODE % 0, "packageName: one\npackageVersion: 1.0.9\n")
    one = catalogue.root / "vendors/maker/drivers/one"
    code, report, _ = run(sluice.data, one)
    assert (code, report["drivers"][0]["reason"]) == (0, "version 1.0.9 is older than the installed 1.1.0")
    assert decode(api, "one")["message"]["release"] == 1
    assert outcomes(run(sluice.data, one, "--dry-run", "--force")[1]) == {"one": "replaced"}
    assert decode(api, "one")["message"]["release"] == 1
    assert outcomes(run(sluice.data, one, "--force")[1]) == {"one": "replaced"}
    assert decode(api, "one")["message"]["release"] == 0


def test_an_account_overrides_a_system_driver(sluice, api, catalogue):
    two = catalogue.root / "vendors/maker/drivers/two"
    assert run(sluice.data, two)[0] == 0
    catalogue.driver("two", "maker:two:1", CODE % 7)
    code, report, _ = run(sluice.data, two, "--account", "1")
    assert (code, outcomes(report)) == (0, {"two": "created"})
    assert api.get("/drivers/lab:two:1")["source"] == "imported"
    assert decode(api, "two")["message"]["release"] == 7
    api.delete("/drivers/lab:two:1")
    assert decode(api, "two")["message"]["release"] == 1


def test_trust_needs_leave_and_the_checksum(tmp_path, catalogue):
    code = "var c = require('crypto');\n" + CODE % 1
    checksum = f"{zlib.crc32(code.encode()):08x}"
    catalogue.driver("two", "maker:two:1", code, f"trustedCRC: {checksum}\n")
    two = catalogue.root / "vendors/maker/drivers/two"
    data = tmp_path / "data"
    status, report, _ = run(data, two)
    assert (status, outcomes(report)) == (1, {"two": "refused"})
    status, report, _ = run(data, two, "--trust")
    assert (status, outcomes(report)) == (0, {"two": "created"})


def test_what_goes_wrong_is_told(tmp_path, sluice, catalogue):
    code, _, text = run(sluice.data, catalogue.root, env={"SLUICE_ADMIN_SECRET": "wrong"})
    assert code == 1 and "the server gives no token" in text
    code, report, _ = run(tmp_path / "data", tmp_path / "nothing")
    assert (code, report["drivers"][0]["reason"]) == (1, "not there")
    with pytest.raises(kit.ApiError) as refused:
        sluice.api().post("/drivers/import", {"drivers": 1})
    assert refused.value.status == 400


def test_examples_are_run_where_asked(tmp_path, catalogue):
    catalogue.driver("two", "maker:two:1", CODE % 9)
    code, report, _ = run(tmp_path / "data", catalogue.root, "--check", "--dry-run")
    assert code == 1
    examples = {os.path.basename(one["path"]): one.get("examples") for one in report["drivers"]}
    assert (examples["one"]["passed"], examples["one"]["failed"]) == (1, 0)
    assert (examples["two"]["passed"], examples["two"]["failed"]) == (0, 1)
    assert "expected 1, got 9" in examples["two"]["failures"][0]
