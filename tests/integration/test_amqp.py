# SPDX-License-Identifier: Apache-2.0
"""AMQP 0-9-1 against Debian's RabbitMQ: routing keys, confirms over a broker's death, rights, unroutable messages, commands with
manual acknowledgement, TLS with client certificates, a broker that blocks."""
import json
import threading
import time

import pytest

from lib import kit, rabbit

EXCHANGE = "IotFlowExchange"
AS_KEY = "46ab678cd45df4a4e4b375eacd096acc"
PAYLOAD = {"temperature": 20.79, "humidity": 45, "battery": 3.6}


@pytest.fixture(scope="module")
def node(tmp_path_factory, certificates):
    server = rabbit.Rabbit(tmp_path_factory.mktemp("rabbit"), certificates, "max_message_size = 600000")
    yield server
    server.stop()


@pytest.fixture
def server(node):
    """The node, as it was: without queues and exchanges of ours, nobody connected."""
    if not node.process.running():
        node.start()
    node.memory_alarm(False)
    node.permit("flow")
    connection = node.connect()
    channel = connection.channel()
    for queue in node.queues():
        channel.queue_delete(queue)
    for exchange in (EXCHANGE, "other"):
        channel.exchange_delete(exchange)
    connection.close()
    return node


def make(api, port, name="rabbit", **configuration):
    body = {"hostName": f"127.0.0.1:{port}", "protocol": "TCP", "username": "flow", "password": "s3cr3t",
            "uplinkTopicPattern": "amqp.things.{DevEUI}.uplink", "downlinkTopicPattern": "amqp.things.{DevEUI}.downlink",
            "exchangeName": EXCHANGE, **configuration}
    return api.post("/connections", {"connectorId": "actility-amqp-0.9.1-iot", "name": name,
                                     "configuration": {key: value for key, value in body.items() if value is not None}})


def opened(api, port, driver=None, **configuration):
    connection = make(api, port, **configuration)
    kit.make_flow(api, [connection], driver=driver)
    api.wait_state(connection["id"], "OPENED")
    return connection


def counters(documents, eui):
    """FCntUp of the device's messages in the order of their first arrival."""
    out = []
    for document in documents:
        root = document["DevEUI_uplink"]
        if root["DevEUI"] == eui and root["FCntUp"] not in out:
            out.append(root["FCntUp"])
    return out


def events(api, connection, code):
    return [event for event in api.get(f"/events?q_connectionId={connection['id']}&limit=100") if event["code"] == code]


def wait_event(api, connection, code, text, seconds=20):
    return kit.wait_for(lambda: [event for event in events(api, connection, code) if text in json.dumps(event)], seconds,
                        f"an event {code} with '{text}'")[0]


def dead(api, connection):
    return api.get(f"/connections/{connection['id']}/deadLetters")


# ---------------------------------------------------------------- uplinks


def test_an_uplink_by_its_routing_key(api, server, device, ends):
    kit.make_driver(api, kit.climate_code())
    capture = ends(server.capture())
    connection = opened(api, server.port, driver="actility:auto:1")
    device.send()
    key, body, properties = capture.wait(1)[0]
    assert key == f"amqp.things.{device.eui}.uplink"
    assert json.loads(body)["DevEUI_uplink"]["payload"] == PAYLOAD
    assert properties.content_type == "application/json" and properties.delivery_mode == 2 and properties.message_id
    name = server.evaluate("[proplists:get_value(client_properties, I) || I <- rabbit_networking:connection_info_all()]")
    assert f"default/ConnectionId.{connection['id']}" in name
    assert '"publisher_confirms"' in name and '"connection.blocked"' in name


