# SPDX-License-Identifier: Apache-2.0
"""Downlinks that wait for a network server: kept over kill -9, repeated in order, expired, listed and dropped."""
import json
import time
import urllib.parse

import pytest

from lib import kit

KEY = "46ab678cd45df4a4e4b375eacd096acc"
FIRST = 0x70B3D5E75E100000


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.fixture
def gate(ends, network):
    return ends(kit.Gate(network.port))


@pytest.fixture
def connection(api, broker, gate):
    kit.make_binder(api, f"http://127.0.0.1:{gate.port}/downlink")
    connection = kit.make_mqtt(api, broker.port, downlinkAsId="app1.sample.com", downlinkAsKey=KEY, downlinkPort=7)
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    return connection


def away(gate):
    gate.mode = "refuse"
    gate.cut()


def post(api, connection, eui, payload, **fields):
    body = {"DevEUI": eui, "payload_hex": payload, **fields}
    status, text, _ = api.raw("POST", f"{api.url}/connections/{connection['id']}/downlinks", json.dumps(body).encode(),
                              {"Content-Type": "application/json"})
    return status, json.loads(text)


def queue(api, connection):
    return api.get(f"/connections/{connection['id']}/downlinks/queue")


def parameters(request):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request["path"]).query))


def test_survive_kill_9(sluice, api, broker, gate, network, connection):
    away(gate)
    promised, device = [], f"{FIRST:016X}"
    for i in range(40):
        eui = device if i % 2 else f"{FIRST + i + 1:016X}"
        status, answer = post(api, connection, eui, f"{i:04X}")
        assert status == 202 and answer["status"] == "QUEUED" and answer["pending"], answer
        promised.append(answer["correlationId"])
    broker.publish(f"down/{device}", json.dumps({"DevEUI_downlink": {"payload_hex": "FFFF", "CorrelationID": "00000000000000AA"}}))
    promised.append("00000000000000AA")
    waiting = kit.wait_for(lambda: (lambda q: q if q["count"] == 41 else None)(queue(api, connection)), what="41 in the queue")
    assert waiting["items"][0]["correlationId"] == promised[0]
    for _ in range(2):
        sluice.kill()
        sluice.start()
    assert network.requests == []
    gate.mode = "pass"
    network.wait(41, 30)
    got = [parameters(request) for request in network.requests]
    assert sorted(one["CorrelationID"] for one in got) == sorted(promised), "each once, none lost"
    in_order = [one["Payload"] for one in got if one["DevEUI"] == device]
    assert in_order == [f"{i:04X}" for i in range(1, 40, 2)] + ["FFFF"]
    api = sluice.api()
    kit.wait_for(lambda: queue(api, connection)["count"] == 0, what="an empty queue")
    planted = KEY.encode()
    for file in sluice.data.rglob("*.db*"):
        assert planted not in file.read_bytes(), f"the key that signs lies open in {file}"


def test_killed_while_they_are_sent(sluice, api, gate, network, connection):
    """None lost; only what was on its way at the kill may come twice."""
    network.answer = lambda request: (time.sleep(0.05), (200, "queued"))[1]
    away(gate)
    promised = [post(api, connection, f"{FIRST + i:016X}", f"{i:04X}")[1]["correlationId"] for i in range(100)]
    gate.mode = "pass"
    network.wait(20, 30)
    sluice.kill()
    sluice.start()
    kit.wait_for(lambda: len({parameters(r)["CorrelationID"] for r in list(network.requests)}) == 100, 40, "all 100")
    got = [parameters(request)["CorrelationID"] for request in network.requests]
    assert set(got) == set(promised)
    assert len(got) - 100 <= 64, "more came twice than were on their way or being noted"


def test_expire_with_a_report(api, broker, gate, network, connection):
    away(gate)
    eui = f"{FIRST:016X}"
    capture = broker.subscribe("up/#")
    status, answer = post(api, connection, eui, "00", ValidityTime=2)
    assert status == 202 and answer["pending"]
    _, document = capture.wait_where(lambda d: "DevEUI_downlink_Rejected" in d, 20)
    root = document["DevEUI_downlink_Rejected"]
    assert root["CorrelationID"] == answer["correlationId"] and "validity" in root["DownlinkRejectionCause"]
    got = api.get(f"/connections/{connection['id']}/metrics")
    assert (got["downlinksLast1h"], got["downlinksLast1hFailed"], got["downlinksLast1hLost"]) == (1, 0, 1)
    codes = kit.wait_for(lambda: (lambda c: c if "connection-1501" in c else None)([e["code"] for e in api.get("/events")]), what="the event")
    assert "binder-5002" in codes
    assert network.requests == []


def test_are_listed_and_dropped(api, gate, network, connection):
    away(gate)
    for i in range(3):
        post(api, connection, f"{FIRST + i:016X}", f"{i:02X}")
    got = queue(api, connection)
    assert got["count"] == 3 and [item["DevEUI"] for item in got["items"]] == [f"{FIRST + i:016X}" for i in range(3)]
    assert got["items"][0]["tries"] >= 1 and got["items"][0]["lastError"]
    assert KEY not in json.dumps(got)
    kit.wait_for(lambda: not any(item["inFlight"] for item in queue(api, connection)["items"]), what="none under way")
    api.delete(f"/connections/{connection['id']}/downlinks/queue")
    kit.wait_for(lambda: queue(api, connection)["count"] == 0, what="an empty queue")
    got = api.get(f"/connections/{connection['id']}/metrics")
    assert got["downlinksLast1hLost"] == 3


def test_without_a_queue_the_caller_hears_of_it(api, gate, network, connection):
    api.patch(f"/connections/{connection['id']}", {"configuration": {"queueDownlinks": False}})
    away(gate)
    status, answer = post(api, connection, f"{FIRST:016X}", "00")
    assert status == 504, answer
    assert queue(api, connection)["count"] == 0
    gate.mode = "pass"

    def accepted():
        return post(api, connection, f"{FIRST:016X}", "01")[0] == 202
    kit.wait_for(accepted, 15, "the network server to be tried again", every=0.3)
    assert [parameters(r)["Payload"] for r in network.requests] == ["01"]


def test_an_answer_in_time_is_passed_on_and_a_late_one_queued(api, gate, network, connection):
    network.answer = lambda request: (503, "<html><body>busy</body></html>")
    status, answer = post(api, connection, f"{FIRST:016X}", "00")
    assert status == 202 and answer["pending"]
    network.answer = lambda request: (200, "queued")
    kit.wait_for(lambda: queue(api, connection)["count"] == 0, 15, "it to be taken")
    status, answer = post(api, connection, f"{FIRST:016X}", "01")
    assert status == 202 and "pending" not in answer
