# SPDX-License-Identifier: Apache-2.0
"""Azure Event Hubs, which is Kafka with its own login: by a broker that takes that login only."""
import json
import time
import urllib.parse

import pytest

from lib import kafka, kit

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PASSWORD = f"Endpoint=sb://127.0.0.1/;SharedAccessKeyName=flow;SharedAccessKey={KEY}"


@pytest.fixture
def hubs(ends, certificates):
    return ends(kafka.Broker({"up": 2, "plant_a": 1, "plant_b": 1, "down": 2}, users={"$ConnectionString": PASSWORD},
                             mechanisms=["PLAIN"], tls=certificates))


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.fixture
def binder(api, network):
    return kit.make_binder(api, network.url)


@pytest.fixture
def make(api, hubs, certificates):
    def create(**configuration):
        body = {"hostName": f"127.0.0.1:{hubs.port}", "sharedAccessKeyName": "flow", "sharedAccessKey": KEY,
                "uplinkTopicPattern": "up", "trustedCaCertificate": certificates.text("ca.pem"), **configuration}
        connection = api.post("/connections", {"connectorId": "actility-azure-event-hub", "name": "hubs", "configuration": body})
        kit.make_flow(api, [connection], driver=None)
        return connection
    return create


def test_the_login_is_the_connection_string(api, hubs, make, binder):
    connection = make()
    assert connection["configuration"]["sharedAccessKey"] == "*****"
    api.wait_state(connection["id"], "OPENED")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    sent = [device.send() for _ in range(5)]
    records = hubs.wait("up", 5)
    assert {(kind, user, password, good) for kind, user, password, good in hubs.logins} == \
        {("PLAIN", "$ConnectionString", PASSWORD, True)}
    assert [json.loads(record.value)["DevEUI_uplink"]["FCntUp"] for record in records] == sent
    assert {record.key.decode() for record in records} == {device.eui}
    assert not hubs.asked_to_create and hubs.acks == {-1}


def test_a_wrong_key_is_told_and_not_shown(api, sluice, hubs, make, binder):
    wrong = KEY[::-1].strip("=") + "="
    connection = make(sharedAccessKey=wrong)
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert got["stateReason"]["code"] == "connection-1102", got
    kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY).send()
    seen = json.dumps([api.get("/events"), got["stateReason"]]) + sluice.process.text()
    assert wrong not in seen and "SharedAccessKey=" not in seen
    api.patch(f"/connections/{connection['id']}", {"configuration": {"sharedAccessKey": KEY}})
    hubs.wait("up")


def test_the_pattern_chooses_the_event_hub(api, hubs, make, binder):
    api.wait_state(make(uplinkTopicPattern="plant_{CustomerData.plant}")["id"], "OPENED")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    for plant in "abab":
        device.send(CustomerData={"plant": plant})
    assert len(hubs.wait("plant_a", 2)) == len(hubs.wait("plant_b", 2)) == 2


def test_commands_come_through_the_default_group(api, hubs, make, binder, network):
    api.wait_state(make(downlinkTopicPattern="down")["id"], "OPENED")
    hubs.wait_reader("down")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    for index in range(4):
        document = {"DevEUI_downlink": {"DevEUI": device.eui, "FPort": 2, "payload_hex": f"{index:02X}"}}
        hubs.append("down", json.dumps(document).encode(), partition=index % 2)
    network.wait(4)
    got = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request["path"]).query))["Payload"] for request in network.requests]
    assert sorted(got) == ["00", "01", "02", "03"]
    kit.wait_for(lambda: hubs.committed("$Default", "down", 0) == hubs.committed("$Default", "down", 1) == 2, what="the commits")


def test_a_missing_downlink_hub_neither_fails_nor_floods(api, hubs, make, binder):
    connection = make(downlinkTopicPattern="later")
    api.wait_state(connection["id"], "OPENED")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    device.send()
    hubs.wait("up")
    time.sleep(3)
    device.send()
    hubs.wait("up", 2)
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"
    told = [event for event in api.get(f"/events?connectionId={connection['id']}&perPage=500") if "later" in json.dumps(event)]
    assert 1 <= sum(event["data"].get("count", 1) for event in told) <= 2, told


def test_a_port_left_out_is_kafkas(api):
    """Nothing listens there: what it tried to reach is told."""
    body = {"hostName": "127.0.0.1", "sharedAccessKeyName": "flow", "sharedAccessKey": KEY, "uplinkTopicPattern": "up"}
    connection = api.post("/connections", {"connectorId": "actility-azure-event-hub", "name": "hubs", "configuration": body})
    got = api.wait_state(connection["id"], "UNREACHABLE", seconds=40)
    assert "9093" in json.dumps(got["stateReason"]), got