def test_the_exchange_is_made_durable_and_the_profile_is_the_servers(tmp_path, server, ends):
    config = tmp_path / "sluice.yaml"
    config.write_text("connectors:\n  amqp: {profile: plant7}\n")
    sluice = ends(kit.Sluice(tmp_path / "profiled", options=["--config", config]))
    api = sluice.api()
    device = kit.Device(kit.make_binder(api), as_id=kit.AS_ID, as_key=kit.AS_KEY)
    connection = opened(api, server.port, uplinkTopicPattern="{profile}.amqp.things.{DevEUI}.uplink",
                        downlinkTopicPattern="{profile}.amqp.things.{DevEUI}.downlink")
    exchange = server.evaluate(f'rabbit_exchange:lookup({{resource, <<"/">>, exchange, <<"{EXCHANGE}">>}})')
    assert "topic,true,false" in exchange.replace(" ", "")
    assert f"sluice.plant7.{connection['id']}" in server.queues()
    capture = ends(server.capture("plant7.amqp.things.*.uplink"))
    device.send()
    assert capture.wait(1)[0][0] == f"plant7.amqp.things.{device.eui}.uplink"


@pytest.mark.parametrize("text", ["x.y", "*", "#", "a.#.b", "amqp.things.*", "..", "\\u0000\\u0007", "q" * 40])
def test_a_value_adds_no_words_to_the_key(api, server, device, ends, text):
    capture = ends(server.capture())
    opened(api, server.port, uplinkTopicPattern="up.{CustomerData.name}.{DevEUI}")
    device.send(CustomerData={"name": json.loads(f'"{text}"')})
    key = capture.wait(1)[0][0]
    words = key.split(".")
    assert len(words) == 3 and words[0] == "up" and words[2] == device.eui
    assert not set(words[1]) & set("*#\0\a")


def test_a_key_that_is_too_long_is_the_messages_fault(api, server, device, ends):
    capture = ends(server.capture())
    connection = opened(api, server.port, uplinkTopicPattern="up.{CustomerData.name}.{DevEUI}")
    device.send(CustomerData={"name": "n" * 300})
    device.send(CustomerData={"name": "short"})
    assert counters([json.loads(capture.wait(1)[0][1])], device.eui) == [2]
    kit.wait_for(lambda: len(dead(api, connection)) == 1, what="the dead letter")
    assert "255" in json.dumps(dead(api, connection))


def test_bodies_over_a_frame_and_over_the_brokers_limit(api, server, binder, ends):
    capture = ends(server.capture())
    devices = [kit.Device(binder, f"70B3D5E75E00000{n}", kit.AS_ID, kit.AS_KEY) for n in range(1, 5)]
    connection = opened(api, server.port)
    devices[0].send(CustomerData={"name": "n" * 400000})
    devices[1].send(CustomerData={"name": "n" * 131000})
    devices[2].send(CustomerData={"name": "n" * 700000})
    for device in devices:
        device.send()
    kit.wait_for(lambda: len(capture.messages) >= 6, 30, "what fits")
    got = capture.documents()
    assert [counters(got, device.eui) for device in devices] == [[1, 2], [1, 2], [2], [1]]
    assert max(len(body) for _, body, _ in capture.messages) > 400000
    kit.wait_for(lambda: len(dead(api, connection)) == 1, what="the dead letter")
    assert "406" in json.dumps(dead(api, connection)) and api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


def test_a_broker_killed_in_mid_run_loses_nothing(api, server, binder, ends):
    capture = ends(server.capture())
    devices = [kit.Device(binder, f"70B3D5E75E0000{n:02X}", kit.AS_ID, kit.AS_KEY) for n in range(10)]
    connection = opened(api, server.port)
    stopping = threading.Event()

    def run():
        while not stopping.is_set():
            for device in devices:
                device.send()

    sender = threading.Thread(target=run)
    sender.start()
    try:
        capture.wait(50)
        server.kill()
        time.sleep(0.5)
        server.start()
        api.post(f"/connections/{connection['id']}/restart")
        seen = len(capture.messages)
        kit.wait_for(lambda: len(capture.messages) > seen + 50, 60, "messages after the restart")
    finally:
        stopping.set()
        sender.join()
    wanted = {device.eui: list(range(1, device.fcnt + 1)) for device in devices}
    kit.wait_for(lambda: all(len(counters(capture.documents(), eui)) == len(count) for eui, count in wanted.items()), 60,
                 "all messages")
    got = capture.documents()
    assert {eui: counters(got, eui) for eui in wanted} == wanted


