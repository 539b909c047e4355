# SPDX-License-Identifier: Apache-2.0
"""The scenarios that every connector passes (promises.md): each is written once and knows of its peer what peer.py says.
The whole engine runs; reports go in by the tunnel of a network server. At the end of each, whatever it was, the books are
looked at (Case.expect_books): nothing lost, nothing but the wanted dead letters, no secret shown."""
import json
import time

from conformance.case import scenario
from conformance.conftest import run_scenario
from conformance.faults import TlsFront
from lib import kit


def test_scenario(rigs, cell, request):
    _, peer_class, chosen = cell
    run_scenario(rigs, peer_class, chosen, request.config.getoption("--whole"))


# ---------------------------------------------------------------- the way to the peer

def away(c, mode, back_by_itself=False, duplicates=False):
    """It works; the peer goes in that way; it works again."""
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    tried = c.gate.accepted
    c.gate.set(mode)
    c.send(devices, 3)
    if mode in ("reset", "stall"):
        # What ended the old connection is not the fault: the next one meets it.
        kit.wait_for(lambda: c.gate.accepted > tried, 30, "the next try")
    c.expect_unreachable()
    c.expect_neighbour_unharmed()
    c.gate.set("pass")
    if back_by_itself:
        c.wait_state("OPENED", seconds=45)
    else:
        c.open_again()
    c.expect_all(duplicates=duplicates)


@scenario("Nobody listens at the peer's address: UNREACHABLE; back by itself within the quick tries (1, 5, 20 s), nothing lost.")
def refused(c):
    away(c, "refuse", back_by_itself=True)


@scenario("Each connection is reset as soon as it is made: as above.")
def reset(c):
    away(c, "reset")


@scenario("The peer takes connections and never says a word: noticed within the connector's time limits, UNREACHABLE.")
def black_hole(c):
    away(c, "stall")


@scenario("The peer takes messages and its acknowledgements get lost: not OPENED for long; sent again, in order.")
def black_hole_in_mid_run(c):
    away(c, "mute", duplicates=True)


@scenario("Bytes come 200 a second, both ways: delivered slowly, or noticed; no other connection is slowed.")
def slow_drip(c):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    c.gate.set("drip")
    c.send(devices, 2)
    for _ in range(5):
        c.expect_neighbour_unharmed()
        time.sleep(0.5)
    assert not c.letters()
    c.gate.set("pass")
    c.open_again()
    c.expect_all(duplicates=True)


@scenario("The connection ends in mid-message, again and again at other places: nothing is lost, what was taken may come twice.")
def cut_half_way(c):
    devices = c.devices(4)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    for size in (300, 3000, 9000):
        c.gate.set("cut", size)
        c.send(devices, 10)
        c.restart()
        time.sleep(1)
    c.expect_neighbour_unharmed()
    assert not c.letters()
    c.gate.set("pass")
    c.open_again()
    c.expect_all(duplicates=True)


@scenario("The peer's name has no address: UNREACHABLE, and the reason names it.")
def dns_gone(c):
    devices = c.devices(1)
    c.connect(devices, c.body(host="gone.invalid"), opened=False)
    c.send(devices, 3)
    got = c.expect_unreachable()
    assert "gone.invalid" in json.dumps(got["stateReason"]) or "resol" in got["stateReason"]["message"].lower(), got
    c.expect_neighbour_unharmed()
    c.configure(c.body()["configuration"])
    c.wait_state("OPENED")
    c.expect_all()


# ---------------------------------------------------------------- TLS

def false_server(c, certificate, word):
    """Somebody with that certificate is at the peer's address; then the peer is back."""
    devices = c.devices(1)
    front = c.keep(TlsFront(c.certificates, certificate))
    c.gate.target = front.port
    c.connect(devices, opened=False)
    c.send(devices, 2)
    got = c.expect_authentication_failed()
    assert front.tried, "it never asked for the certificate"
    assert not front.data, "it told something to a server that it should not trust"
    assert any(one in got["stateReason"]["message"].lower() for one in word), got["stateReason"]
    c.expect_neighbour_unharmed()
    c.gate.target = c.peer.port
    c.open_again()
    c.expect_all()


