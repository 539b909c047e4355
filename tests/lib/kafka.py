# SPDX-License-Identifier: Apache-2.0
"""A scripted Kafka broker: one node that speaks the protocol (https://kafka.apache.org/protocol) as far as producers and
consumer groups need it, keeps what it was given, and can be told to misbehave. It stands in for the real one where that
cannot be made to fail on command; tests/interop runs the same client against Apache Kafka itself.

Each connection has a thread that answers one request after the other, as the real broker does."""
import base64
import collections
import dataclasses
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
import threading
import time
import zlib

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH = 0, 1, 2, 3, 8, 9
FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 10, 11, 12, 13, 14
SASL_HANDSHAKE, API_VERSIONS, INIT_PRODUCER_ID, SASL_AUTHENTICATE = 17, 18, 22, 36

# The versions offered: the newest before an API takes to the compact encoding. ApiVersions itself comes in it. Produce below
# 3 is offered and not served, as Apache Kafka 4 does it: librdkafka compresses with LZ4 for those only that offer it.
VERSIONS = {PRODUCE: (0, 7), FETCH: (4, 11), LIST_OFFSETS: (1, 2), METADATA: (0, 5), OFFSET_COMMIT: (2, 7), OFFSET_FETCH: (1, 5),
            FIND_COORDINATOR: (0, 2), JOIN_GROUP: (0, 5), HEARTBEAT: (0, 3), LEAVE_GROUP: (0, 2), SYNC_GROUP: (0, 3),
            SASL_HANDSHAKE: (0, 1), API_VERSIONS: (0, 3), INIT_PRODUCER_ID: (0, 1), SASL_AUTHENTICATE: (0, 1)}

# Error codes, by the names that the protocol gives them.
OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE = 1, 2, 3, 10
ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS = 22, 23, 25, 27
TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, UNSUPPORTED_SASL_MECHANISM = 29, 30, 33
ILLEGAL_SASL_STATE, UNSUPPORTED_VERSION, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH = 34, 35, 45, 47
SASL_AUTHENTICATION_FAILED, UNSUPPORTED_COMPRESSION_TYPE, MEMBER_ID_REQUIRED, INVALID_RECORD = 58, 76, 79, 87


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Malformed(Exception):
    """A request that is none; the connection is closed, as the real broker does."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Malformed(f"{count} bytes wanted, {len(self.data) - self.at} left")
        self.at += count
        return self.data[self.at - count:self.at]

    def _unpack(self, form, size):
        return struct.unpack(form, self.take(size))[0]

    def int8(self):
        return self._unpack(">b", 1)

    def int16(self):
        return self._unpack(">h", 2)

    def int32(self):
        return self._unpack(">i", 4)

    def uint32(self):
        return self._unpack(">I", 4)

    def int64(self):
        return self._unpack(">q", 8)

    def string(self):
        size = self.int16()
        return None if size < 0 else self.take(size).decode()

    def bytes(self):
        size = self.int32()
        return None if size < 0 else self.take(size)

    def array(self, element):
        """The elements; [] for a null array too."""
        return [element() for _ in range(max(self.int32(), 0))]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7

    def variable(self):
        size = self.varint()
        return None if size < 0 else self.take(size)

    def left(self):
        return len(self.data) - self.at


class Writer:
    def __init__(self):
        self.parts = []

    def _pack(self, form, value):
        self.parts.append(struct.pack(form, value))
        return self

    def int8(self, value):
        return self._pack(">b", value)

    def int16(self, value):
        return self._pack(">h", value)

    def int32(self, value):
        return self._pack(">i", value)

    def int64(self, value):
        return self._pack(">q", value)

    def raw(self, value):
        self.parts.append(value)
        return self

    def string(self, value):
        if value is None:
            return self.int16(-1)
        data = value.encode()
        return self.int16(len(data)).raw(data)

    def bytes(self, value):
        if value is None:
            return self.int32(-1)
        return self.int32(len(value)).raw(value)

    def array(self, elements, write):
        self.int32(len(elements))
        for element in elements:
            write(element)
        return self

    def varint(self, value):
        value = (value << 1) ^ (value >> 63)
        while value > 0x7F:
            self.parts.append(bytes([value & 0x7F | 0x80]))
            value >>= 7
        self.parts.append(bytes([value]))
        return self

    def variable(self, value):
        if value is None:
            return self.varint(-1)
        return self.varint(len(value)).raw(value)

    def done(self):
        return b"".join(self.parts)


@dataclasses.dataclass
class Record:
    """One record of a log. `time`: of arrival here, by time.monotonic()."""
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list
    client_id: str = ""
    time: float = 0.0


# What stands before a batch's records: https://kafka.apache.org/documentation/#recordbatch
_HEAD = struct.Struct(">qiibIhiqqqhii")


@dataclasses.dataclass
class Batch:
    """A record batch as it came, and what its head says. Its base offset is the log's, given at append."""
    raw: bytes
    count: int
    producer: int
    epoch: int
    sequence: int
    records: list
    base: int = 0

    @classmethod
    def read(cls, data):
        """One batch of magic 2. Raises Malformed for what is none or fails its checksum."""
        if len(data) < _HEAD.size:
            raise Malformed("a record batch is shorter than its head")
        (_, length, _, magic, crc, attributes, last, _, _, producer, epoch, sequence, count) = _HEAD.unpack_from(data)
        if magic != 2 or length != len(data) - 12 or last != count - 1:
            raise Malformed(f"no single batch of version 2: magic {magic}, length {length} of {len(data) - 12}")
        if crc != crc32c(data[21:]):
            raise Malformed("a record batch's checksum is wrong")
        body = data[_HEAD.size:]
        codec = attributes & 7
        if codec == 1:
            body = zlib.decompress(body, 31)
        elif codec:
            raise Unsupported(f"compression {codec}")
        reader = Reader(body)
        records = []
        for index in range(count):
            one = Reader(reader.take(reader.varint()))
            one.int8()
            one.varint()
            if one.varint() != index:
                raise Malformed("the offsets of a batch's records have a gap")
            key, value = one.variable(), one.variable()
            headers = [(one.variable().decode(), one.variable()) for _ in range(one.varint())]
            records.append((key, value, headers))
        return cls(data, count, producer, epoch, sequence, records)

    @classmethod
    def of(cls, key, value, headers=()):
        """A batch of one record, for what the broker itself puts into a log."""
        record = Writer().int8(0).varint(0).varint(0).variable(key).variable(value).varint(len(headers))
        for name, content in headers:
            record.variable(name.encode()).variable(content)
        record = record.done()
        body = Writer().varint(len(record)).raw(record).done()
        now = int(time.time() * 1000)
        tail = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + body
        head = struct.pack(">qiibI", 0, len(tail) + 9, 0, 2, crc32c(tail))
        return cls(head + tail, 1, -1, -1, -1, [(key, value, list(headers))])

    def at(self, base):
        """Its bytes with that base offset, which the checksum does not cover."""
        return struct.pack(">q", base) + self.raw[8:]


