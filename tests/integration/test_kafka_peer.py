# SPDX-License-Identifier: Apache-2.0
"""The scripted Kafka broker speaks what librdkafka speaks: kcat writes to it and reads from it. Without this a fault of the
stand-in would pass for one of the connector."""
import shutil
import subprocess

import pytest

from lib import kafka, kit

KCAT = shutil.which("kcat") or "/usr/bin/kcat"


def kcat(broker, *words, text=None, seconds=20):
    return subprocess.run([KCAT, "-b", f"127.0.0.1:{broker.port}", *words], input=text, capture_output=True, text=True,
                          timeout=seconds)


@pytest.fixture
def plain(ends):
    return ends(kafka.Broker({"up": 2, "down": 2}))


def test_an_idempotent_producer_and_a_reader(plain):
    lines = "".join(f"k{index % 7}:value {index}\n" for index in range(500))
    got = kcat(plain, "-P", "-t", "up", "-K", ":", "-X", "enable.idempotence=true", "-X", "linger.ms=1", text=lines)
    assert got.returncode == 0, got.stderr
    records = plain.wait("up", 500)
    for key in range(7):
        mine = [record for record in records if record.key == b"k%d" % key]
        assert len({record.partition for record in mine}) == 1
        assert [record.value.decode() for record in mine] == [f"value {index}" for index in range(500) if index % 7 == key]
    assert plain.asked(kafka.INIT_PRODUCER_ID) == 1
    got = kcat(plain, "-C", "-t", "up", "-e", "-q", "-X", "check.crcs=true", "-f", "%k:%s\n")
    assert sorted(got.stdout.splitlines()) == sorted(lines.splitlines()), got.stderr
    assert plain.malformed == []


def test_what_the_broker_appends_passes_the_readers_checksum(plain):
    plain.append("down", b"first", b"k")
    plain.append("down", b"second", None, headers=[("h", b"1")])
    got = kcat(plain, "-C", "-t", "down", "-p", "0", "-e", "-q", "-X", "check.crcs=true", "-f", "%k|%s|%h\n")
    assert got.stdout == "k|first|\n|second|h=1\n", got.stderr


def test_gzip_is_read_other_compressions_are_refused(plain):
    assert kcat(plain, "-P", "-t", "up", "-z", "gzip", text="x" * 500 + "\n").returncode == 0
    assert plain.wait("up")[0].value == b"x" * 500
    got = kcat(plain, "-P", "-t", "up", "-z", "lz4", "-X", "message.timeout.ms=3000", text="y" * 500 + "\n")
    assert got.returncode != 0 and "compression" in got.stderr.lower(), got.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_logins(ends, mechanism):
    broker = ends(kafka.Broker({"up": 1}, users={"flow": "s3,cr=3t"}))
    sasl = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", f"sasl.mechanism={mechanism}", "-X", "sasl.username=flow"]
    got = kcat(broker, "-P", "-t", "up", *sasl, "-X", "sasl.password=s3,cr=3t", text="one\n")
    assert got.returncode == 0, got.stderr
    assert broker.wait("up")[0].value == b"one"
    for user, password in (("flow", "wrong"), ("nobody", "s3,cr=3t")):
        got = kcat(broker, "-P", "-t", "up", *sasl, "-X", f"sasl.username={user}", "-X", f"sasl.password={password}",
                   "-X", "message.timeout.ms=3000", text="two\n")
        assert got.returncode != 0 and "uthentication" in got.stderr, got.stderr
    assert {(mechanism, "flow", True), (mechanism, "flow", False), (mechanism, "nobody", False)} == \
        {(kind, user, good) for kind, user, _, good in broker.logins}
    assert kcat(broker, "-L", "-m", "1", seconds=20).returncode != 0  # without a login nothing is told


