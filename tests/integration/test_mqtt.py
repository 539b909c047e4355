# SPDX-License-Identifier: Apache-2.0
"""A report goes in by the tunnel and comes out decoded at a real broker, by each transport and version."""
import json
import subprocess

import pytest

from lib import kit

PAYLOAD = {"temperature": 20.79, "humidity": 45, "battery": 3.6}


def route(api, connection, driver="actility:auto:1"):
    kit.make_driver(api, kit.climate_code())
    return kit.make_flow(api, [connection], driver=driver)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_tcp(api, broker, device, version):
    connection = kit.make_mqtt(api, broker.port, mqttVersion=version)
    route(api, connection)
    api.wait_state(connection["id"], "OPENED")
    capture = broker.subscribe("up/#")
    try:
        device.send()
        topic, text = capture.wait(1)[0]
    finally:
        capture.stop()
    assert topic == "up/" + device.eui
    root = json.loads(text)["DevEUI_uplink"]
    assert root["payload"] == PAYLOAD
    assert root["DriverCfg"]["app"] == kit.CLIMATE["app"] and root["DriverCfg"]["id"].endswith(":climate:1")
    assert "/iot-flow/downlinkMessages/" in root["downlinkUrl"]
    assert '"LrrRSSI":-80.0' in text  # numbers keep their spelling


def tls_listener(certificates, extra=""):
    return (f"cafile {certificates.path('ca.pem')}\ncertfile {certificates.path('server.pem')}\n"
            f"keyfile {certificates.path('server.key')}\n{extra}")


def one_message(api, device, connection, broker, certificates, *options):
    route(api, connection)
    api.wait_state(connection["id"], "OPENED")
    watch = broker.watch_port if hasattr(broker, "watch_port") else broker.port
    capture = kit.Capture(watch, "up/#", *options)
    try:
        device.send()
        return json.loads(capture.wait(1)[0][1])
    finally:
        capture.stop()


def test_ssl_with_a_client_certificate(tmp_path, ends, api, device, certificates):
    broker = ends(kit.Mosquitto(tmp_path / "tls", "allow_anonymous false", listener=tls_listener(
        certificates, "require_certificate true\nuse_identity_as_username true")))
    pem = {name: certificates.text(name) for name in ("ca.pem", "client.pem", "client.key")}
    connection = kit.make_mqtt(api, broker.port, protocol="SSL", trustedCaCertificate=pem["ca.pem"],
                               certificate=pem["client.pem"].replace("\n", ""), privateKey=pem["client.key"].replace("\n", "\\n"))
    assert connection["configuration"]["privateKey"] == "*****"
    document = one_message(api, device, connection, broker, certificates, "--cafile", str(certificates.path("ca.pem")),
                           "--cert", str(certificates.path("client.pem")), "--key", str(certificates.path("client.key")))
    assert document["DevEUI_uplink"]["payload"] == PAYLOAD


def test_ssl_refuses_an_unknown_authority(tmp_path, ends, api, certificates):
    broker = ends(kit.Mosquitto(tmp_path / "tls", listener=tls_listener(certificates)))
    connection = kit.make_mqtt(api, broker.port, protocol="SSL")  # the system's roots do not know ours
    got = api.wait_state(connection["id"], "UNREACHABLE", "AUTHENTICATION_FAILED")
    assert "certificate" in got["stateReason"]["message"].lower()


def test_wss(tmp_path, ends, api, device, certificates):
    plain = kit.free_port()
    broker = ends(kit.Mosquitto(tmp_path / "wss", "allow_anonymous true", listener=tls_listener(
        certificates, f"protocol websockets\nlistener {plain} 127.0.0.1")))
    broker.watch_port = plain
    connection = kit.make_mqtt(api, broker.port, protocol="WSS", trustedCaCertificate=certificates.text("ca.pem"))
    document = one_message(api, device, connection, broker, certificates)
    assert document["DevEUI_uplink"]["payload"] == PAYLOAD


