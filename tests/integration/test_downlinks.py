# SPDX-License-Identifier: Apache-2.0
"""Commands: from an MQTT topic and from the endpoint, to a stand-in for the network server that checks the signature."""
import hashlib
import json
import urllib.parse

import pytest

from lib import kit

KEY = "46ab678cd45df4a4e4b375eacd096acc"


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.fixture
def connection(api, broker, network, tmp_path):
    kit.make_driver(api, kit.climate_code())
    binder = kit.make_binder(api, network.url + "/thingpark/lrc/rest/downlink")
    connection = kit.make_mqtt(api, broker.port, downlinkAsId="app1.sample.com", downlinkAsKey=KEY, downlinkPort=7)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    # The device's driver is known from its uplinks.
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    capture = broker.subscribe("up/#")
    device.send()
    capture.wait(1)
    capture.stop()
    connection["device"] = device
    return connection


def sent(network, count=1):
    """The parameters of the newest request, its signature checked."""
    request = network.wait(count)[-1]
    url = urllib.parse.urlsplit(request["path"])
    assert url.path == "/thingpark/lrc/rest/downlink" and request["body"] == ""
    pairs = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
    plain = "&".join(f"{name}={value}" for name, value in pairs if name != "Token")
    got = dict(pairs)
    assert got["Token"] == hashlib.sha256((plain + KEY).encode()).hexdigest(), plain
    return got


def test_from_the_topic(connection, broker, network):
    eui = connection["device"].eui
    broker.publish(f"down/{eui}", json.dumps({"DevEUI_downlink": {"DevEUI": eui, "FPort": "8", "payload_hex": "9e1c48",
                                                                  "Confirmed": "1", "CorrelationID": "0123456789abcdef"}}))
    got = sent(network)
    assert got["DevEUI"] == eui and got["FPort"] == "8" and got["Payload"].lower() == "9e1c48" and got["Confirmed"] == "1"
    assert got["AS_ID"] == "app1.sample.com" and got["CorrelationID"].lower() == "0123456789abcdef"


def test_the_device_may_come_from_the_topic_and_the_port_from_the_connection(connection, broker, network):
    eui = connection["device"].eui
    broker.publish(f"down/{eui}", '{"DevEUI_downlink":{"payload_hex":"00"}}')
    got = sent(network)
    assert got["DevEUI"] == eui and got["FPort"] == "7"


def test_a_payload_is_encoded_by_the_devices_driver(connection, broker, network):
    eui = connection["device"].eui
    broker.publish(f"down/{eui}", json.dumps({"DevEUI_downlink": {"DevEUI": eui, "payload": {"interval": 60}}}))
    got = sent(network)
    assert got["Payload"].upper() == "01003C"


def test_what_is_no_command_is_ignored(connection, broker, network):
    eui = connection["device"].eui
    broker.publish(f"down/{eui}", "not json")
    broker.publish(f"down/{eui}", '{"something":"else"}')
    broker.publish(f"down/{eui}", '{"DevEUI_downlink":{"payload_hex":"01"}}')
    assert sent(network)["Payload"] == "01"
    assert len(network.requests) == 1


def post(api, connection, body, kind="application/json"):
    status, text, _ = api.raw("POST", connection["downlinkUrl"], json.dumps(body).encode(), {"Content-Type": kind})
    return status, json.loads(text)


def test_from_the_endpoint(api, connection, network):
    eui = connection["device"].eui
    api.token = None  # the URL is the credential
    status, answer = post(api, connection, {"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": "0A"}}, "text/plain")
    assert status == 202 and answer["DevEUI"] == eui and len(answer["correlationId"]) == 16, answer
    got = sent(network)
    assert got["Payload"].upper() == "0A" and got["CorrelationID"] == answer["correlationId"]
    status, answer = post(api, connection, {"DevEUI": eui, "payload": {"interval": 5}})
    assert status == 202, answer
    assert sent(network, 2)["Payload"] == "010005"


