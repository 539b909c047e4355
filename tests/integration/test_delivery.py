# SPDX-License-Identifier: Apache-2.0
"""What an operator does with a connection's queue: dead letters, pause, replay, purge; and what keeps it in order: age, rate,
a device that is refused for ever, credentials that do not hold. Real peers; kill -9 where things must survive."""
import json
import time

import pytest

from lib import kit


@pytest.fixture
def server(tmp_path):
    sluice = kit.Sluice(tmp_path / "sluice")
    yield sluice
    if sluice.process.running():
        sluice.stop()


def device(binder, number=1):
    return kit.Device(binder, f"70B3D5E75E0000{number:02X}", kit.AS_ID, kit.AS_KEY)


def numbers(requests, eui=None):
    roots = [json.loads(request["body"])["DevEUI_uplink"] for request in requests if request["status"] == 200]
    return [root["FCntUp"] for root in roots if eui is None or root["DevEUI"] == eui]


def queue_of(api, connection):
    return api.get(f"/connections/{connection['id']}/queue")


def wait_queue(api, connection, test, what, seconds=20):
    def look():
        got = queue_of(api, connection)
        return got if test(got) else None
    return kit.wait_for(look, seconds, what, every=0.1)


def expect_adds_up(queue):
    totals = queue["totals"]
    assert totals["accepted"] == sum(totals[name] for name in ("delivered", "filtered", "expired", "dead", "dropped")) + queue["pending"]


def test_dead_letters_survive_a_kill_and_are_resent(server):
    fine = []
    peer = kit.HttpCapture(lambda request: 200 if fine else (422, '{"error":"unknown field, token=s3cr3t-token"}'))
    api = server.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, peer.url + "/in", headers={"Authorization": "Bearer s3cr3t-token"})
    kit.make_flow(api, [connection], driver=None)
    path = f"/connections/{connection['id']}/deadLetters"
    api.wait_state(connection["id"], "OPENED")
    sender = device(binder)
    for _ in range(3):
        sender.send()
    device(binder, 2).send()
    wait_queue(api, connection, lambda queue: queue["deadLetters"] == 4, "four dead letters")
    server.kill()
    server.start()
    api = server.api()
    letters = api.get(path)
    assert len(letters) == 4
    assert [one["FCntUp"] for one in letters if one["DevEUI"] == sender.eui] == [3, 2, 1], "newest first"
    one = api.get(f"{path}/{letters[-1]['id']}")
    assert one["cause"].endswith("422") and "unknown field" in one["answer"] and one["tries"] == 1
    assert "s3cr3t-token" not in json.dumps(one) and "*****" in one["answer"]
    assert json.loads(one["body"])["DevEUI_uplink"]["DevEUI"] and one["sent"] == peer.requests[0]["body"]
    status, _, headers = api.raw("GET", api.url + path + f"?DevEUI={sender.eui}&page=1&perPage=2")
    assert status == 200 and headers["X-Total"] == "3"
    event = next(event for event in api.get("/events") if event["code"] == "connection-1201")
    assert event["data"]["status"] == 422 and "s3cr3t-token" not in json.dumps(event)

    fine.append(True)
    api.wait_state(connection["id"], "OPENED")
    assert api.post(f"{path}/{letters[-1]['id']}/resend")["count"] == 1
    assert api.post(f"{path}/resend", {"ids": [letters[0]["id"]]})["count"] == 1
    api.delete(f"{path}/{letters[1]['id']}")
    wait_queue(api, connection, lambda queue: queue["deadLetters"] == 1 and queue["pending"] == 0, "one letter left")
    assert api.post(f"{path}/resend")["count"] == 1
    queue = wait_queue(api, connection, lambda queue: queue["deadLetters"] == 0 and queue["pending"] == 0, "none left")
    kit.wait_for(lambda: len(numbers(peer.requests)) == 3, 10, "three of them to arrive")
    expect_adds_up(queue)
    assert queue["totals"]["dead"] == 4 and queue["totals"]["delivered"] == 3
    peer.stop()


