# SPDX-License-Identifier: Apache-2.0
"""Events and messages as they happen, by Server-Sent Events: what comes, what is filtered, and that no client holds the
server up."""
import json
import socket
import subprocess
import time
import urllib.parse

import pytest

from lib import kit
from lib.sse import Events


@pytest.fixture
def routed(api, broker, device):
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_mqtt(api, broker.port)
    flow = kit.make_flow(api, [connection], matchers=[kit.key_matcher(device.eui)])
    api.wait_state(connection["id"], "OPENED")
    return connection, flow


def test_the_tap_shows_every_stage(api, device, routed, ends):
    connection, flow = routed
    tap = ends(Events(api, "/tap"))
    assert tap.answer.headers["Content-Type"] == "text/event-stream"
    device.send()
    tap.wait_where(lambda e: e[2].get("stage") == "delivered")
    seen = [e[2] for e in tap.events]
    assert [one["stage"] for one in seen] == ["raw", "routed", "decoded", "transformed", "delivered"]
    raw, matched, decoded, transformed, delivered = seen
    assert raw["document"]["DevEUI_uplink"]["payload_hex"] == "01081F5A0E10" and raw["DevEUI"] == device.eui
    assert matched["flowId"] == flow["id"] and matched["connectionId"] == connection["id"]
    assert decoded["document"]["temperature"] == 20.79 and decoded["driverId"].endswith(":climate:1")
    assert transformed["document"]["DevEUI_uplink"]["payload"]["temperature"] == 20.79
    assert delivered["connectionId"] == connection["id"] and len({one["id"] for one in seen}) == 1


def test_the_tap_is_filtered(api, device, routed, ends, binder):
    connection, flow = routed
    other = kit.Device(binder, eui="70B3D5E75E0000FF", as_id=kit.AS_ID, as_key=kit.AS_KEY)
    taps = {name: ends(Events(api, "/tap?" + query)) for name, query in {
        "device": "deviceEui=" + other.eui.lower(), "flow": "flowId=" + flow["id"],
        "connection": "connectionId=" + connection["id"], "stages": "stages=delivered,unmatched"}.items()}
    other.send()
    device.send()
    for name in ("flow", "connection", "stages"):
        taps[name].wait_where(lambda e: e[2]["stage"] == "delivered")
    stages = {name: [(e[2]["DevEUI"], e[2]["stage"]) for e in tap.events] for name, tap in taps.items()}
    assert stages["device"] == [(other.eui, "raw"), (other.eui, "unmatched")]
    assert stages["stages"] == [(other.eui, "unmatched"), (device.eui, "delivered")]
    whole = [(device.eui, stage) for stage in ("raw", "routed", "decoded", "transformed", "delivered")]
    assert stages["flow"] == whole and stages["connection"] == whole


def test_a_failing_driver_and_a_refusing_peer_are_told(api, device, ends):
    server = ends(kit.HttpCapture(lambda request: (400, "no such thing")))
    driver = kit.make_driver(api, "function decodeUplink(input) { throw new Error('broken on purpose'); }")
    connection = kit.make_http(api, server.url, strictMode=False)  # or 400 is tried again
    kit.make_flow(api, [connection], driver=driver["id"])
    api.wait_state(connection["id"], "OPENED")
    tap = ends(Events(api, "/tap"))
    device.send()
    assert "broken on purpose" in tap.wait_where(lambda e: e[2]["stage"] == "decoded")[2]["text"]
    assert "400" in tap.wait_where(lambda e: e[2]["stage"] == "refused")[2]["text"]


def test_the_tap_is_limited_and_counts_what_it_leaves_out(api, device, routed, ends):
    tap = ends(Events(api, "/tap?rate=5&stages=raw"))
    for _ in range(40):
        device.send()
    skipped = tap.wait_where(lambda e: e[0] == "skipped")[2]["count"]
    assert skipped > 0
    kit.wait_for(lambda: sum(e[2]["count"] if e[0] == "skipped" else 1 for e in tap.events) == 40, 10, "all 40 told of")


@pytest.mark.parametrize("path, word", [("/tap?rate=0", "rate"), ("/tap?rate=201", "rate"), ("/tap?stages=cooked", "cooked"),
                                        ("/tap?deviceEui=12", "deviceEui"), ("/tap?connectionId=x", "connectionId"),
                                        ("/events/stream?level=loud", "level"), ("/events/stream?lastEventId=x", "lastEventId"),
                                        ("/events/stream?deviceEui=zz", "deviceEui")])
def test_what_is_wrong_is_named(api, path, word):
    stream = Events(api, path)
    assert stream.status == 400 and word in stream.body