@scenario("The server's certificate has expired: nothing is told to it; AUTHENTICATION_FAILED, the reason says why.", tls=True)
def tls_expired(c):
    false_server(c, "expired", ["expired"])


@scenario("The server's certificate is another host's: as above.", tls=True)
def tls_wrong_host(c):
    false_server(c, "elsewhere", ["host", "name", "match"])


@scenario("The server's certificate comes from an authority that is not trusted: as above.", tls=True)
def tls_unknown_ca(c):
    false_server(c, "stranger", ["authority", "issuer", "ca ", "self-signed", "self signed", "trusted", "unable to get"])


# ---------------------------------------------------------------- credentials and rights

@scenario("The login is refused: AUTHENTICATION_FAILED, all is held; a corrected configuration delivers it, without a restart.")
def wrong_password(c):
    devices = c.devices(2)
    c.connect(devices, c.body(**c.peer.wrong_secret()), opened=False)
    c.send(devices, 3)
    c.expect_authentication_failed()
    c.expect_neighbour_unharmed()
    c.configure(c.body()["configuration"])
    c.wait_state("OPENED")
    c.expect_all()


def rights_end(c, end):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    end()
    c.send(devices, 3)
    c.expect_authentication_failed()
    c.expect_neighbour_unharmed()
    c.peer.well()
    c.open_again()
    c.expect_all(duplicates=True)


@scenario("The login loses its rights while messages flow: all is held, AUTHENTICATION_FAILED; nothing is lost when they are back.")
def rights_revoked(c):
    rights_end(c, c.peer.revoke)


@scenario("The login works, publishing is denied: no message is blamed, all is held, AUTHENTICATION_FAILED.")
def denied_publish(c):
    rights_end(c, c.peer.deny_publish)


@scenario("Certificate, password or token are renewed while the engine runs: the old ones end, new ones are given, all arrives.")
def renewed(c):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    pid = c.sluice.process.pid
    new = c.peer.renew()
    c.send(devices, 3)
    if new is not None:
        c.expect_authentication_failed()
        c.configure(new)
        c.wait_state("OPENED")
    c.send(devices)
    c.expect_all(duplicates=True)
    assert c.sluice.process.pid == pid and c.sluice.process.running()


# ---------------------------------------------------------------- statuses

STATUSES = {400: "message", 401: "configuration", 403: "configuration", 404: "configuration", 408: "transient", 413: "message",
            429: "transient", 500: "transient", 503: "transient"}
RETRY_AFTER = 4


def status(c, number, verdict):
    verdict = c.peer.verdicts.get(number, verdict)
    first, second = c.devices(2)
    c.connect([first, second])
    c.send([first, second])
    c.expect_all()
    c.peer.answer(number, {"Retry-After": str(RETRY_AFTER)} if number == 429 else None,
                  count=1 if verdict in ("message", "transient") else None)
    since = time.monotonic()
    c.send([first])
    if verdict == "message":
        c.expect_dead_letter(first)
    elif verdict == "transient":
        c.expect_repeated()
        assert c.state()["state"] == "OPENED"
    elif verdict == "configuration":
        c.expect_authentication_failed()
    else:
        c.expect_unreachable()
    c.expect_neighbour_unharmed()
    c.send([second])
    if verdict in ("message", "transient"):
        # Others go on meanwhile.
        kit.wait_for(lambda: c.arrived()[second.eui] == c.sent[second.eui], 10, "the other device's message")
        c.peer.well()
    else:
        time.sleep(0.3)
        assert c.arrived()[second.eui] != c.sent[second.eui], "it goes on though the configuration is at fault"
        c.peer.well()
        c.open_again()
    c.send([first])
    c.expect_all()
    if number == 429 and verdict == "transient":
        assert time.monotonic() - since >= RETRY_AFTER, "Retry-After was not kept"


