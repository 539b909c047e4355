# SPDX-License-Identifier: Apache-2.0
"""AWS IoT Core, against a counterpart that checks certificates, signatures and the registry's order of calls (lib/aws.py)."""
import copy
import json
import time

import pytest

from lib import aws, kit

KEY, SECRET = "AKIAFLOWEXAMPLE", "flow/Secret+of/the+tests0123456789abcde"
PAYLOAD = {"temperature": 20.79, "humidity": 45, "battery": 3.6}
TYPE = "climateSensor"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = kit.Certificates(tmp_path_factory.mktemp("pki"))
    made.issue_client("stranger", "stranger")
    made.foreign = kit.Certificates(made.directory / "foreign")
    return made


@pytest.fixture
def cloud(tmp_path, ends, pki):
    return ends(aws.Cloud(tmp_path / "aws", pki))


WAYS = ["8443", "443", "wss"]


def configuration(cloud, way="8443", **more):
    """`way`: 8443 (and MQTT on 8883), 443 (ALPN for both), wss (signed)."""
    pki = cloud.certificates
    made = {"region": cloud.region, "accountPrefix": "a1b2c3d4e5f6g7-ats", "protocol": "WSS" if way == "wss" else "SSL",
            "accessKeyId": KEY, "secretAccessKey": SECRET, "deviceType": TYPE,
            "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "downlinkTopicPattern": "tpx/things/{DevEUI}/downlink",
            "endpoint": f"localhost:{cloud.https if way == '8443' else cloud.port443}",
            "mqttPort": cloud.mqtt if way == "8443" else cloud.port443,
            "registryEndpoint": f"localhost:{cloud.registry}", "trustedCaCertificate": pki.text("ca.pem")}
    if way == "443":
        made["mqttAlpn"] = True
    if way != "wss":
        made.update({"certificateId": cloud.client.arn, "certificate": pki.text("client.pem").replace("\n", ""),
                     "privateKey": pki.text("client.key").replace("\n", "\\n")})
    return {**made, **more}


def connect(api, cloud, way="8443", state="OPENED", **more):
    made = api.post("/connections", {"connectorId": "actility-aws-iot", "name": "cloud", "configuration": configuration(cloud, way, **more)})
    kit.make_driver(api, kit.climate_code())
    made["flow"] = kit.make_flow(api, [made])
    if state:
        api.wait_state(made["id"], *state.split(), seconds=20)
    return made


def events(api, *codes):
    return [event for event in api.get("/events?perPage=500") if event["code"] in codes]


def wait_event(api, code, test=lambda event: True, seconds=20):
    return kit.wait_for(lambda: next((event for event in events(api, code) if test(event)), None), seconds, f"event {code}", every=0.1)


def pending(api, connection):
    return api.get(f"/connections/{connection['id']}/queue")["pending"]


def letters(api, connection):
    return api.get(f"/connections/{connection['id']}/deadLetters")


def no_secret_shown(api, sluice, *secrets):
    seen = json.dumps([api.get("/events?perPage=500"), [{**one, "configuration": None} for one in api.get("/connections")]])
    log = sluice.process.text()
    for secret in (SECRET, *secrets):
        assert secret not in seen and secret not in log


# ---------------------------------------------------------------- the seed

def seed():
    return json.loads((kit.ROOT / "tests/data/connections/seed-aws.json").read_text())


def test_the_seeds_body_is_created_as_it_stands(api):
    sent = seed()
    created = api.post("/connections", copy.deepcopy(sent))
    shown = {**sent["configuration"], "protocol": "SSL"}
    for name in ("accessKeyId", "secretAccessKey", "privateKey", "certificate", "downlinkAsKey"):
        shown[name] = "*****"
    listed = api.get("/connections")[0]
    documented = json.loads((kit.ROOT / "tests/data/seed/connections-list.json").read_text())[0]
    for answer in (created, listed):
        assert answer["configuration"] == shown
        assert {key: answer[key] for key in ("connectorId", "name", "active", "alarms")} == {
            key: sent[key] for key in ("connectorId", "name", "active", "alarms")}
        assert answer["id"].isdigit() and documented.keys() - {"startupTime", "state"} <= answer.keys()
    assert documented["configuration"].keys() <= listed["configuration"].keys()
    # Its certificate is a row of x: that shows when it is opened, and nowhere is it asked for before.
    failed = api.wait_state(created["id"], "AUTHENTICATION_FAILED")
    assert "certificate" in failed["stateReason"]["message"] and failed["stateReason"]["nextRetry"]