def test_streams_need_a_token_and_are_bounded(api, ends):
    streams = [ends(Events(api, "/events/stream")) for _ in range(20)]
    over = Events(api, "/tap")
    assert over.status == 429 and json.loads(over.body)["code"] == "com-4029" and over.answer.headers["Retry-After"]
    streams[0].stop()
    kit.wait_for(lambda: ends(Events(api, "/tap")).status == 200, 10, "the place to be free again", every=0.2)
    status, _, _ = api.raw("GET", api.url + "/tap", headers={"Authorization": "Bearer x"})
    assert status == 401


def test_events_come_live_and_what_was_missed_after_coming_back(api, broker, ends):
    stream = ends(Events(api, "/events/stream?level=info"))
    first = kit.make_mqtt(api, broker.port, "first")
    opened = stream.wait_where(lambda e: e[2]["code"] == "connection-1002" and e[2]["data"]["connectionId"] == first["id"])
    assert opened[0] == "event" and int(opened[1]) > 0 and set(opened[2]) >= {"eventTime", "level", "code", "message"}
    stream.stop()
    second = kit.make_mqtt(api, broker.port, "second")
    api.wait_state(second["id"], "OPENED")
    kit.wait_for(lambda: [e for e in api.get("/events?code=connection-1002") if e["data"]["connectionId"] == second["id"]])
    again = ends(Events(api, "/events/stream?level=info", {"Last-Event-ID": opened[1]}))
    missed = again.wait_where(lambda e: e[2]["code"] == "connection-1002" and e[2]["data"]["connectionId"] == second["id"])
    assert missed[0] == "event" and int(missed[1]) > int(opened[1])
    ids = [int(e[1]) for e in again.events if e[0] == "event"]
    assert ids == sorted(ids) and min(ids) > int(opened[1]), "nothing that was shown before comes as new"


def test_repeats_come_as_updates_of_the_same_event(api, binder, ends):
    stream = ends(Events(api, "/events/stream?code=binder-5001"))
    wrong = kit.Device(binder, as_id=kit.AS_ID, as_key="0" * 32)
    wrong.send(expect=401)
    first = stream.wait_where(lambda e: e[0] == "event")
    wrong.send(expect=401)
    update = stream.wait_where(lambda e: e[0] == "update")
    assert update[1] == first[1] and update[2]["data"]["count"] == 2
    assert api.get("/events?code=binder-5001")[0] == update[2]


def test_events_are_filtered(api, broker, ends):
    first = kit.make_mqtt(api, broker.port, "first")
    stream = ends(Events(api, "/events/stream?q_connectionId=" + first["id"]))
    other = kit.make_mqtt(api, broker.port, "other")
    api.wait_state(other["id"], "OPENED")
    api.post(f"/connections/{first['id']}/restart")
    stream.wait_where(lambda e: e[2]["code"] == "connection-1002")
    assert {e[2]["data"]["connectionId"] for e in stream.events} == {first["id"]}


def test_a_client_that_reads_nothing_holds_nobody_up(api, device, routed, broker, ends):
    place = urllib.parse.urlsplit(api.url)
    deaf = socket.create_connection((place.hostname, place.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ends(type("Deaf", (), {"stop": lambda self: deaf.close()})())
    deaf.sendall(f"GET {place.path}/tap?rate=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode())
    tap = ends(Events(api, "/tap?rate=200&stages=delivered"))
    filler = "x" * 8000
    for _ in range(60):
        device.send(Filler=filler)
    kit.wait_for(lambda: sum(e[0] == "message" for e in tap.events) == 60, 20, "all messages beside the deaf client")
    began = time.monotonic()
    assert api.get("/connections") and time.monotonic() - began < 2


def test_a_stop_does_not_wait_for_streams(sluice, api, ends):
    streams = [ends(Events(api, path)) for path in ("/events/stream", "/tap")]
    began = time.monotonic()
    sluice.stop()
    assert time.monotonic() - began < 8
    for stream in streams:
        stream.wait_end()


def test_a_silent_stream_gets_comments_and_stays(api, ends):
    stream = ends(Events(api, "/tap"))
    time.sleep(33)
    assert stream.comments >= 3 and not stream.ended


def test_the_tap_on_the_command_line(sluice, api, device, routed):
    connection, flow = routed
    word = subprocess.Popen([kit.BINARY, "tap", "--data", sluice.data, "--device", device.eui], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    try:
        assert "watching" in word.stderr.readline()  # said once the stream is open
        device.send()
        lines = [word.stdout.readline() for _ in range(5)]
    finally:
        word.terminate()
        word.communicate(timeout=10)
    assert [line.split()[5] for line in lines] == ["raw", "routed", "decoded", "transformed", "delivered"], lines
    assert f"flow {flow['id']} → broker ({connection['id']})" in lines[1] and '"temperature":20.79' in lines[2]
    assert "\x1b" not in "".join(lines), "plain where it is piped"
