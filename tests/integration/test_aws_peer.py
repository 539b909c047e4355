# SPDX-License-Identifier: Apache-2.0
"""The counterpart of the AWS connectors (tests/lib/aws.py) judged by itself: a judge that errs proves nothing."""
import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from lib import aws, kit, sigv4

SUITE = kit.ROOT / "tests/data/sigv4"
CASES = sorted(folder.name for folder in SUITE.iterdir() if folder.is_dir())


def request_of(text):
    """(method, path, query, headers, body) of a request as the suite writes it: folded lines belong to the header above."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, _, rest = first.partition(" ")
    target = rest.rpartition(" HTTP/1.1")[0]
    path, _, query = target.partition("?")
    headers = []
    for line in lines:
        if line.startswith((" ", "\t")):
            headers[-1] = (headers[-1][0], headers[-1][1] + "\n" + line)
        elif line:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return method, path, query, headers, body.encode()


@pytest.mark.parametrize("way", ["header", "query"])
@pytest.mark.parametrize("case", CASES)
def test_aws_vectors(case, way):
    folder = SUITE / case
    context = json.loads((folder / "context.json").read_text())
    want = {name: (folder / f"{way}-{name}.txt").read_text() for name in ("canonical-request", "string-to-sign", "signature")}
    method, path, query, headers, body = request_of((folder / f"{way}-signed-request.txt").read_text())
    given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    scope = f"20150830/{context['region']}/{context['service']}/aws4_request"
    if way == "header":
        signed = next(v for k, v in headers if k == "Authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
        # Older requests of the suite sign a body without telling its hash.
        told = [v for k, v in headers if k.lower() == "x-amz-content-sha256"]
        payload = told[0] if told else want["canonical-request"].rsplit("\n", 1)[1]
        without = ()
    else:
        signed, payload = given["X-Amz-SignedHeaders"].split(";"), want["canonical-request"].rsplit("\n", 1)[1]
        without = ("X-Amz-Signature",)
        if context.get("omit_session_token"):
            without += ("X-Amz-Security-Token",)
    canonical = sigv4.canonical_request(method, path, query, headers, signed, payload,
                                        context["normalize"], without)
    assert canonical == want["canonical-request"]
    text = sigv4.string_to_sign(given.get("X-Amz-Date", "20150830T123600Z"), scope, canonical)
    assert text == want["string-to-sign"]
    assert sigv4.sign(context["credentials"]["secret_access_key"], scope, text) == want["signature"]
    if body and way == "header":
        assert payload == hashlib.sha256(body).hexdigest()


KEY, SECRET = "AKIAFLOWEXAMPLE", "flow/Secret+of/the+tests0123456789abcde"
REGION = "eu-central-1"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory, certificates):
    certificates.issue_client("stranger", "stranger")
    made = aws.Cloud(tmp_path_factory.mktemp("aws"), certificates)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def well(cloud):
    cloud.well()
    yield


def call(cloud, port, method, target, body=b"", headers=(), certificate="", alpn=""):
    """(status, error's kind, document)"""
    context = ssl.create_default_context(cafile=cloud.certificates.path("ca.pem"))
    if certificate:
        context.load_cert_chain(cloud.certificates.path(certificate + ".pem"), cloud.certificates.path(certificate + ".key"))
    if alpn:
        context.set_alpn_protocols([alpn])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers or [("host", f"localhost:{port}")]:
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        got = connection.getresponse()
        return got.status, got.headers.get("x-amzn-ErrorType", ""), json.loads(got.read())
    finally:
        connection.close()


def signed(cloud, port, method, target, body=b"", key=KEY, secret=SECRET, service="iot", region=REGION, now=None, extra=()):
    path, _, query = target.partition("?")
    headers = sigv4.sign_headers(method, f"localhost:{port}", path, query, body, key, secret, region, service, now, extra)
    return call(cloud, port, method, target, body, headers)


TOPIC = "/topics/tpx%2Fthings%2F70B3D5E75E000001%2Fuplink?qos=1"


def test_a_post_by_certificate(cloud):
    before = len(cloud.messages)
    assert call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="client")[2]["message"] == "OK"
    assert call(cloud, cloud.edge, "POST", TOPIC, b"{}", certificate="client", alpn=aws.ALPN_HTTP)[0] == 200
    got = cloud.messages[before:]
    assert [(m.topic, m.body, m.qos, m.by) for m in got] == [("tpx/things/70B3D5E75E000001/uplink", b"{}", 1, cloud.client.arn)] * 2
    assert call(cloud, cloud.https, "POST", TOPIC, b"{}")[0] == 403
    assert call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="stranger")[:2] == (403, "ForbiddenException")
    cloud.client.active = False  # what is connected gets 403, what is not, no further than the handshake
    assert call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="client")[0] == 403
    cloud.deactivate(cloud.client)
    with pytest.raises(OSError):
        call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="client")
    cloud.well()
    assert call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="client")[0] == 200
    cloud.messages.pop()
    assert len(cloud.messages) == before + 2