def test_the_seeds_body_delivers(api, cloud, device):
    body = seed()
    local = configuration(cloud)
    for name in ("accessKeyId", "secretAccessKey", "certificateId", "certificate", "privateKey", "endpoint", "registryEndpoint",
                 "trustedCaCertificate"):
        body["configuration"][name] = local[name]
    connection = api.post("/connections", body)
    kit.make_driver(api, kit.climate_code())
    kit.make_flow(api, [connection])
    opened = api.wait_state(connection["id"], "OPENED")
    device.send()
    got = cloud.wait(1)[0]
    assert got.topic == f"tpx/things/{device.eui}/uplink" and json.loads(got.body) == PAYLOAD  # sendRawDecodedFormat
    assert cloud.things[device.eui].type == "actilitytestsensor"
    assert not cloud.sessions and cloud.upgrades == 0 and opened["startupTime"]  # downlinkEnabled is false
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime(time.time() - 600))
    device.send(Time=old)  # over uplinkTimeValidity
    wait_event(api, "connection-1304")
    device.send()
    assert len(cloud.wait(2)) == 2


# ---------------------------------------------------------------- uplinks

@pytest.mark.parametrize("way", WAYS)
def test_uplinks(api, cloud, device, way):
    connection = connect(api, cloud, way)
    for _ in range(5):
        device.send()
    got = cloud.wait(5)
    roots = [json.loads(one.body)["DevEUI_uplink"] for one in got]
    assert [root["FCntUp"] for root in roots] == [1, 2, 3, 4, 5] and roots[0]["payload"] == PAYLOAD
    by = KEY if way == "wss" else cloud.client.arn
    assert {(one.topic, one.qos, one.by) for one in got} == {(f"tpx/things/{device.eui}/uplink", 1, by)}
    assert {one.role for one in got} == {"https" if way == "8443" else "edge"}
    kit.wait_for(lambda: pending(api, connection) == 0, what="the queue to be empty")
    made = cloud.things[device.eui]
    assert made.type == TYPE and made.principals == ([] if way == "wss" else [cloud.client.arn])


@pytest.mark.parametrize("way", ["8443", "wss"])
def test_names_are_escaped_in_topics(api, cloud, device, way):
    connect(api, cloud, way, uplinkTopicPattern="a b/{CustomerData.place}/ü~(x)", createDevices=False)
    cloud.make_thing(device.eui, principals=[cloud.client.arn])
    device.send(CustomerData={"place": "x/../?qos=0&y=%41+#"})
    topic = cloud.wait(1)[0].topic
    # What would end the topic, or is a wildcard, stays in its level.
    assert topic.startswith("a b/") and topic.endswith("/ü~(x)") and topic.count("/") == 2 and not set("+#") & set(topic)


def test_what_aws_refuses_is_a_dead_letter_and_the_next_one_passes(api, cloud, device):
    connection = connect(api, cloud, uplinkTopicPattern="t/{CustomerData.levels}/{DevEUI}")
    cloud.make_thing(device.eui, principals=[cloud.client.arn])
    device.send(CustomerData={"levels": "x" * 250})  # 256 bytes at most
    device.send(CustomerData={"levels": "fine"})
    assert cloud.wait(1)[0].topic == "t/fine/" + device.eui
    kit.wait_for(lambda: len(letters(api, connection)) == 1, what="the dead letter")
    assert "256" in events(api, "connection-1201")[0]["message"] + json.dumps(events(api, "connection-1201")[0]["data"])


