# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector for `./dev bench connectors`."""
from connector_peer import Peer
from lib import rabbit


class Amqp(Peer):
    """RabbitMQ with a durable queue, which counts what has come to it."""
    name, connector = "amqp", "actility-amqp-0.9.1-iot"
    wanted, count = 15_000, 100_000
    about = "persistent messages with publisher confirms, in clear, to a durable queue of RabbitMQ"

    def __init__(self, directory):
        self.rabbit = rabbit.Rabbit(directory)
        self.taken = 0
        connection = self.rabbit.connect()
        channel = connection.channel()
        channel.exchange_declare("bench", "topic", durable=True)
        channel.queue_declare("bench", durable=True)
        channel.queue_bind("bench", "bench", "bench.*.uplink")
        connection.close()

    def body(self):
        return {"hostName": f"127.0.0.1:{self.rabbit.port}", "protocol": "TCP", "username": "flow", "password": "s3cr3t",
                "exchangeName": "bench", "uplinkTopicPattern": "bench.{DevEUI}.uplink",
                "downlinkTopicPattern": "bench.{DevEUI}.downlink", "actionTimeout": 60000}

    def arrived(self):
        """Empties the queue, so that each round finds the broker the same."""
        connection = self.rabbit.connect()
        self.taken += connection.channel().queue_purge("bench").method.message_count
        connection.close()
        return self.taken

    def stop(self):
        self.rabbit.stop()


PEERS = [Amqp]
