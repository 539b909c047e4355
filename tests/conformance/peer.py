# SPDX-License-Identifier: Apache-2.0
"""What the conformance kit needs to know of a connector: how to start the thing it speaks to, and how to make that
misbehave. Each connector's folder has a conformance.py whose PEERS are subclasses of Peer; the scenarios are written once
and know nothing else of a protocol (docs/conformance.md)."""
import dataclasses


@dataclasses.dataclass
class Arrived:
    """One message as the peer has it. `place`: the topic, routing key or URL it came to, as the peer read it."""
    body: bytes
    place: str = ""


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
    size_limit = None      # bytes of the largest message that the peer takes; None: none that a test could reach
    # Scenario -> why this protocol has no such thing.
    without = {}

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
