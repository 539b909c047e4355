# SPDX-License-Identifier: Apache-2.0
"""AMQP's peers for the conformance kit: RabbitMQ in clear, and over TLS with client certificates in place of a password."""
import json

from conformance.peer import Arrived, Peer
from lib import rabbit

SECRET = "s3cr3t-of-the-rabbit"
UPLINKS = ("up.#", "in.#")
# Devices of the kit differ in the last digits of their EUI.
AROUND = 64


class Rabbit(Peer):
    name = "amqp"
    connector_id = "actility-amqp-0.9.1-iot"
    fast = True
    size_limit = 60000
    user = "flow"
    without = {"rival": "AMQP has no client ids: connections of one name live beside each other",
               **{f"status_{status}": "AMQP has no statuses of this kind"
                  for status in (400, 401, 403, 404, 408, 413, 429, 500, 503)}}

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.rabbit = rabbit.Rabbit(directory / "rabbit", certificates if self.tls else None,
                                    f"max_message_size = {self.size_limit}", password=SECRET)
        self.port = self.rabbit.tls_port if self.tls else self.rabbit.port
        self.capture = self.rabbit.capture(*UPLINKS)
        self.changed = False

    def well(self):
        if not self.changed:
            return
        self._well()
        if self.capture.keys != UPLINKS:
            self.capture.bind(UPLINKS)
        self.changed = False

    def _well(self):
        self.rabbit.password(self.user, SECRET)
        self.rabbit.permit(self.user)

    def _log_in(self):
        return {"username": self.user, "password": SECRET}

    def body(self, host, port, name="conformance", **configuration):
        given = {"hostName": f"{host}:{port}", "protocol": "SSL" if self.tls else "TCP", "uplinkTopicPattern": "up.{DevEUI}",
                 "downlinkTopicPattern": "down.{DevEUI}", "exchangeName": "IotFlowExchange", "mandatory": True,
                 "connectionTimeout": 5000, "actionTimeout": 2000, **self._log_in(), **configuration}
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        with self.capture.condition:
            return [Arrived(body, key) for key, body, _ in self.capture.messages]

    def send_command(self, dev_eui, document):
        self.rabbit.publish("down." + dev_eui, json.dumps(document))

    def in_place(self, expression):
        return {"uplinkTopicPattern": f"in.{expression}.end"}

    def shape(self, arrived):
        return tuple(arrived.place.count(sign) for sign in ".*#\r\n")

    def wrong_secret(self):
        return {"password": "wrong-" + SECRET}

    def revoke(self):
        self.changed = True
        self.rabbit.password(self.user, "another-word")
        self.rabbit.close_connections()

    def deny_publish(self):
        """To the exchange: the queue of the connection may still be bound."""
        self.changed = True
        self.rabbit.permit(self.user, write=r"^sluice[.]")
        # What a channel has looked up it keeps for a while.
        self.rabbit.close_connections()

    def refuse_message(self, dev_eui):
        """No queue takes them, and `mandatory` has the broker say so."""
        self.changed = True
        number = int(dev_eui, 16)
        others = [f"{eui:0{len(dev_eui)}X}" for eui in range(number - AROUND, number + AROUND) if eui != number]
        self.capture.bind(["up." + eui for eui in others])

    def renew(self):
        self.changed = True
        self.rabbit.password(self.user, "renewed-" + SECRET)
        self.rabbit.close_connections()
        return {"password": "renewed-" + SECRET}

    def stop_server(self):
        self.rabbit.kill()

    def start_server(self):
        self.rabbit.start()

    def stop(self):
        self.capture.stop()
        self.rabbit.stop()


class RabbitTls(Rabbit):
    name = "amqp-tls"
    tls = True
    fast = False
    user = "flow-client"  # the certificate's common name

    def _well(self):
        self.rabbit.permit(self.user)

    def _log_in(self):
        return {"trustedCaCertificate": self.certificates.text("ca.pem"), "certificate": self.certificates.text("client.pem"),
                "privateKey": self.certificates.text("client.key")}

    def wrong_secret(self):
        """A certificate of an authority that the broker does not know."""
        return {"certificate": self.certificates.text("stranger-client.pem"),
                "privateKey": self.certificates.text("stranger-client.key")}

    def revoke(self):
        self.changed = True
        self.rabbit.forbid(self.user)
        self.rabbit.close_connections()

    def renew(self):
        """The old certificate's name loses its rights; a new certificate has another."""
        if not self.certificates.path("renewed.pem").exists():
            self.certificates.issue_client("renewed", "flow-renewed")
        self.rabbit.user("flow-renewed", "of-no-use")
        self.revoke()
        return {"certificate": self.certificates.text("renewed.pem"), "privateKey": self.certificates.text("renewed.key")}


PEERS = [Rabbit, RabbitTls]
