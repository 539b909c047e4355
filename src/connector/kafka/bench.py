# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector for `./dev bench connectors`: librdkafka's mock cluster in a process of its own."""
import subprocess

from connector_peer import Peer
from lib import kit

MOCK = kit.ROOT / "build/release/kafka_mock"
TOPIC, PARTITIONS = "bench", 4


class Kafka(Peer):
    """It keeps what it gets in memory and answers at once: a real cluster waits for its replicas."""
    name, connector = "kafka", "actility-kafka-iot"
    wanted, count = 50_000, 500_000
    about = "idempotent producer, acknowledged by all replicas, in clear, to librdkafka's mock cluster"

    def __init__(self, directory):
        directory.mkdir(parents=True)
        self.log = open(directory / "mock.log", "wb")
        self.child = subprocess.Popen([MOCK, TOPIC, str(PARTITIONS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                      text=True)
        self.servers = self.child.stdout.readline().strip()

    def body(self):
        return {"bootstrapServers": self.servers, "producerClientId": "bench", "consumerClientId": "bench", "consumerGroupId": "bench",
                "uplinkTopic": TOPIC, "concurrency": 1, "downlinkEnabled": False}

    def arrived(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline())

    def stop(self):
        self.child.stdin.close()
        self.child.wait(20)
        self.log.close()


PEERS = [Kafka]