def test_tls_with_a_client_certificate(ends, certificates):
    broker = ends(kafka.Broker({"up": 1}, tls=certificates, client_certificates=True))
    tls = ["-X", "security.protocol=SSL", "-X", f"ssl.ca.location={certificates.path('ca.pem')}"]
    mine = ["-X", f"ssl.certificate.location={certificates.path('client.pem')}",
            "-X", f"ssl.key.location={certificates.path('client.key')}"]
    assert kcat(broker, "-P", "-t", "up", *tls, *mine, text="one\n").returncode == 0
    assert broker.wait("up")[0].value == b"one" and set(broker.client_certificate_subjects) == {"flow-client"}
    assert kcat(broker, "-P", "-t", "up", *tls, "-X", "message.timeout.ms=2000", text="two\n").returncode != 0
    assert len(broker.taken("up")) == 1


def test_a_group_shares_the_partitions_and_goes_on_where_it_was(ends, plain, tmp_path):
    def member(name):
        process = kit.Process([KCAT, "-b", f"127.0.0.1:{plain.port}", "-G", "group", "down", "-u", "-X", f"client.id={name}",
                               "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=2000", "-X",
                               "auto.commit.interval.ms=100", "-f", "%p %s\n"], tmp_path / f"{name}.log")
        return ends(process)
    first, second = member("a"), member("b")
    kit.wait_for(lambda: sorted(plain.members("group")) == ["a", "b"], what="both members")
    for index in range(10):
        plain.append("down", b"m%d" % index, partition=index % 2)

    def lines(process):
        return [line for line in process.text().splitlines() if line[:2] in ("0 ", "1 ")]
    kit.wait_for(lambda: len(lines(first)) == len(lines(second)) == 5, what="five records for each")
    assert len({line[0] for line in lines(first)}) == len({line[0] for line in lines(second)}) == 1
    kit.wait_for(lambda: plain.committed("group", "down", 0) == plain.committed("group", "down", 1) == 5, what="the commits")
    # One dies without leaving: after its session the other has both partitions.
    second.child.kill()
    kit.wait_for(lambda: plain.members("group") == ["a"], 15, "the group without the dead one")
    plain.append("down", b"late", partition=0)
    plain.append("down", b"late", partition=1)
    kit.wait_for(lambda: {"0 late", "1 late"} <= set(lines(first)), what="the dead one's partition")
    first.stop()
    plain.kill()
    plain.start()
    plain.append("down", b"after")
    third = member("c")
    kit.wait_for(lambda: lines(third) == ["0 after"], what="only what was not committed")


def test_faults(plain):
    def put(text="x\n", *words):
        return kcat(plain, "-P", "-t", "up", "-p", "0", "-X", "message.timeout.ms=1500", "-X", "linger.ms=0", *words, text=text)
    plain.denied_writes.add("up")
    assert "authorization failed" in put().stderr
    plain.well()
    plain.key_errors[b"bad"] = kafka.INVALID_RECORD
    assert put("bad:x\n", "-K", ":").returncode != 0 and put("good:x\n", "-K", ":").returncode == 0
    plain.well()
    plain.message_limit = 300
    assert put("y" * 200 + "\n").returncode == 0
    assert "too large" in put("y" * 300 + "\n").stderr.lower()
    plain.well()
    plain.swallow = "drop"
    assert "timed out" in put("lost\n").stderr
    plain.well()
    assert put("end\n").returncode == 0
    assert [record.value for record in plain.taken("up")] == [b"x", b"y" * 200, b"end"]
    assert "Unknown topic" in kcat(plain, "-P", "-t", "none", "-X", "topic.metadata.propagation.max.ms=500", text="x\n").stderr


def test_what_is_sent_again_is_kept_once(plain):
    """The answer gets lost, the producer sends the same batch by its number: the reason for an idempotent producer."""
    plain.swallow = "keep"
    producer = subprocess.Popen([KCAT, "-b", f"127.0.0.1:{plain.port}", "-P", "-t", "up", "-X", "enable.idempotence=true", "-X",
                                 "socket.timeout.ms=1000", "-X", "socket.max.fails=0"], stdin=subprocess.PIPE, text=True)
    try:
        producer.stdin.write("once\n")
        producer.stdin.close()
        plain.wait("up")
        before = plain.asked(kafka.PRODUCE)
        plain.well()
        assert producer.wait(15) == 0
    finally:
        producer.kill()
    assert plain.asked(kafka.PRODUCE) > before and [record.value for record in plain.taken("up")] == [b"once"]