def test_a_certificate_of_nobody_is_refused_in_the_handshake(cloud, tmp_path):
    other = kit.Certificates(tmp_path / "other")
    context = ssl.create_default_context(cafile=cloud.certificates.path("ca.pem"))
    context.load_cert_chain(other.path("client.pem"), other.path("client.key"))
    connection = http.client.HTTPSConnection("localhost", cloud.https, context=context, timeout=10)
    with pytest.raises(OSError):
        connection.request("POST", TOPIC, b"{}")
        connection.getresponse()
    connection.close()


def test_rules_of_topics_and_sizes(cloud):
    post = lambda target, body=b"{}": call(cloud, cloud.https, "POST", target, body, certificate="client")[0]
    assert post("/topics/" + "%2F".join("abcdefgh")) == 200
    assert post("/topics/" + "%2F".join("abcdefghi")) == 400
    assert post("/topics/" + "a" * 256) == 200 and post("/topics/" + "a" * 257) == 400
    assert post("/topics/a%2B") == 400 and post("/topics/a?qos=2") == 400 and post("/topics/%24aws%2Fx") == 403
    assert post("/topics/a", b"x" * aws.SIZE_LIMIT) == 200 and post("/topics/a", b"x" * (aws.SIZE_LIMIT + 1)) == 413
    cloud.client.attached_only = True
    cloud.make_thing("70B3D5E75E000001")
    assert post(TOPIC) == 403
    cloud.things["70B3D5E75E000001"].principals.append(cloud.client.arn)
    assert post(TOPIC) == 200
    cloud.client.attached_only = False
    cloud.delete_thing("70B3D5E75E000001")


def test_a_signed_post(cloud):
    post = lambda **more: signed(cloud, cloud.edge, "POST", TOPIC, b"{}", **{"service": "iotdata", **more})
    assert post()[0] == 200
    assert post(secret="wrong")[1] == "InvalidSignatureException"
    assert post(key="AKIANOBODY")[1] == "UnrecognizedClientException"
    assert post(service="iot")[0] == post(region="us-east-1")[0] == 403
    assert "Signature expired" in post(now=time.time() - 400)[2]["message"]
    assert "not yet current" in post(now=time.time() + 400)[2]["message"]
    assert post(now=time.time() - 290)[0] == 200
    assert call(cloud, cloud.edge, "POST", TOPIC, b"{}")[1] == "MissingAuthenticationTokenException"
    headers = sigv4.sign_headers("POST", f"localhost:{cloud.edge}", *TOPIC.split("?"), b"{}", KEY, SECRET, REGION, "iotdata")
    assert call(cloud, cloud.edge, "POST", TOPIC, b"[]", headers)[0] == 403           # another body
    assert call(cloud, cloud.edge, "POST", TOPIC[:-1] + "0", b"{}", headers)[0] == 403  # another query
    assert call(cloud, cloud.edge, "POST", TOPIC.replace("%2F", "/"), b"{}", headers)[0] == 403
    cloud.users["ASIATEMPORARY"] = aws.User("s", token="token/of+sts==")
    temporary = {"key": "ASIATEMPORARY", "secret": "s"}
    assert post(**temporary)[1] == "UnrecognizedClientException"
    assert post(**temporary, extra=[("x-amz-security-token", "token/of+sts==")])[0] == 200


