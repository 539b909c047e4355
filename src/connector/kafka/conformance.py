# SPDX-License-Identifier: Apache-2.0
"""Kafka's peers for the conformance kit: the scripted broker, with logins in clear and over TLS with client certificates."""
import json

from conformance.peer import Arrived, Peer
from lib import kafka, kit

SECRET = "s3cr3t-of-the-broker"


class Kafka(Peer):
    name = "kafka"
    connector_id = "actility-kafka-iot"
    fast = True
    size_limit = 60000
    mechanism = "SCRAM-SHA-256"
    user = "flow"
    downlink_topic = "down"
    client_certificates = False
    without = {"rival": "a broker lets any number of clients have one client id",
               "breakout": "the topic is fixed and the key is the DevEUI: no text of a report has a place there"}

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.broker = kafka.Broker({"up": 3, self.downlink_topic: 2}, users={self.user: self._right()},
                                   mechanisms=[self.mechanism], tls=certificates if self.tls else None,
                                   client_certificates=self.client_certificates)
        self.port = self.broker.port
        self.well()

    def _right(self, secret=SECRET):
        """The password, or passwords, that the broker takes."""
        return secret

    def _change(self, secret):
        """Another password from now on, for those who are connected, too."""
        self.broker.users = {self.user: self._right(secret)}
        self.broker.cut()

    def advertise(self, host, port):
        self.broker.advertise(host, port)

    def well(self):
        self.broker.well()
        self.broker.value_limit = self.size_limit
        self.broker.users = {self.user: self._right()}

    def body(self, host, port, name="conformance", **configuration):
        given = {"bootstrapServers": f"{host}:{port}", "producerClientId": "flow-producer", "consumerClientId": "flow-consumer",
                 "consumerGroupId": "flow-group", "uplinkTopic": "up", "downlinkTopic": self.downlink_topic, "concurrency": 2,
                 "securityProtocol": "SASL_SSL" if self.tls else "SASL_PLAINTEXT", "saslMechanism": self.mechanism,
                 "username": self.user, "password": SECRET, "connectionTimeout": 3000, "actionTimeout": 3000}
        if self.client_certificates:
            given.update({"trustedCaCertificate": self.certificates.text("ca.pem"),
                          "certificate": self.certificates.text("client.pem"),
                          "privateKey": self.certificates.text("client.key")})
        given.update(configuration)
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        return [Arrived(record.value, record.topic, {name: content.decode() for name, content in record.headers})
                for record in list(self.broker.records) if record.topic != self.downlink_topic]

    def send_command(self, dev_eui, document):
        self.broker.wait_reader(self.downlink_topic)
        self.broker.append(self.downlink_topic, json.dumps(document).encode(), dev_eui.encode(), partition=1)

    def wrong_secret(self):
        return {"password": "wrong-" + SECRET}

    def revoke(self):
        self._change("another-word")

    def deny_publish(self):
        self.broker.denied_writes.add("up")

    def refuse_message(self, dev_eui):
        self.broker.key_errors[dev_eui.encode()] = kafka.INVALID_RECORD

    def swallow(self):
        self.broker.swallow = "keep"

    def renew(self):
        self._change("renewed-" + SECRET)
        return {"password": "renewed-" + SECRET}

    def stop_server(self):
        self.broker.kill()

    def start_server(self):
        self.broker.start()
        kit.wait_for(lambda: kit.port_is_open(self.port), 10, "the broker to listen")

    def stop(self):
        self.broker.stop()


class KafkaTls(Kafka):
    name = "kafka-tls"
    fast = False
    tls = client_certificates = True
    mechanism = "SCRAM-SHA-512"


PEERS = [Kafka, KafkaTls]
