# SPDX-License-Identifier: Apache-2.0
"""AWS IoT Greengrass V2: the core's broker (mosquitto with a certificate of the core's own authority), found by discovery; the
cloud's registry beside it, which may be away."""
import json

import pytest

from lib import aws, kit

KEY, SECRET = "AKIAFLOWEXAMPLE", "flow/Secret+of/the+tests0123456789abcde"
BRIDGE, TYPE = "FlowBridge", "loraSensor"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Amazon's authority, and beside it the core's."""
    made = kit.Certificates(tmp_path_factory.mktemp("pki"))
    made.core = kit.Certificates(made.directory / "core")
    made.issue_client("stranger", "stranger")
    return made


@pytest.fixture
def cloud(tmp_path, ends, pki):
    made = ends(aws.Cloud(tmp_path / "aws", pki, haproxy=False, broker=False))
    made.make_thing(BRIDGE, principals=[made.client.arn])
    return made


class Core(kit.Mosquitto):
    def __init__(self, directory, pki):
        self.plain = kit.free_port()
        super().__init__(directory, "allow_anonymous true", listener=(
            f"cafile {pki.path('ca.pem')}\ncertfile {pki.core.path('server.pem')}\nkeyfile {pki.core.path('server.key')}\n"
            f"require_certificate true\nuse_identity_as_username true\nlistener {self.plain} 127.0.0.1"))

    def watch(self, topic):
        return kit.Capture(self.plain, topic)

    def command(self, topic, text):
        import subprocess
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.plain), "-q", "1", "-t", topic, "-m", text],
                       check=True, timeout=10)


@pytest.fixture
def core(tmp_path, ends, pki, cloud):
    made = ends(Core(tmp_path / "core", pki))
    cloud.core(BRIDGE, "localhost", made.port, pki.core.text("ca.pem"))
    return made


def configuration(cloud, core, **more):
    pki = cloud.certificates
    return {"region": cloud.region, "accessKeyId": KEY, "secretAccessKey": SECRET, "deviceType": TYPE,
            "ggHostName": f"localhost:{core.port}", "ggadThingName": BRIDGE, "ggadCertificateId": cloud.client.arn,
            "ggadCertificate": pki.text("client.pem").replace("\n", ""), "ggadPrivateKey": pki.text("client.key"),
            "awsRootCa": pki.text("ca.pem"), "trustedCaCertificate": pki.text("ca.pem"),
            "uplinkTopicPattern": f"tpx/things/{BRIDGE}/uplink", "downlinkTopicPattern": f"tpx/things/{BRIDGE}/downlink",
            "discoveryEndpoint": f"localhost:{cloud.https}", "registryEndpoint": f"localhost:{cloud.registry}", **more}


def connect(api, cloud, core, state="OPENED", **more):
    made = api.post("/connections", {"connectorId": "actility-aws-iot-greengrass", "name": "core",
                                     "configuration": configuration(cloud, core, **more)})
    if not api.get("/drivers"):
        kit.make_driver(api, kit.climate_code())
    kit.make_flow(api, [made])
    if state:
        api.wait_state(made["id"], *state.split(), seconds=20)
    return made




def test_the_documented_body_is_kept(api):
    sent = json.loads((kit.ROOT / "tests/data/connections/aws-gg.json").read_text())
    shown = api.post("/connections", sent)["configuration"]
    for name in ("accessKeyId", "secretAccessKey", "ggadCertificate", "ggadPrivateKey"):
        assert shown[name] == "*****"
    assert shown["ggadCertificateId"] == sent["configuration"]["ggadCertificateId"]


@pytest.mark.parametrize("topics", ["bridge", "per device"])
def test_messages_and_commands(api, ends, cloud, core, topics):
    network = ends(kit.HttpCapture(lambda request: (200, "<html><body>Request queued by LRC</body></html>")))
    binder = kit.make_binder(api, network.url + "/downlink")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
    name = BRIDGE if topics == "bridge" else device.eui
    pattern = BRIDGE if topics == "bridge" else "{DevEUI}"
    connect(api, cloud, core, downlinkPort=5, uplinkTopicPattern=f"tpx/things/{pattern}/uplink",
            downlinkTopicPattern=f"tpx/things/{pattern}/downlink")
    # The core's authority came by discovery; Amazon's would not have done.
    assert [call.status for call in cloud.calls if call.action == "greengrass:Discover"] == [200]
    capture = ends(core.watch("tpx/things/+/uplink"))
    device.send()
    topic, text = capture.wait(1)[0]
    assert topic == f"tpx/things/{name}/uplink" and json.loads(text)["DevEUI_uplink"]["payload"]["humidity"] == 45
    kit.wait_for(lambda: device.eui in cloud.things and cloud.things[device.eui].principals, what="the thing")
    assert cloud.things[device.eui].type == TYPE and cloud.things[device.eui].principals == [cloud.client.arn]
    core.command(f"tpx/things/{name}/downlink", json.dumps({"DevEUI_downlink": {"DevEUI": device.eui, "payload": {"interval": 60}}}))
    request = network.wait(1)[0]
    assert f"DevEUI={device.eui}" in request["path"] and "01003c" in request["path"].lower()
    count = len(cloud.calls)
    device.send()
    capture.wait(2)
    assert not [call for call in cloud.calls[count:] if call.subject == device.eui]


def test_no_registry_needed_to_publish(api, ends, cloud, core, device):
    cloud.servers["registry"].stop()
    connection = connect(api, cloud, core)
    capture = ends(core.watch("tpx/things/+/uplink"))
    for _ in range(3):
        device.send()
    got = capture.wait(3, 20)
    assert [json.loads(text)["DevEUI_uplink"]["FCntUp"] for _, text in got] == [1, 2, 3]
    kit.wait_for(lambda: [e for e in api.get("/events?perPage=500") if e["code"] == "connection-1206"], what="the event")
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"
    cloud.servers["registry"].start()

    def made():
        device.send()
        return device.eui in cloud.things
    kit.wait_for(made, 90, "the thing to be made later", every=2)


@pytest.mark.parametrize("trouble", ["throttled", "denied"])
def test_a_registry_that_refuses_does_not_block(api, ends, cloud, core, device, trouble):
    if trouble == "throttled":
        cloud.throttle()
    else:
        cloud.users[KEY].denied |= {"iot:DescribeThing", "iot:CreateThing", "iot:ListThings", "iot:AttachThingPrincipal"}
    connection = connect(api, cloud, core)
    capture = ends(core.watch("tpx/things/+/uplink"))
    device.send()
    capture.wait(1)
    assert api.get(f"/connections/{connection['id']}")["state"] == "OPENED"
    assert not api.get(f"/connections/{connection['id']}/deadLetters")


def test_unknown_devices_are_skipped_when_they_may_not_be_made(api, ends, cloud, core, device, binder):
    connect(api, cloud, core, createDevices=False)
    capture = ends(core.watch("tpx/things/+/uplink"))
    device.send()
    kit.wait_for(lambda: [e for e in api.get("/events?perPage=500") if e["code"] == "connection-1203"], what="the event")
    known = kit.Device(binder, "70B3D5E75E0000AA", kit.AS_ID, kit.AS_KEY, kit.CLIMATE)
    cloud.make_thing(known.eui)
    known.send()
    assert [json.loads(text)["DevEUI_uplink"]["DevEUI"] for _, text in capture.wait(1)] == [known.eui]
    assert device.eui not in cloud.things


def test_discovery_refused_or_away(api, cloud, core, pki):
    other = {"ggadCertificate": pki.text("stranger.pem"), "ggadPrivateKey": pki.text("stranger.key")}
    connection = connect(api, cloud, core, state="AUTHENTICATION_FAILED", **other)
    assert "discover" in api.get(f"/connections/{connection['id']}")["stateReason"]["message"].lower()
    cloud.servers["https"].stop()
    connection = connect(api, cloud, core, state="UNREACHABLE")
    assert "discover" in api.get(f"/connections/{connection['id']}")["stateReason"]["message"].lower()
    cloud.servers["https"].start()
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED")


def test_without_internet_after_the_first_time(api, ends, cloud, core, device):
    """Once the core's authority is known, the connection comes back though nothing of AWS can be reached."""
    connection = connect(api, cloud, core)
    device.send()
    kit.wait_for(lambda: device.eui in cloud.things, what="the thing")
    for server in cloud.servers.values():
        server.stop()
    api.post(f"/connections/{connection['id']}/restart")
    api.wait_state(connection["id"], "OPENED", seconds=20)
    capture = ends(core.watch("tpx/things/+/uplink"))
    device.send()
    capture.wait(1)