def test_the_registry_keeps_the_order_of_calls(cloud):
    ask = lambda method, target, body=b"", **more: signed(cloud, cloud.registry, method, target, body, **more)[:2]
    create = json.dumps({"thingTypeName": "sensor-1"}).encode()
    arn = [("x-amzn-principal", cloud.client.arn)]
    assert ask("GET", "/things/A1") == (404, "ResourceNotFoundException")
    assert ask("PUT", "/things/A1/principals", extra=arn) == (404, "ResourceNotFoundException")
    assert ask("POST", "/things/A1", create) == (404, "ResourceNotFoundException")
    assert ask("GET", "/thing-types/sensor-1") == (404, "ResourceNotFoundException")
    assert ask("POST", "/thing-types/sensor-1")[0] == 200 and ask("GET", "/thing-types/sensor-1")[0] == 200
    assert ask("POST", "/things/A1", create)[0] == ask("POST", "/things/A1", create)[0] == 200
    assert ask("POST", "/things/A1", b"{}") == (409, "ResourceAlreadyExistsException")
    assert ask("PUT", "/things/A1/principals", extra=[("x-amzn-principal", "arn:aws:iot:x")])[0] == 404
    assert ask("PUT", "/things/A1/principals")[0] == 400
    assert ask("PUT", "/things/A1/principals", extra=arn)[0] == 200
    assert ask("DELETE", "/things/A1") == (400, "InvalidRequestException")
    cloud.users[KEY].denied.add("iot:CreateThing")
    assert ask("POST", "/things/B1", create) == (403, "AccessDeniedException")
    cloud.throttle(2)
    assert [ask("GET", "/things/A1")[0] for _ in range(3)] == [429, 429, 200]
    assert signed(cloud, cloud.edge, "GET", "/things/A1")[0] == 200  # all in one
    assert call(cloud, cloud.registry, "GET", "/things/A1")[0] == 403


def test_lists_come_in_pages(cloud):
    for number in range(7):
        cloud.make_thing(f"P{number}", type="paged")
    names, token = [], ""
    while True:
        target = "/things?maxResults=3&thingTypeName=paged" + (f"&nextToken={sigv4.encode(token)}" if token else "")
        status, _, document = signed(cloud, cloud.registry, "GET", target)
        assert status == 200
        names += [thing["thingName"] for thing in document["things"]]
        token = document.get("nextToken", "")
        if not token:
            break
    assert names == [f"P{number}" for number in range(7)]
    assert signed(cloud, cloud.registry, "GET", "/things?maxResults=251")[0] == 400


def test_discovery(cloud):
    get = lambda **more: call(cloud, cloud.https, "GET", "/greengrass/discover/thing/Bridge", **more)
    assert get(certificate="client")[0] == 403
    cloud.make_thing("Bridge", principals=[cloud.client.arn])
    assert get(certificate="client")[0] == 404
    cloud.core("Bridge", "192.0.2.10", 8883, "PEM")
    group = get(certificate="client")[2]["GGGroups"][0]
    assert group["CAs"] == ["PEM"] and group["Cores"][0]["Connectivity"][0]["PortNumber"] == 8883
    assert get(certificate="stranger")[0] == get()[0] == 403


def mosquitto_pub(cloud, port, *options, certificate="client"):
    pem = cloud.certificates.path
    words = ["mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", pem("ca.pem"), "-q", "1", "-t", "x/y", "-m", "m", *options]
    if certificate:
        words += ["--cert", pem(certificate + ".pem"), "--key", pem(certificate + ".key")]
    try:
        return subprocess.run([str(word) for word in words], capture_output=True, timeout=3).returncode == 0
    except subprocess.TimeoutExpired:
        return False  # it speaks MQTT where HTTP is spoken, or tries again and again