def test_a_forced_close_is_a_lost_connection(api, server, device, ends):
    capture = ends(server.capture())
    connection = opened(api, server.port)
    device.send()
    capture.wait(1)
    server.close_connections()
    wait_event(api, connection, "connection-1103", "320")
    device.send()
    api.post(f"/connections/{connection['id']}/restart")
    capture.wait(2)
    assert counters(capture.documents(), device.eui) == [1, 2]


# ---------------------------------------------------------------- rights


def test_a_wrong_password(api, server):
    connection = make(api, server.port, password="wrong-word")
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "403" in got["stateReason"]["message"] and "wrong-word" not in json.dumps(got)


def test_an_unknown_virtual_host(api, server):
    connection = make(api, server.port, virtualHost="nowhere")
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "530" in got["stateReason"]["message"] and "nowhere" in got["stateReason"]["message"]


def test_an_exchange_that_may_not_be_made(api, server):
    server.permit("flow", configure="^sluice")
    connection = make(api, server.port)
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "making the exchange" in got["stateReason"]["message"] and "403" in got["stateReason"]["message"]


def test_an_exchange_of_another_kind_is_used_as_it_is(api, server, device, ends):
    connection = server.connect()
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "fanout", durable=False)
    channel.queue_declare("fan", durable=True)
    channel.queue_bind("fan", EXCHANGE)
    opened(api, server.port)
    device.send()
    kit.wait_for(lambda: channel.basic_get("fan", auto_ack=True)[0], what="the message")
    connection.close()


def test_rights_revoked_in_mid_run(api, server, device, ends):
    capture = ends(server.capture())
    connection = opened(api, server.port, downlinkTopicPattern="")
    device.send()
    capture.wait(1)
    server.user("limited", "s3cr3t")
    api.patch(f"/connections/{connection['id']}", {"configuration": {"username": "limited", "password": "s3cr3t"}})
    api.wait_state(connection["id"], "OPENED")
    device.send()
    capture.wait(2)
    server.permit("limited", write="^nothing$")
    # What a channel has looked up it keeps for a while: a new one asks anew.
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED")
    device.send()
    device.send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "403 ACCESS_REFUSED" in got["stateReason"]["message"]
    server.permit("limited")
    api.post(f"/connections/{connection['id']}/restart")
    capture.wait(4)
    assert counters(capture.documents(), device.eui) == [1, 2, 3, 4]


def test_the_exchange_is_deleted_under_us(api, server, device, ends):
    connection = opened(api, server.port)
    look = server.connect()
    look.channel().exchange_delete(EXCHANGE)
    look.close()
    device.send()  # 404: the channel is opened anew and makes the exchange
    wait_event(api, connection, "connection-1202", "404")
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/metrics")["lag"] == 0, what="the message to be taken")
    capture = ends(server.capture())
    device.send()
    assert counters([json.loads(capture.wait(1)[0][1])], device.eui) == [2]
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


# ---------------------------------------------------------------- mandatory


def test_unroutable_messages_go_to_the_dead_letters(api, server, device, binder, ends):
    connection = opened(api, server.port, mandatory=True)
    capture = ends(server.capture(f"amqp.things.{device.eui}.uplink"))
    other = kit.Device(binder, "70B3D5E75E000002", kit.AS_ID, kit.AS_KEY)
    other.send()
    device.send()
    other.send()
    device.send()
    capture.wait(2)
    kit.wait_for(lambda: len(dead(api, connection)) == 2, what="the dead letters")
    assert "312 NO_ROUTE" in json.dumps(dead(api, connection))
    assert counters(capture.documents(), device.eui) == [1, 2] and len(capture.messages) == 2


def test_with_one_key_for_all_messages_they_wait(api, server, device, ends):
    connection = opened(api, server.port, mandatory=True, uplinkTopicPattern="plant.up", downlinkTopicPattern="")
    device.send()
    device.send()
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert "NO_ROUTE" in got["stateReason"]["message"] and dead(api, connection) == []
    capture = ends(server.capture("plant.up"))
    api.post(f"/connections/{connection['id']}/restart")
    capture.wait(2)
    assert counters(capture.documents(), device.eui) == [1, 2]


