# SPDX-License-Identifier: Apache-2.0
"""Where did my uplink go? By the API and by `sluice trace`: delivered, waiting, refused, matched by nothing, never come."""
import json
import subprocess

import pytest

from lib import kit


def trace(sluice, device, *options, code=0):
    done = subprocess.run([kit.BINARY, "trace", device, "--data", sluice.data, *options], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def last(api, device, outcome):
    """The device's newest message once it has that outcome at one connection."""
    def look():
        got = api.get(f"/messages?deviceEui={device.eui}&limit=1")
        return got[0] if got and any(one["outcome"] == outcome for one in got[0]["outcomes"]) else None
    return kit.wait_for(look, 15, "the message to be " + outcome, every=0.1)


@pytest.fixture
def delivered(api, broker, device):
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_mqtt(api, broker.port)
    flow = kit.make_flow(api, [connection], matchers=[kit.key_matcher(device.eui)])
    api.wait_state(connection["id"], "OPENED")
    device.send()
    return connection, flow, last(api, device, "delivered")


def test_a_delivered_uplink(sluice, api, device, delivered):
    connection, flow, message = delivered
    assert [step["stage"] for step in message["way"]] == ["stored", "routed", "decoded", "sent", "delivered"]
    assert message["complete"] is True and message["FCntUp"] == 1 and message["type"] == "deviceUplink"
    outcome, = message["outcomes"]
    assert outcome["connectionName"] == "broker" and outcome["flowId"] == flow["id"] and outcome["attempts"] == 1
    one = api.get("/messages/" + message["id"])
    assert one["way"] == message["way"] and one["report"]["DevEUI_uplink"]["payload_hex"] == "01081F5A0E10"
    text = trace(sluice, device.eui.lower())
    assert "uplink #1, port 2" in text and "✓ delivered to broker (connection " + connection["id"] in text
    assert "decoded by" in text and "\x1b" not in text
    as_json = json.loads(trace(sluice, device.eui, "--json"))
    assert as_json["messages"][0]["id"] == message["id"] and as_json["flows"][0]["matches"] is True


def test_the_newest_come_first_and_as_many_as_asked_for(api, device, delivered):
    for _ in range(4):
        device.send()
    kit.wait_for(lambda: [m["FCntUp"] for m in api.get(f"/messages?deviceEui={device.eui}&limit=3")] == [5, 4, 3], every=0.1)


def test_after_a_restart_the_log_still_tells(sluice, api, device, delivered):
    _, _, message = delivered
    sluice.restart()
    api = sluice.api()
    got, = api.get(f"/messages?deviceEui={device.eui}")
    assert got["id"] == message["id"] and got["complete"] is False and got["outcomes"] == []
    assert [step["stage"] for step in got["way"]] == ["stored"] and "no longer kept" in got["note"]
    assert api.get("/messages/" + message["id"])["report"]["DevEUI_uplink"]["DevEUI"] == device.eui
    assert "no longer kept" in trace(sluice, device.eui)


def test_an_uplink_that_waits(sluice, api, device):
    port = kit.free_port()
    connection = kit.make_mqtt(api, port, "dead")
    kit.make_flow(api, [connection])
    device.send()
    api.wait_state(connection["id"], "UNREACHABLE")
    outcome, = last(api, device, "pending")["outcomes"]
    assert outcome["connectionState"] == "UNREACHABLE" and outcome["pendingMessages"] == 1
    text = trace(sluice, device.eui)
    assert "… waiting for dead" in text and "UNREACHABLE" in text and "Nothing is lost" in text
    sluice.restart()
    api = sluice.api()
    outcome, = last(api, device, "pending")["outcomes"]
    assert outcome["connectionId"] == connection["id"], "found on its list, though the book is empty"
    assert "waiting for dead" in trace(sluice, device.eui)


def test_a_refused_uplink_and_a_broken_driver(sluice, api, device, ends):
    server = ends(kit.HttpCapture(lambda request: (400, "no such thing")))
    driver = kit.make_driver(api, "function decodeUplink(input) { throw new Error('broken on purpose'); }")
    connection = kit.make_http(api, server.url, "cloud", strictMode=False)  # or 400 is tried again
    kit.make_flow(api, [connection], driver=driver["id"])
    api.wait_state(connection["id"], "OPENED")
    device.send()
    message = last(api, device, "refused")
    assert "400" in message["outcomes"][0]["cause"]
    text = trace(sluice, device.eui)
    assert "broken on purpose" in text and "✗ refused for cloud" in text and "400" in text and "deadLetters" in text


def test_tries_are_told(sluice, api, device, ends):
    answers = [503, 200]
    server = ends(kit.HttpCapture(lambda request: answers.pop(0) if len(answers) > 1 else answers[0]))
    connection = kit.make_http(api, server.url, "slow", strictMode=True)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    device.send()
    message = last(api, device, "delivered")
    assert message["outcomes"][0]["attempts"] == 2
    assert [s["stage"] for s in message["way"] if s["stage"] != "decoded"] == [
        "stored", "routed", "sent", "retried", "sent", "delivered"]
    text = trace(sluice, device.eui)
    assert "at try 2" in text and "503" in text


def test_nothing_takes_it(sluice, api, broker, device):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection], matchers=[{"type": "thing", "tags": ["Cellar"]}], name="cellar")
    kit.make_flow(api, [connection], matchers=[kit.key_matcher("70B3D5E75E0000FF")], name="other")
    device.send()
    kit.wait_for(lambda: api.get(f"/messages?deviceEui={device.eui}"), every=0.1)
    text = trace(sluice, device.eui)
    assert "no flow took it" in text and "'cellar'" in text and "has not the tag 'Cellar'" in text and "another device" in text