for _number, _verdict in STATUSES.items():
    scenario({"message": f"{_number}: the message is at fault. A dead letter, an event; the next one is sent.",
              "configuration": f"{_number}: the configuration is at fault. All is held, AUTHENTICATION_FAILED.",
              "transient": f"{_number}: tried again" + (", not before its Retry-After" if _number == 429 else "")
                           + "; other devices go on meanwhile."}[_verdict],
             statuses=True, name=f"status_{_number}", fast=_number not in (408, 413, 503))(
        lambda c, number=_number, verdict=_verdict: status(c, number, verdict))


# ---------------------------------------------------------------- messages

@scenario("Of many messages sent at once one device's are refused for good: dead letters, and all others arrive in order.")
def one_of_a_batch(c):
    devices = c.devices(8)
    c.connect(devices)
    c.peer.refuse_message(devices[3].eui)
    c.api.post(c.path + "/pause")
    for _ in range(3):
        c.send(devices)
    kit.wait_for(lambda: c.queue()["pending"] == 24, 10, "24 pending messages")
    c.api.post(c.path + "/resume")
    refused_device = devices[3].eui
    c.refused[refused_device] = list(c.sent[refused_device])
    c.expect_all()
    kit.wait_for(lambda: len(c.letters()) == 3, 10, "three dead letters")
    event = c.wait_event("connection-1201")
    assert event["data"]["DevEUI"] == refused_device and event["data"]["cause"], event
    assert c.state()["state"] == "OPENED"


@scenario("A message of just the peer's limit arrives; one byte over is a dead letter, and the next one is sent.")
def size_limit(c):
    device, = c.devices(1)
    c.connect([device])
    c.send([device], CustomField="x")
    c.expect_all()
    pad = c.peer.size_limit - len(c.messages(device)[0].body)
    c.send([device], CustomField="x" * (pad + 1))
    c.expect_all()
    assert len(c.messages(device)[1].body) == c.peer.size_limit
    c.send([device], CustomField="x" * (pad + 2))
    c.expect_dead_letter(device)
    c.send([device])
    c.expect_all()


HOSTILE = ["../../up", "..", ".", "a/b", "/", "+", "#", "+/#", "*", "a.b", "a?x=1&y=2#end", "a&value=2", "a%2Fb%2e%2e", "a\r\nX-Evil: 1",
           "a\nb", "\u0000", "a\u0000b", "{DevEUI}", "a b", "\u00fc\u20ac", "\\..\\", ";a=b", "' OR 1=1", "$SYS", "x" * 300]


@scenario("Texts of a report that try to leave their place in a topic, routing key, URL or header don't; a DevEUI that is none is refused.")
def breakout(c):
    device, = c.devices(1)
    body = c.body()
    c.connect([device], c.body(**c.peer.in_place("{CustomerData.name}")))
    c.send([device], CustomerData={"name": "harmless"})
    c.expect_all()
    shape = c.peer.shape(c.messages(device)[0])
    for text in HOSTILE:
        c.send([device], CustomerData={"name": text, "tags": [text]})
    settled = lambda: len(c.messages(device)) + len(c.letters()) == 1 + len(HOSTILE)  # noqa: E731
    kit.wait_for(settled, 30, "each to arrive, or to be a dead letter")
    c.refused[device.eui] = sorted(letter["FCntUp"] for letter in c.letters())
    assert len(c.refused[device.eui]) < len(HOSTILE) / 2, "most can be sent"
    for one in c.messages(device):
        assert c.peer.shape(one) == shape, (one.place, one.headers)
    for eui in ("../../../../etc1", "70B3D5E75E/00001", "70B3D5E75E+#0001", "70B3D5E75E\r\n0001"):
        stranger = kit.Device(c.binder, eui, kit.AS_ID, kit.AS_KEY)
        stranger.send(expect=400)
    c.configure(body["configuration"])
    c.wait_state("OPENED")
    c.send([device])
    c.expect_all()