def test_off_the_broker_drops_what_nobody_wants(api, server, device):
    connection = opened(api, server.port)
    device.send()
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/metrics")["lag"] == 0, what="the message to be taken")
    assert dead(api, connection) == []


# ---------------------------------------------------------------- commands


@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


def with_downlinks(api, server, network, capture, **configuration):
    kit.make_driver(api, kit.climate_code())
    binder = kit.make_binder(api, network.url + "/thingpark/lrc/rest/downlink")
    connection = opened(api, server.port, driver="actility:auto:1", downlinkAsId="app1.sample.com", downlinkAsKey=AS_KEY,
                        downlinkPort=7, **configuration)
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    device.send()  # the device's network server is known from its uplinks
    capture.wait(1)
    return connection, device


def test_a_command_is_acknowledged_when_taken(api, server, network, ends):
    connection, device = with_downlinks(api, server, network, ends(server.capture("#.uplink")))
    server.publish(f"amqp.things.{device.eui}.downlink", '{"DevEUI_downlink":{"payload_hex":"00"}}')
    request = network.wait(1)[0]
    assert f"DevEUI={device.eui}" in request["path"] and "FPort=7" in request["path"]
    server.publish(f"amqp.things.{device.eui}.downlink", "not JSON")
    queue = f"sluice.default.{connection['id']}"
    kit.wait_for(lambda: server.evaluate(
        f"element(2, hd(rabbit_amqqueue:info(element(2, rabbit_amqqueue:lookup({{resource, <<\"/\">>, queue, <<\"{queue}\">>}})),"
        " [messages])))") == "0", what="all commands to be acknowledged", every=0.5)
    assert len(network.requests) == 1


def test_commands_sent_while_we_are_away_are_taken_later(api, sluice, server, network, ends):
    _, device = with_downlinks(api, server, network, ends(server.capture("#.uplink")))
    sluice.kill()
    for n in range(3):
        server.publish(f"amqp.things.{device.eui}.downlink",
                       json.dumps({"DevEUI_downlink": {"DevEUI": device.eui, "FPort": n + 1, "payload_hex": "00"}}))
    sluice.start()
    network.wait(3, 30)
    assert {f"FPort={n}" for n in (1, 2, 3)} == {part for request in network.requests for part in request["path"].split("&")
                                                 if part.startswith("FPort=")}


def test_an_engine_killed_before_it_has_acknowledged_gets_them_again(api, sluice, server, network, ends):
    _, device = with_downlinks(api, server, network, ends(server.capture("#.uplink")))
    count = 300
    connection = server.connect()
    channel = connection.channel()
    for n in range(count):
        body = {"DevEUI_downlink": {"DevEUI": device.eui, "FPort": 1, "payload_hex": f"{n:04x}"}}
        channel.basic_publish(EXCHANGE, f"amqp.things.{device.eui}.downlink", json.dumps(body).encode())
    connection.close()
    network.wait(5)
    sluice.kill()
    sluice.start()

    def taken():
        return {part[8:].lower() for request in list(network.requests) for part in request["path"].split("&")
                if part.startswith("Payload=")}
    kit.wait_for(lambda: len(taken()) == count, 60, "all commands")


def test_a_queue_that_is_there_is_used_with_its_arguments(api, server, network, ends):
    look = server.connect()
    look.channel().queue_declare("commands", durable=True, arguments={"x-message-ttl": 3600000})
    look.close()
    _, device = with_downlinks(api, server, network, ends(server.capture("#.uplink")), downlinkQueue="commands")
    server.publish(f"amqp.things.{device.eui}.downlink", '{"DevEUI_downlink":{"payload_hex":"00"}}')
    network.wait(1)


