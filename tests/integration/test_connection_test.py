# SPDX-License-Identifier: Apache-2.0
"""POST /connections/test against real brokers and servers: which step fails, and that nothing is left behind."""
import socket
import subprocess
import time

import pytest

from lib import kit

REPORT = {"DevEUI_uplink": {"Time": "2024-02-01T10:11:12.333+00:00", "DevEUI": "20635F0108000496", "FPort": 17, "FCntUp": 18,
                            "payload_hex": "0027bd00"}}


def body(port, **configuration):
    return {"connectorId": "actility-mqtt-iot", "name": "try",
            "configuration": {"hostName": f"127.0.0.1:{port}", "protocol": "TCP", "uplinkTopicPattern": "up/{DevEUI}",
                              **configuration}}


def failed(api, request, step):
    started = time.monotonic()
    got = api.post("/connections/test", request)
    assert time.monotonic() - started < 20
    assert got["ok"] is False and got["steps"][-1]["name"] == step and not got["steps"][-1]["ok"], got
    assert all(one["ok"] for one in got["steps"][:-1])
    return got


def expired_certificate(certificates):
    """A server certificate of the same authority whose validity is over."""
    run = lambda *words: subprocess.run(["openssl", *words], cwd=certificates.directory, check=True, capture_output=True)
    (certificates.directory / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=ca.srl2\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    (certificates.directory / "index.txt").write_text("")
    (certificates.directory / "ca.srl2").write_text("77\n")
    run("ca", "-batch", "-config", "ca.conf", "-extensions", "e", "-in", "server.csr", "-cert", "ca.pem", "-keyfile", "ca.key",
        "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-out", "expired.pem", "-notext")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    made = kit.Certificates(tmp_path_factory.mktemp("pki"))
    expired_certificate(made)
    return made


def tls(certificates, name="server"):
    return (f"cafile {certificates.path('ca.pem')}\ncertfile {certificates.path(name + '.pem')}\n"
            f"keyfile {certificates.path('server.key')}")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, certificates):
    """TLS, a password, and the right to publish below up/ alone."""
    home = tmp_path_factory.mktemp("guarded")
    subprocess.run(["mosquitto_passwd", "-b", "-c", home / "passwords", "flow", "right"], check=True)
    (home / "acl").write_text("user flow\ntopic write up/#\ntopic read down/#\ntopic read $SYS/#\n")
    broker = kit.Mosquitto(home, f"allow_anonymous false\npassword_file {home / 'passwords'}\nacl_file {home / 'acl'}",
                           listener=tls(certificates))
    yield broker
    broker.stop()


def secured(certificates, port, **more):
    return body(port, **{"hostName": f"localhost:{port}", "protocol": "SSL", "username": "flow", "password": "right",
                         "trustedCaCertificate": certificates.path("ca.pem").read_text(), **more})


def test_all_good(api, certificates, guarded):
    before = {"connections": api.get("/connections"), "events": len(api.get("/events"))}
    got = api.post("/connections/test", {**secured(certificates, guarded.port), "uplink": REPORT})
    assert got["ok"] and got["state"] == "OPENED", got
    assert [one["name"] for one in got["steps"]] == ["resolve", "connect", "tls", "authenticate", "publish"]
    assert "CN=localhost" in got["steps"][2]["message"] and "days left" in got["steps"][2]["message"]
    assert "right" not in str(got).replace("\"right", "")
    assert api.get("/connections") == before["connections"] and len(api.get("/events")) == before["events"]


def test_wrong_password(api, certificates, guarded):
    got = failed(api, secured(certificates, guarded.port, password="wrong-planted"), "authenticate")
    assert got["state"] == "AUTHENTICATION_FAILED" and "wrong-planted" not in str(got)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_no_right_to_publish(api, certificates, guarded, version):
    request = secured(certificates, guarded.port, mqttVersion=version, uplinkTopicPattern="forbidden/{DevEUI}")
    failed(api, {**request, "uplink": REPORT}, "publish")


def test_unknown_ca_and_wrong_host(api, certificates, guarded, tmp_path):
    request = secured(certificates, guarded.port)
    del request["configuration"]["trustedCaCertificate"]
    assert "unknown CA" in failed(api, request, "tls")["steps"][-1]["message"]
    request = secured(certificates, guarded.port, hostName=f"127.0.0.2:{guarded.port}")
    failed(api, request, "connect")  # it listens at 127.0.0.1 alone


def test_expired_certificate(api, certificates, tmp_path):
    broker = kit.Mosquitto(tmp_path, listener=tls(certificates, "expired"))
    try:
        assert "expired" in failed(api, secured(certificates, broker.port), "tls")["steps"][-1]["message"]
    finally:
        broker.stop()


def test_refused_port_and_unknown_name(api):
    assert "refuses" in failed(api, body(kit.free_port()), "connect")["steps"][-1]["message"]
    failed(api, body(1, hostName="no-such-host.invalid:1883"), "resolve")


@pytest.mark.parametrize("protocol, step", [("TCP", "authenticate"), ("SSL", "tls")])
def test_a_peer_that_hangs(api, protocol, step):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        got = failed(api, body(hung.getsockname()[1], protocol=protocol), step)
        assert got["state"] == "UNREACHABLE"


def test_by_id_with_stored_secrets_beside_the_running_one(api, certificates, guarded):
    made = api.post("/connections", secured(certificates, guarded.port, clientId="mine"))
    api.wait_state(made["id"], "OPENED")
    started = api.get(f"/connections/{made['id']}")["startupTime"]
    for request in ({"id": made["id"]}, {**made, "name": "changed"}):
        assert api.post("/connections/test", request)["ok"]
    time.sleep(0.5)
    now = api.get(f"/connections/{made['id']}")
    assert now["state"] == "OPENED" and now["startupTime"] == started and now["name"] == "try"  # not expelled, not saved
    api.delete(f"/connections/{made['id']}")


def test_http(api, certificates):
    server = kit.HttpCapture(tls=certificates)
    try:
        configuration = {"destinationURL": server.url.replace("127.0.0.1", "localhost") + "/up",
                         "trustedCaCertificate": certificates.path("ca.pem").read_text()}
        request = {"connectorId": "actility-http-iot", "configuration": configuration}
        got = api.post("/connections/test", request)
        assert got["ok"] and not server.requests, got
        assert "clock" in got["steps"][2]["message"]
        got = api.post("/connections/test", {**request, "uplink": REPORT})
        assert got["ok"] and len(server.requests) == 1
        server.answer = lambda _: 403
        failed(api, {**request, "uplink": REPORT}, "publish")
    finally:
        server.stop()


def test_bad_requests(api):
    for request, status in (({"id": "999999"}, 404), ({"connectorId": "actility-mqtt-iot"}, 400),
                            ({**body(1), "uplink": 5}, 400), ({**body(1), "uplink": {"x": 1}}, 400),
                            (body(1, password="*****"), 400)):
        with pytest.raises(kit.ApiError) as refused:
            api.post("/connections/test", request)
        assert refused.value.status == status, request
