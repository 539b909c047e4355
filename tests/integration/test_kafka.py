# SPDX-License-Identifier: Apache-2.0
"""Uplinks to Kafka and commands from it, by a scripted broker that can be made to fail; test_kafka_peer.py holds that broker
against librdkafka, tests/interop the connector against Apache Kafka."""
import json
import threading
import time
import urllib.parse

import pytest

from lib import kafka, kit

SECRET = "s3cr3t-of-the-bus"
GROUP = "flow-group"


def make(api, broker, name="bus", **configuration):
    body = {"bootstrapServers": f"127.0.0.1:{broker.port}", "producerClientId": "flow-p", "consumerClientId": "flow-c",
            "consumerGroupId": GROUP, "uplinkTopic": "up", "concurrency": 1, **configuration}
    return api.post("/connections", {"connectorId": "actility-kafka-iot", "name": name, "configuration": body})


def devices(binder, count):
    return [kit.Device(binder, f"70B3D5E75E0000{index:02X}", kit.AS_ID, kit.AS_KEY) for index in range(count)]


def arrived(broker, topic="up"):
    """{DevEUI: [FCntUp]} in order of arrival."""
    out = {}
    for record in broker.taken(topic):
        root = json.loads(record.value)["DevEUI_uplink"]
        out.setdefault(root["DevEUI"], []).append(root["FCntUp"])
    return out


def command(eui, payload="0A"):
    return json.dumps({"DevEUI_downlink": {"DevEUI": eui, "FPort": 2, "payload_hex": payload}}).encode()


def payloads(network):
    return [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request["path"]).query))["Payload"].upper()
            for request in network.requests]


@pytest.fixture
def broker(ends):
    return ends(kafka.Broker({"up": 3, "down": 2}))


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.fixture
def binder(api, network):
    return kit.make_binder(api, network.url)


def opened(api, connection, driver=None):
    kit.make_flow(api, [connection], driver=driver)
    api.wait_state(connection["id"], "OPENED")
    return connection


def events(api, connection, *codes):
    found = api.get(f"/events?connectionId={connection['id']}&perPage=500")
    return [event for event in found if not codes or event["code"] in codes]


# ------------------------------------------------------------------------------------------------ uplinks

def test_uplinks_are_keyed_by_device_and_keep_its_order(api, broker, binder):
    kit.make_driver(api, kit.climate_code())
    opened(api, make(api, broker), "actility:auto:1")
    senders = [kit.Device(binder, f"70B3D5E75E0000{index:02X}", kit.AS_ID, kit.AS_KEY, kit.CLIMATE) for index in range(8)]
    sent = {device.eui: [] for device in senders}
    for _ in range(10):
        for device in senders:
            sent[device.eui].append(device.send())
    broker.wait("up", 80)
    assert arrived(broker) == sent
    records = broker.taken("up")
    assert json.loads(records[0].value)["DevEUI_uplink"]["payload"]["temperature"] == 20.79
    for record in records:
        assert record.key.decode() == json.loads(record.value)["DevEUI_uplink"]["DevEUI"]
        assert record.client_id == "flow-p"
    for device in senders:
        assert len({record.partition for record in records if record.key == device.eui.encode()}) == 1
    assert len({record.partition for record in records}) > 1
    assert broker.acks == {-1} and broker.asked(kafka.INIT_PRODUCER_ID) and not broker.asked_to_create
    assert not broker.asked(kafka.JOIN_GROUP) and broker.malformed == []


@pytest.mark.parametrize("protocol, mechanism", [
    ("SASL_PLAINTEXT", "PLAIN"), ("SASL_PLAINTEXT", "SCRAM-SHA-256"), ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("SASL_SSL", "PLAIN"), ("SASL_SSL", "SCRAM-SHA-512"), ("SSL", None)])
def test_logins(api, ends, binder, certificates, protocol, mechanism):
    tls = protocol.endswith("SSL")
    broker = ends(kafka.Broker({"up": 1, "down": 1}, users={"flow": SECRET} if mechanism else None,
                               tls=certificates if tls else None, client_certificates=protocol == "SSL"))
    more = {"trustedCaCertificate": certificates.text("ca.pem")} if tls else {}
    if mechanism:
        more.update(saslMechanism=mechanism, username="flow", password=SECRET)
    else:
        more.update(certificate=certificates.text("client.pem"), privateKey=certificates.text("client.key"))
    connection = opened(api, make(api, broker, securityProtocol=protocol, downlinkTopic="down", **more))
    shown = api.get(f"/connections/{connection['id']}")["configuration"]
    assert all(shown.get(name) in (None, "*****") for name in ("password", "privateKey", "certificate"))
    devices(binder, 1)[0].send()
    broker.wait("up")
    kit.wait_for(lambda: broker.members(GROUP) == ["flow-c"], what="the consumer")
    if mechanism:
        assert {(kind, user, good) for kind, user, _, good in broker.logins} == {(mechanism, "flow", True)}
    else:
        assert set(broker.client_certificate_subjects) == {"flow-client"}