def test_the_queue_is_deleted_under_us(api, server, network, ends):
    connection, device = with_downlinks(api, server, network, ends(server.capture("#.uplink")))
    queue = f"sluice.default.{connection['id']}"
    look = server.connect()
    look.channel().queue_delete(queue)
    look.close()
    wait_event(api, connection, "connection-1206", "cancelled the consumer")
    kit.wait_for(lambda: queue in server.queues(), 20, "the queue to be made anew", every=0.3)
    time.sleep(0.5)
    server.publish(f"amqp.things.{device.eui}.downlink", '{"DevEUI_downlink":{"payload_hex":"00"}}')
    network.wait(1)
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


def test_a_trial_leaves_nothing_behind(api, server, device):
    request = {"connectorId": "actility-amqp-0.9.1-iot", "name": "trial", "configuration": {
        "hostName": f"127.0.0.1:{server.port}", "protocol": "TCP", "username": "flow", "password": "s3cr3t",
        "uplinkTopicPattern": "up.{DevEUI}", "downlinkTopicPattern": "down.{DevEUI}", "exchangeName": "other"}}
    for downlinks in (True, False):
        request["configuration"]["downlinkEnabled"] = downlinks
        got = api.post("/connections/test", {**request, "uplink": device.report()})
        assert got["ok"], got
        kit.wait_for(lambda: server.queues() == {}, what="no queue", every=0.2)
        kit.wait_for(lambda: "not_found" in server.evaluate(
            'rabbit_exchange:lookup({resource, <<"/">>, exchange, <<"other">>})'), what="no exchange", every=0.2)
    request["configuration"]["password"] = "wrong-word"
    got = api.post("/connections/test", request)
    assert not got["ok"] and got["state"] == "AUTHENTICATION_FAILED" and "wrong-word" not in json.dumps(got)


# ---------------------------------------------------------------- TLS and a broker that blocks


def test_a_client_certificate_in_place_of_a_password(api, server, device, certificates, ends):
    capture = ends(server.capture())
    opened(api, server.tls_port, protocol="SSL", username=None, password=None,
           trustedCaCertificate=certificates.text("ca.pem"), certificate=certificates.text("client.pem").replace("\n", ""),
           privateKey=certificates.text("client.key").replace("\n", "\\n"))
    device.send()
    capture.wait(1)
    assert "flow-client" in server.evaluate("rabbit_networking:connection_info_all([user])")


def test_tls_with_a_password(api, server, device, certificates, ends):
    capture = ends(server.capture())
    opened(api, server.tls_port, protocol="SSL", trustedCaCertficate=certificates.text("ca.pem"))
    device.send()
    capture.wait(1)


def test_tls_with_an_unknown_authority(api, server):
    connection = make(api, server.tls_port, protocol="SSL")
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED", "UNREACHABLE")
    assert "set trustedCaCertificate" in got["stateReason"]["message"]


def test_clear_text_at_a_tls_port_and_the_other_way_round(api, server, certificates):
    wrong = make(api, server.port, protocol="SSL", trustedCaCertificate=certificates.text("ca.pem"))
    assert "TLS" in api.wait_state(wrong["id"], "UNREACHABLE")["stateReason"]["message"]
    clear = make(api, server.tls_port, protocol="TCP")
    assert api.wait_state(clear["id"], "UNREACHABLE")["stateReason"]["message"]


def test_a_broker_that_blocks(api, server, device, ends):
    capture = ends(server.capture())
    connection = opened(api, server.port)
    device.send()
    capture.wait(1)
    server.memory_alarm(True)
    try:
        device.send()
        wait_event(api, connection, "connection-1206", "takes no messages for now")
        for _ in range(5):
            device.send()
        time.sleep(12)  # longer than actionTimeout: nothing is settled, nobody gives up
        got = api.get(f"/connections/{connection['id']}")
        assert got["state"] == "OPENED"
        assert len(capture.messages) == 1
    finally:
        server.memory_alarm(False)
    capture.wait(7, 30)
    assert counters(capture.documents(), device.eui) == list(range(1, 8))
    wait_event(api, connection, "connection-1206", "takes messages again")