def test_the_endpoint_refuses_with_a_reason(api, connection, network):
    eui = connection["device"].eui
    status, answer = post(api, connection, {"DevEUI_downlink": {"DevEUI": "12", "FPort": 300, "payload_hex": "0"}})
    assert status == 400 and len(answer["data"]["errors"]) == 3, answer
    status, answer = post(api, connection, {"DevEUI_downlink": {"DevEUI": eui, "payload": {"interval": -1}}})
    assert status == 422 and "interval must be" in answer["message"], answer
    assert network.requests == []
    kit.wait_for(lambda: [e for e in api.get("/events") if e["code"] == "connection-1501"], what="the event")
    gone = {"downlinkUrl": connection["downlinkUrl"][:-4] + "0000"}
    assert post(api, gone, {"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": "0A"}})[0] == 404


def test_a_refusal_of_the_network_server_is_passed_on(api, connection, network):
    network.answer = lambda request: (350, "<html><body>Invalid DevEUI</body></html>")
    status, answer = post(api, connection, {"DevEUI_downlink": {"DevEUI": connection["device"].eui, "FPort": 2, "payload_hex": "0A"}})
    assert status == 502 and "Invalid DevEUI" in answer["message"] and "<" not in answer["message"]


def metrics(api, connection):
    got = api.get(f"/connections/{connection['id']}/metrics")
    return got["downlinksLast1h"], got["downlinksLast1hFailed"], got["downlinksLast1hLost"]


def test_a_command_comes_back_as_a_sent_report(connection, broker, network):
    """Cloud to network server and back: encoded, signed, and told by the same CorrelationID."""
    device = connection["device"]
    capture = broker.subscribe("up/#")
    broker.publish(f"down/{device.eui}", json.dumps({"DevEUI_downlink": {
        "DevEUI": device.eui, "payload": {"interval": 60}, "Confirmed": "1", "RetryIneligibleGateways": "0",
        "ValidityTime": "600", "CorrelationID": "0123456789ABCDEF"}}))
    got = sent(network)
    assert got["Payload"].upper() == "01003C" and got["AS_ID"] == "app1.sample.com"
    assert got["RetryIneligibleGateways"] == "0" and got["ValidityTime"] in ("600", "599")
    report = {"DevEUI_downlink_Sent": {
        "Time": "2026-01-01T00:00:00.000+00:00", "DevEUI": device.eui, "FPort": int(got["FPort"]), "FCntDn": 7, "DeliveryStatus": 1,
        "TransmissionSlot": 1, "CustomerID": "100000001", "CorrelationID": got["CorrelationID"]}}
    query = [("LrnDevEui", device.eui), ("LrnFPort", got["FPort"]), ("LrnInfos", "TEST_1"), ("AS_ID", device.as_id),
             ("Time", "2026-01-01T00:00:00.000+00:00")]
    elements = f"100000001{device.eui}{got['FPort']}7"
    plain = "&".join(f"{name}={value}" for name, value in query)
    query.append(("Token", hashlib.sha256((elements + plain + device.as_key).encode()).hexdigest()))
    status, text = device.post(json.dumps(report), urllib.parse.urlencode(query))
    assert status == 204, text
    _, document = capture.wait_where(lambda d: "DevEUI_downlink_Sent" in d)
    assert document["DevEUI_downlink_Sent"]["CorrelationID"] == "0123456789ABCDEF"


