# SPDX-License-Identifier: Apache-2.0
"""The connectors of Kafka and Event Hubs against Apache Kafka itself (`./dev interop`)."""
import itertools
import json
import re
import subprocess
import urllib.parse

import pytest

from lib import kit

numbers = itertools.count(1)


@pytest.fixture
def topics(cluster):
    """Names of an uplink topic of 3 partitions and a downlink topic of 2, new for each test."""
    number = next(numbers)
    names = f"up{number}", f"down{number}"
    for name, partitions in zip(names, (3, 2)):
        cluster.create_topic(name, partitions)
    return names


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.fixture
def binder(api, network):
    return kit.make_binder(api, network.url)


def make(api, port, topics, flow=True, **configuration):
    body = {"bootstrapServers": f"127.0.0.1:{port}", "producerClientId": "flow-p", "consumerClientId": "flow-c",
            "consumerGroupId": "group-of-" + topics[1], "uplinkTopic": topics[0], "downlinkTopic": topics[1], "concurrency": 2,
            **configuration}
    connection = api.post("/connections", {"connectorId": "actility-kafka-iot", "name": "bus", "configuration": body})
    if flow:
        kit.make_flow(api, [connection], driver=None)
    return connection


def devices(binder, count):
    return [kit.Device(binder, f"70B3D5E75E0000{index:02X}", kit.AS_ID, kit.AS_KEY) for index in range(count)]


def login(cluster, mechanism, user="flow"):
    return {"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": mechanism, "username": user, "password": cluster.USERS[user]}


def arrived(records):
    out = {}
    for key, value in records:
        root = json.loads(value)["DevEUI_uplink"]
        assert key.decode() == root["DevEUI"]
        out.setdefault(root["DevEUI"], []).append(root["FCntUp"])
    return out


def command(eui, payload):
    return json.dumps({"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": payload}}).encode()


def payloads(network):
    return [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request["path"]).query))["Payload"].upper()
            for request in network.requests]


def wait_commands(cluster, topics, network, device):
    """The group reads from the newest on: a first command is repeated until it comes, and stands for both partitions."""
    def reached():
        for partition in range(2):
            cluster.append(topics[1], command(device.eui, f"F{partition}"), partition=partition)
        return {"F0", "F1"} <= set(payloads(network))
    kit.wait_for(reached, 60, "the consumers", every=1)


def librdkafka():
    """Version of the library that the engine is linked with, as numbers."""
    linked = subprocess.run(["ldd", str(kit.BINARY)], capture_output=True, text=True, check=True).stdout
    path = re.search(r"librdkafka\S* => (\S+)", linked)
    if not path:
        return (0,)
    import ctypes
    library = ctypes.CDLL(path[1])
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return tuple(int(part) for part in re.findall(r"\d+", library.rd_kafka_version_str().decode())[:3])


def test_uplinks_and_commands(api, cluster, topics, binder, network):
    api.wait_state(make(api, cluster.clear, topics)["id"], "OPENED", seconds=30)
    senders = devices(binder, 6)
    sent = {device.eui: [device.send() for _ in range(20)] for device in senders}
    assert arrived(cluster.taken(topics[0], 120)) == sent
    wait_commands(cluster, topics, network, senders[0])
    for index in range(20):
        cluster.append(topics[1], command(senders[0].eui, f"{index:02X}"), partition=index % 2)
    kit.wait_for(lambda: {"12", "13"} <= set(payloads(network)), 30, "the last commands")
    got = payloads(network)
    for half in range(2):
        mine = [f"{index:02X}" for index in range(20) if index % 2 == half]
        assert [payload for payload in got if payload in mine] == mine
    group = "group-of-" + topics[1]
    kit.wait_for(lambda: sum(cluster.committed(group, topics[1], part) for part in range(2)) == len(network.requests), 20,
                 "the commits", every=0.5)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_logins(request, api, cluster, topics, binder, certificates, mechanism, tls):
    if mechanism != "PLAIN" and cluster.version >= "4" and librdkafka() < (2, 6, 1):
        # Kafka 4 holds clients to the nonce of RFC 5802, which librdkafka got wrong until 2.6.1.
        request.applymarker(pytest.mark.xfail(reason="librdkafka before 2.6.1 can't log in to Kafka 4 by SCRAM", strict=True))
    more = login(cluster, mechanism)
    if tls:
        more.update(securityProtocol="SASL_SSL", trustedCaCertificate=certificates.text("ca.pem"))
    connection = make(api, cluster.sasl_tls if tls else cluster.sasl, topics, **more)
    api.wait_state(connection["id"], "OPENED", seconds=30)
    device, = devices(binder, 1)
    sent = [device.send() for _ in range(3)]
    assert arrived(cluster.taken(topics[0], 3)) == {device.eui: sent}