def test_statuses(api, cloud, device):
    connection = connect(api, cloud)
    device.send()
    cloud.wait(1)
    publish = lambda request: request.action == "iot:Publish"
    for status, kind in ((429, "ThrottlingException"), (503, "ServiceUnavailableException"), (500, "InternalFailureException")):
        cloud.script(status, kind=kind, count=1, where=publish, headers={"Retry-After": "1"})
        started, before = time.monotonic(), len(cloud.messages)
        device.send()
        cloud.wait(before + 1)
        assert status == 500 or time.monotonic() - started > 0.9, "Retry-After was not kept"
    cloud.script(413, kind="RequestEntityTooLargeException", count=1, where=publish)
    device.send()
    kit.wait_for(lambda: len(letters(api, connection)) == 1, what="the dead letter")
    device.send()
    assert json.loads(cloud.wait(5)[-1].body)["DevEUI_uplink"]["FCntUp"] == device.fcnt
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


# ---------------------------------------------------------------- provisioning

def test_a_thing_is_made_before_its_first_message(api, cloud, device):
    cloud.client.attached_only = True  # who is not attached may not publish
    connection = connect(api, cloud)
    device.send()
    device.send()
    got = cloud.wait(2)
    thing = cloud.things[device.eui]
    assert thing.type == TYPE and thing.principals == [cloud.client.arn] and TYPE in cloud.types
    calls = [call for call in cloud.calls if call.action != "iot:ListThings"]
    last = {call.action: call for call in calls if call.status == 200}
    assert last["iot:CreateThingType"].time < last["iot:CreateThing"].time < last["iot:AttachThingPrincipal"].time < got[0].time
    assert not [one for one in cloud.refusals if one[2] not in (404,)], cloud.refusals
    # It is known now: no more calls, over a restart too.
    count = len(cloud.calls)
    device.send()
    cloud.wait(3)
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED")
    device.send()
    cloud.wait(4)
    assert not [call for call in cloud.calls[count:] if call.subject == device.eui], cloud.calls[count:]
    assert pending(api, connection) == 0 and not letters(api, connection)


def test_many_devices_at_once(api, cloud, binder):
    connect(api, cloud)
    devices = [kit.Device(binder, f"70B3D5E75E00{number:04X}", kit.AS_ID, kit.AS_KEY, kit.CLIMATE) for number in range(40)]
    for _ in range(3):
        for one in devices:
            one.send()
    got = cloud.wait(120, 30)
    for one in devices:
        numbers = [json.loads(m.body)["DevEUI_uplink"]["FCntUp"] for m in got if one.eui in m.topic]
        assert numbers == [1, 2, 3]
        assert cloud.actions(one.eui).count("iot:CreateThing") <= 2  # once, and once more after the type was made
        assert cloud.things[one.eui].principals == [cloud.client.arn]


@pytest.mark.parametrize("kind", [TYPE, "somebodysType", ""])
def test_a_thing_that_is_there_is_adopted(api, cloud, device, kind):
    cloud.make_thing(device.eui, type=kind, owner="somebody")
    connect(api, cloud)
    device.send()
    cloud.wait(1)
    assert cloud.things[device.eui].type == kind and cloud.things[device.eui].attributes == {"owner": "somebody"}
    assert "iot:CreateThing" not in cloud.actions(device.eui)
    assert cloud.things[device.eui].principals == [cloud.client.arn]


def test_a_thing_that_somebody_makes_meanwhile_is_adopted(api, cloud, device):
    """Between our look and our making it: 409, and it is there."""
    connect(api, cloud)
    cloud.hooks["iot:DescribeThing"] = lambda name: cloud.make_thing(name, type="another", by="somebody")
    device.send()
    cloud.wait(1)
    assert cloud.things[device.eui].attributes == {"by": "somebody"}


def test_unknown_devices_are_skipped_when_they_may_not_be_made(api, cloud, device, binder):
    connection = connect(api, cloud, createDevices=False)
    device.send()
    event = wait_event(api, "connection-1203")
    assert event["level"] == "error" and event["data"]["DevEUI"] == device.eui
    known = kit.Device(binder, "70B3D5E75E0000AA", kit.AS_ID, kit.AS_KEY, kit.CLIMATE)
    cloud.make_thing(known.eui)
    known.send()
    assert known.eui in cloud.wait(1)[0].topic
    kit.wait_for(lambda: pending(api, connection) == 0, what="the queue to be empty")
    assert not {"iot:CreateThing", "iot:CreateThingType"} & set(cloud.actions()) and device.eui not in cloud.things


