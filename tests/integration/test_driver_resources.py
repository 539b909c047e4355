# SPDX-License-Identifier: Apache-2.0
"""What the API tells of drivers, through a real server: log, statistics, events, trial, answers, ontology, limits."""
import base64
import json
import time
import urllib.parse

import pytest

from lib import kit

DRIVER = """
function decodeUplink(input) {
  console.log('port', input.fPort, 'bytes', input.bytes.length);
  if (input.fPort === 9) {
    const missing = undefined;
    return missing.value;
  }
  if (input.fPort === 8) return { errors: ['first', 'second'], warnings: ['careful'] };
  if (input.fPort === 7) { for (;;) {} }
  return { data: { first: input.bytes[0] }, warnings: input.fPort === 3 ? ['low battery'] : [] };
}
function encodeDownlink(input) {
  console.warn('encoding', input.data.interval);
  return { fPort: 2, bytes: [input.data.interval] };
}
"""


def path_of(driver):
    return "/drivers/" + urllib.parse.quote(driver["id"], safe="")


def code_of(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def driver(api, ends):
    """A driver whose device's messages are decoded and delivered."""
    server = ends(kit.HttpCapture())
    connection = kit.make_http(api, server.url)
    kit.make_flow(api, [connection])
    made = kit.make_driver(api, DRIVER, module="probe")
    made["server"] = server
    return made


@pytest.fixture
def probe(binder, driver):
    return kit.Device(binder, "70B3D5E75E0000AA", kit.AS_ID, kit.AS_KEY,
                      {"app": {"pId": "sluice", "mId": "probe", "ver": "1"}})


def decode(api, driver, port, payload="0A"):
    return api.post("/decode", {"direction": "uplink", "meta": {"lorawan": {"fPort": port}, "driverId": driver["id"]},
                                "raw": {"binary": payload}})


def test_a_console_line_is_found_again(api, driver, probe):
    probe.send("0A0B", port=2)
    driver["server"].wait(1)
    entry = kit.wait_for(lambda: api.get(path_of(driver) + "/log"), what="the driver's log")[0]
    assert entry["lines"] == ["port 2 bytes 2"]
    assert (entry["level"], entry["operation"], entry["DevEUI"]) == ("log", "decodeUplink", probe.eui)
    assert (entry["payload"].upper(), entry["fPort"], entry["version"]) == ("0A0B", 2, "1.0.0")
    assert "byHand" not in entry
    decode(api, driver, 3)
    entry = api.get(path_of(driver) + "/log")[0]
    assert entry["warnings"] == ["low battery"] and entry["level"] == "warn" and entry["byHand"]
    api.post("/encode", {"direction": "downlink", "meta": {"driverId": driver["id"]}, "message": {"interval": 60}})
    entry = api.get(path_of(driver) + "/log?operation=encodeDownlink")[0]
    assert entry["lines"] == ["warn: encoding 60"] and json.loads(entry["payload"]) == {"interval": 60}
    with pytest.raises(kit.ApiError):
        decode(api, driver, 9)
    entry = api.get(path_of(driver) + "/log?level=error")[0]
    assert entry["code"] == "com-5002" and entry["line"] == 6, entry
    api.delete(path_of(driver) + "/log")
    assert api.get(path_of(driver) + "/log") == []


def test_the_log_survives_a_restart(sluice, api, driver):
    decode(api, driver, 2)
    sluice.restart()
    entries = sluice.api().get(path_of(driver) + "/log")
    assert entries[0]["lines"] == ["port 2 bytes 1"]


def test_a_thousand_failures_are_one_event(api, driver, probe):
    for number in range(1000):
        probe.send(f"{number % 256:02X}", port=9 if number % 2 else 8)
    probe.send("01", port=2)
    driver["server"].wait(1001, 60)
    found = api.get("/events?code=driver-2001")
    assert len(found) == 1, [event["message"] for event in found]
    data = found[0]["data"]
    assert data["count"] == 1000 and data["devices"] == 1
    assert data["firstCause"] != data["cause"]
    statistics = api.get(path_of(driver) + "/statistics")
    assert statistics["calls"] == 1001 and statistics["failures"] == 1000
    assert statistics["failuresByCode"] == {"com-5000": 500, "com-5002": 500}
    assert statistics["operations"]["decodeUplink"]["sequenceWoError"] == 1
    assert 0 < statistics["operations"]["decodeUplink"]["p50Ms"] <= statistics["operations"]["decodeUplink"]["p99Ms"] < 1000
    assert statistics["lastError"]["line"] == 6 and statistics["lastError"]["fPort"] == 9
    assert len(api.get(path_of(driver) + "/log")) <= 1000
    assert next(d for d in api.get("/drivers") if d["id"] == driver["id"])["decodedUplinksSequenceWoError"] == 1
    assert api.metric("sluice_driver_operations_total", operation="decodeUplink", result="exception") == 500
    # New code that works ends the trouble.
    api.patch(path_of(driver), {"version": "1.0.1", "code": code_of("function decodeUplink(i) { return { data: {} } }")})
    probe.send("01", port=9)
    driver["server"].wait(1002)
    kit.wait_for(lambda: api.get("/events?code=driver-2004"), what="the news that it works again")


def test_answers_tell_what_the_driver_said(api, driver):
    assert decode(api, driver, 3)["warnings"] == ["low battery"]
    assert "warnings" not in decode(api, driver, 2)
    with pytest.raises(kit.ApiError) as refused:
        decode(api, driver, 8)
    error = json.loads(refused.value.body)
    assert error["message"] == "driver internal errors: first, second"
    assert error["data"]["driverErrors"] == ["first", "second"] and error["data"]["warnings"] == ["careful"]
    with pytest.raises(kit.ApiError) as refused:
        decode(api, driver, 9)
    data = json.loads(refused.value.body)["data"]
    assert data["line"] == 6 and data["column"] > 0 and "decodeUplink" in data["stack"]
    assert data["input"] == {"fPort": 9, "bytes": "0a"}
    with pytest.raises(kit.ApiError) as refused:
        api.post("/decode/code", {"direction": "uplink", "meta": {"lorawan": {"fPort": 9}}, "raw": {"binary": "00"},
                                  "type": "lora-alliance", "code": code_of(DRIVER)})
    data = json.loads(refused.value.body)["data"]
    assert data["line"] == 6 and data["log"][0] == "port 9 bytes 1"


def test_a_new_version_is_tried_on_what_was_sent(api, driver, probe):
    for number in range(10):
        probe.send(f"{number:02X}", port=9 if number == 4 else 2)
    driver["server"].wait(10)
    code = """
function decodeUplink(input) {
  if (input.bytes[0] === 7) throw new Error('not seven');
  return { data: { first: input.bytes[0] === 5 ? 'five' : input.bytes[0] } };
}"""
    result = api.post(path_of(driver) + "/try", {"code": code_of(code)})
    assert {name: result[name] for name in ("uplinks", "same", "changed", "failed", "fixed")} == {
        "uplinks": 10, "same": 7, "changed": 1, "failed": 1, "fixed": 1}
    five = next(d for d in result["differences"] if d["payload"] == "05")
    assert five["before"]["data"] == {"first": 5} and five["after"]["data"] == {"first": "five"}
    assert five["DevEUI"] == probe.eui and five["FCntUp"] == 6
    assert len(driver["server"].requests) == 10
    assert api.get(path_of(driver))["code"] == code_of(DRIVER)
    assert api.post(path_of(driver) + "/try", {"last": 3})["same"] == 3


def test_a_driver_keeps_to_its_own_limits(api, driver):
    api.patch(path_of(driver), {"limits": {"callTime": "20ms", "result": "1KiB", "depth": 3}})
    decode(api, driver, 2)
    started = time.monotonic()
    with pytest.raises(kit.ApiError) as refused:
        decode(api, driver, 7)
    assert "com-5004" in refused.value.body
    short = time.monotonic() - started
    api.patch(path_of(driver), {"limits": None})
    started = time.monotonic()
    with pytest.raises(kit.ApiError) as refused:
        decode(api, driver, 7)
    assert "com-5004" in refused.value.body
    assert short < (time.monotonic() - started) - 0.3
    with pytest.raises(kit.ApiError) as refused:
        api.patch(path_of(driver), {"limits": {"callTime": "1h", "memory": "1TiB", "depth": 1000}})
    faults = json.loads(refused.value.body)["data"]["errors"]
    assert sorted(fault["path"] for fault in faults) == ["/limits/callTime", "/limits/depth", "/limits/memory"]


def test_the_ontology_is_open(api):
    token, api.token = api.token, None
    units = api.get("/ontology/units")
    assert len(units) == 115
    for unit in units:
        assert api.get("/ontology/units/" + urllib.parse.quote(unit["id"], safe="")) == unit
    sensors = api.get("/ontology/sensors?perPage=10")
    assert len(sensors) == 10
    assert api.get("/ontology/fields") == api.get("/ontology/sensors")
    api.token = token


def test_a_duplicate_decodes_like_the_first(api, driver):
    copy = api.post("/drivers", {"duplicateOf": driver["id"], "moduleId": "copied"})
    assert copy["id"] == "custom:copied:1"
    assert decode(api, copy, 2)["message"] == {"first": 10}
