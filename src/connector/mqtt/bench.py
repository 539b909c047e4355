# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector for `./dev bench connectors`."""
import subprocess
import time

from connector_peer import Peer
from lib import kit


class Mqtt(Peer):
    """mosquitto, QoS 1; it counts the messages it gets."""
    name, connector = "mqtt", "actility-mqtt-iot"
    wanted, count = 20_000, 200_000
    about = "QoS 1, in clear, to mosquitto"

    def __init__(self, directory):
        self.broker = kit.Mosquitto(directory, config="allow_anonymous true\nsys_interval 1")

    def body(self):
        return {"hostName": f"127.0.0.1:{self.broker.port}", "protocol": "TCP", "uplinkTopicPattern": "bench/{DevEUI}/uplink",
                "downlinkTopicPattern": "bench/{DevEUI}/downlink", "actionTimeout": 10000}

    def arrived(self):
        time.sleep(2.5)  # its counters are told once a second
        got = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-C", "1", "-W", "5", "-t",
                              "$SYS/broker/publish/messages/received"], capture_output=True, text=True, check=True)
        return int(got.stdout)

    def stop(self):
        self.broker.stop()


PEERS = [Mqtt]