def test_a_deleted_thing_is_made_again_without_a_restart(tmp_path, ends, cloud):
    config = tmp_path / "config.yaml"
    config.write_text("connectors:\n  aws: {thingMaxAge: 1s}\n")
    api = ends(kit.Sluice(tmp_path / "impatient", options=["--config", config])).api()
    device = kit.Device(kit.make_binder(api), as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    connect(api, cloud)
    device.send()
    cloud.wait(1)
    cloud.delete_thing(device.eui)
    cloud.types.clear()  # and its type with it
    time.sleep(1.1)
    device.send()
    cloud.wait(2)
    kit.wait_for(lambda: device.eui in cloud.things and cloud.things[device.eui].principals == [cloud.client.arn], what="the thing")
    assert TYPE in cloud.types


RIGHTS = ["iot:ListThings", "iot:DescribeThing", "iot:CreateThingType", "iot:CreateThing", "iot:AttachThingPrincipal"]


@pytest.mark.parametrize("right", RIGHTS)
def test_a_missing_right_is_named_and_messages_pass(api, cloud, device, right):
    cloud.users[KEY].denied.add(right)
    connection = connect(api, cloud)
    for _ in range(3):
        device.send()
    assert len(cloud.wait(3)) == 3
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED" and not letters(api, connection)
    if right in ("iot:CreateThing", "iot:AttachThingPrincipal"):
        event = wait_event(api, "connection-1204")
        assert event["data"]["DevEUI"] == device.eui and "right" in json.dumps(event), event
    elif right in ("iot:ListThings", "iot:DescribeThing"):
        assert cloud.things[device.eui].principals == [cloud.client.arn]


def test_a_wrong_access_key_beside_a_good_certificate(api, sluice, cloud, device):
    """It serves the registry alone, and shows at the opening."""
    connection = connect(api, cloud, state="AUTHENTICATION_FAILED", secretAccessKey="wrong-planted/secret")
    assert "secretAccessKey" in api.get(f"/connections/{connection['id']}")["stateReason"]["message"]
    device.send()
    api.patch(f"/connections/{connection['id']}", {"configuration": {"secretAccessKey": SECRET}})
    cloud.wait(1)
    no_secret_shown(api, sluice, "wrong-planted")


def test_a_registry_that_is_away_holds_nothing_up(api, cloud, device):
    cloud.servers["registry"].stop()
    connection = connect(api, cloud)
    for _ in range(3):
        device.send()
    assert len(cloud.wait(3)) == 3
    wait_event(api, "connection-1206")
    assert not letters(api, connection)


@pytest.mark.parametrize("status", [429, 400, 503])
def test_a_throttled_registry_delays_and_loses_nothing(api, cloud, device, status):
    connection = connect(api, cloud)
    kind = "ServiceUnavailableException" if status == 503 else "ThrottlingException"
    cloud.script(status, kind=kind, message="Rate exceeded", count=2, where=lambda request: request.action == "iot:DescribeThing")
    cloud.script(status, kind=kind, message="Rate exceeded", count=1, where=lambda request: request.action == "iot:AttachThingPrincipal")
    for _ in range(3):
        device.send()
    got = cloud.wait(3, 40)
    assert [json.loads(one.body)["DevEUI_uplink"]["FCntUp"] for one in got] == [1, 2, 3]
    assert not letters(api, connection) and cloud.things[device.eui].principals == [cloud.client.arn]
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"


def test_a_throttled_registry_holds_up_new_devices_only(api, cloud, device, binder):
    connect(api, cloud)
    device.send()
    cloud.wait(1)
    cloud.throttle(actions=RIGHTS)
    other = kit.Device(binder, "70B3D5E75E0000AB", kit.AS_ID, kit.AS_KEY, kit.CLIMATE)
    other.send()
    device.send()
    assert [device.eui in one.topic for one in cloud.wait(2)] == [True, True]
    cloud.well()
    assert other.eui in cloud.wait(3, 40)[2].topic


# ---------------------------------------------------------------- commands

@pytest.fixture
def network(ends):
    return ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))


