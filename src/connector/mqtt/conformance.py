# SPDX-License-Identifier: Apache-2.0
"""MQTT's peers for the conformance kit: mosquitto in clear and over TLS, MQTT 5 (which says why it refuses) and 3.1.1, and a
scripted broker for what mosquitto can't be told to do."""
import json
import signal
import subprocess
import threading
import time

from conformance.peer import Arrived, Peer
from lib import kit
from lib.mqtt_broker import Broker

SECRET, WATCH = "s3cr3t-of-the-broker", "word-of-the-watcher"
NO_STATUS = {f"status_{status}": "MQTT has no statuses of this kind" for status in (400, 401, 403, 404, 408, 413, 429, 500, 503)}


def packet_of(payload):
    """Bytes of the PUBLISH packet (MQTT 5) with that payload: type and length, topic, id, no properties."""
    return 1 + 3 + 2 + len("up/70B3D5E75E000001") + 2 + 1 + payload


def topic_shape(arrived):
    return arrived.place.count("/"), [sign for sign in "+#\r\n\0" if sign in arrived.place]


class Mosquitto(Peer):
    name = "mqtt"
    connector_id = "actility-mqtt-iot"
    fast = True
    size_limit = 60000
    version = "5"
    user = "flow"
    without = {**NO_STATUS, "one_of_a_batch": "mosquitto refuses by topic or size, and then everybody's: see mqtt-scripted"}

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.watch_port = kit.free_port()
        self.passwords, self.rules = directory / "passwords", directory / "rules"
        self._write()
        listener = ""
        if self.tls:
            listener = (f"cafile {certificates.path('ca.pem')}\ncertfile {certificates.path('server.pem')}\n"
                        f"keyfile {certificates.path('server.key')}\nrequire_certificate true\nuse_identity_as_username true\n")
        config = (f"listener {self.watch_port} 127.0.0.1\nallow_anonymous false\npassword_file {self.passwords}\n"
                  f"acl_file {self.rules}\nmax_packet_size {packet_of(self.size_limit)}")
        self.broker = kit.Mosquitto(directory / "broker", config, listener=listener)
        self.port = self.broker.port
        self.kept = []
        self._watch()

    def _watch(self):
        kit.wait_for(lambda: kit.port_is_open(self.watch_port), 10, "the broker's second port")
        self.capture = kit.Capture(self.watch_port, "#", "-u", "watch", "-P", WATCH)

    def _write(self, password=SECRET, user=None, allowed=True):
        self.passwords.unlink(missing_ok=True)
        self.passwords.touch(mode=0o600)
        for name, word in (("watch", WATCH), (self.user, password)):
            subprocess.run(["mosquitto_passwd", "-b", self.passwords, name, word], check=True, capture_output=True)
        self.rules.write_text(f"user watch\ntopic readwrite #\nuser {user or self.user}\ntopic {'readwrite' if allowed else 'read'} #\n")
        self.rules.chmod(0o600)

    def _change(self, **options):
        self._write(**options)
        self.broker.process.child.send_signal(signal.SIGHUP)
        time.sleep(0.3)  # it says nothing when it has read them

    def well(self):
        self._change()

    def body(self, host, port, name="conformance", **configuration):
        given = {"hostName": f"{host}:{port}", "protocol": "SSL" if self.tls else "TCP", "mqttVersion": self.version,
                 "uplinkTopicPattern": "up/{DevEUI}", "downlinkTopicPattern": "down/{DevEUI}",
                 "connectionTimeout": 2000, "actionTimeout": 2000}
        if self.tls:
            given.update({"trustedCaCertificate": self.certificates.text("ca.pem"),
                          "certificate": self.certificates.text("client.pem"), "privateKey": self.certificates.text("client.key")})
        else:
            given.update({"username": self.user, "password": SECRET})
        given.update(configuration)
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        with self.capture.condition:
            return self.kept + [Arrived(text.encode(), topic) for topic, text in self.capture.messages
                                if not topic.startswith("down/")]

    def send_command(self, dev_eui, document):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.watch_port), "-u", "watch", "-P", WATCH, "-q", "1",
                        "-t", "down/" + dev_eui, "-m", json.dumps(document)], check=True, timeout=10)

    def in_place(self, expression):
        return {"uplinkTopicPattern": f"in/{expression}/end"}

    def shape(self, arrived):
        return topic_shape(arrived)

    def wrong_secret(self):
        return {"password": "wrong-" + SECRET}

    def revoke(self):
        self._change(password="another-word")

    def deny_publish(self):
        self._change(allowed=False)

    def rival(self, connection_id):
        return Rival(self.port, "sluice-" + connection_id, self.user, SECRET)

    def renew(self):
        self._change(password="renewed-" + SECRET)
        return {"password": "renewed-" + SECRET}

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