def test_paused_it_keeps_all_and_stays_so_over_a_kill(server):
    peer = kit.HttpCapture()
    api = server.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, peer.url)
    kit.make_flow(api, [connection], driver=None)
    path = f"/connections/{connection['id']}"
    api.wait_state(connection["id"], "OPENED")
    assert "paused" not in api.get(path)
    api.post(path + "/pause")
    sender = device(binder)
    for _ in range(5):
        sender.send()
    wait_queue(api, connection, lambda queue: queue["pending"] == 5, "five pending")
    server.kill()
    server.start()
    api = server.api()
    assert api.get(path)["paused"] is True
    api.wait_state(connection["id"], "OPENED")
    sender.send()
    queue = wait_queue(api, connection, lambda queue: queue["pending"] == 6, "six pending")
    assert queue["paused"] is True and queue["oldest"] and queue["bytes"] > 0
    time.sleep(0.5)
    assert not peer.requests
    api.post(path + "/resume")
    peer.wait(6)
    assert numbers(peer.requests) == [1, 2, 3, 4, 5, 6]
    assert "paused" not in api.get(path)
    peer.stop()


def test_replay_brings_a_range_once_more(server):
    peer = kit.HttpCapture()
    api = server.api()
    binder = kit.make_binder(api)
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_http(api, peer.url)
    kit.make_flow(api, [connection])
    path = f"/connections/{connection['id']}/replay"
    api.wait_state(connection["id"], "OPENED")
    one, two = (kit.Device(binder, f"70B3D5E75E0000{n:02X}", kit.AS_ID, kit.AS_KEY, kit.CLIMATE) for n in (1, 2))

    def now():
        time.sleep(0.05)
        millis = time.time_ns() // 1000000
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000)) + f".{millis % 1000:03d}Z"
    one.send()
    peer.wait(1)
    start = now()
    for _ in range(6):
        one.send()
        two.send()
    peer.wait(13)
    end = now()
    one.send()
    peer.wait(14)
    dry = api.post(path, {"startTime": start, "endTime": end, "dryRun": True})
    assert dry["messages"] == 12 and dry["started"] is False and dry["complete"] is True
    assert api.post(path, {"startTime": start, "endTime": end, "DevEUI": two.eui, "dryRun": True})["messages"] == 6
    time.sleep(0.3)
    assert len(peer.requests) == 14
    started = time.monotonic()
    got = api.post(path, {"startTime": start, "endTime": end, "DevEUI": one.eui, "ratePerSecond": 5})
    assert got["messages"] == 6 and got["started"] is True
    peer.wait(20)
    assert time.monotonic() - started > 0.8, "six at five a second"
    again = [json.loads(request["body"])["DevEUI_uplink"] for request in peer.requests[14:]]
    assert [root["FCntUp"] for root in again] == [2, 3, 4, 5, 6, 7] and all(root["DevEUI"] == one.eui for root in again)
    assert all("humidity" in root["payload"] for root in again), "decoded as the flow says"
    wait_queue(api, connection, lambda queue: "replay" not in queue and queue["pending"] == 0, "the replay to end")
    events = [event["message"] for event in api.get("/events") if event["code"] == "connection-1307"]
    assert sorted(events) == ["Replay done", "Replay started"]
    assert api.metric("sluice_connection_again_total", connection=connection["id"]) == 6
    expect_adds_up(queue_of(api, connection))

    # One that is under way goes on after a kill.
    assert api.post(path, {"startTime": start, "endTime": end, "ratePerSecond": 3})["started"]
    with pytest.raises(kit.ApiError) as refused:
        api.post(path, {"startTime": start, "endTime": end})
    assert refused.value.status == 409
    peer.wait(23)
    server.kill()
    server.start()
    kit.wait_for(lambda: {(json.loads(r["body"])["DevEUI_uplink"]["DevEUI"], json.loads(r["body"])["DevEUI_uplink"]["FCntUp"])
                          for r in peer.requests[20:]} >= {(eui.eui, n) for eui, first in ((one, 2), (two, 1)) for n in range(first, first + 6)},
                 20, "all of the replay")
    peer.stop()