@pytest.mark.parametrize("way", WAYS)
def test_commands(api, cloud, network, way):
    binder = kit.make_binder(api, network.url + "/thingpark/lrc/rest/downlink")
    connection = connect(api, cloud, way, downlinkAsId="app1.sample.com", downlinkAsKey="46ab678cd45df4a4e4b375eacd096acc",
                         downlinkPort=7)
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    device.send()
    cloud.wait(1)
    cloud.publish(f"tpx/things/{device.eui}/downlink", json.dumps(
        {"DevEUI_downlink": {"DevEUI": device.eui, "payload": {"interval": 60}, "CorrelationID": "0123456789abcdef"}}))
    request = network.wait(1)[0]
    assert f"DevEUI={device.eui}" in request["path"] and "payload=01003c" in request["path"].lower()
    # The device of the topic, where the body names none.
    cloud.publish(f"tpx/things/{device.eui}/downlink", '{"DevEUI_downlink":{"payload_hex":"AB"}}')
    path = network.wait(2)[1]["path"]
    assert f"DevEUI={device.eui}" in path and "FPort=7" in path and "Payload=AB" in path
    if way == "wss":
        assert cloud.upgrades == 1
    # The session breaks and comes back; commands pass again.
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"
    started = api.get(f"/connections/{connection['id']}")["startupTime"]
    cloud.broker.stop()
    cloud.broker.start()
    kit.wait_for(lambda: (got := api.get(f"/connections/{connection['id']}"))["state"] == "OPENED" and got["startupTime"] != started, 30,
                 "the session to be back")
    cloud.publish(f"tpx/things/{device.eui}/downlink", '{"DevEUI_downlink":{"payload_hex":"CD"}}')
    assert "Payload=CD" in network.wait(3)[2]["path"]


def test_several_sessions_share_the_commands(api, cloud, network):
    binder = kit.make_binder(api, network.url + "/downlink")
    connect(api, cloud, mqttConnections=3, downlinkPort=7)
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    device.send()
    cloud.wait(1)
    for number in range(30):
        cloud.publish(f"tpx/things/{device.eui}/downlink", json.dumps({"DevEUI_downlink": {"payload_hex": f"{number:02X}"}}))
    got = [request["path"] for request in network.wait(30)]
    assert len({path.split("Payload=")[1].split("&")[0] for path in got}) == 30
    time.sleep(0.3)
    assert len(network.requests) == 30, "a command came twice"


@pytest.mark.parametrize("right, version, word", [("iot:Subscribe", "5", "subscri"), ("iot:Subscribe", "3.1.1", "subscri"),
                                                  ("iot:Connect", "5", "not authorised")])
def test_a_right_that_the_session_lacks_is_told(api, cloud, right, version, word):
    cloud.client.denied.add(right)
    connection = connect(api, cloud, "443", state="", endpoint=f"localhost:{cloud.edge}", mqttPort=cloud.edge, mqttVersion=version)
    got = api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    assert word in got["stateReason"]["message"].lower(), got


def test_a_session_that_is_ended_without_a_word(api, cloud):
    """MQTT 3.1.1 gives AWS no other way to say that a policy forbids it."""
    cloud.client.denied.add("iot:Connect")
    connection = connect(api, cloud, "443", state="", endpoint=f"localhost:{cloud.edge}", mqttPort=cloud.edge, mqttVersion="3.1.1")
    got = api.wait_state(connection["id"], "UNREACHABLE", "AUTHENTICATION_FAILED")
    assert got["stateReason"]["message"]
    cloud.well()
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED")


# ---------------------------------------------------------------- credentials

def test_a_wrong_secret(api, sluice, cloud, device):
    connection = connect(api, cloud, "wss", state="AUTHENTICATION_FAILED", secretAccessKey="wrong-planted/secret")
    reason = api.get(f"/connections/{connection['id']}")["stateReason"]["message"]
    assert "signature" in reason.lower() or "secretAccessKey" in reason, reason
    device.send()
    api.patch(f"/connections/{connection['id']}", {"configuration": {"secretAccessKey": SECRET}})
    api.wait_state(connection["id"], "OPENED")
    cloud.wait(1)
    no_secret_shown(api, sluice, "wrong-planted", "X-Amz-Signature=")


