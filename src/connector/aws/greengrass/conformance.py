# SPDX-License-Identifier: Apache-2.0
"""Greengrass' peer for the conformance kit: mosquitto as the core's broker behind the kit's gate; AWS's discovery and registry,
which the connector needs beside it, at ports of their own."""
import json
import signal
import subprocess

from conformance.peer import Arrived, Peer
from lib import aws, kit

KEY, SECRET = "AKIAFLOWEXAMPLE", "flow/Secret+of/the+tests0123456789abcde"
THING = "FlowBridge"
NO_STATUS = {f"status_{status}": "MQTT has no statuses of this kind" for status in (400, 401, 403, 404, 408, 413, 429, 500, 503)}


class Greengrass(Peer):
    name = "aws-greengrass"
    # The rest in the fast form: by the connector whose parts it is made of.
    fast_scenarios = {"refused", "black_hole_in_mid_run", "wrong_password", "rights_revoked", "renewed", "restart_in_flight",
                      "one_of_a_batch", "size_limit", "breakout", "command", "tls_expired"}
    connector_id = "actility-aws-iot-greengrass"
    tls = True
    fast = True
    without = {**NO_STATUS,
               "one_of_a_batch": "a core refuses by topic, and then everybody's",
               "denied_publish": "MQTT 3.1.1, all that a core's broker speaks, acknowledges what it denies",
               "size_limit": "MQTT 3.1.1 acknowledges what is too large: its PUBACK has no reason"}

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.cloud = aws.Cloud(directory / "aws", certificates, haproxy=False, broker=False)
        self.cloud.make_thing(THING, principals=[self.cloud.client.arn])
        self.plain = kit.free_port()
        self.kept, self.revoked = [], []
        self.broker = None
        self.port = kit.free_port()
        self._start()

    def _start(self):
        crl = aws.revocation_list(self.certificates, self.revoked, self.directory / "crl")
        path = self.certificates.path
        listener = (f"cafile {path('ca.pem')}\ncertfile {path('server.pem')}\nkeyfile {path('server.key')}\ncrlfile {crl}\n"
                    f"require_certificate true\nuse_identity_as_username true\nlistener {self.plain} 127.0.0.1")
        self.broker = kit.Mosquitto(self.directory / "broker", port=self.port, listener=listener)
        self._watch()

    def _watch(self):
        kit.wait_for(lambda: kit.port_is_open(self.plain), 10, "the broker's second port")
        self.capture = kit.Capture(self.plain, "#")

    def advertise(self, host, port):
        self.cloud.core(THING, host, port, self.certificates.text("ca.pem"))

    def body(self, host, port, name="conformance", **configuration):
        given = {"region": self.cloud.region, "accessKeyId": KEY, "secretAccessKey": SECRET, "deviceType": "conformance",
                 "ggHostName": f"{host}:{port}", "ggadThingName": THING, "ggadCertificateId": self.cloud.client.arn,
                 "ggadCertificate": self.certificates.text("client.pem"), "ggadPrivateKey": self.certificates.text("client.key"),
                 "awsRootCa": self.certificates.text("ca.pem"), "trustedCaCertificate": self.certificates.text("ca.pem"),
                 "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "downlinkTopicPattern": "tpx/things/{DevEUI}/downlink",
                 "discoveryEndpoint": f"localhost:{self.cloud.https}", "registryEndpoint": f"localhost:{self.cloud.registry}",
                 "connectionTimeout": 2000, "actionTimeout": 2000}
        given.update(configuration)
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        with self.capture.condition:
            return self.kept + [Arrived(text.encode(), topic) for topic, text in self.capture.messages
                                if not topic.endswith("/downlink")]

    def send_command(self, dev_eui, document):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.plain), "-q", "1", "-t", f"tpx/things/{dev_eui}/downlink",
                        "-m", json.dumps(document)], check=True, timeout=10)

    def in_place(self, expression):
        return {"uplinkTopicPattern": f"in/{expression}/end"}

    def shape(self, arrived):
        return arrived.place.count("/"), [sign for sign in "+#\r\n\0" if sign in arrived.place]

    def well(self):
        self.cloud.well()
        if self.revoked:
            self._again([])

    def _again(self, revoked):
        self.stop_server()
        self.revoked = revoked
        self._start()

    def wrong_secret(self):
        """A certificate of an authority that neither AWS nor the core knows."""
        return {"ggadCertificate": self.certificates.text("stranger-client.pem"),
                "ggadPrivateKey": self.certificates.text("stranger-client.key")}

    def revoke(self):
        self._again([self.cloud.client.der])

    def client_id(self, connection):
        return THING

    def rival(self, connection_id):
        return Rival(self.plain)

    def renew(self):
        if not self.certificates.path("renewed.pem").exists():
            self.certificates.issue_client("renewed", "flow-renewed")
        arn = self.cloud.register(self.certificates.text("renewed.pem")).arn
        self.cloud.things[THING].principals.append(arn)
        self.revoke()
        return {"ggadCertificateId": arn, "ggadCertificate": self.certificates.text("renewed.pem"),
                "ggadPrivateKey": self.certificates.text("renewed.key")}

    def stop_server(self):
        self.kept = self.received()
        self.broker.stop(sign=signal.SIGKILL)
        self.capture.stop()
        self.capture.messages = []

    def start_server(self):
        self.broker.start()
        self._watch()

    def stop(self):
        self.capture.stop()
        self.broker.stop()
        self.cloud.stop()


class Rival:
    """Somebody else with the thing's name as client id, who comes back whenever he is thrown out."""

    def __init__(self, port):
        self.child = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-i", THING, "-t", "nothing"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(5)


PEERS = [Greengrass]