def test_a_client_certificate(api, cluster, topics, binder, certificates):
    mine = {"securityProtocol": "SSL", "trustedCaCertificate": certificates.text("ca.pem")}
    connection = make(api, cluster.tls, topics, certificate=certificates.text("client.pem"),
                      privateKey=certificates.text("client.key"), **mine)
    api.wait_state(connection["id"], "OPENED", seconds=30)
    device, = devices(binder, 1)
    sent = [device.send()]
    assert arrived(cluster.taken(topics[0], 1)) == {device.eui: sent}
    refused = make(api, cluster.tls, topics, flow=False, consumerGroupId="other", **mine)
    got = api.wait_state(refused["id"], "AUTHENTICATION_FAILED", seconds=30)
    assert "certificate" in got["stateReason"]["message"].lower(), got


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_and_then_the_right_one(api, cluster, topics, binder, mechanism):
    if mechanism != "PLAIN" and cluster.version >= "4" and librdkafka() < (2, 6, 1):
        pytest.skip("librdkafka before 2.6.1 can't log in to Kafka 4 by SCRAM")
    connection = make(api, cluster.sasl, topics, **{**login(cluster, mechanism), "password": "wrong"})
    device, = devices(binder, 1)
    sent = [device.send() for _ in range(3)]
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", seconds=30)
    assert "password" in got["stateReason"]["message"].lower(), got
    api.patch(f"/connections/{connection['id']}", {"configuration": {"password": cluster.USERS["flow"]}})
    api.wait_state(connection["id"], "OPENED", seconds=30)
    assert arrived(cluster.taken(topics[0], 3)) == {device.eui: sent}


def test_a_user_without_rights(api, cluster, topics, binder):
    connection = make(api, cluster.sasl, topics, **login(cluster, "PLAIN", "poor"))
    devices(binder, 1)[0].send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", seconds=30)
    assert topics[0] in got["stateReason"]["message"] and "authoriz" in got["stateReason"]["message"].lower(), got
    assert not api.get(f"/connections/{connection['id']}/deadLetters")


def test_a_missing_topic(api, cluster, topics, binder):
    connection = make(api, cluster.clear, ("none-" + topics[0], topics[1]))
    device, = devices(binder, 1)
    device.send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", "UNREACHABLE", seconds=30)
    assert "none-" + topics[0] in got["stateReason"]["message"], got
    cluster.create_topic("none-" + topics[0], 1)
    api.post(f"/connections/{connection['id']}/restart")
    cluster.taken("none-" + topics[0], 1)


def test_a_message_that_is_too_large(api, cluster, topics, binder):
    connection = make(api, cluster.clear, topics)
    api.wait_state(connection["id"], "OPENED", seconds=30)
    device, = devices(binder, 1)
    sent = [device.send()]
    large = device.send(CustomField="x" * cluster.MESSAGE_LIMIT)
    sent.append(device.send())
    assert arrived(cluster.taken(topics[0], 2)) == {device.eui: sent}
    path = f"/connections/{connection['id']}"
    letters = kit.wait_for(lambda: api.get(path + "/deadLetters"), 30, "the dead letter")
    assert [letter["FCntUp"] for letter in letters] == [large] and api.get(path)["state"] == "OPENED"


def test_event_hubs_login(api, cluster, topics, binder, network, certificates):
    """Not the service, but its login and its group on a real broker."""
    body = {"hostName": f"127.0.0.1:{cluster.sasl_tls}", "sharedAccessKeyName": "flow",
            "sharedAccessKey": "MDEyMzQ1Njc4OWFiY2RlZg==", "uplinkTopicPattern": topics[0], "downlinkTopicPattern": topics[1],
            "trustedCaCertificate": certificates.text("ca.pem")}
    connection = api.post("/connections", {"connectorId": "actility-azure-event-hub", "name": "hubs", "configuration": body})
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED", seconds=30)
    device, = devices(binder, 1)
    sent = [device.send() for _ in range(3)]
    assert arrived(cluster.taken(topics[0], 3)) == {device.eui: sent}
    wait_commands(cluster, topics, network, device)


def test_the_engine_is_killed_with_commands_waiting(api, sluice, cluster, topics, binder, network):
    make(api, cluster.clear, topics)
    device, = devices(binder, 1)
    wait_commands(cluster, topics, network, device)
    sluice.kill()
    for index in range(10):
        cluster.append(topics[1], command(device.eui, f"{index:02X}"), partition=index % 2)
    sluice.start()
    wanted = {f"{index:02X}" for index in range(10)}
    kit.wait_for(lambda: wanted <= set(payloads(network)), 90, "the commands of meanwhile")


# Last: the others need the broker.
def test_the_broker_is_killed_and_comes_back(api, cluster, topics, binder, network):
    connection = make(api, cluster.clear, topics)
    api.wait_state(connection["id"], "OPENED", seconds=30)
    senders = devices(binder, 4)
    sent = {device.eui: [device.send()] for device in senders}
    wait_commands(cluster, topics, network, senders[0])
    cluster.kill()
    for _ in range(10):
        for device in senders:
            sent[device.eui].append(device.send())
    api.wait_state(connection["id"], "UNREACHABLE", seconds=60)
    cluster.start()
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED", seconds=90)
    for device in senders:
        sent[device.eui].append(device.send())
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/queue")["pending"] == 0, 60, "the queue to be empty")
    got = arrived(cluster.taken(topics[0], 48))
    assert {eui: list(dict.fromkeys(found)) for eui, found in got.items()} == sent
    before = len(network.requests)
    cluster.append(topics[1], command(senders[0].eui, "EE"), partition=1)
    kit.wait_for(lambda: "EE" in payloads(network)[before:], 60, "a command after that")
