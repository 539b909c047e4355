# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector for `./dev bench connectors`."""
import os

from connector_peer import Peer
from lib import rabbit

QUEUE, EXCHANGE = "bench", "IotFlowExchange"


class Amqp(Peer):
    """RabbitMQ with a durable queue that gets everything."""
    name, connector = "amqp", "actility-amqp-0.9.1-iot"
    wanted, count = 15_000, 100_000
    about = "persistent, publisher confirms, in clear, to a durable queue of RabbitMQ, which has all cores"

    all_cores = True
    # The second version of a durable queue's index costs RabbitMQ a quarter less, and is what it will have by itself.
    queue = {"durable": True, "arguments": {"x-queue-version": 2}}

    def __init__(self, directory):
        self.rabbit = rabbit.Rabbit(directory, schedulers=len(os.sched_getaffinity(0)))
        self.taken = 0
        with self.rabbit.connect() as connection:
            channel = connection.channel()
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, **self.queue)
            channel.queue_bind(QUEUE, EXCHANGE, "bench.#")

    def body(self):
        return {"hostName": f"127.0.0.1:{self.rabbit.port}", "protocol": "TCP", "username": "flow", "password": "s3cr3t",
                "uplinkTopicPattern": "bench.{DevEUI}.uplink", "downlinkTopicPattern": "down.{DevEUI}.downlink", "mandatory": True}

    def arrived(self):
        # Emptied each time, so that one round does not pay for the ones before.
        with self.rabbit.connect() as connection:
            self.taken += connection.channel().queue_purge(QUEUE).method.message_count
        return self.taken

    def stop(self):
        self.rabbit.stop()


class AmqpInMemory(Amqp):
    """What its disk costs RabbitMQ is left out: its confirmations come one by one then."""
    name = "amqp-memory"
    about = "persistent, publisher confirms, in clear, to a queue that RabbitMQ keeps in memory; it has all cores"
    queue = {"durable": False}


PEERS = [Amqp, AmqpInMemory]
