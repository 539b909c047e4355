# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka itself, one node without ZooKeeper, from the jars that Maven brings into build/interop."""
import base64
import pathlib
import shutil
import subprocess
import uuid

from lib import kit

HOME = kit.ROOT / "build/interop"
JAVA = shutil.which("java") or "/usr/bin/java"
MAVEN = shutil.which("mvn") or "/usr/bin/mvn"

POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice</groupId><artifactId>interop</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""


class Unavailable(Exception):
    """Why there is no such broker here."""


def jars(version):
    """The folder with Kafka of that version and what it needs; fetched once. Raises Unavailable."""
    folder = HOME / f"kafka-{version}"
    if (folder / "complete").exists():
        return folder
    if not pathlib.Path(JAVA).exists() or not pathlib.Path(MAVEN).exists():
        raise Unavailable("Java or Maven is missing: Debian's packages default-jre-headless and maven")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pom.xml").write_text(POM.format(version=version))
    try:
        got = subprocess.run([MAVEN, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars",
                              "-DincludeScope=runtime"],
                             cwd=folder, capture_output=True, text=True, timeout=540, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise Unavailable("Maven took longer than 9 minutes; what it has got it keeps, try again") from error
    if got.returncode != 0:
        lines = [line for line in (got.stdout + got.stderr).splitlines() if "ERROR" in line]
        raise Unavailable(f"Maven does not get Kafka {version}: " + (lines or ["it gave no reason"])[0][:300])
    (folder / "complete").touch()
    return folder


class ApacheKafka:
    """A node with a port for each way to come: `clear`, `sasl` (in clear), `sasl_tls`, `tls` (client certificates demanded).
    Users by PLAIN and SCRAM: USERS. Topics are not made by asking for them. Keeps ports and data over kill() and start()."""

    USERS = {"flow": "s3cr3t-of-kafka", "poor": "s3cr3t-of-the-poor",
             "$ConnectionString": "Endpoint=sb://127.0.0.1/;SharedAccessKeyName=flow;SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZg=="}
    MESSAGE_LIMIT = 100000  # bytes of a batch

    def __init__(self, directory, version, certificates):
        self.directory, self.version = pathlib.Path(directory), version
        self.folder = jars(version)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.clear, self.sasl, self.sasl_tls, self.tls, self.controller = (kit.free_port() for _ in range(5))
        (self.directory / "server.pem").write_text(certificates.text("server.key") + certificates.text("server.pem"))
        self.file = self.directory / "server.properties"
        self.file.write_text(self._properties(certificates))
        users = [word for name, password in self.USERS.items() for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                 for word in ("--add-scram", f'{mechanism}=[name={name},password="{password}"]') if name != "$ConnectionString"]
        self._java("kafka.tools.StorageTool", "format", "-t", self._cluster_id(), "-c", self.file, *users, log="format.log")
        self.process = None
        self.start()

    @staticmethod
    def _cluster_id():
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _properties(self, certificates):
        ways = {"CLEAR": (self.clear, "PLAINTEXT"), "SASL": (self.sasl, "SASL_PLAINTEXT"),
                "SASLTLS": (self.sasl_tls, "SASL_SSL"), "TLS": (self.tls, "SSL"), "CONTROLLER": (self.controller, "PLAINTEXT")}
        def listeners(names):
            return ",".join(f"{name}://127.0.0.1:{ways[name][0]}" for name in names)
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required " + " ".join(
            f'user_{name}="{password}"' for name, password in self.USERS.items()) + ";"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines = {
            "process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "listeners": listeners(ways), "advertised.listeners": listeners([name for name in ways if name != "CONTROLLER"]),
            "listener.security.protocol.map": ",".join(f"{name}:{way[1]}" for name, way in ways.items()),
            "inter.broker.listener.name": "CLEAR", "controller.listener.names": "CONTROLLER",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.directory / "server.pem",
            "ssl.truststore.type": "PEM", "ssl.truststore.location": certificates.path("ca.pem"),
            "listener.name.tls.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:flow;User:$ConnectionString;User:CN=flow-client",
            "auto.create.topics.enable": "false", "message.max.bytes": self.MESSAGE_LIMIT,
            "log.dirs": self.directory / "data", "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 300, "num.network.threads": 2, "num.io.threads": 2}
        for name in ("sasl", "sasltls"):
            lines[f"listener.name.{name}.plain.sasl.jaas.config"] = plain
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                lines[f"listener.name.{name}.{mechanism}.sasl.jaas.config"] = scram
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def _command(self, *words):
        return [JAVA, "-Xmx512m", "-cp", f"{self.folder}/jars/*", *words]

    def _java(self, *words, log):
        got = subprocess.run(self._command(*words), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        (self.directory / log).write_text(got.stdout + got.stderr)
        assert got.returncode == 0, f"{words[0]}: " + (got.stdout + got.stderr)[-1500:]

    def start(self):
        self.process = kit.Process(self._command("kafka.Kafka", self.file), self.directory / "kafka.log")

        def answers():
            assert self.process.running(), "Kafka has ended: " + self.process.text()[-1500:]
            try:
                return self.admin().list_topics(timeout=2).brokers
            except Exception:  # noqa: BLE001: not yet
                return False
        kit.wait_for(answers, 90, "Kafka to answer", every=0.3)
        return self

    def kill(self):
        self.process.child.kill()
        self.process.child.wait(10)

    def stop(self):
        self.process.stop(seconds=30)

    # --- looking in by the port without logins ------------------------------------------------------------------------------

    def admin(self):
        from confluent_kafka.admin import AdminClient
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.clear}", "log_level": 0})

    def create_topic(self, name, partitions):
        from confluent_kafka.admin import NewTopic
        admin = self.admin()  # its end would end what it was asked for
        for future in admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=20).values():
            future.result(30)

    def append(self, topic, value, key=None, partition=0):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{self.clear}", "log_level": 0})
        producer.produce(topic, value, key, partition)
        assert producer.flush(20) == 0

    def taken(self, topic, count, seconds=30):
        """The first `count` records of the topic or more, as (key, value), each partition in its order."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.clear}", "group.id": f"look-{uuid.uuid4()}",
                             "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0})
        try:
            parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, part, 0) for part in parts])
            out = []

            def more():
                got = consumer.poll(0.5)
                if got is not None and not got.error():
                    out.append((got.key(), got.value()))
                return len(out) >= count and got is None
            kit.wait_for(more, seconds, f"{count} records of {topic}", every=0)
            return out
        finally:
            consumer.close()

    def committed(self, group, topic, partition=0):
        """The group's committed offset, negative where it has none."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.clear}", "group.id": group, "log_level": 0})
        try:
            return consumer.committed([TopicPartition(topic, partition)], timeout=10)[0].offset
        finally:
            consumer.close()