def test_a_wrong_secret_without_commands(api, cloud, device):
    """Nothing is signed before the first message: its answer holds everything then."""
    connection = connect(api, cloud, "wss", state="", secretAccessKey="wrong-planted/secret", downlinkEnabled=False)
    device.send()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    kit.wait_for(lambda: pending(api, connection) == 1, what="the message to wait")
    assert not letters(api, connection) and not cloud.messages
    api.patch(f"/connections/{connection['id']}", {"configuration": {"secretAccessKey": SECRET}})
    cloud.wait(1)


@pytest.mark.parametrize("skew", [3600, -3600])
def test_a_clock_that_is_wrong(api, cloud, skew):
    cloud.skew = skew
    connection = connect(api, cloud, "wss", state="AUTHENTICATION_FAILED")
    assert "clock" in api.get(f"/connections/{connection['id']}")["stateReason"]["message"]


def test_a_certificate_that_is_not_registered(api, sluice, cloud, device, pki):
    other = {"certificate": pki.text("stranger.pem"), "privateKey": pki.text("stranger.key")}
    connection = connect(api, cloud, state="", **other)
    device.send()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED", seconds=20)
    kit.wait_for(lambda: pending(api, connection) == 1, what="the message to wait")
    assert not letters(api, connection) and not cloud.messages
    cloud.register(pki.text("stranger.pem"))
    api.post(f"/connections/{connection['id']}/restart")
    cloud.wait(1)
    no_secret_shown(api, sluice, pki.text("stranger.key").split("\n")[1])


@pytest.mark.parametrize("downlinks", [True, False])
def test_a_certificate_of_another_authority(api, cloud, device, pki, downlinks):
    other = {"certificate": pki.foreign.text("client.pem"), "privateKey": pki.foreign.text("client.key")}
    connection = connect(api, cloud, state="", downlinkEnabled=downlinks, **other)
    device.send()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED", seconds=20)
    kit.wait_for(lambda: pending(api, connection) == 1, what="the message to wait")
    assert not letters(api, connection)


def test_a_certificate_revoked_in_mid_run(api, cloud, device):
    connection = connect(api, cloud)
    device.send()
    cloud.wait(1)
    cloud.deactivate(cloud.client)
    device.send()
    api.wait_state(connection["id"], "AUTHENTICATION_FAILED")
    cloud.well()
    api.post(f"/connections/{connection['id']}/restart")
    assert len(cloud.wait(2)) == 2 and not letters(api, connection)


def test_temporary_credentials(api, sluice, cloud, device):
    token = "session/Token+of//sts=="
    cloud.users["ASIATEMPORARY"] = aws.User("temporary/secret+1", token=token)
    connect(api, cloud, "wss", accessKeyId="ASIATEMPORARY", secretAccessKey="temporary/secret+1", sessionToken=token)
    device.send()
    assert cloud.wait(1)[0].by == "ASIATEMPORARY" and cloud.things[device.eui].type == TYPE
    no_secret_shown(api, sluice, token, "temporary/secret+1", "session%2FToken")


def test_to_wss_and_back_keeps_the_certificate(api, cloud, device):
    connection = connect(api, cloud)
    path = f"/connections/{connection['id']}"
    device.send()
    assert cloud.wait(1)[0].by == cloud.client.arn
    read = api.get(path)
    assert read["configuration"]["certificate"] == read["configuration"]["privateKey"] == "*****"
    read["configuration"].update(protocol="WSS", endpoint=f"localhost:{cloud.port443}", mqttPort=cloud.port443)
    written = api.put(path, read)
    assert written["configuration"]["certificate"] == "*****" and written["configuration"]["certificateId"] == cloud.client.arn
    api.wait_state(connection["id"], "OPENED")
    device.send()
    assert cloud.wait(2)[1].by == KEY
    back = api.get(path)
    back["configuration"].update(protocol="SSL", endpoint=f"localhost:{cloud.https}", mqttPort=cloud.mqtt)
    api.put(path, back)
    api.wait_state(connection["id"], "OPENED")
    device.send()
    assert cloud.wait(3)[2].by == cloud.client.arn


# ---------------------------------------------------------------- trial

