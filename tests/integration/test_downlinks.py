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