def test_a_wrong_password_holds_all_until_it_is_corrected(api, sluice, ends, binder):
    broker = ends(kafka.Broker({"up": 1}, users={"flow": SECRET}))
    connection = make(api, broker, securityProtocol="SASL_PLAINTEXT", saslMechanism="SCRAM-SHA-256", username="flow",
                      password="wrong-" + SECRET)
    kit.make_flow(api, [connection], driver=None)
    device, = devices(binder, 1)
    sent = [device.send() for _ in range(3)]
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "password" in got["stateReason"]["message"].lower(), got
    assert events(api, connection, "connection-1102") and not broker.taken("up")
    tries = len(broker.logins)
    assert tries <= 6, "a broker may lock a user out who comes too often"
    api.patch(f"/connections/{connection['id']}", {"configuration": {"password": SECRET}})
    broker.wait("up", 3)
    assert arrived(broker) == {device.eui: sent}
    seen = json.dumps([api.get("/events"), got["stateReason"]]) + sluice.process.text()
    assert SECRET not in seen


def test_an_unknown_authority_is_not_trusted(api, ends, certificates):
    broker = ends(kafka.Broker({"up": 1}, tls=certificates))
    connection = make(api, broker, securityProtocol="SSL")  # the system's roots do not know ours
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", "UNREACHABLE")
    assert got["state"] == "AUTHENTICATION_FAILED" and "certificate" in got["stateReason"]["message"].lower(), got
    assert not broker.requests


def test_any_of_the_bootstrap_servers_will_do(api, broker, binder):
    opened(api, make(api, broker, bootstrapServers=f"127.0.0.1:{kit.free_port()},127.0.0.1:{broker.port}"))
    devices(binder, 1)[0].send()
    broker.wait("up")


def test_a_missing_topic_is_told_by_its_name(api, ends, binder):
    broker = ends(kafka.Broker({"other": 1}))
    connection = make(api, broker)
    kit.make_flow(api, [connection], driver=None)
    device, = devices(binder, 1)
    device.send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", "UNREACHABLE")
    assert "'up'" in got["stateReason"]["message"] and "topic" in got["stateReason"]["message"], got
    assert any("up" in json.dumps(event) and event["level"] == "error" for event in events(api, connection))
    assert not broker.asked_to_create
    broker.create_topic("up")
    api.post(f"/connections/{connection['id']}/restart")
    broker.wait("up")


def test_a_denied_topic_blames_no_message(api, broker, binder):
    connection = opened(api, make(api, broker))
    device, = devices(binder, 1)
    device.send()
    broker.wait("up")
    broker.denied_writes.add("up")
    device.send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "up" in got["stateReason"]["message"] and "authoriz" in got["stateReason"]["message"].lower(), got
    assert not api.get(f"/connections/{connection['id']}/deadLetters")
    broker.well()
    api.post(f"/connections/{connection['id']}/restart")
    broker.wait("up", 2)


def test_the_broker_dies_and_comes_back(api, broker, binder):
    connection = opened(api, make(api, broker))
    senders = devices(binder, 4)
    sent = {device.eui: [device.send()] for device in senders}
    broker.wait("up", 4)
    broker.kill()
    for _ in range(5):
        for device in senders:
            sent[device.eui].append(device.send())
    got = api.wait_state(connection["id"], "UNREACHABLE", seconds=30)
    assert got["stateReason"]["code"] == "connection-1103", got
    broker.start()
    broker.wait("up", 24, seconds=45)
    api.wait_state(connection["id"], "OPENED")
    for device in senders:
        sent[device.eui].append(device.send())
    # What was on the way when the broker died may come twice.
    path = f"/connections/{connection['id']}"
    kit.wait_for(lambda: api.get(path + "/queue")["totals"]["delivered"] == 28, 20, "all to be delivered")
    assert {eui: list(dict.fromkeys(numbers)) for eui, numbers in arrived(broker).items()} == sent
    queue = api.get(path + "/queue")
    assert queue["totals"]["dead"] == 0 and queue["totals"]["accepted"] == 28