class Rival:
    """Somebody else with the same client id, who comes back whenever he is thrown out."""

    def __init__(self, port, client_id, user, password):
        self.child = subprocess.Popen(
            ["mosquitto_sub", "-V", "5", "-h", "127.0.0.1", "-p", str(port), "-i", client_id, "-u", user, "-P", password,
             "-t", "nothing"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(5)


class Mosquitto311(Mosquitto):
    name = "mqtt-3.1.1"
    fast = False
    version = "3.1.1"
    without = {**Mosquitto.without,
               "denied_publish": "MQTT 3.1.1 acknowledges what it denies: its PUBACK has no reason",
               "size_limit": "MQTT 3.1.1 tells neither its limit nor a reason: the broker ends the connection, and the message is "
                             "tried for ever"}


class MosquittoTls(Mosquitto):
    name = "mqtt-tls"
    tls = True
    user = "flow-client"  # the certificate's common name
    without = {**Mosquitto.without, "rival": "needs a client id alone: see mqtt"}

    def wrong_secret(self):
        """A certificate of an authority that the broker does not know."""
        return {"certificate": self.certificates.text("stranger-client.pem"),
                "privateKey": self.certificates.text("stranger-client.key")}

    def revoke(self):
        self._change(user="nobody")

    def renew(self):
        """The old certificate's name loses its rights; a new certificate has another."""
        if not self.certificates.path("renewed.pem").exists():
            self.certificates.issue_client("renewed", "flow-renewed")
        self._change(user="flow-renewed")
        return {"certificate": self.certificates.text("renewed.pem"), "privateKey": self.certificates.text("renewed.key")}


class Scripted(Peer):
    name = "mqtt-scripted"
    connector_id = "actility-mqtt-iot"
    fast = True
    size_limit = 60000
    without = NO_STATUS

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.lock, self.taken = threading.Lock(), []
        self._reset()
        # Maximum packet size (0x27): what a broker of MQTT 5 tells before anything is sent.
        self.broker = Broker(self._log_in, self._take, b"\x27" + packet_of(self.size_limit).to_bytes(4, "big"))
        self.port = self.broker.port

    def _reset(self):
        self.password, self.allowed, self.refused_device, self.silent = SECRET, True, None, False

    def well(self):
        self._reset()

    def _log_in(self, client_id, user, password):
        return 0 if (user, password) == ("flow", self.password) else 0x86  # bad user name or password

    def _take(self, topic, payload):
        with self.lock:
            if not self.allowed:
                return 0x87  # not authorised
            if self.refused_device and self.refused_device in topic:
                return 0x99  # payload format invalid
            self.taken.append(Arrived(payload, topic))
            return None if self.silent else 0

    def body(self, host, port, name="conformance", **configuration):
        return {"connectorId": self.connector_id, "name": name, "configuration": {
            "hostName": f"{host}:{port}", "protocol": "TCP", "mqttVersion": "5", "username": "flow", "password": SECRET,
            "uplinkTopicPattern": "up/{DevEUI}", "downlinkTopicPattern": "down/{DevEUI}", "connectionTimeout": 2000,
            "actionTimeout": 2000, **configuration}}

    def received(self):
        with self.lock:
            return list(self.taken)

    def send_command(self, dev_eui, document):
        self.broker.publish("down/" + dev_eui, json.dumps(document).encode())

    def in_place(self, expression):
        return {"uplinkTopicPattern": f"in/{expression}/end"}

    def shape(self, arrived):
        return topic_shape(arrived)

    def wrong_secret(self):
        return {"password": "wrong-" + SECRET}

    def revoke(self):
        """Thrown out in mid-run, with a reason."""
        self.password = "another-word"
        self.broker.disconnect(0x87)

    def deny_publish(self):
        self.allowed = False

    def refuse_message(self, dev_eui):
        self.refused_device = dev_eui

    def swallow(self):
        self.silent = True

    def rival(self, connection_id):
        return Rival(self.port, "sluice-" + connection_id, "flow", SECRET)

    def renew(self):
        self.password = "renewed-" + SECRET
        self.broker.disconnect(0xa0)  # maximum connect time: a token that has ended
        return {"password": "renewed-" + SECRET}

    def stop(self):
        self.broker.stop()


PEERS = [Mosquitto, Mosquitto311, MosquittoTls, Scripted]
