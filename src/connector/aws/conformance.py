# SPDX-License-Identifier: Apache-2.0
"""AWS IoT's peers for the conformance kit: the counterpart of tests/lib/aws.py with everything at one port, as the connector
reaches it by client certificate and by signature."""
import json
import subprocess

from conformance.peer import Arrived, Peer
from lib import aws

KEY, SECRET = "AKIAFLOWEXAMPLE", "flow/Secret+of/the+tests0123456789abcde"
KINDS = {400: "InvalidRequestException", 401: "UnauthorizedException", 403: "ForbiddenException", 404: "ResourceNotFoundException",
         408: "RequestTimeoutException", 413: "RequestEntityTooLargeException", 429: "ThrottlingException",
         500: "InternalFailureException", 503: "ServiceUnavailableException"}


class Aws(Peer):
    name = "aws"
    connector_id = "actility-aws-iot"
    tls = True
    fast = True
    size_limit = 60000  # AWS's own of 128 KiB is out of a report's reach
    protocol = "SSL"

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.cloud = aws.Cloud(directory / "aws", certificates, haproxy=False)
        self.cloud.size_limit = self.size_limit
        self.port = self.cloud.edge

    def body(self, host, port, name="conformance", **configuration):
        given = {"region": self.cloud.region, "accountPrefix": "a1b2c3d4e5f6g7-ats", "protocol": self.protocol,
                 "accessKeyId": KEY, "secretAccessKey": SECRET, "deviceType": "conformance",
                 "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "downlinkTopicPattern": "tpx/things/{DevEUI}/downlink",
                 "endpoint": f"{host}:{port}", "registryEndpoint": f"{host}:{port}", "mqttPort": port,
                 "trustedCaCertificate": self.certificates.text("ca.pem"), "connectionTimeout": 2000, "actionTimeout": 2000}
        if self.protocol == "SSL":
            given.update({"mqttAlpn": True, "certificateId": self.cloud.client.arn,
                          "certificate": self.certificates.text("client.pem"), "privateKey": self.certificates.text("client.key")})
        given.update(configuration)
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        with self.cloud.lock:
            return [Arrived(one.body, one.topic) for one in self.cloud.messages]

    def send_command(self, dev_eui, document):
        self.cloud.publish(f"tpx/things/{dev_eui}/downlink", json.dumps(document))

    def in_place(self, expression):
        return {"uplinkTopicPattern": f"in/{expression}/end"}

    def shape(self, arrived):
        return arrived.place.count("/"), [sign for sign in "+#\r\n\0" if sign in arrived.place]

    def well(self):
        self.cloud.well()

    def wrong_secret(self):
        """A client certificate of an authority that AWS does not know."""
        return {"certificate": self.certificates.text("stranger-client.pem"),
                "privateKey": self.certificates.text("stranger-client.key")}

    def revoke(self):
        self.cloud.deactivate(self.cloud.client)

    def deny_publish(self):
        self.cloud.client.denied.add("iot:Publish")

    def refuse_message(self, dev_eui):
        self.cloud.refused_topics.append(dev_eui)

    def answer(self, status, headers=None, count=None):
        self.cloud.script(status, headers=headers, count=count, kind=KINDS[status],
                          where=lambda request: request.action == "iot:Publish")

    def swallow(self):
        self.cloud.swallowing.set()

    def rival(self, connection_id):
        return Rival(self.cloud.plain, "sluice-" + connection_id)

    def renew(self):
        """A new certificate is registered; the old one ends, and what is connected by it."""
        if not self.certificates.path("renewed.pem").exists():
            self.certificates.issue_client("renewed", "flow-renewed")
        arn = self.cloud.register(self.certificates.text("renewed.pem")).arn
        self.revoke()
        return {"certificateId": arn, "certificate": self.certificates.text("renewed.pem"),
                "privateKey": self.certificates.text("renewed.key")}

    def stop_server(self):
        self.cloud.servers["edge"].stop()

    def start_server(self):
        self.cloud.servers["edge"].start()

    def stop(self):
        self.cloud.stop()


class AwsSigned(Aws):
    name = "aws-wss"
    protocol = "WSS"

    def well(self):
        super().well()
        self.cloud.users = {KEY: aws.User(SECRET)}

    def wrong_secret(self):
        return {"secretAccessKey": "wrong-" + SECRET}

    def revoke(self):
        """The access key is deleted."""
        self.cloud.users.pop(KEY)
        self.cloud.servers["edge"].cut()

    def deny_publish(self):
        self.cloud.users[KEY].denied.add("iot:Publish")

    def renew(self):
        self.revoke()
        self.cloud.users["AKIARENEWED"] = aws.User("renewed-" + SECRET)
        return {"accessKeyId": "AKIARENEWED", "secretAccessKey": "renewed-" + SECRET}


class Rival:
    """Somebody else with the same client id, who comes back whenever he is thrown out."""

    def __init__(self, port, client_id):
        self.child = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-i", client_id, "-t", "nothing"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(5)


PEERS = [Aws, AwsSigned]