def test_the_cores_authority_beside_amazons(api, ends, cloud, core, pki, device):
    """A site without internet from the start: awsRootCa brings the core's authority along."""
    for server in cloud.servers.values():
        server.stop()
    connect(api, cloud, core, awsRootCa=pki.text("ca.pem") + pki.core.text("ca.pem"))
    capture = ends(core.watch("tpx/things/+/uplink"))
    device.send()
    capture.wait(1)


def test_an_impostor_core(api, tmp_path, ends, cloud, core, pki):
    """Who has the address but not the core's authority gets no message."""
    other = kit.Certificates(tmp_path / "impostor")
    core.stop()
    listener = (f"cafile {pki.path('ca.pem')}\ncertfile {other.path('server.pem')}\nkeyfile {other.path('server.key')}\n"
                "require_certificate true")
    ends(kit.Mosquitto(tmp_path / "impostor-broker", port=core.port, listener=listener))
    connection = connect(api, cloud, core, state="AUTHENTICATION_FAILED UNREACHABLE")
    assert "certificate" in api.get(f"/connections/{connection['id']}")["stateReason"]["message"].lower()


def test_a_trial_leaves_nothing_behind(api, ends, cloud, core, device):
    connect(api, cloud, core)
    capture = ends(core.watch("tpx/things/+/uplink"))
    things = dict(cloud.things)
    body = {"connectorId": "actility-aws-iot-greengrass", "configuration": configuration(cloud, core), "uplink": device.report()}
    got = api.post("/connections/test", body)
    assert got["ok"], got
    assert cloud.things == things and len(api.get("/connections")) == 1
    capture.wait(1)
    body["configuration"]["secretAccessKey"] = "wrong-planted"
    assert "wrong-planted" not in json.dumps(api.post("/connections/test", body))