def test_a_broker_that_takes_and_never_answers_is_noticed(api, broker, binder):
    connection = opened(api, make(api, broker, actionTimeout=2000))
    device, = devices(binder, 1)
    device.send()
    broker.wait("up")
    broker.swallow = "drop"
    sent = [device.send() for _ in range(3)]
    api.wait_state(connection["id"], "UNREACHABLE", "CLOSED", "OPENING", seconds=20)
    broker.well()
    broker.wait("up", 4, seconds=45)
    assert list(dict.fromkeys(arrived(broker)[device.eui]))[1:] == sent


def test_a_throttled_producer_goes_on(api, broker, binder):
    connection = opened(api, make(api, broker))
    broker.throttle_ms = 200
    device, = devices(binder, 1)
    sent = [device.send() for _ in range(5)]
    broker.wait("up", 5)
    assert arrived(broker) == {device.eui: sent}
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


def test_one_refused_record_takes_no_other_with_it(api, broker, binder):
    connection = opened(api, make(api, broker))
    senders = devices(binder, 6)
    broker.key_errors[senders[2].eui.encode()] = kafka.INVALID_RECORD
    path = f"/connections/{connection['id']}"
    api.post(path + "/pause")
    sent = {device.eui: [] for device in senders}
    for _ in range(3):
        for device in senders:
            sent[device.eui].append(device.send())
    kit.wait_for(lambda: api.get(path + "/queue")["pending"] == 18, what="18 waiting messages")
    api.post(path + "/resume")
    kit.wait_for(lambda: len(api.get(path + "/deadLetters")) == 3, 20, "three dead letters")
    refused = sent.pop(senders[2].eui)
    assert sorted(letter["FCntUp"] for letter in api.get(path + "/deadLetters")) == refused
    broker.wait("up", 15)
    assert arrived(broker) == sent and api.get(path)["state"] == "OPENED"


# ------------------------------------------------------------------------------------------------ commands

def test_commands_of_all_partitions_come_through_the_group(api, broker, binder, network):
    opened(api, make(api, broker, downlinkTopic="down", concurrency=2))
    kit.wait_for(lambda: broker.members(GROUP) == ["flow-c", "flow-c"], what="two consumers")
    broker.wait_reader("down")
    senders = devices(binder, 2)
    for index in range(20):
        broker.append("down", command(senders[index % 2].eui, f"{index:02X}"), partition=index % 2)
    kit.wait_for(lambda: len(network.requests) >= 20, what="20 commands at the network server")
    got = payloads(network)
    for half in range(2):
        mine = [f"{index:02X}" for index in range(20) if index % 2 == half]
        assert [payload for payload in got if payload in mine] == mine
    kit.wait_for(lambda: broker.committed(GROUP, "down", 0) == broker.committed(GROUP, "down", 1) == 10, what="the commits")


@pytest.mark.parametrize("kept", [True, False], ids=["queued", "not queued"])
def test_no_command_is_lost_when_the_engine_is_killed(api, sluice, broker, binder, network, kept):
    """Committed once it is handed over: to the queue on disk, or, where downlinks are not queued, to the network server."""
    release, seen = threading.Event(), threading.Event()

    def hang(request):
        seen.set()
        release.wait(60)
        return 200, "<html><body>Request queued by LRC</body></html>"
    network.answer = hang
    opened(api, make(api, broker, downlinkTopic="down", queueDownlinks=kept))
    broker.wait_reader("down")
    device, = devices(binder, 1)
    broker.append("down", command(device.eui, "11"))
    assert seen.wait(15), "the command does not come to the network server"
    time.sleep(1)  # longer than the commits' interval
    if not kept:
        assert broker.committed(GROUP, "down") in (None, 0), "committed before it was handed over"
    sluice.kill()
    network.answer = lambda request: (200, "<html><body>Request queued by LRC</body></html>")
    release.set()
    kit.wait_for(lambda: len(network.requests) == 1, what="the end of the answer that nobody waits for")
    sluice.start()
    network.wait(2, seconds=40)
    kit.wait_for(lambda: broker.committed(GROUP, "down") == 1, 20, "the commit")
    assert payloads(network) == ["11", "11"]
    # What was handed over does not come again.
    sluice.kill()
    sluice.start()
    broker.wait_reader("down", 40)
    broker.append("down", command(device.eui, "22"))
    kit.wait_for(lambda: "22" in payloads(network), 20, "the next command")
    # The queue on disk may repeat what was answered in the moment of the kill.
    assert payloads(network)[2:] == ["22"] or kept and payloads(network)[2:] == ["11", "22"]


