# SPDX-License-Identifier: Apache-2.0
"""The other end of this connector for `./dev bench connectors`: the same as the conformance kit's."""
import pathlib

from connector_peer import Peer, load

LinePeer = load(pathlib.Path(__file__).parent / "conformance.py").LinePeer


class Bench(Peer):
    name, connector = "template_name", "template_producer-template-name"
    about = "lines in clear to a peer in Python, which is what limits it"
    wanted, count = 500, 10_000

    def __init__(self, directory):
        self.peer = LinePeer(directory, None)

    def body(self):
        return self.peer.body("127.0.0.1", self.peer.port)["configuration"]

    def arrived(self):
        return len(self.peer.received())

    def stop(self):
        self.peer.stop()


PEERS = [Bench]
