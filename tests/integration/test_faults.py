# SPDX-License-Identifier: Apache-2.0
"""A broker that is down, refuses, hangs or drops: the right state, a reconnection, all that waited in order, none lost, and
another connection that does not notice."""
import json
import subprocess
import time

import pytest

from lib import kit


class Neighbour:
    """A second connection with its own broker and device, to measure whether it is slowed."""

    def __init__(self, api, binder, tmp_path, ends):
        self.broker = ends(kit.Mosquitto(tmp_path / "neighbour"))
        self.device = kit.Device(binder, "70B3D5E75E0000AA", kit.AS_ID, kit.AS_KEY)
        self.connection = kit.make_mqtt(api, self.broker.port, "neighbour")
        kit.make_flow(api, [self.connection], [kit.key_matcher(self.device.eui)], driver=None, name="neighbour")
        api.wait_state(self.connection["id"], "OPENED")
        self.capture = ends(self.broker.subscribe("up/#"))

    def slowest(self, count=20):
        slowest = 0.0
        for _ in range(count):
            started = time.monotonic()
            seen = len(self.capture.messages)
            self.device.send()
            self.capture.wait(seen + 1)
            slowest = max(slowest, time.monotonic() - started)
        return slowest


@pytest.fixture
def neighbour(api, binder, tmp_path, ends):
    return Neighbour(api, binder, tmp_path, ends)


@pytest.fixture
def gate(broker, ends):
    return ends(kit.Gate(broker.port))


def set_up(api, port, device, **configuration):
    connection = kit.make_mqtt(api, port, "patient", **configuration)
    kit.make_flow(api, [connection], [kit.key_matcher(device.eui), kit.key_matcher("70B3D5E75E000002")], driver=None)
    return connection


def counters(messages, eui):
    """FCntUp of the device's messages in the order of their first arrival."""
    out = []
    for _, text in messages:
        root = json.loads(text)["DevEUI_uplink"]
        if root["DevEUI"] == eui and root["FCntUp"] not in out:
            out.append(root["FCntUp"])
    return out


def expect_all_in_order(capture, devices, count, seconds=60):
    wanted = list(range(1, count + 1))
    kit.wait_for(lambda: all(len(counters(list(capture.messages), device.eui)) >= count for device in devices), seconds,
                 f"{count} messages of each device")
    for device in devices:
        assert counters(capture.messages, device.eui) == wanted


def test_a_broker_that_is_down(api, broker, binder, device, neighbour, ends):
    broker.stop()
    connection = set_up(api, broker.port, device)
    got = api.wait_state(connection["id"], "UNREACHABLE")
    assert got["stateReason"]["nextRetry"] and "refused" in got["stateReason"]["message"].lower()
    other = kit.Device(binder, "70B3D5E75E000002", kit.AS_ID, kit.AS_KEY)
    for _ in range(25):
        device.send()
        other.send()
    assert neighbour.slowest() < 0.5
    assert api.get(f"/connections/{connection['id']}/metrics")["lag"] == 50
    broker.start()
    capture = ends(broker.subscribe("up/#"))
    api.post(f"/connections/{connection['id']}/restart")
    expect_all_in_order(capture, [device, other], 25)
    api.wait_state(connection["id"], "OPENED")
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/metrics")["lag"] == 0, what="the queue to be empty")


def test_it_comes_back_by_itself(api, broker, device, ends):
    connection = set_up(api, broker.port, device)
    api.wait_state(connection["id"], "OPENED")
    broker.stop()
    api.wait_state(connection["id"], "UNREACHABLE", "CLOSED", "OPENING")
    device.send()
    broker.start()
    capture = ends(broker.subscribe("up/#"))
    expect_all_in_order(capture, [device], 1)


def test_a_broker_that_refuses_the_password(tmp_path, api, device, neighbour, ends):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "flow", "right-word"], check=True)
    broker = ends(kit.Mosquitto(tmp_path / "strict", f"allow_anonymous false\npassword_file {passwords}"))
    connection = set_up(api, broker.port, device, username="flow", password="wrong-word")
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "wrong-word" not in json.dumps(got)
    for _ in range(5):
        device.send()
    assert neighbour.slowest() < 0.5
    capture = ends(broker.subscribe("up/#", "-u", "flow", "-P", "right-word"))
    api.patch(f"/connections/{connection['id']}", {"configuration": {"password": "right-word"}})
    api.wait_state(connection["id"], "OPENED")
    expect_all_in_order(capture, [device], 5)
    codes = {event["code"] for event in api.get(f"/events?q_connectionId={connection['id']}")}
    assert "connection-1102" in codes


def test_a_broker_that_hangs_in_the_handshake(api, broker, gate, device, neighbour, ends):
    gate.mode = "stall"
    connection = set_up(api, gate.port, device, connectionTimeout=1000)
    api.wait_state(connection["id"], "UNREACHABLE", seconds=10)
    for _ in range(10):
        device.send()
    assert neighbour.slowest() < 0.5
    capture = ends(broker.subscribe("up/#"))
    gate.mode = "pass"
    gate.cut()
    expect_all_in_order(capture, [device], 10)
    api.wait_state(connection["id"], "OPENED")


@pytest.mark.parametrize("size", [700, 5000, 20000])
def test_a_broker_that_drops_in_mid_publish(api, broker, gate, binder, device, neighbour, ends, size):
    connection = set_up(api, gate.port, device)
    api.wait_state(connection["id"], "OPENED")
    capture = ends(broker.subscribe("up/#"))
    gate.cut_after = size  # of the next connections
    gate.cut()
    other = kit.Device(binder, "70B3D5E75E000002", kit.AS_ID, kit.AS_KEY)
    for _ in range(40):
        device.send()
        other.send()
    assert neighbour.slowest() < 0.5
    gate.cut_after = None
    gate.cut()
    expect_all_in_order(capture, [device, other], 40)
    api.wait_state(connection["id"], "OPENED")


def test_a_broker_that_stops_answering_is_noticed(api, broker, gate, device, ends):
    connection = set_up(api, gate.port, device)
    api.wait_state(connection["id"], "OPENED")
    capture = ends(broker.subscribe("up/#"))
    gate.delay = 30.0  # what is sent from now on is held
    device.send()
    api.wait_state(connection["id"], "UNREACHABLE", "CLOSED", "OPENING", "AUTHENTICATING", seconds=20)
    gate.delay = 0.0
    gate.cut()
    expect_all_in_order(capture, [device], 1)


def test_a_slow_http_server_slows_nobody(api, device, neighbour, ends):
    server = ends(kit.HttpCapture(lambda request: time.sleep(3) or 200))
    connection = kit.make_http(api, server.url)
    kit.make_flow(api, [connection], [kit.key_matcher(device.eui)], driver=None)
    for _ in range(3):
        device.send()
    assert neighbour.slowest() < 0.5
