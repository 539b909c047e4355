# SPDX-License-Identifier: Apache-2.0
"""The three calls of the reference product's "creating a connection instance using the API", with the MQTT connector."""
import pytest

from lib import kit

ALARM = {
    "startTime": "2019-01-31T09:00:00+01:00", "endTime": "2019-01-31T18:00:00+01:00", "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["monday", "tuesday", "wednesday", "thursday", "friday"]}],
    "uplinkRateMinPerHour": 10, "message": "Low rate during business day..."}


def body(port):
    return {
        "connectorId": "actility-mqtt-iot", "name": "Test MQTT Connection", "active": True, "alarms": [ALARM],
        "configuration": {
            "description": "Europe Datacenter", "createDevices": True, "sendMetadata": False, "sendRawDecodedFormat": True,
            "uplinkTimeValidity": "5m", "downlinkEnabled": False, "downlinkAsId": "TWA_199983788.1972.AS",
            "downlinkAsKey": "9311e33d7d44fc52215b0dc789aa1d22", "downlinkPort": 5,
            "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "downlinkTopicPattern": "tpx/things/{DevEUI}/downlink",
            "hostName": f"127.0.0.1:{port}", "protocol": "TCP", "username": "flow", "password": "s3cr3t-word"}}


def test_the_three_calls(api, broker):
    connectors = api.get("/connectors")
    mqtt = next(entry for entry in connectors if entry["id"] == "actility-mqtt-iot")
    assert mqtt["producerId"] == "actility" and mqtt["moduleId"] == "mqtt-iot"
    assert mqtt["connection"]["configurationSchema"]["properties"]["createDevices"]["type"] == "boolean"
    assert mqtt["flow"] == {}

    created = api.post("/connections", body(broker.port))
    assert created["id"].isdigit() and created["state"] in ("CLOSED", "OPENING", "AUTHENTICATING", "OPENED")
    for key in ("downlinkAsKey", "password"):
        assert created["configuration"][key] == "*****"
    assert created["configuration"]["username"] == "flow"

    opened = api.wait_state(created["id"], "OPENED")
    listed = api.get("/connections")
    assert [entry["id"] for entry in listed] == [created["id"]]
    assert listed[0]["state"] == "OPENED" and listed[0]["startupTime"]
    assert opened["alarms"] == [ALARM]
    assert listed[0]["configuration"]["uplinkTopicPattern"] == "tpx/things/{DevEUI}/uplink"
    assert listed[0]["configuration"]["downlinkPort"] == 5


def test_what_is_read_can_be_written_back(api, broker):
    created = api.post("/connections", body(broker.port))
    api.wait_state(created["id"], "OPENED")
    read = api.get(f"/connections/{created['id']}")
    read["name"] = "Renamed"
    written = api.put(f"/connections/{created['id']}", read)
    assert written["name"] == "Renamed" and written["configuration"]["password"] == "*****"
    assert api.get(f"/connections/{created['id']}")["state"] == "OPENED"  # a name alone restarts nothing


def test_every_fault_of_a_body_is_named_at_once(api):
    with pytest.raises(kit.ApiError) as refused:
        api.post("/connections", {"connectorId": "actility-mqtt-iot", "configuration": {
            "hostName": "http://broker", "protocol": "UDP", "uplinkTopicPattern": "a", "password": "*****"}})
    assert refused.value.status == 400
    answer = __import__("json").loads(refused.value.body)
    assert answer["code"] == "com-4000"
    paths = {fault["path"] for fault in answer["data"]["errors"]}
    assert {"/configuration/hostName", "/configuration/protocol", "/configuration/password"} <= paths


def test_unknown_connector_and_missing_token(api):
    with pytest.raises(kit.ApiError) as refused:
        api.post("/connections", {"connectorId": "nobody-knows", "configuration": {}})
    assert refused.value.status == 404
    api.token = "wrong"
    with pytest.raises(kit.ApiError) as refused:
        api.get("/connections")
    assert refused.value.status == 401 and '"com-4001"' in refused.value.body
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")
