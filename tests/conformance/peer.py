# SPDX-License-Identifier: Apache-2.0
"""What the conformance kit needs to know of a connector: how to start the thing it speaks to, and how to make that
misbehave. Each connector's folder has a conformance.py whose PEERS are subclasses of Peer; the scenarios are written once
and know nothing else of a protocol (docs/conformance.md).

The scenarios (their code and what each asserts: test_conformance.py), as `without` names them:
  refused  reset  black_hole  slow_drip  cut_half_way  dns_gone  tls_expired  tls_wrong_host  tls_unknown_ca
  wrong_password  rights_revoked  denied_publish  status_400  status_401  status_403  status_404  status_408  status_413
  status_429  status_500  status_503  one_of_a_batch  restart_in_flight  rival  edit_while_down  stop_while_sending
  backlog  renewed  size_limit  breakout  command
A Peer is started once and serves many scenarios one after another, each with devices and a connection of its own; after
each comes well(), and after one that failed a new Peer."""
import dataclasses
import json


@dataclasses.dataclass
class Arrived:
    """One message as the peer has it. `place`: the topic, routing key or URL it came to, as the peer read it."""
    body: bytes
    place: str = ""
    headers: dict = dataclasses.field(default_factory=dict)  # those that the configuration may fill, by name


class Peer:
    """A real or scripted server and the connection body that reaches it. Every method that the protocol has no such thing
    for stays as it is here: its scenario is then shown as not applicable, with the text of `without`.

    The kit puts a gate before `port` and gives the gate's address to body(): what the connector speaks to must be
    reachable through that one address (a server that tells its own address to clients must tell the gate's, see
    advertise())."""

    name = ""              # of the row in the table: "mqtt", "mqtt-tls"
    connector_id = ""      # "actility-mqtt-iot"
    tls = False            # the port speaks TLS with certificates.path("server.pem"); clients trust certificates' ca.pem
    fast = False           # taken for `./dev test`, too: one for each connector
    fast_scenarios = None  # where another fast peer of the connector has the rest: only these there (set of names)
    size_limit = None      # bytes of the largest message that the peer takes; None: none that a test could reach
    # Scenario -> why this protocol has no such thing.
    without = {}
    # Status -> verdict, where a setting of this body has it judged otherwise than promises.md 1.3 does: "transient" (tried
    # again), "message" (dead letter, the next one is sent), "configuration" (all held, AUTHENTICATION_FAILED) or "reopen"
    # (all held, UNREACHABLE, the same message first).
    verdicts = {}

    def __init__(self, directory, certificates):
        """Starts it. `directory`: its own, empty. `certificates`: tests/lib/kit.py Certificates."""
        self.directory, self.certificates = directory, certificates
        self.port = 0

    def advertise(self, host, port):
        """Clients will come by this address; called once, before the first."""

    def body(self, host, port, name="conformance", **configuration):
        """The body of POST /connections for this peer reached by host:port; `configuration` adds to it or replaces."""
        raise NotImplementedError

    def received(self):
        """All messages taken so far, in order of arrival (Arrived)."""
        raise NotImplementedError

    def send_command(self, dev_eui, document):
        """Gives the connector a command over the transport: a downlink document (dict) for that device."""
        raise NotImplementedError

    def document(self, arrived):
        """The report (dict, with its root) in a message that arrived."""
        return json.loads(arrived.body)

    def in_place(self, expression):
        """Configuration (dict) that puts the pattern expression into each place that takes one: topic, routing key, path,
        query, header."""
        raise NotImplementedError

    def shape(self, arrived):
        """What a value that stays in its place cannot change: by default, as for an MQTT topic, the number of levels, what
        no topic may hold, and the headers' names."""
        return (arrived.place.count("/"), tuple(sign for sign in "+#\r\n\0" if sign in arrived.place),
                tuple(sorted(arrived.headers)))

    # Each of these changes how it behaves from now on; well() puts all back.
    def well(self):
        pass

    def wrong_secret(self):
        """Configuration (dict) with which this peer refuses the login."""
        raise NotImplementedError

    def revoke(self):
        """The login that works is no longer allowed anything; what is connected is thrown out, or refused at its next
        message."""
        raise NotImplementedError

    def deny_publish(self):
        """The login works, publishing is denied."""
        raise NotImplementedError

    def refuse_message(self, dev_eui):
        """Messages of that device, and those only, are refused for good; others beside them are taken."""
        raise NotImplementedError

    def answer(self, status, headers=None, count=None):
        """Answers so many messages (None: all) with this status instead of taking them. Protocols with statuses only."""
        raise NotImplementedError

    def swallow(self):
        """Takes messages and acknowledges none of them."""
        raise NotImplementedError

    def client_id(self, connection):
        """The id by which the peer knows that connection (its resource, as the API shows it)."""
        return connection["configuration"].get("clientId") or "sluice-" + connection["id"]

    def rival(self, connection_id):
        """Somebody else connects with the same client id; returns something with stop()."""
        raise NotImplementedError

    def renew(self):
        """Ends the validity of the credentials in use (certificate, token) and returns the configuration (dict) of new
        ones that a PUT would bring; where the connector renews by itself, returns None."""
        raise NotImplementedError

    def stop_server(self):
        """The server dies (kill -9) and keeps its port."""
        raise NotImplementedError

    def start_server(self):
        """It is back, with what it had on disk."""
        raise NotImplementedError

    def stop(self):
        """Ends everything it has started."""
