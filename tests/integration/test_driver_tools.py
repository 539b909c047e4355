# SPDX-License-Identifier: Apache-2.0
"""`sluice driver new|test|bench` and `sluice codec`: what a driver's author has in hand."""
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from lib import kit

CLIMATE = kit.ROOT / "examples/drivers/climate"
FORMATS = kit.ROOT / "tests/data/drivers/formats"
SIGNATURES = ["lora-alliance", "actility", "ttn", "chirpstack"]


def sluice(*words, stdin="", env=None, cwd=None):
    done = subprocess.run([str(kit.BINARY), *map(str, words)], input=stdin, text=True, capture_output=True, timeout=120,
                          env={**os.environ, **(env or {})}, cwd=cwd)
    assert done.returncode in (0, 1, 2), done
    return done


def last_line(done):
    return done.stdout.rstrip("\n").split("\n")[-1]


def test_the_example_passes():
    done = sluice("driver", "test", CLIMATE)
    assert done.returncode == 0, done.stdout
    assert last_line(done) == "4 passed, 0 failed"
    assert "line coverage" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_new_driver_passes_and_every_line_is_reached(tmp_path, signature):
    folder = tmp_path / signature
    made = sluice("driver", "new", "kettle", "--signature", signature, "--dir", folder, "--producer", "acme")
    assert made.returncode == 0, made.stderr
    done = sluice("driver", "test", folder)
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"\d+ passed, 0 failed", last_line(done))
    assert "line coverage 100.0 %" in done.stdout
    assert "warning" not in done.stdout
    decoded = sluice("codec", "decode", "--driver", folder, "--fport", "1", "00D75024")
    assert json.loads(decoded.stdout)["data"] == {"temperature": 21.5, "humidity": 40, "batteryVoltage": 3.6}
    assert json.loads(decoded.stdout)["points"]["temperature"]["unitId"] == "Cel"
    encoded = sluice("codec", "encode", "--driver", folder, "--fport", "1", '{"interval":60}')
    assert json.loads(encoded.stdout) == {"bytes": "01003c", "fPort": 1}
    again = sluice("driver", "new", "kettle", "--dir", folder)
    assert again.returncode == 2 and "is there already" in again.stderr


def test_new_checks_the_name(tmp_path):
    for name in ("Kettle", "a b", "../x"):
        refused = sluice("driver", "new", name, cwd=tmp_path)
        assert refused.returncode == 2 and "may have lower-case letters" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name,passed", [("current", 12), ("legacy", 8), ("samples", 2)])
def test_every_form_of_examples_passes(name, passed):
    done = sluice("driver", "test", FORMATS / name)
    assert done.returncode == 0, done.stdout
    assert last_line(done) == f"{passed} passed, 0 failed"
    assert "skipped" not in done.stdout


def test_a_package_of_npm_passes(tmp_path):
    archive = tmp_path / "legacy-2.5.1.tgz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(FORMATS / "legacy", "package")
    done = sluice("driver", "test", archive)
    assert (done.returncode, last_line(done)) == (0, "8 passed, 0 failed"), done.stdout


