# SPDX-License-Identifier: Apache-2.0
"""An MQTT 5 broker that answers as it is told (OASIS MQTT 5.0): QoS 0 and 1, one subscription form (exact, or + and #), no
retained messages, no sessions. For what a real broker can't be brought to do."""
import socket
import struct
import threading

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


def length(n):
    out = b""
    while True:
        n, digit = divmod(n, 128)
        out += bytes([digit | (128 if n else 0)])
        if not n:
            return out


def text(value):
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def fits(topic_filter, topic):
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


class Client:
    def __init__(self, stream):
        self.stream, self.lock = stream, threading.Lock()
        self.client_id, self.filters, self.last_id = "", [], 0

    def send(self, kind, body, flags=0):
        with self.lock:
            self.stream.sendall(bytes([kind << 4 | flags]) + length(len(body)) + body)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def packet(self):
        head, size, shift = self.exactly(1)[0], 0, 0
        while True:
            digit = self.exactly(1)[0]
            size |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                return head >> 4, head & 15, self.exactly(size)

    def end(self):
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Broker:
    """`log_in(client_id, user, password)` and `take(topic, payload)` give a reason code (0: yes); None of take: no answer.
    `offered`: properties of CONNACK, as bytes."""

    def __init__(self, log_in, take, offered=b""):
        self.log_in, self.take, self.offered = log_in, take, offered
        self.clients, self.lock = {}, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(Client(stream),), daemon=True).start()

    def _serve(self, client):
        try:
            if self._welcome(client):
                while self._packet(client):
                    pass
        except (OSError, ConnectionError, IndexError, struct.error):
            pass
        with self.lock:
            if self.clients.get(client.client_id) is client:
                del self.clients[client.client_id]
        client.end()
        client.stream.close()

    def _welcome(self, client):
        kind, _, body = client.packet()
        assert kind == CONNECT and body[2:6] == b"MQTT" and body[6] == 5, "speaks MQTT 5 only"
        flags, at = body[7], 10
        at += 1 + body[at]  # properties, of less than 128 bytes

        def field():
            nonlocal at
            size, = struct.unpack_from(">H", body, at)
            at += 2 + size
            return body[at - size:at].decode()
        client.client_id = field()
        user = field() if flags & 0x80 else None
        password = field() if flags & 0x40 else None
        reason = self.log_in(client.client_id, user, password)
        client.send(CONNACK, bytes([0, reason]) + length(len(self.offered)) + self.offered)
        if reason:
            return False
        with self.lock:
            other, self.clients[client.client_id] = self.clients.get(client.client_id), client
        if other:
            other.send(DISCONNECT, b"\x8e\0")
            other.end()
        return True

    def _packet(self, client):
        kind, flags, body = client.packet()
        if kind == PUBLISH:
            size, = struct.unpack_from(">H", body)
            topic, at = body[2:2 + size].decode(), 2 + size
            if flags & 6:
                number, at = body[at:at + 2], at + 2
            at += 1 + body[at]
            reason = self.take(topic, body[at:])
            if flags & 6 and reason is not None:
                client.send(PUBACK, number + (bytes([reason, 0]) if reason else b""))
        elif kind == SUBSCRIBE:
            at = 3 + body[2]
            size, = struct.unpack_from(">H", body, at)
            client.filters.append(body[at + 2:at + 2 + size].decode())
            client.send(SUBACK, body[:2] + b"\0\1")
        elif kind == PINGREQ:
            client.send(PINGRESP, b"")
        return kind != DISCONNECT

    def publish(self, topic, payload):
        with self.lock:
            clients = list(self.clients.values())
        for client in clients:
            if any(fits(one, topic) for one in client.filters):
                client.last_id = client.last_id % 65535 + 1
                client.send(PUBLISH, text(topic) + struct.pack(">H", client.last_id) + b"\0" + payload, flags=2)

    def disconnect(self, reason):
        """Ends all clients, told why."""
        with self.lock:
            clients = list(self.clients.values())
        for client in clients:
            client.send(DISCONNECT, bytes([reason, 0]))
            client.end()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.disconnect(0x8b)
