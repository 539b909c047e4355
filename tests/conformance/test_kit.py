# SPDX-License-Identifier: Apache-2.0
"""The kit itself: its faults are what they say, and it fails where it has to. Peers that lie about what arrived, and a
connection set up to lose."""
import socket

import pytest

import conformance.test_conformance  # noqa: F401: registers the scenarios
from conformance import table
from conformance.case import SCENARIOS, Case, Scenario, discover
from conformance.conftest import run_scenario
from conformance.faults import FaultGate, TlsFront
from lib import kit

PEERS = {peer.name: peer for _, peer in discover()}
Http, Mqtt = PEERS["http"], PEERS["mqtt"]


def plain(c):
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices, 4)
    c.expect_all()


PLAIN = Scenario("plain", plain, "", True, False, False)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(Case, "PATIENCE", 3)


class Loses(Http):
    def received(self):
        return [one for one in super().received() if b'"FCntUp":3' not in one.body]


class Doubles(Http):
    def received(self):
        return [one for one in super().received() for _ in range(2 if b'"FCntUp":3' in one.body else 1)]


class Reorders(Http):
    def received(self):
        return super().received()[::-1]


class HasNoRival(Http):
    without = {}


@pytest.mark.parametrize("peer, word", [(Loses, "not arrived"), (Doubles, "duplicates"), (Reorders, "in this order")])
def test_a_peer_that_did_not_get_all_in_order_fails(rigs, impatient, peer, word):
    with pytest.raises(AssertionError, match=word):
        run_scenario(rigs, peer, PLAIN)


def test_a_connection_that_loses_fails(rigs, impatient):
    class Careless(Mqtt):
        def body(self, host, port, name="conformance", **configuration):
            return super().body(host, port, name, qos=0, **configuration)  # "delivered" is what was written
    with pytest.raises(AssertionError, match="not arrived|adds? up|totals"):
        run_scenario(rigs, Careless, SCENARIOS["cut_half_way"])


def test_a_fault_that_goes_unnoticed_fails(rigs, monkeypatch):
    monkeypatch.setattr(FaultGate, "set", lambda self, mode, cut_after=None: None)
    monkeypatch.setattr(Case, "wait_state", lambda self, *states, seconds=30:
                        self.api.wait_state(self.connection["id"], *states, seconds=min(seconds, 3)))
    with pytest.raises(AssertionError, match="UNREACHABLE"):
        run_scenario(rigs, Http, SCENARIOS["refused"])


def test_a_secret_that_shows_fails(rigs):
    def shows(c):
        plain(c)
        c.secrets.add("Opening connection")  # words of an event
    with pytest.raises(AssertionError, match="a secret is shown"):
        run_scenario(rigs, Http, Scenario("shows", shows, "", True, False, False))


def test_what_is_not_applicable_needs_a_reason(rigs):
    with pytest.raises(AssertionError, match="gives no reason"):
        run_scenario(rigs, HasNoRival, SCENARIOS["rival"])
    with pytest.raises(pytest.skip.Exception, match="have no ids"):
        run_scenario(rigs, Http, SCENARIOS["rival"])


def test_reasons_are_for_scenarios_that_are_there():
    for peer in PEERS.values():
        assert set(peer.without) <= set(SCENARIOS), peer.name
        assert all(peer.without.values()), peer.name


def test_each_connector_has_a_peer_for_the_fast_form():
    folders = {folder for folder, _ in discover()}
    assert {folder for folder, peer in discover() if peer.fast} == folders
    have = {str(path.parent.relative_to(kit.ROOT / "src/connector")) for path in kit.ROOT.glob("src/connector/**/connector.cpp")}
    assert folders == have


@pytest.fixture
def gate(ends):
    listener = socket.create_server(("127.0.0.1", 0))
    yield ends(FaultGate(listener.getsockname()[1])), listener
    listener.close()


def reach(gate):
    stream = socket.create_connection(("127.0.0.1", gate.port), 2)
    stream.settimeout(0.5)
    return stream


def test_the_gate_does_what_it_says(gate):
    gate, listener = gate
    for _ in range(2):
        gate.set("refuse")
        with pytest.raises(ConnectionRefusedError):
            reach(gate)
        gate.set("pass")
        with reach(gate) as stream:
            behind, _ = listener.accept()
            stream.sendall(b"there")
            assert behind.recv(10) == b"there"
            gate.set("mute")
            behind.sendall(b"back")
            stream.sendall(b"more")
            assert behind.recv(10) == b"more"
            with pytest.raises(TimeoutError):
                stream.recv(10)
    gate.set("reset")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        stream = reach(gate)
        stream.recv(1)
    gate.set("stall")
    with reach(gate) as stream, pytest.raises(TimeoutError):
        stream.sendall(b"hello")
        stream.recv(1)
    gate.set("cut", 7)
    with reach(gate) as stream:
        behind, _ = listener.accept()
        behind.settimeout(2)
        stream.sendall(b"0123456789")
        got = b""
        while more := behind.recv(10):
            got += more
        assert got == b"0123456"


@pytest.mark.parametrize("name, word", [("expired", "expired"), ("elsewhere", "mismatch|not valid for"), ("stranger", "issuer|self.signed")])
def test_the_certificates_are_as_bad_as_they_say(fault_certificates, ends, name, word):
    import ssl
    front = ends(TlsFront(fault_certificates, name))
    context = ssl.create_default_context(cafile=str(fault_certificates.path("ca.pem")))
    with socket.create_connection(("127.0.0.1", front.port), 5) as stream, pytest.raises(ssl.SSLCertVerificationError, match=word):
        context.wrap_socket(stream, server_hostname="localhost")


def test_the_table_keeps_the_rows_of_others(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\n{table.END}\nafter\n")
    table.write(page, {("one", "refused"): ("a", "holds", ""), ("two", "refused"): ("b", "fails", "it | does not")})
    table.write(page, {("one", "refused"): ("a", "not applicable", "has none")})
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert table.read(text) == {("one", "refused"): ("a", "not applicable", "has none"),
                                ("two", "refused"): ("b", "fails", "it | does not")}
    assert "| `refused` | – [1] | **fails** [2] |" in text and "1. has none" in text