@pytest.fixture
def broken(tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(CLIMATE, folder)
    code = (folder / "index.js").read_text().replace("temperature / 100", "temperature / 10")
    code = code.replace('return { errors: ["unknown FPort " + input.fPort] };', "return lost.port;")
    (folder / "index.js").write_text(code)
    examples = json.loads((folder / "examples.json").read_text())
    examples.append({"type": "uplink", "description": "another port", "bytes": "00", "fPort": 7, "data": {}})
    (folder / "examples.json").write_text(json.dumps(examples))
    return folder


def test_a_broken_driver_fails_and_tells_why(broken, tmp_path):
    report = tmp_path / "report.json"
    done = sluice("driver", "test", broken, "--json", report)
    assert done.returncode == 1
    assert last_line(done) == "2 passed, 3 failed"
    # What differs, by its path, with the input that shows it.
    assert re.search(r"input +bytes 01081f5a0e10, fPort 2\n.*\n? +data\.temperature\n +expected +20\.79\n +got +207\.9\n",
                     done.stdout), done.stdout
    # Where it threw, in the author's own file, with the line and a mark below it.
    assert re.search(r"index\.js:\d+:\d+ in decodeUplink\n +\d+ \| .*return lost\.port;\n +\| +\^", done.stdout), done.stdout
    listed = json.loads(report.read_text())
    assert (listed["passed"], listed["failed"]) == (2, 3)
    wrong = listed["drivers"][0]["examples"][0]
    assert wrong["differences"] == [{"path": "data.temperature", "expected": 20.79, "got": 207.9}]
    assert wrong["input"]["bytes"] == "01081f5a0e10"
    thrown = listed["drivers"][0]["examples"][-1]
    assert thrown["where"]["file"] == "index.js" and thrown["where"]["line"] > 1


def test_colours_are_for_terminals(broken):
    assert "\x1b[31m" in sluice("driver", "test", broken, env={"CLICOLOR_FORCE": "1"}).stdout
    assert "\x1b" not in sluice("driver", "test", broken, env={"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}).stdout


def test_nothing_to_run_is_no_success(tmp_path):
    script = tmp_path / "bare.js"
    script.write_text("function decodeUplink(input) { return { data: {} }; }")
    done = sluice("driver", "test", script)
    assert (done.returncode, last_line(done)) == (1, "0 passed, 0 failed")
    done = sluice("driver", "test", CLIMATE, "--filter", "no such thing")
    assert (done.returncode, last_line(done)) == (1, "0 passed, 0 failed")
    assert sluice("driver", "test", tmp_path / "missing").returncode == 1
    assert last_line(sluice("driver", "test", CLIMATE, "--filter", "FROST")) == "1 passed, 0 failed"


def test_many_drivers_have_a_line_each(tmp_path, broken):
    shutil.copytree(CLIMATE, tmp_path / "vendors/acme/drivers/climate")
    shutil.copytree(broken, tmp_path / "vendors/acme/drivers/other")
    yaml = tmp_path / "vendors/acme/drivers/other/driver.yaml"
    yaml.write_text(yaml.read_text().replace("sluice:climate:1", "sluice:other:1").replace(": climate", ": other"))
    done = sluice("driver", "test", tmp_path, "--no-coverage")
    assert (done.returncode, last_line(done)) == (1, "6 passed, 3 failed"), done.stdout
    assert "2 drivers, 1 of them failing" in done.stdout


def test_a_loop_ends(tmp_path):
    script = tmp_path / "loop.js"
    script.write_text("function decodeUplink(input) { for (;;) {} }")
    done = sluice("codec", "decode", "--driver", script, "00")
    assert done.returncode == 1 and "timed out" in done.stderr


def test_the_console_of_a_driver_cannot_steer_the_terminal(tmp_path):
    script = tmp_path / "evil.js"
    script.write_text(r"function decodeUplink(input) { console.log('\x1b[2J'); throw new Error('\x1b]0;x\x07'); }")
    done = sluice("codec", "decode", "--driver", script, "00")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr and "\\x1b[2J" in done.stderr


def test_codec_takes_what_a_driver_may_be_given(tmp_path):
    script = tmp_path / "echo.js"
    script.write_text("function decodeUplink(i) { console.log('hello'); return { data: { b: i.bytes, p: i.fPort, t: i.recvTime, "
                      "k: i.thing.setup.key, e: i.DevEUI }, warnings: ['careful'] }; }\n"
                      "function decodeDownlink(i) { return { data: { down: i.bytes } }; }")
    done = sluice("codec", "decode", "--driver", script, "--fport", "3", "--time", "2024-11-21T01:02:44Z", "--setup", "key=7",
                  "--dev-eui", "0011223344556677", "-", stdin="0A 0b\n")
    assert json.loads(done.stdout)["data"] == {"b": [10, 11], "p": 3, "t": "2024-11-21T01:02:44.000Z", "k": "7",
                                               "e": "0011223344556677"}
    assert "warning: careful" in done.stderr and "console: hello" in done.stderr
    down = sluice("codec", "decode", "--downlink", "--driver", script, "0a")
    assert json.loads(down.stdout)["data"] == {"down": [10]}
    assert sluice("codec", "encode", "--driver", script, "{}").returncode == 1
    assert sluice("codec", "decode", "--driver", script, "0").returncode == 1
    assert sluice("codec", "decode", "00").returncode == 2
    missing = tmp_path / "typo.js"
    missing.write_text("function decodeUplink(input) {\n  return { data: missing };\n}")
    done = sluice("codec", "decode", "--driver", missing, "00")
    assert done.returncode == 1 and re.search(r"typo\.js:2:\d+", done.stderr), done.stderr
    assert "2 |   return { data: missing };" in done.stderr


def test_codec_asks_a_running_server(tmp_path):
    server = kit.Sluice(tmp_path)
    try:
        driver = kit.make_driver(server.api(), kit.climate_code())
        common = ["--driver-id", driver["id"], "--data", server.data]
        done = sluice("codec", "decode", *common, "--fport", "2", "01FE70C80B54")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["data"] == {"temperature": -4, "humidity": 100, "battery": 2.9}
        assert "warning: battery is low" in done.stderr
        secret = tmp_path / "secret"
        secret.write_text(server.secret + "\n")
        done = sluice("codec", "encode", "--driver-id", driver["id"], "--url", server.url, "--client-secret-file", secret,
                      '{"interval":60}')
        assert json.loads(done.stdout) == {"bytes": "01003c", "fPort": 2}
        done = sluice("codec", "decode", *common, "--fport", "9", "00")
        assert done.returncode == 1 and "unknown FPort 9" in done.stderr
    finally:
        server.stop()


def test_bench_measures():
    done = sluice("driver", "bench", CLIMATE, "--seconds", "0.5", "--hosts", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    rate = re.search(r"decodes a second +([\d,]+)", done.stdout)
    assert rate and int(rate.group(1).replace(",", "")) > 500, done.stdout
    assert "a call, p99" in done.stdout and "failed" not in done.stdout