def test_explain(api, broker, device):
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_mqtt(api, broker.port)
    tagged = kit.make_flow(api, [connection], matchers=[{"type": "thing", "tags": ["Cellar"]}], name="tagged")
    keyed = kit.make_flow(api, [connection], matchers=[kit.key_matcher(device.eui)], name="keyed")
    rest = kit.make_flow(api, [connection], name="rest")
    api.wait_state(connection["id"], "OPENED")

    def flows():
        return {one["name"]: one for one in api.get(f"/devices/{device.eui}/explain")}
    before = flows()
    assert set(before) == {"tagged", "keyed", "rest"}
    assert before["keyed"]["matches"] and not before["tagged"]["matches"] and not before["rest"]["matches"]
    assert "no message of this device" in before["tagged"]["reason"]
    assert "no message of this device" in before["keyed"]["driver"]["reason"]
    assert before["keyed"]["connections"] == [{"connectionId": connection["id"], "feeds": True, "name": "broker", "state": "OPENED"}]
    device.send(ModelCfg="1:Cellar")
    after = kit.wait_for(lambda: (lambda got: got if got["tagged"]["matches"] else None)(flows()), every=0.1)
    assert after["keyed"]["driver"]["id"].endswith(":climate:1")
    assert after["tagged"]["connections"][0]["feeds"] is True
    assert "first flow by id decides" in after["keyed"]["connections"][0]["reason"]
    assert [after[name]["flowId"] for name in ("tagged", "keyed", "rest")] == [tagged["id"], keyed["id"], rest["id"]]
    api.patch("/flows/" + keyed["id"], {"active": False})
    inactive = kit.wait_for(lambda: (lambda got: got if not got["keyed"]["active"] else None)(flows()), every=0.1)
    assert not inactive["keyed"]["matches"] and "not active" in inactive["keyed"]["reason"]


def test_nothing_has_come(sluice, api, binder, broker):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection], name="all")
    text = trace(sluice, "0018B20000000B20")
    assert "No message of this device is kept" in text and binder["uplinkUrl"] in text and "no report was refused" in text
    assert "takes it" in text and "'all'" in text
    wrong = kit.Device(binder, as_id=kit.AS_ID, as_key="0" * 32)
    wrong.send(expect=401)
    text = trace(sluice, "0018B20000000B20")
    assert "report refused" in text and "no report was refused" not in text


@pytest.mark.parametrize("path, status", [("/messages", 400), ("/messages?deviceEui=12", 400),
                                          ("/messages?deviceEui=0018B20000000B20&limit=0", 400),
                                          ("/messages?deviceEui=0018B20000000B20&limit=101", 400),
                                          ("/messages/999999", 404), ("/messages/x", 404), ("/messages/0", 404),
                                          ("/devices/12/explain", 400)])
def test_errors(api, path, status):
    got, text, _ = api.raw("GET", api.url + path)
    assert got == status and json.loads(text)["message"]


def test_a_wrong_device_on_the_command_line(sluice):
    assert "16 hex digits" in trace(sluice, "12", code=1)