class Unsupported(Exception):
    """A compression that Python's own library cannot undo."""


class Partition:
    def __init__(self):
        self.batches = []
        self.end = 0
        # Producer id -> (epoch, the last five batches as (first sequence, last sequence, offset)): what the real broker
        # keeps, and the reason why a producer may have five requests in flight.
        self.producers = {}

    def append(self, batch):
        """(error, base offset). A batch that is here already is answered with where it is, and kept once."""
        if batch.producer >= 0:
            epoch, kept = self.producers.get(batch.producer, (None, None))
            if epoch is not None and batch.epoch < epoch:
                return INVALID_PRODUCER_EPOCH, -1
            if epoch != batch.epoch:
                # A producer not known here (its state may have gone with old segments) may start anywhere.
                if epoch is not None and batch.sequence != 0:
                    return OUT_OF_ORDER_SEQUENCE_NUMBER, -1
                kept = collections.deque(maxlen=5)
            last = batch.sequence + batch.count - 1
            for first, end, offset in kept:
                if (first, end) == (batch.sequence, last):
                    return 0, offset
            if kept and batch.sequence != kept[-1][1] + 1:
                return OUT_OF_ORDER_SEQUENCE_NUMBER, -1
            kept.append((batch.sequence, last, self.end))
            self.producers[batch.producer] = (batch.epoch, kept)
        batch.base = self.end
        self.end += batch.count
        self.batches.append(batch)
        return 0, batch.base

    def read(self, offset, limit):
        """Whole batches from the one that holds `offset`, at least one where there is any."""
        low, high = 0, len(self.batches)
        while low < high:
            middle = (low + high) // 2
            if self.batches[middle].base + self.batches[middle].count <= offset:
                low = middle + 1
            else:
                high = middle
        parts, size = [], 0
        for batch in self.batches[low:]:
            if parts and size + len(batch.raw) > limit:
                break
            parts.append(batch.at(batch.base))
            size += len(batch.raw)
        return b"".join(parts)


@dataclasses.dataclass
class Member:
    id: str
    client_id: str
    session: float
    rebalance: float
    protocols: list
    seen: float
    joined: bool = True  # asked to join the generation that is being made
    assignment: bytes = b""


