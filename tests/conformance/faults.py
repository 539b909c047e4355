# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a connector and its peer: a gate on the way, and servers with certificates nobody should trust."""
import socket
import ssl
import threading
import time

from lib import kit


class FaultGate(kit.Gate):
    """kit.Gate on a port that it keeps, with more ways to go wrong. Modes:
    pass
    refuse      nobody listens (ECONNREFUSED)
    reset       accepts and resets at once
    stall       accepts and says nothing
    mute        what goes to the peer arrives, its answers do not: a black hole for who waits for acknowledgements
    drip        a few bytes at a time, both ways
    cut         so many bytes of the next connections go to the peer (cut_after), then they end
    set() ends what is under way, but for "mute", which also takes hold of the connections that are there."""

    DRIP_BYTES, DRIP_SECONDS = 4, 0.02

    def __init__(self, target_port):
        self.changed = threading.Condition()
        super().__init__(target_port)

    def set(self, mode, cut_after=None):
        was, self.cut_after = self.mode, cut_after if mode == "cut" else None
        if mode == "refuse" and was != "refuse":
            self.mode = mode
            self._close_listener()
            # Bound and not listening: refused, and nobody else gets the port.
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))
        elif mode != "refuse" and was == "refuse":
            self.mode = self._plain(mode)
            self.listener.listen(128)
            threading.Thread(target=self._accept, daemon=True).start()
        self.mode = self._plain(mode)
        if mode != "mute":
            self.cut()

    @staticmethod
    def _plain(mode):
        return {"reset": "refuse-after-accept", "cut": "pass"}.get(mode, mode)

    def _close_listener(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        listener = self.listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.mode == "refuse-after-accept":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.close()
                continue
            if self.mode == "stall":
                with self.lock:
                    self.pairs.append((client, None))
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.pairs.append((client, server))
            budget = [self.cut_after]
            threading.Thread(target=self._pump, args=(client, server, budget), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    def _pump(self, source, sink, budget):
        answers = budget is None
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if self.mode == "mute" and answers:
                    continue
                if budget and budget[0] is not None:
                    data = data[:budget[0]]
                    budget[0] -= len(data)
                    sink.sendall(data)
                    if budget[0] <= 0:
                        break
                    continue
                while data and self.mode == "drip":
                    sink.sendall(data[:self.DRIP_BYTES])
                    data = data[self.DRIP_BYTES:]
                    time.sleep(self.DRIP_SECONDS)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self._close_listener()
        self.cut()


class FaultCertificates(kit.Certificates):
    """Beside the good ones: `expired`, `elsewhere` (another host's name), `stranger` (an authority that nobody trusts, issued
    for the right name), and `stranger-client`."""

    def __init__(self, directory):
        super().__init__(directory)
        here = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        self._issue("expired", "localhost", here, days=-1)
        self._issue("elsewhere", "elsewhere.example", "subjectAltName=DNS:elsewhere.example")
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Somebody else's authority",
                  "-keyout", "other-ca.key", "-out", "other-ca.pem", "-addext", "basicConstraints=critical,CA:TRUE")
        self._issue("stranger", "localhost", here, authority="other-ca")
        self._issue("stranger-client", "flow-client", "extendedKeyUsage=clientAuth", authority="other-ca")


class TlsFront:
    """A TLS server that shakes hands with a certificate, counts who went through with it, and says nothing."""

    def __init__(self, certificates, name):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates.path(f"{name}.pem"), certificates.path(f"{name}.key"))
        self.tried, self.data = 0, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.tried += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            client.settimeout(10)
            with self.context.wrap_socket(client, server_side=True) as stream:
                while True:
                    data = stream.recv(4096)  # whatever comes was told to somebody who proved nothing
                    if not data:
                        return
                    self.data += data
        except OSError:
            client.close()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