def test_a_refused_command_is_reported_counted_and_told(api, connection, broker, network):
    eui = connection["device"].eui
    network.answer = lambda request: (403, "<html><body>Payload must be provided encrypted with the downlink counter value</body></html>")
    capture = broker.subscribe("up/#")
    broker.publish(f"down/{eui}", json.dumps({"DevEUI_downlink": {"FPort": 1, "payload_hex": "00", "CorrelationID": "00000000000000AA"}}))
    _, document = capture.wait_where(lambda d: "DevEUI_downlink_Rejected" in d)
    root = document["DevEUI_downlink_Rejected"]
    assert root["CorrelationID"] == "00000000000000AA" and root["DeliveryStatus"] == 403 and "encrypted" in root["DownlinkRejectionCause"]
    kit.wait_for(lambda: any(e["code"] == "connection-1501" and e["data"]["CorrelationID"] == "00000000000000AA"
                             for e in api.get("/events")), what="the event")
    broker.publish(f"down/{eui}", json.dumps({"DevEUI_downlink": {"FPort": 999, "payload_hex": "00", "CorrelationID": "00000000000000AB"}}))
    _, document = capture.wait_where(lambda d: d.get("DevEUI_downlink_Rejected", {}).get("CorrelationID") == "00000000000000AB")
    assert document["DevEUI_downlink_Rejected"]["DeliveryStatus"] == 400
    status, answer = post(api, connection, {"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": "0A"}})
    assert status == 502 and "encrypted" in answer["message"]
    network.answer = lambda request: (200, "<html><body>Request queued by LRC</body></html>")
    assert post(api, connection, {"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": "0A"}})[0] == 202
    assert metrics(api, connection) == (4, 3, 0)
    # The same cause within a minute is the same event, which counts and names the newest.
    events = [e for e in api.get("/events") if e["code"] == "connection-1501"]
    assert len(events) == 2 and max(e["data"].get("count", 1) for e in events) == 2, events
    assert api.metric("sluice_binder_downlinks_total", result="accepted") == 1
    assert api.metric("sluice_binder_downlinks_total", result="refused") == 2


def test_lists_xml_and_queries_are_taken(api, connection, network):
    eui = connection["device"].eui
    body = [{"DevEUI": eui, "FPort": 2, "payload_hex": f"{i:02X}"} for i in range(100)]
    body[50]["FPort"] = 0
    status, answer = post(api, connection, body)
    assert status == 202 and len(answer) == 100
    assert [part["httpStatus"] for part in answer] == [202] * 50 + [400] + [202] * 49
    network.wait(99)
    order = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(r["path"]).query))["Payload"] for r in network.requests]
    assert order == [f"{i:02X}" for i in range(100) if i != 50]
    assert post(api, connection, body + body[:1])[0] == 400
    xml = f"<DevEUI_downlink><DevEUI>{eui}</DevEUI><FPort>3</FPort><payload_hex>AA</payload_hex></DevEUI_downlink>"
    assert api.raw("POST", connection["downlinkUrl"], xml.encode(), {"Content-Type": "application/xml"})[0] == 202
    assert sent(network, 100)["FPort"] == "3"
    query = urllib.parse.urlencode({"DevEUI": eui, "FPort": 4, "Payload": "BB"})
    assert api.raw("POST", connection["downlinkUrl"] + "?" + query, b"", {"Content-Type": "application/x-www-form-urlencoded"})[0] == 202
    assert sent(network, 101)["FPort"] == "4"


def test_a_device_of_another_connection_is_refused_when_asked(api, broker, network, connection):
    other = kit.make_mqtt(api, broker.port, name="other", uplinkTopicPattern="other/{DevEUI}", downlinkTopicPattern="", checkDevice=True)
    status, answer = post(api, other, {"DevEUI": connection["device"].eui, "FPort": 1, "payload_hex": "00"})
    assert status == 400 and "checkDevice" in answer["message"] + str(answer["data"]), answer
    api.patch(f"/connections/{other['id']}", {"configuration": {"checkDevice": False}})
    assert post(api, other, {"DevEUI": connection["device"].eui, "FPort": 1, "payload_hex": "00"})[0] == 202


def test_what_the_connection_does_not_take_is_lost(api, connection, network):
    eui = connection["device"].eui
    path = f"/connections/{connection['id']}"
    api.patch(path, {"configuration": {"downlinkEnabled": False}})
    assert post(api, connection, {"DevEUI": eui, "FPort": 1, "payload_hex": "00"})[0] == 409
    api.patch(path, {"configuration": {"downlinkEnabled": True}, "active": False})
    assert post(api, connection, {"DevEUI": eui, "FPort": 1, "payload_hex": "00"})[0] == 409
    assert metrics(api, connection) == (2, 0, 2) and network.requests == []