class Group:
    """A consumer group: who is in it, by the protocol of JoinGroup, SyncGroup, Heartbeat and LeaveGroup. Guarded by the
    broker's condition, which wait() waits on."""

    def __init__(self, broker):
        self.broker = broker
        self.members = {}
        self.state = "empty"  # empty, joining, syncing, stable
        self.generation = 0
        self.leader = None
        self.protocol = None
        self.since = 0.0
        self.offsets = {}  # (topic, partition) -> (offset, metadata)

    def _begin(self):
        if self.state != "joining":
            # The first member of an empty group waits a moment for others, as group.initial.rebalance.delay.ms does.
            self.since = time.monotonic()
            self.fresh = self.state == "empty"
            self.state = "joining"
            for member in self.members.values():
                member.joined = False
        self.broker.changed.notify_all()

    def _complete(self):
        """Ends the joining where everybody is there, or those who are late have had their time."""
        if self.state != "joining":
            return
        now = time.monotonic()
        late = [member for member in self.members.values() if not member.joined]
        for member in late:
            if now > self.since + member.rebalance:
                del self.members[member.id]
        if not self.members:
            self.state = "empty"
            return
        if any(not member.joined for member in self.members.values()):
            return
        if self.fresh and now < self.since + self.broker.join_delay:
            return
        self.generation += 1
        if self.leader not in self.members:
            self.leader = next(iter(self.members))
        named = [[name for name, _ in member.protocols] for member in self.members.values()]
        self.protocol = next((name for name in named[0] if all(name in names for names in named)), named[0][0])
        self.state = "syncing"
        for member in self.members.values():
            member.assignment = b""
        self.broker.changed.notify_all()

    def tick(self):
        """Takes out who has not been heard of. Called now and then by the broker."""
        now = time.monotonic()
        gone = [member.id for member in self.members.values() if now > member.seen + member.session
                and not (self.state == "joining" and member.joined)]
        for name in gone:
            self.remove(name)
        self._complete()

    def remove(self, name):
        if self.members.pop(name, None) is None:
            return False
        if self.members:
            self._begin()
            self._complete()
        else:
            self.state = "empty"
            self.broker.changed.notify_all()
        return True

    def join(self, member, still_there):
        """Waits until the generation is made. None where the connection has gone meanwhile."""
        known = self.members.get(member.id)
        if known:
            known.protocols, known.session, known.rebalance = member.protocols, member.session, member.rebalance
            member = known
        self._begin()
        self.members[member.id] = member
        member.joined, member.seen = True, time.monotonic()
        self._complete()
        while self.state == "joining" and member.joined and self.members.get(member.id) is member:
            if not still_there():
                return None
            self.broker.changed.wait(0.05)
            self._complete()
        member.seen = time.monotonic()
        return member if self.members.get(member.id) is member else None

    def check(self, member, generation):
        if member not in self.members:
            return UNKNOWN_MEMBER_ID
        if generation != self.generation:
            return ILLEGAL_GENERATION
        self.members[member].seen = time.monotonic()
        return REBALANCE_IN_PROGRESS if self.state == "joining" else 0