def test_formats_patterns_and_tags(api, broker, device):
    kit.make_driver(api, kit.climate_code())
    raw = kit.make_mqtt(api, broker.port, "raw", sendRawDecodedFormat=True,
                        uplinkTopicPattern="raw/{CustomerData.name|DevEUI|'None'}", downlinkTopicPattern="")
    legacy = kit.make_mqtt(api, broker.port, "legacy", sendMetadata=True, uplinkTopicPattern="legacy/{FPort}", downlinkTopicPattern="")
    kit.make_flow(api, [raw, legacy], matchers=[{"type": "thing", "tags": ["Cellar"]}])
    for connection in (raw, legacy):
        api.wait_state(connection["id"], "OPENED")
    capture = broker.subscribe("#")
    try:
        device.send(ModelCfg="0")  # no tag: no flow
        device.send(ModelCfg="1:CELLAR, 2:Other", CustomerData={"name": "a/b+c"})
        got = dict(capture.wait(2))
    finally:
        capture.stop()
    assert json.loads(got["raw/a_b_c"]) == PAYLOAD
    assert json.loads(got["legacy/2"])["FCntUp"] == 2


def test_a_device_of_no_driver_passes_undecoded(api, broker, device):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection], matchers=[kit.key_matcher(device.eui)])
    api.wait_state(connection["id"], "OPENED")
    capture = broker.subscribe("up/#")
    try:
        device.send()
        root = json.loads(capture.wait(1)[0][1])["DevEUI_uplink"]
    finally:
        capture.stop()
    assert "payload" not in root and "payloadDecodedError" not in root


def test_repetitions_are_answered_and_dropped(api, broker, device):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    capture = broker.subscribe("up/#")
    try:
        document = device.report()
        body = json.dumps(document, separators=(",", ":"))
        for _ in range(3):
            assert device.post(body, device.query(document))[0] == 204
        device.send()
        counters = [json.loads(text)["DevEUI_uplink"]["FCntUp"] for _, text in capture.wait(2)]
    finally:
        capture.stop()
    assert counters == [1, 2]


def test_what_the_tunnel_refuses(api, device):
    document = device.report()
    body, query = json.dumps(document), device.query(document)
    assert device.post(body, query.replace("Token=", "Token=0"))[0] == 401
    assert device.post(body, query.split("&AS_ID")[0])[0] == 401
    assert device.post("{not json", query)[0] == 400
    device.binder = {"uplinkUrl": device.binder["uplinkUrl"][:-4] + "0000"}
    assert device.post(body, query)[0] == 404


def test_an_xml_report_becomes_json(api, broker, binder):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    document = device.report()
    fields = document["DevEUI_uplink"]
    xml = ('<?xml version="1.0" encoding="UTF-8"?><DevEUI_uplink xmlns="http://uri.actility.com/lora">' +
           "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) +
           "<Lrrs><Lrr><Lrrid>00000001</Lrrid><LrrRSSI>-60.000000</LrrRSSI></Lrr></Lrrs></DevEUI_uplink>")
    capture = broker.subscribe("up/#")
    try:
        status, text = device.post(xml, device.query(document), "application/xml")
        assert status == 204, text
        text = capture.wait(1)[0][1]
    finally:
        capture.stop()
    root = json.loads(text)["DevEUI_uplink"]
    assert root["FPort"] == 2 and root["CustomerID"] == "100000001" and isinstance(root["Lrrs"]["Lrr"], list)
    assert "-60.000000" in text


def test_kept_messages_survive_the_brokers_absence_of_subscribers(api, broker, device):
    connection = kit.make_mqtt(api, broker.port, messageRetain=True)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    device.send()
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/metrics")["lag"] == 0, what="the delivery")
    got = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "up/#", "-C", "1", "-W", "10"],
                         capture_output=True, text=True, check=True)
    assert '"FCntUp":1' in got.stdout
