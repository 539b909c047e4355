# SPDX-License-Identifier: Apache-2.0
"""Bodies as the reference product's connector pages have them: accepted, shown equal but for secrets, and unchanged by a PUT of
what GET gave. Those whose connector is not part of this build are refused by that."""
import copy
import json

import pytest

from lib import kit

BODIES = sorted((kit.ROOT / "tests/data/connections").glob("*.json"))
MASK = "*****"
# What no answer may show, by name in `configuration`; of an HTTP connection's headers those that authenticate.
SECRET = {"password", "privateKey", "certificate", "downlinkAsKey", "secretAccessKey", "accessKeyId", "sharedAccessKey",
          "Authorization"}


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    return value


def compare(sent, shown, path=""):
    """Every member that was sent is shown with the same value, or masked where it is a secret."""
    faults = []
    for key, value in sent.items():
        place = f"{path}/{key}"
        got = shown.get(key)
        if isinstance(value, dict) and isinstance(got, dict):
            faults += compare(value, got, place)
        elif isinstance(got, str) and MASK in got and isinstance(value, str) and MASK not in value:
            # Of a URL only what authenticates is masked.
            front, _, back = got.partition(MASK)
            if not (value.startswith(front) and value.endswith(back)):
                faults.append(f"{place}: sent {value!r}, shown {got!r}")
        elif got != value:
            faults.append(f"{place}: sent {value!r}, shown {got!r}")
        elif key in SECRET and value not in ("", MASK):
            faults.append(f"{place}: shown in clear")
    return faults


def connectors(api):
    return {entry["id"] for entry in api.get("/connectors")}


@pytest.mark.parametrize("body", BODIES, ids=lambda path: path.stem)
def test_a_documented_body_is_kept(api, body):
    sent = json.loads(body.read_text())
    # Nothing is opened: the hosts of these pages are other people's.
    sent["active"] = False
    if sent["connectorId"] not in connectors(api):
        with pytest.raises(kit.ApiError) as refused:
            api.post("/connections", sent)
        assert refused.value.status == 404
        return
    created = api.post("/connections", sent)
    assert created["id"].isdigit() and created["state"] == "DEACTIVATED"
    expected = without_nulls(sent)
    listed = next(entry for entry in api.get("/connections") if entry["id"] == created["id"])
    assert compare(expected, listed) == []
    read = api.get(f"/connections/{created['id']}")
    assert read["configuration"] == listed["configuration"]

    status, text, before = api.raw("GET", f"{api.url}/connections/{created['id']}")
    written = api.put(f"/connections/{created['id']}", copy.deepcopy(read))
    assert written == read
    status, text, after = api.raw("GET", f"{api.url}/connections/{created['id']}")
    assert status == 200 and json.loads(text) == read
    assert before["ETag"] == after["ETag"] and before["Last-Modified"] == after["Last-Modified"]
    assert not [event for event in api.get(f"/events?q_connectionId={created['id']}&code=connection-1005")
                if "updated" in event["message"]]


def test_a_put_of_what_was_read_restarts_nothing(api, broker):
    created = api.post("/connections", {
        "connectorId": "actility-mqtt-iot", "upOperations": [{"id": "MESSAGE_FLATTENER", "type": "callProcessor"}], "configuration": {
            "hostName": f"127.0.0.1:{broker.port}", "protocol": "TCP", "uplinkTopicPattern": "a/{DevEUI}/up",
            "downlinkTopicPattern": "a/{DevEUI}/down", "password": "s3cr3t-word", "username": "flow"}})
    opened = api.wait_state(created["id"], "OPENED")
    for _ in range(3):
        assert api.put(f"/connections/{created['id']}", api.get(f"/connections/{created['id']}"))["state"] == "OPENED"
    assert api.get(f"/connections/{created['id']}")["startupTime"] == opened["startupTime"]


def test_the_flattener_runs_at_delivery(api, device, broker):
    watch = broker.subscribe("flat/#")
    created = api.post("/connections", {
        "connectorId": "actility-mqtt-iot", "upOperations": [{"id": "MESSAGE_FLATTENER", "type": "callProcessor"}], "configuration": {
            "hostName": f"127.0.0.1:{broker.port}", "protocol": "TCP", "uplinkTopicPattern": "flat/{DevEUI}/up",
            "downlinkTopicPattern": "flat/{DevEUI}/down"}})
    api.wait_state(created["id"], "OPENED")
    kit.make_flow(api, [created])
    device.send(Lrrs={"Lrr": [{"Lrrid": "3C200E92", "LrrSNR": 9.5}]})
    try:
        topic, document = watch.wait_where(lambda message: message.get("DevEUI") == device.eui)
    finally:
        watch.stop()
    assert topic == f"flat/{device.eui}/up" and document["Lrrs.Lrr[0].LrrSNR"] == 9.5
    assert not any(isinstance(value, (dict, list)) and value for value in document.values())


def test_the_seed_lists_have_the_seeds_shapes(api):
    """The documented answers are of the AWS connector; those that are part of this build have the same members."""
    shared = kit.ROOT / "tests/data/seed"
    documented = json.loads((shared / "connectors-list.json").read_text())[0]
    for entry in api.get("/connectors"):
        assert documented.keys() <= entry.keys(), entry["id"]
        assert {key: type(value) for key, value in documented.items()} == {key: type(entry[key]) for key in documented}
        schema = entry["connection"]["configurationSchema"]
        wanted = documented["connection"]["configurationSchema"]
        assert isinstance(schema["id"], str) and entry["flow"] == {}
        for name, kind in wanted["properties"].items():
            assert schema["properties"][name]["type"] == kind["type"], (entry["id"], name)

    documented = json.loads((shared / "connections-list.json").read_text())[0]
    api.post("/connections", json.loads((kit.ROOT / "tests/data/connections/mqtt.json").read_text()) | {"active": False})
    listed = api.get("/connections")[0]
    # One that was never opened has no startupTime; test_seed_calls.py sees one that is open.
    assert documented.keys() - {"startupTime"} <= listed.keys()
    for key in documented.keys() - {"startupTime"}:
        assert type(listed[key]) is type(documented[key]), key
    for key in ("createDevices", "sendMetadata", "sendRawDecodedFormat"):
        assert isinstance(listed["configuration"].get(key, False), bool), key
    assert listed["configuration"]["password"] == MASK and listed["configuration"]["privateKey"] == MASK