class Broker:
    """The broker, listening on 127.0.0.1. `topics`: name -> number of partitions. `users`: name -> password, or for PLAIN a
    tuple of those that are right; given, clients have to log in by one of `mechanisms`. `tls`: kit.Certificates,
    `client_certificates`: clients must show one of its authority. Everything it keeps is kept over kill() and start(), but producers' and members' connections.

    Attributes that change how it behaves (any thread, at any time):
    refuse_logins; denied (topics refused in every request) and denied_writes (in Produce alone); key_errors (key of a record
    -> error code of the batch it is in); produce_error (code for every Produce); swallow ("drop": Produce is neither kept
    nor answered; "keep": kept and not answered); message_limit (bytes of a batch); value_limit (bytes of a record's value);
    throttle_ms; denied_groups; any_topic (a regular expression: what it matches is made with one partition when
    asked for); unanswered (APIs whose requests are read and never answered)."""

    def __init__(self, topics, users=None, mechanisms=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), tls=None,
                 client_certificates=False, port=0):
        self.users, self.mechanisms = users, tuple(mechanisms)
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls.path("server.pem"), tls.path("server.key"))
            if client_certificates:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(tls.path("ca.pem"))
        self.changed = threading.Condition()
        self.topics = {name: [Partition() for _ in range(count)] for name, count in topics.items()}
        self.records = []  # of all topics, in order of arrival
        self.groups = {}
        self.join_delay = 0.3
        self.session_limit = 5.0  # seconds; the real broker's is 30 minutes, which no test can wait for
        # Whether a SCRAM client must give back the very nonce (RFC 5802). librdkafka before 2.6.1 puts its own before it once
        # more (its pull request 4895): Apache Kafka 3.9 takes that, 4 refuses it.
        self.exact_nonce = False
        self.next_producer = 1000
        # What was seen: (mechanism, user, password or None, whether it was let in); (API, version, client id) -> count.
        self.logins = []
        self.requests = collections.Counter()
        self.client_certificate_subjects = []
        self.malformed = []
        self.asked_to_create = False
        self.acks = set()  # that Produce asked for: -1 is all replicas
        self.reading = {}  # (topic, partition) -> when somebody last asked for more than there is
        self.well()
        self.sockets = set()
        self.listener = None
        self.port = port
        self.host = "127.0.0.1"
        self.start()
        self.advertised = (self.host, self.port)

    # --- control -------------------------------------------------------------------------------------------------------

    def well(self):
        self.refuse_logins = False
        self.denied, self.denied_writes, self.denied_groups = set(), set(), set()
        self.key_errors = {}
        self.produce_error = 0
        self.swallow = None
        self.message_limit = self.value_limit = None
        self.throttle_ms = 0
        self.any_topic = None
        self.unanswered = set()

    def advertise(self, host, port):
        """What Metadata and FindCoordinator tell clients to connect to."""
        self.advertised = (host, port)

    def start(self):
        assert self.listener is None
        self.listener = socket.create_server((self.host, self.port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        threading.Thread(target=self._tick, args=(self.listener,), daemon=True).start()
        return self

    def kill(self):
        """As kill -9 does: port and connections are closed at once, answers under way never come."""
        listener, self.listener = self.listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        listener.close()
        self.cut()

    stop = kill

    def cut(self):
        """Ends all connections. Their threads close them."""
        with self.changed:
            sockets, self.sockets = self.sockets, set()
            self.reading = {}
        for one in sockets:
            try:
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # of TLS, too, without its farewell
            except OSError:
                pass

    def create_topic(self, name, partitions=1):
        with self.changed:
            self.topics[name] = [Partition() for _ in range(partitions)]

    def delete_topic(self, name):
        with self.changed:
            del self.topics[name]
            self.records = [record for record in self.records if record.topic != name]

    def append(self, topic, value, key=None, partition=0, headers=()):
        """Puts a record into a log, as another producer would. Returns its offset."""
        with self.changed:
            batch = Batch.of(key, value, headers)
            _, base = self.topics[topic][partition].append(batch)
            self._keep(topic, partition, batch, "")
            return base

    def taken(self, topic):
        """The records of a topic so far (Record), in order of arrival."""
        with self.changed:
            return [record for record in self.records if record.topic == topic]

    def wait(self, topic, count=1, seconds=15):
        """The records of a topic once there are so many."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                got = [record for record in self.records if record.topic == topic]
                if len(got) >= count:
                    return got
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{len(got)} of {count} records came to {topic} in {seconds} s")
                self.changed.wait(min(left, 0.2))

    def committed(self, group, topic, partition=0):
        """The offset that the group has committed, None where it has none."""
        with self.changed:
            got = self.groups.get(group)
            return got.offsets[(topic, partition)][0] if got and (topic, partition) in got.offsets else None

    def members(self, group):
        """Client ids of the group's members once it is settled, [] before."""
        with self.changed:
            got = self.groups.get(group)
            if not got or got.state != "stable":
                return []
            return [member.client_id for member in got.members.values()]

    def wait_reader(self, topic, seconds=15):
        """Returns when each partition of the topic is being read from its end: what is appended then reaches even a reader
        that began with the newest."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                now = time.monotonic()
                if all(self.reading.get((topic, index), 0) > now - 2 for index in range(len(self.topics[topic]))):
                    return
                assert now < end, f"nobody reads {topic} after {seconds} s"
                self.changed.wait(0.1)

    def asked(self, api, client_id=None):
        """How many requests of that API have come (from that client id)."""
        with self.changed:
            return sum(count for (key, _, client), count in self.requests.items()
                       if key == api and client_id in (None, client))

    # --- connections ---------------------------------------------------------------------------------------------------

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                if self.listener is not listener:
                    client.close()
                    return
                self.sockets.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _tick(self, listener):
        while self.listener is listener:
            with self.changed:
                for group in self.groups.values():
                    group.tick()
            time.sleep(0.1)

    def _serve(self, plain):
        stream = plain
        try:
            if self.context:
                plain.settimeout(10)
                stream = self.context.wrap_socket(plain, server_side=True)
                stream.settimeout(None)
                with self.changed:
                    if plain not in self.sockets:
                        return  # cut meanwhile
                    self.sockets.remove(plain)
                    self.sockets.add(stream)
                if self.context.verify_mode == ssl.CERT_REQUIRED:
                    subject = dict(pair[0] for pair in stream.getpeercert()["subject"])
                    self.client_certificate_subjects.append(subject.get("commonName"))
            Connection(self, stream).run()
        except (OSError, EOFError):
            pass
        except Malformed as error:
            self.malformed.append(str(error))
        finally:
            with self.changed:
                self.sockets.difference_update((plain, stream))
            for one in (plain, stream):
                one.close()

    # --- the log ---------------------------------------------------------------------------------------------------------

    def _keep(self, topic, partition, batch, client_id):
        now = time.monotonic()
        for index, (key, value, headers) in enumerate(batch.records):
            self.records.append(Record(topic, partition, batch.base + index, key, value, headers, client_id, now))
        self.changed.notify_all()

    def produce(self, topic, partition, data, client_id):
        """(error, base offset) of one partition's batch."""
        with self.changed:
            if topic in self.denied or topic in self.denied_writes:
                return TOPIC_AUTHORIZATION_FAILED, -1
            if topic not in self.topics or not 0 <= partition < len(self.topics[topic]):
                return UNKNOWN_TOPIC_OR_PARTITION, -1
            if self.produce_error:
                return self.produce_error, -1
            if self.message_limit is not None and len(data) > self.message_limit:
                return MESSAGE_TOO_LARGE, -1
        try:
            batch = Batch.read(data)
        except Malformed as error:
            self.malformed.append(str(error))
            return CORRUPT_MESSAGE, -1
        except Unsupported:
            return UNSUPPORTED_COMPRESSION_TYPE, -1
        with self.changed:
            for key, value, _ in batch.records:
                if key in self.key_errors:
                    return self.key_errors[key], -1
                if self.value_limit is not None and len(value or b"") > self.value_limit:
                    return MESSAGE_TOO_LARGE, -1
            if self.swallow == "drop":
                return 0, -1
            before = self.topics[topic][partition].end
            error, base = self.topics[topic][partition].append(batch)
            if not error and self.topics[topic][partition].end > before:
                self._keep(topic, partition, batch, client_id)
            return error, base


class Connection:
    """One client: reads requests, answers them in order. Runs on a thread of its own."""

    def __init__(self, broker, stream):
        self.broker, self.stream = broker, stream
        self.authenticated = broker.users is None
        self.mechanism = None
        self.raw_tokens = False  # SaslHandshake version 0: the tokens come without a request's head
        self.scram = None
        self.client_id = ""
        self.handlers = {
            PRODUCE: self.produce, FETCH: self.fetch, LIST_OFFSETS: self.list_offsets, METADATA: self.metadata,
            OFFSET_COMMIT: self.offset_commit, OFFSET_FETCH: self.offset_fetch, FIND_COORDINATOR: self.find_coordinator,
            JOIN_GROUP: self.join_group, SYNC_GROUP: self.sync_group, HEARTBEAT: self.heartbeat, LEAVE_GROUP: self.leave_group,
            SASL_HANDSHAKE: self.sasl_handshake, SASL_AUTHENTICATE: self.sasl_authenticate, API_VERSIONS: self.api_versions,
            INIT_PRODUCER_ID: self.init_producer_id}

    def _read(self, count):
        parts = bytearray()
        while len(parts) < count:
            piece = self.stream.recv(count - len(parts))
            if not piece:
                raise EOFError
            parts += piece
        return bytes(parts)

    def _send(self, data):
        self.stream.sendall(struct.pack(">i", len(data)) + data)

    def open(self):
        """Whether the other end is there still, without reading from it."""
        if self.stream.fileno() < 0:
            return False
        if isinstance(self.stream, ssl.SSLSocket):
            return True
        try:
            return self.stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def run(self):
        while True:
            size = struct.unpack(">i", self._read(4))[0]
            if not 0 <= size <= 100 << 20:
                raise Malformed(f"a request of {size} bytes: not this protocol")
            data = self._read(size)
            if self.raw_tokens and not self.authenticated:
                error, answer, _ = self._token(data)
                if error:
                    raise EOFError
                self._send(answer)
                continue
            reader = Reader(data)
            api, version, correlation = reader.int16(), reader.int16(), reader.int32()
            self.client_id = reader.string() or ""
            with self.broker.changed:
                self.broker.requests[(api, version, self.client_id)] += 1
            if api not in VERSIONS:
                raise Malformed(f"API {api} is not offered")
            low, high = VERSIONS[api]
            if not low <= version <= high:
                if api != API_VERSIONS:
                    raise Malformed(f"API {api}, version {version} is not offered")
                # This one is answered in its oldest form, so that the client learns what there is.
                self._send(Writer().int32(correlation).raw(self._versions(0, UNSUPPORTED_VERSION)).done())
                continue
            if not self.authenticated and api not in (API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE):
                raise Malformed(f"API {api} before the login")
            answer = self.handlers[api](version, reader)
            if answer is None or api in self.broker.unanswered:
                continue
            self._send(struct.pack(">i", correlation) + answer)
            if self.mechanism and not self.authenticated and self.refused:
                raise EOFError  # the real broker closes after it has told why

    # --- what there is -------------------------------------------------------------------------------------------------

    def _versions(self, version, error=0):
        writer = Writer().int16(error)
        if version >= 3:
            writer.raw(bytes([len(VERSIONS) + 1]))
            for api, (low, high) in sorted(VERSIONS.items()):
                writer.int16(api).int16(low).int16(high).raw(b"\0")
            return writer.int32(0).raw(b"\0").done()
        writer.array(sorted(VERSIONS.items()), lambda item: writer.int16(item[0]).int16(item[1][0]).int16(item[1][1]))
        return (writer.int32(0) if version >= 1 else writer).done()

    def api_versions(self, version, _):
        return self._versions(version)

    def metadata(self, version, reader):
        broker = self.broker
        count = reader.int32()
        asked = [reader.string() for _ in range(count)] if count >= 0 else None
        if version == 0 and not asked:
            asked = None
        with broker.changed:
            if version >= 4 and reader.int8() and asked:
                broker.asked_to_create = True
            for name in asked or ():
                if broker.any_topic and name not in broker.topics and re.fullmatch(broker.any_topic, name):
                    broker.topics[name] = [Partition()]
            names = [name for name in broker.topics if name not in broker.denied] if asked is None else asked
            writer = Writer()
            if version >= 3:
                writer.int32(0)
            host, port = broker.advertised
            writer.int32(1).int32(1).string(host).int32(port)
            if version >= 1:
                writer.string(None)
            if version >= 2:
                writer.string("sluice-test")
            if version >= 1:
                writer.int32(1)

            def partition(index):
                writer.int16(0).int32(index).int32(1).int32(1).int32(1).int32(1).int32(1)
                if version >= 5:
                    writer.int32(0)

            def topic(name):
                error = TOPIC_AUTHORIZATION_FAILED if name in broker.denied else \
                    0 if name in broker.topics else UNKNOWN_TOPIC_OR_PARTITION
                writer.int16(error).string(name)
                if version >= 1:
                    writer.int8(0)
                writer.array([] if error else range(len(broker.topics[name])), partition)
            writer.array(names, topic)
        return writer.done()

    # --- login -----------------------------------------------------------------------------------------------------------

    refused = False

    def sasl_handshake(self, version, reader):
        name = reader.string()
        known = self.broker.users is not None and name in self.broker.mechanisms
        if known:
            self.mechanism = name
            self.raw_tokens = version == 0
            self.scram = None
        mechanisms = self.broker.mechanisms if self.broker.users is not None else ()
        writer = Writer().int16(0 if known else UNSUPPORTED_SASL_MECHANISM)
        return writer.array(mechanisms, writer.string).done()

    def sasl_authenticate(self, version, reader):
        error, answer, text = self._token(reader.bytes())
        writer = Writer().int16(error).string(text).bytes(answer)
        return (writer.int64(0) if version >= 1 else writer).done()

    def _token(self, token):
        """(error, answer, text) of one SASL token."""
        if not self.mechanism:
            return ILLEGAL_SASL_STATE, b"", "SaslHandshake first"
        done, answer, user, password = False, b"", None, None
        try:
            if self.mechanism == "PLAIN":
                _, user, password = token.decode().split("\0")
                right = self.broker.users.get(user, ())
                good = password == right or isinstance(right, tuple) and password in right
                done = True
            else:
                good, done, answer, user = self._scram(token.decode())
        except (ValueError, KeyError, IndexError) as error:
            raise Malformed(f"a SASL token of {self.mechanism}: {error}") from error
        good = good and not self.broker.refuse_logins
        if done or not good:
            with self.broker.changed:
                self.broker.logins.append((self.mechanism, user, password, good))
        if not good:
            self.refused = True
            return SASL_AUTHENTICATION_FAILED, b"", "Authentication failed: Invalid username or password"
        self.authenticated = self.authenticated or done
        return 0, answer, None

    def _scram(self, text):
        """One step of RFC 5802: (whether all is well so far, done, answer, user)."""
        name = "sha256" if self.mechanism == "SCRAM-SHA-256" else "sha512"
        if self.scram is None:
            bare = text.split(",", 2)[2]
            fields = dict(part.split("=", 1) for part in bare.split(","))
            user = fields["n"].replace("=2C", ",").replace("=3D", "=")
            salt = os.urandom(16)
            nonce = fields["r"] + base64.b64encode(os.urandom(12)).decode()
            server = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
            self.scram = (user, salt, nonce, bare, server)
            return user in self.broker.users, False, server.encode(), user
        user, salt, nonce, bare, server = self.scram
        final, proof = text.rsplit(",p=", 1)
        given = dict(part.split("=", 1) for part in final.split(","))["r"]
        if given != nonce and (self.broker.exact_nonce or not given.endswith(nonce)):
            return False, True, b"", user
        salted = hashlib.pbkdf2_hmac(name, self.broker.users[user].encode(), salt, 4096)

        def sign(key, data):
            return hmac.new(key, data, name).digest()
        message = f"{bare},{server},{final}".encode()
        key = sign(salted, b"Client Key")
        stored = hashlib.new(name, key).digest()
        wanted = bytes(left ^ right for left, right in zip(key, sign(stored, message)))
        answer = b"v=" + base64.b64encode(sign(sign(salted, b"Server Key"), message))
        return hmac.compare_digest(base64.b64decode(proof), wanted), True, answer, user

    # --- producers -------------------------------------------------------------------------------------------------------

    def init_producer_id(self, _, reader):
        reader.string()
        with self.broker.changed:
            self.broker.next_producer += 1
            return Writer().int32(0).int16(0).int64(self.broker.next_producer).int16(0).done()

    def produce(self, version, reader):
        if version < 3:
            raise Malformed("a message set of before Kafka 0.11")
        reader.string()
        acks = reader.int16()
        self.broker.acks.add(acks)
        reader.int32()
        results = []
        for _ in range(max(reader.int32(), 0)):
            topic = reader.string()
            answers = []
            for _ in range(max(reader.int32(), 0)):
                partition, data = reader.int32(), reader.bytes()
                answers.append((partition, *self.broker.produce(topic, partition, data or b"", self.client_id)))
            results.append((topic, answers))
        if acks == 0 or self.broker.swallow:
            return None
        writer = Writer()

        def partition(answer):
            writer.int32(answer[0]).int16(answer[1]).int64(answer[2]).int64(-1)
            if version >= 5:
                writer.int64(0)

        def topic(result):
            writer.string(result[0]).array(result[1], partition)
        return writer.array(results, topic).int32(self.broker.throttle_ms).done()

    # --- consumers -------------------------------------------------------------------------------------------------------

    def _log(self, topic, index):
        """(error, Partition) for a request of a consumer; the broker's condition is held."""
        if topic in self.broker.denied:
            return TOPIC_AUTHORIZATION_FAILED, None
        partitions = self.broker.topics.get(topic, [])
        return (0, partitions[index]) if 0 <= index < len(partitions) else (UNKNOWN_TOPIC_OR_PARTITION, None)

    def list_offsets(self, version, reader):
        reader.int32()
        if version >= 2:
            reader.int8()

        def partition():
            return reader.int32(), reader.int64()
        asked = reader.array(lambda: (reader.string(), reader.array(partition)))
        writer = Writer()
        if version >= 2:
            writer.int32(0)
        with self.broker.changed:
            def one(topic, index, stamp):
                error, log = self._log(topic, index)
                offset = -1 if error else 0 if stamp == -2 else log.end
                writer.int32(index).int16(error).int64(-1).int64(offset)
            writer.array(asked, lambda topic: writer.string(topic[0]).array(topic[1], lambda item: one(topic[0], *item)))
        return writer.done()

    def fetch(self, version, reader):
        reader.int32()
        wait, least, most = reader.int32(), reader.int32(), reader.int32()
        reader.int8()
        if version >= 7:
            reader.int32()
            reader.int32()

        def partition():
            index = reader.int32()
            if version >= 9:
                reader.int32()
            offset = reader.int64()
            if version >= 5:
                reader.int64()
            return index, offset, reader.int32()
        asked = reader.array(lambda: (reader.string(), reader.array(partition)))
        end = time.monotonic() + min(wait, 5000) / 1000
        with self.broker.changed:
            while True:
                found, size, failed = {}, 0, False
                for topic, partitions in asked:
                    for index, offset, limit in partitions:
                        error, log = self._log(topic, index)
                        if not error and not 0 <= offset <= log.end:
                            error = OFFSET_OUT_OF_RANGE
                        data = b"" if error else log.read(offset, min(limit, max(most - size, 0)))
                        found[(topic, index)] = (error, log.end if log else -1, data)
                        size += len(data)
                        failed = failed or bool(error)
                        if not error and offset == log.end:
                            self.broker.reading[(topic, index)] = time.monotonic()
                left = end - time.monotonic()
                if failed or size >= max(least, 1) or left <= 0 or not self.open():
                    break
                self.broker.changed.wait(min(left, 0.2))
        writer = Writer().int32(0)
        if version >= 7:
            writer.int16(0).int32(0)

        def one(topic, item):
            error, high, data = found[(topic, item[0])]
            writer.int32(item[0]).int16(error).int64(high).int64(high)
            if version >= 5:
                writer.int64(0)
            writer.int32(-1)
            if version >= 11:
                writer.int32(-1)
            writer.bytes(data)
        writer.array(asked, lambda topic: writer.string(topic[0]).array(topic[1], lambda item: one(topic[0], item)))
        return writer.done()

    def _group(self, name):
        """The group of that name; the broker's condition is held."""
        return self.broker.groups.setdefault(name, Group(self.broker))

    def find_coordinator(self, version, reader):
        name = reader.string()
        writer = Writer()
        if version >= 1:
            writer.int32(0)
        error = GROUP_AUTHORIZATION_FAILED if name in self.broker.denied_groups else 0
        writer.int16(error)
        if version >= 1:
            writer.string(None)
        host, port = self.broker.advertised
        return writer.int32(-1 if error else 1).string("" if error else host).int32(-1 if error else port).done()

    def join_group(self, version, reader):
        name, session = reader.string(), reader.int32() / 1000
        rebalance = reader.int32() / 1000 if version >= 1 else session
        member = reader.string()
        if version >= 5:
            reader.string()
        reader.string()
        protocols = reader.array(lambda: (reader.string(), reader.bytes()))
        writer = Writer()
        if version >= 2:
            writer.int32(0)

        def failed(error, name=""):
            return writer.int16(error).int32(-1).string("").string("").string(name).int32(0).done()
        with self.broker.changed:
            if name in self.broker.denied_groups:
                return failed(GROUP_AUTHORIZATION_FAILED)
            group = self._group(name)
            fresh = not member
            if fresh:
                member = f"{self.client_id}-{os.urandom(8).hex()}"
                if version >= 4:
                    self.given = member
                    return failed(MEMBER_ID_REQUIRED, member)
            elif member not in group.members and member != getattr(self, "given", None):
                return failed(UNKNOWN_MEMBER_ID, member)
            limit = self.broker.session_limit
            got = group.join(Member(member, self.client_id, min(session, limit), min(rebalance, limit), protocols,
                                    time.monotonic()), self.open)
            if got is None:
                group.remove(member)
                return failed(UNKNOWN_MEMBER_ID, member)
            writer.int16(0).int32(group.generation).string(group.protocol).string(group.leader).string(member)
            members = list(group.members.values()) if group.leader == member else []

            def one(item):
                writer.string(item.id)
                if version >= 5:
                    writer.string(None)
                writer.bytes(dict(item.protocols).get(group.protocol, b""))
            return writer.array(members, one).done()

    def sync_group(self, version, reader):
        name, generation, member = reader.string(), reader.int32(), reader.string()
        if version >= 3:
            reader.string()
        assignments = reader.array(lambda: (reader.string(), reader.bytes()))
        writer = Writer()
        if version >= 1:
            writer.int32(0)
        with self.broker.changed:
            group = self._group(name)
            error = group.check(member, generation)
            if not error and group.state == "syncing" and group.leader == member:
                for other, assignment in assignments:
                    if other in group.members:
                        group.members[other].assignment = assignment or b""
                group.state = "stable"
                self.broker.changed.notify_all()
            end = time.monotonic() + 5
            while not error and group.state == "syncing" and time.monotonic() < end:
                self.broker.changed.wait(0.1)
                error = group.check(member, generation)
            if not error and group.state != "stable":
                error = REBALANCE_IN_PROGRESS
            return writer.int16(error).bytes(b"" if error else group.members[member].assignment).done()

    def heartbeat(self, version, reader):
        name, generation, member = reader.string(), reader.int32(), reader.string()
        with self.broker.changed:
            error = self._group(name).check(member, generation)
        return (Writer().int32(0) if version >= 1 else Writer()).int16(error).done()

    def leave_group(self, version, reader):
        name, member = reader.string(), reader.string()
        with self.broker.changed:
            error = 0 if self._group(name).remove(member) else UNKNOWN_MEMBER_ID
        return (Writer().int32(0) if version >= 1 else Writer()).int16(error).done()

    def offset_commit(self, version, reader):
        name, generation, member = reader.string(), reader.int32(), reader.string()
        if version >= 7:
            reader.string()
        if version <= 4:
            reader.int64()

        def partition():
            index, offset = reader.int32(), reader.int64()
            if version >= 6:
                reader.int32()
            return index, offset, reader.string()
        topics = reader.array(lambda: (reader.string(), reader.array(partition)))
        writer = Writer()
        if version >= 3:
            writer.int32(0)
        with self.broker.changed:
            group = self._group(name)
            # A commit during a rebalance is taken as long as its generation is the last one.
            error = 0 if generation < 0 and not group.members else group.check(member, generation)
            error = 0 if error == REBALANCE_IN_PROGRESS else error

            def one(topic, item):
                index, offset, note = item
                if not error:
                    group.offsets[(topic, index)] = (offset, note)
                writer.int32(index).int16(error)
            writer.array(topics, lambda topic: writer.string(topic[0]).array(topic[1], lambda item: one(topic[0], item)))
            self.broker.changed.notify_all()
        return writer.done()

    def offset_fetch(self, version, reader):
        name, count = reader.string(), reader.int32()
        with self.broker.changed:
            group = self._group(name)
            if count < 0:
                asked = [(topic, [index]) for topic, index in group.offsets]
            else:
                asked = [(reader.string(), reader.array(reader.int32)) for _ in range(count)]
            writer = Writer()
            if version >= 3:
                writer.int32(0)

            def one(topic, index):
                offset, note = group.offsets.get((topic, index), (-1, ""))
                writer.int32(index).int64(offset)
                if version >= 5:
                    writer.int32(-1)
                writer.string(note).int16(0)
            writer.array(asked, lambda topic: writer.string(topic[0]).array(topic[1], lambda index: one(topic[0], index)))
        return (writer.int16(0) if version >= 2 else writer).done()