def test_mqtt_by_certificate_and_alpn(cloud):
    capture = kit.Capture(cloud.plain, "x/y")
    try:
        assert mosquitto_pub(cloud, cloud.mqtt) and not mosquitto_pub(cloud, cloud.mqtt, certificate="")
        for port in (cloud.port443, cloud.edge):
            assert mosquitto_pub(cloud, port, "--tls-alpn", aws.ALPN_MQTT)
            assert not mosquitto_pub(cloud, port)
            assert not mosquitto_pub(cloud, port, "--tls-alpn", aws.ALPN_MQTT, certificate="")
            assert not mosquitto_pub(cloud, port, "--tls-alpn", aws.ALPN_MQTT, certificate="stranger")
        assert len(capture.wait(3)) == 3
    finally:
        capture.stop()
    for right in ("iot:Connect", "iot:Publish"):
        cloud.client.denied = {right}
        for version in ("311", "5"):
            assert not mosquitto_pub(cloud, cloud.edge, "--tls-alpn", aws.ALPN_MQTT, "-V", version)
    cloud.client.denied = {"iot:Publish"}
    assert call(cloud, cloud.port443, "POST", TOPIC, b"{}", certificate="client", alpn=aws.ALPN_HTTP)[0] == 403
    cloud.well()
    assert call(cloud, cloud.port443, "POST", TOPIC, b"{}", certificate="client", alpn=aws.ALPN_HTTP)[0] == 200
    cloud.proxy.revoke(cloud.client)
    assert not mosquitto_pub(cloud, cloud.port443, "--tls-alpn", aws.ALPN_MQTT)


def upgrade(cloud, port, target):
    """The WebSocket handshake's first line, and MQTT's answer to a connect."""
    context = ssl.create_default_context(cafile=cloud.certificates.path("ca.pem"))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost") as tls:
        tls.sendall((f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        status = tls.recv(4096).split(b"\r\n")[0].decode()
        if "101" not in status:
            return status, b""
        connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04self"
        tls.sendall(bytes([0x82, 0x80 | len(connect), 0, 0, 0, 0]) + connect)
        return status, tls.recv(100)


def test_a_websocket_by_presigned_url(cloud):
    link = lambda secret=SECRET, now=None: sigv4.presign(f"localhost:{cloud.port443}", "/mqtt", KEY, secret, REGION, "iotdevicegateway", now)
    status, answer = upgrade(cloud, cloud.port443, link())
    assert "101" in status and answer == b"\x82\x04\x20\x02\x00\x00"
    assert cloud.upgrades == 1
    assert "403" in upgrade(cloud, cloud.port443, link("wrong"))[0]
    assert "403" in upgrade(cloud, cloud.port443, link(now=time.time() - 400))[0]
    assert "403" in upgrade(cloud, cloud.port443, "/mqtt")[0]
    cloud.users["ASIATEMPORARY"] = aws.User("s", token="t/+=")
    temporary = sigv4.presign(f"localhost:{cloud.port443}", "/mqtt", "ASIATEMPORARY", "s", REGION, "iotdevicegateway")
    assert "403" in upgrade(cloud, cloud.port443, temporary)[0]
    assert "101" in upgrade(cloud, cloud.port443, temporary + "&X-Amz-Security-Token=t%2F%2B%3D")[0]


def test_scripts_silence_and_absence(cloud):
    post = lambda: call(cloud, cloud.https, "POST", TOPIC, b"{}", certificate="client")[0]
    cloud.script(503, count=2, headers={"Retry-After": "1"})
    assert [post() for _ in range(3)] == [503, 503, 200]
    cloud.servers["https"].stop()
    with pytest.raises(OSError):
        post()
    cloud.servers["https"].start()
    assert post() == 200
    before = len(cloud.messages)
    cloud.swallowing.set()
    with pytest.raises((OSError, http.client.HTTPException)):
        context = ssl.create_default_context(cafile=cloud.certificates.path("ca.pem"))
        context.load_cert_chain(cloud.certificates.path("client.pem"), cloud.certificates.path("client.key"))
        connection = http.client.HTTPSConnection("localhost", cloud.https, context=context, timeout=1)
        connection.request("POST", TOPIC, b"{}")
        connection.getresponse()
    connection.close()
    assert len(cloud.messages) == before