def test_after_an_outage_old_messages_expire(server, tmp_path):
    api = server.api()
    binder = kit.make_binder(api)
    broker = kit.Mosquitto(tmp_path / "broker")
    connection = kit.make_mqtt(api, broker.port, uplinkTimeValidity="1h", downlinkTopicPattern="")
    body = {"name": "flow", "matchers": [], "connectors": [{"id": connection["connectorId"], "connectionId": connection["id"],
                                                            "uplinkTimeValidity": "3s"}]}
    api.post("/flows", body)
    api.wait_state(connection["id"], "OPENED")
    sender = device(binder)
    broker.stop()
    for _ in range(4):
        sender.send()
    wait_queue(api, connection, lambda queue: queue["pending"] == 4, "four pending while the broker is down")
    time.sleep(3.5)
    broker.start()
    capture = broker.subscribe("up/#")
    wait_queue(api, connection, lambda queue: queue["pending"] == 0, "what is pending to expire", seconds=40)
    sender.send()
    messages = capture.wait(1, 20)
    assert [json.loads(text)["DevEUI_uplink"]["FCntUp"] for _, text in messages] == [5]
    event = next(event for event in api.get("/events") if event["code"] == "connection-1304")
    assert event["data"]["count"] == 4 and event["data"]["validity"] == 3 and event["data"]["DevEUI"] == sender.eui
    assert event["data"]["age"] >= 3
    queue = wait_queue(api, connection, lambda queue: queue["pending"] == 0, "the fresh one to be settled")
    assert queue["totals"]["expired"] == 4
    expect_adds_up(queue)
    metrics = api.get(f"/connections/{connection['id']}/metrics")
    assert metrics["uplinksLast1hLost"] == 4 and metrics["uplinksLast1hFailed"] == 0
    capture.stop()
    broker.stop()


def test_a_device_refused_for_ever_keeps_nobody_back_and_tries_can_be_limited(server):
    bad = "70B3D5E75E000001"
    peer = kit.HttpCapture(lambda request: 500 if bad in request["body"] else 200)
    api = server.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, peer.url)
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED")
    first, second = device(binder, 1), device(binder, 2)
    for _ in range(30):
        first.send()
    for _ in range(30):
        second.send()
    kit.wait_for(lambda: numbers(peer.requests, second.eui) == list(range(1, 31)), 15, "the other device's messages, in order")
    assert queue_of(api, connection)["pending"] == 30
    limited = {"connectorId": connection["connectorId"], "name": connection["name"],
               "configuration": {**connection["configuration"], "maxTries": 1, "uplinkRateLimiter": 100}}
    api.put(f"/connections/{connection['id']}", limited)
    queue = wait_queue(api, connection, lambda queue: queue["pending"] == 0, "all to be given up", seconds=30)
    assert queue["deadLetters"] == 30
    assert "given up after 1 try" in api.get(f"/connections/{connection['id']}/deadLetters")[0]["cause"]
    expect_adds_up(queue)
    peer.stop()


@pytest.mark.parametrize("strict", [False, True])
def test_credentials_that_do_not_hold_hold_everything(server, strict):
    answers = [401]
    peer = kit.HttpCapture(lambda request: answers[0])
    api = server.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, peer.url, strictMode=strict)
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED")
    sender = device(binder)
    for _ in range(3):
        sender.send()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    queue = queue_of(api, connection)
    assert queue["pending"] == 3 and queue["deadLetters"] == 0
    answers[0] = 200
    api.post(f"/connections/{connection['id']}/restart")
    kit.wait_for(lambda: numbers(peer.requests) == [1, 2, 3], 15, "all three, in order")
    peer.stop()


def test_the_rate_is_kept_and_the_queue_is_emptied(server):
    peer = kit.HttpCapture()
    api = server.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, peer.url, uplinkRateLimiter=10)
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED")
    for number in range(1, 41):
        device(binder, number).send()
    peer.wait(21, 15)
    times = [request["time"] for request in peer.requests[:21]]
    assert 1.5 < times[20] - times[0] < 6, "twenty at ten a second"
    api.delete(f"/connections/{connection['id']}/queue")
    queue = wait_queue(api, connection, lambda queue: queue["pending"] == 0, "nothing to be pending")
    time.sleep(0.5)
    assert len(peer.requests) < 40
    assert queue["totals"]["dropped"] > 0
    expect_adds_up(queue_of(api, connection))
    device(binder, 1).send()
    kit.wait_for(lambda: len(numbers(peer.requests, "70B3D5E75E000001")) == 2, 10, "a fresh message")
    peer.stop()


def test_a_list_keeps_what_its_connection_says(server):
    api = server.api()
    binder = kit.make_binder(api)
    port = kit.free_port()
    connection = kit.make_mqtt(api, port, queueMaxMessages=5)
    kit.make_flow(api, [connection], driver=None)
    sender = device(binder)
    for _ in range(12):
        sender.send()
    queue = wait_queue(api, connection, lambda queue: queue["pending"] == 5, "seven to be dropped")
    assert queue["totals"]["dropped"] == 7
    expect_adds_up(queue)
    kit.wait_for(lambda: sum(event["data"]["count"] for event in api.get("/events") if event["code"] == "connection-1305") == 7, 5,
                 "the event that counts them")