# ---------------------------------------------------------------- life

@scenario("The engine is killed (kill -9) with messages in flight: all arrive after its start, in order; those in flight may come twice.")
def restart_in_flight(c):
    devices = c.devices(4)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    c.gate.set("mute")
    c.send(devices, 5)
    label = c.connection["id"]
    kit.wait_for(lambda: c.api.metric("sluice_connection_in_flight", connection=label) > 0, 10, "messages in flight")
    c.sluice.kill()
    c.gate.set("pass")
    c.sluice.start()
    c.rig.api = c.api = c.sluice.api()
    c.wait_state("OPENED", seconds=45)
    c.send(devices)
    c.expect_all(duplicates=True)


@scenario("Somebody connects with the same client id: an event names it; when he has gone, all arrives.")
def rival(c):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    other = c.keep(c.peer.rival(c.connection["id"]))
    client_id = c.state()["configuration"].get("clientId") or "sluice-" + c.connection["id"]
    c.wait_event("connection-1003", "connection-1101", "connection-1103", "connection-1206",
                 where=lambda event: client_id in json.dumps(event["data"]) + event["message"].replace("with id", ""))
    c.send(devices, 3)
    c.expect_neighbour_unharmed()
    other.stop()
    c.open_again()
    c.expect_all(duplicates=True)


@scenario("The connection is edited while its peer is down, twice, the second time to another address: what waits stays, and arrives in order.")
def edit_while_down(c):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    c.gate.set("refuse")
    c.send(devices, 5)
    c.expect_unreachable()
    c.configure({"uplinkTimeValidity": "48h"})
    c.send(devices, 5)
    c.expect_unreachable()
    assert c.queue()["pending"] == 20
    c.gate.set("pass")
    c.configure(c.body(host="localhost")["configuration"])
    c.wait_state("OPENED")
    c.expect_all()


@scenario("It is switched off and on while messages flow: DEACTIVATED within 30 s, nothing is lost or comes twice.")
def stop_while_sending(c):
    devices = c.devices(4)
    c.connect(devices)
    c.send(devices, 10)
    c.api.post(c.path + "/stop")
    c.send(devices, 5)
    c.wait_state("DEACTIVATED", seconds=30)
    c.send(devices, 5)
    c.expect_neighbour_unharmed()
    arrived = sum(map(len, c.arrived().values()))
    time.sleep(0.5)
    assert sum(map(len, c.arrived().values())) == arrived, "it sends though it is switched off"
    c.api.post(c.path + "/start")
    c.wait_state("OPENED")
    c.expect_all()


@scenario("A backlog of ten times the largest window of a connector (10,000 messages of 50 devices; 1,000 in the fast form) is drained, with "
          "live messages in between, in order and without loss.")
def backlog(c):
    devices = c.devices(50)
    c.connect(devices)
    c.gate.set("refuse")
    c.simulate(devices, 200 if c.whole else 20)
    c.expect_unreachable()
    c.gate.set("pass")
    c.restart()
    c.send(devices[:4])
    c.wait_state("OPENED")
    c.send(devices[:4], 3)
    c.expect_all(seconds=120, duplicates=True)


@scenario("A command to a device that comes over the transport reaches the network server.")
def command(c):
    device, = c.devices(1)
    c.connect([device])
    c.send([device])
    c.expect_all()
    c.peer.send_command(device.eui, {"DevEUI_downlink": {"DevEUI": device.eui, "FPort": 2, "payload_hex": "0102"}})
    got = c.rig.network.wait_where(lambda request: device.eui in request["body"] + request["path"], 20)
    assert "0102" in got["path"] + got["body"]
