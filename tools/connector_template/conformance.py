# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector, for the conformance kit: a small server that speaks the protocol and can be told to misbehave."""
import contextlib
import json
import socket
import ssl
import struct
import threading

from conformance.peer import Arrived, Peer
from lib import kit

TOKEN = "a-good-token"


class LinePeer(Peer):
    name = "template_name"
    connector_id = "template_producer-template-name"
    fast = True
    without = {"rival": "the protocol knows no client ids"}

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.lock = threading.Lock()
        self.arrived, self.sessions, self.commands = [], [], 0
        self.port = kit.free_port()
        self.well()
        self.start_server()

    def body(self, host, port, name="conformance", **configuration):
        given = {"hostName": f"{host}:{port}", "token": TOKEN, "security": "TLS" if self.tls else "NONE",
                 "uplinkAddressPattern": "{DevEUI}"}
        if self.tls:
            given["trustedCaCertificate"] = self.certificates.text("ca.pem")
        return {"connectorId": self.connector_id, "name": name, "configuration": {**given, **configuration}}

    def received(self):
        with self.lock:
            return list(self.arrived)

    def send_command(self, dev_eui, document):
        kit.wait_for(lambda: self.sessions, 10, "a connection to send the command to")
        with self.lock:
            self.commands += 1
            session = self.sessions[-1]
        say(session, {"command": self.commands, "device": dev_eui, "body": document})

    def in_place(self, expression):
        return {"uplinkAddressPattern": "plant1/" + expression}

    def shape(self, arrived):
        return arrived.place.count("/")

    # ---- how it behaves

    def well(self):
        self.tokens, self.denied, self.silent, self.refused = {TOKEN}, False, False, set()

    def wrong_secret(self):
        return {"token": "a-wrong-token"}

    def revoke(self):
        self.tokens = set()
        self.hang_up()

    def deny_publish(self):
        self.denied = True

    def refuse_message(self, dev_eui):
        self.refused.add(dev_eui)

    def swallow(self):
        self.silent = True

    def renew(self):
        self.tokens = {"a-new-token"}
        self.hang_up()
        return {"token": "a-new-token"}

    # ---- the server

    def start_server(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop_server(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self.listener.close()
        self.hang_up()

    def stop(self):
        self.stop_server()

    def hang_up(self):
        with self.lock:
            sessions, self.sessions = self.sessions, []
        for session in sessions:
            with contextlib.suppress(OSError):
                session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                session.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates.path("server.pem"), self.certificates.path("server.key"))
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, context), daemon=True).start()

    def _serve(self, client, context):
        with contextlib.suppress(OSError, ValueError, KeyError):
            with client:
                if context:
                    client.settimeout(10)
                    client = context.wrap_socket(client, server_side=True)
                    client.settimeout(None)
                self._talk(client)

    def _talk(self, client):
        lines = client.makefile("rb")
        if json.loads(lines.readline())["token"] not in self.tokens:
            return say(client, {"refused": True})
        say(client, {"welcome": True})
        with self.lock:
            self.sessions.append(client)
        try:
            for line in lines:
                message = json.loads(line)
                if "id" in message:
                    self._take(client, message)
        finally:
            with self.lock:
                if client in self.sessions:
                    self.sessions.remove(client)

    def _take(self, client, message):
        if self.silent:
            return
        answer = {"ack": message["id"]}
        if self.denied:
            answer.update(error="this token may not publish", because="rights")
        elif message["to"] in self.refused:
            answer.update(error="this message is not taken", because="message")
        else:
            body = json.dumps(message["body"], separators=(",", ":"), ensure_ascii=False)
            with self.lock:
                self.arrived.append(Arrived(body.encode(), message["to"]))
        say(client, answer)


class TlsPeer(LinePeer):
    name = "template_name-tls"
    tls = True
    fast = False


def say(client, line):
    client.sendall(json.dumps(line, separators=(",", ":")).encode() + b"\n")


PEERS = [LinePeer, TlsPeer]
