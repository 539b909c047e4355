# SPDX-License-Identifier: Apache-2.0
"""Event Hubs' peer for the conformance kit: the scripted Kafka broker with TLS and the service's form of a login."""
import importlib.util
import pathlib
import re

_spec = importlib.util.spec_from_file_location("conformance_of_kafka_itself",
                                               pathlib.Path(__file__).parents[1] / "conformance.py")
_outer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_outer)

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
RENEWED = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
PREFIX = "in-"


class EventHub(_outer.Kafka):
    name = "event-hub"
    connector_id = "actility-azure-event-hub"
    tls = True
    mechanism = "PLAIN"
    user = "$ConnectionString"
    without = {"rival": "a namespace lets any number of clients have one client id"}

    def _right(self, secret=SECRET):
        # By whichever of its names it was reached.
        return tuple(f"Endpoint=sb://{host}/;SharedAccessKeyName=flow;SharedAccessKey={secret}"
                     for host in ("127.0.0.1", "localhost"))

    def well(self):
        super().well()
        # Event hubs that a pattern may name: they must exist before, and here they do.
        self.broker.any_topic = PREFIX + "[a-zA-Z0-9._-]{0,240}"

    def body(self, host, port, name="conformance", **configuration):
        given = {"hostName": f"{host}:{port}", "sharedAccessKeyName": "flow", "sharedAccessKey": SECRET,
                 "uplinkTopicPattern": "up", "downlinkTopicPattern": self.downlink_topic,
                 "trustedCaCertificate": self.certificates.text("ca.pem"), "connectionTimeout": 3000, "actionTimeout": 3000,
                 **configuration}
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def in_place(self, expression):
        return {"uplinkTopicPattern": PREFIX + expression}

    def shape(self, arrived):
        return bool(re.fullmatch(PREFIX + "[a-zA-Z0-9._-]+", arrived.place))

    def wrong_secret(self):
        return {"sharedAccessKey": RENEWED}

    def renew(self):
        self._change(RENEWED)
        return {"sharedAccessKey": RENEWED}


PEERS = [EventHub]