@pytest.mark.parametrize("way", WAYS)
def test_a_trial_leaves_nothing_behind(api, cloud, device, way):
    running = connect(api, cloud, way, clientId="mine")
    started = api.get(f"/connections/{running['id']}")["startupTime"]
    before = {"events": len(api.get("/events?perPage=500")), "things": dict(cloud.things), "types": dict(cloud.types)}
    body = {"connectorId": "actility-aws-iot", "configuration": configuration(cloud, way, clientId="mine")}
    got = api.post("/connections/test", body)
    assert got["ok"] and got["state"] == "OPENED" and not cloud.messages, got
    report = device.report()
    got = api.post("/connections/test", {**body, "uplink": report})
    assert got["ok"] and got["steps"][-1]["name"] == "publish", got
    assert len(cloud.messages) == 1
    assert (cloud.things, cloud.types) == (before["things"], before["types"])
    assert len(api.get("/connections")) == 1 and len(api.get("/events?perPage=500")) == before["events"]
    now = api.get(f"/connections/{running['id']}")
    assert now["state"] == "OPENED" and now["startupTime"] == started  # not expelled by its own name
    wrong = {"secretAccessKey": "wrong-planted"} if way == "wss" else {
        "certificate": cloud.certificates.foreign.text("client.pem"), "privateKey": cloud.certificates.foreign.text("client.key")}
    body["configuration"].update(wrong)
    got = api.post("/connections/test", {**body, "uplink": report})
    assert not got["ok"] and got["state"] == "AUTHENTICATION_FAILED" and "wrong-planted" not in json.dumps(got), got


# ---------------------------------------------------------------- names of hosts, proxy

REGIONS = {"eu-central-1": "amazonaws.com", "us-gov-west-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn",
           "cn-northwest-1": "amazonaws.com.cn"}


@pytest.fixture(scope="module")
def amazon(pki):
    names = [f"DNS:{prefix}iot.{region}.{domain}" for region, domain in REGIONS.items() for prefix in ("", "*.")]
    pki._issue("amazon", "amazon", "subjectAltName=" + ",".join(names))


@pytest.mark.parametrize("protocol", ["SSL", "WSS"])
@pytest.mark.parametrize("region", REGIONS)
def test_hosts_and_ports_are_those_of_the_region(tmp_path, api, ends, pki, amazon, device, region, protocol):
    """No endpoint is given at all; a proxy leads to the counterpart, which shows a certificate for AWS's names."""
    cloud = ends(aws.Cloud(tmp_path / "amazon", pki, region=region, server="amazon"))
    data, registry = f"a1b2c3d4e5f6g7-ats.iot.{region}.{REGIONS[region]}", f"iot.{region}.{REGIONS[region]}"
    wanted = {(data, 8443): cloud.https, (data, 8883): cloud.mqtt, (registry, 443): cloud.registry}
    if protocol == "WSS":
        wanted = {(data, 443): cloud.edge, (registry, 443): cloud.registry}
    proxy = ends(aws.Tunnels(wanted, login="flow:proxy-Secret"))
    more = configuration(cloud, "8443" if protocol == "SSL" else "wss", proxy={
        "hostname": f"http://127.0.0.1:{proxy.port}/", "username": "flow", "password": "proxy-Secret"})
    for name in ("endpoint", "registryEndpoint", "mqttPort"):
        del more[name]
    connection = api.post("/connections", {"connectorId": "actility-aws-iot", "configuration": more})
    assert connection["configuration"]["proxy"]["password"] == "*****"
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED")
    device.send()
    assert cloud.wait(1)[0].by == (KEY if protocol == "WSS" else cloud.client.arn)
    assert set(proxy.asked) == set(wanted)
    assert {data, registry} <= set(cloud.names)  # in the hello: SNI
    assert cloud.things[device.eui].type == TYPE


def test_port_443_by_alpn(api, cloud, device):
    """HAProxy lets MQTT in by x-amzn-mqtt-ca alone: without it the session does not come to be."""
    connection = connect(api, cloud, "443", state="", mqttAlpn=False)
    failed = api.wait_state(connection["id"], "UNREACHABLE", "AUTHENTICATION_FAILED", seconds=25)
    assert failed["stateReason"]["message"]
    api.patch(f"/connections/{connection['id']}", {"configuration": {"mqttAlpn": True}})
    api.wait_state(connection["id"], "OPENED")