def test_what_is_no_command_is_passed_over(api, broker, binder, network):
    opened(api, make(api, broker, downlinkTopic="down"))
    broker.wait_reader("down")
    device, = devices(binder, 1)
    for value in (b"not json", b"", b'{"something":"else"}', None, b"\xff\xfe\x00", command(device.eui, "33")):
        broker.append("down", value, partition=0)
    network.wait(1)
    assert payloads(network) == ["33"]
    kit.wait_for(lambda: broker.committed(GROUP, "down", 0) == 6, what="the commit")


def test_a_missing_downlink_topic_neither_fails_nor_floods(api, broker, binder, network):
    connection = opened(api, make(api, broker, downlinkTopic="later"))
    device, = devices(binder, 1)
    sent = [device.send()]
    broker.wait("up")
    time.sleep(3)
    sent.append(device.send())
    broker.wait("up", 2)
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"
    told = [event for event in events(api, connection) if "later" in json.dumps(event)]
    assert 1 <= sum(event["data"].get("count", 1) for event in told) <= 2, told
    assert arrived(broker) == {device.eui: sent} and not broker.asked_to_create


def test_a_consumer_group_that_is_denied_does_not_stop_uplinks(api, broker, binder):
    broker.denied_groups.add(GROUP)
    connection = opened(api, make(api, broker, downlinkTopic="down"))
    device, = devices(binder, 1)
    device.send()
    broker.wait("up")

    def told():
        return [event for event in events(api, connection) if "group" in json.dumps(event).lower()]
    kit.wait_for(told, what="an event")
    time.sleep(2)
    assert len(told()) <= 2, told()
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


def test_a_login_that_ends_while_the_group_is_asked_where_to_begin(api, sluice, ends, binder, network):
    """librdkafka by itself ends the process here (its issue 4789)."""
    broker = ends(kafka.Broker({"up": 1, "down": 1}, users={"flow": SECRET}, mechanisms=["PLAIN"]))
    broker.unanswered.add(kafka.OFFSET_FETCH)
    connection = opened(api, make(api, broker, downlinkTopic="down", securityProtocol="SASL_PLAINTEXT", username="flow",
                                  password=SECRET))
    kit.wait_for(lambda: broker.members(GROUP), 20, "the consumer to be in the group")
    asked = broker.asked(kafka.OFFSET_FETCH)
    kit.wait_for(lambda: broker.asked(kafka.OFFSET_FETCH) > asked, 10, "the question where to begin")
    broker.refuse_logins = True
    broker.cut()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED", seconds=30)
    assert sluice.process.running()
    broker.well()
    api.post(f"/connections/{connection['id']}/restart")
    device, = devices(binder, 1)
    device.send()
    broker.wait("up")
    broker.wait_reader("down", 30)
    broker.append("down", command(device.eui, "51"))
    network.wait(1)


def test_no_consumer_where_commands_are_switched_off(api, broker, binder):
    connection = opened(api, make(api, broker, downlinkTopic="down", downlinkEnabled=False))
    devices(binder, 1)[0].send()
    broker.wait("up")
    assert not broker.asked(kafka.JOIN_GROUP) and not broker.asked(kafka.FIND_COORDINATOR)
    api.patch(f"/connections/{connection['id']}", {"configuration": {"downlinkEnabled": True}})
    kit.wait_for(lambda: broker.members(GROUP) == ["flow-c"], what="the consumer")
    api.post(f"/connections/{connection['id']}/stop")
    api.wait_state(connection["id"], "DEACTIVATED")
    kit.wait_for(lambda: not broker.groups[GROUP].members, 10, "the consumer to leave its group")


def test_commands_go_on_after_the_broker_was_away(api, broker, binder, network):
    connection = opened(api, make(api, broker, downlinkTopic="down"))
    broker.wait_reader("down")
    device, = devices(binder, 1)
    broker.append("down", command(device.eui, "41"), partition=0)
    network.wait(1)
    kit.wait_for(lambda: broker.committed(GROUP, "down", 0) == 1, what="the commit")
    broker.kill()
    broker.append("down", command(device.eui, "42"), partition=0)  # in its log when it is back
    time.sleep(1)
    broker.start()
    network.wait(2, seconds=60)
    api.wait_state(connection["id"], "OPENED", seconds=45)
    assert payloads(network) == ["41", "42"]
