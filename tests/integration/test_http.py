# SPDX-License-Identifier: Apache-2.0
"""The HTTP connector against a real server."""
import json
import time

from lib import kit


def test_posts_the_document_with_headers_and_keeps_the_connection(api, device, ends):
    server = ends(kit.HttpCapture())
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_http(api, server.url + "/in?x=a+b", headers={
        "Authorization": "Bearer very-secret-token", "X-Dev": "{DevEUI}", "X-Nothing": "{NoSuchField}"})
    assert connection["configuration"]["headers"]["Authorization"] == "*****"
    kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    for _ in range(3):
        device.send()
    got = server.wait(3)
    assert [json.loads(request["body"])["DevEUI_uplink"]["FCntUp"] for request in got] == [1, 2, 3]
    first = got[0]
    assert first["path"] == "/in?x=a+b"
    assert first["headers"]["Content-Type"].startswith("application/json")
    assert first["headers"]["Authorization"] == "Bearer very-secret-token" and first["headers"]["X-Dev"] == device.eui
    assert json.loads(first["body"])["DevEUI_uplink"]["payload"]["temperature"] == 20.79
    assert len({request["peer"] for request in got}) == 1  # kept alive


def test_https_with_the_servers_authority(api, device, ends, certificates):
    server = ends(kit.HttpCapture(tls=certificates))
    connection = kit.make_http(api, server.url, trustedCaCertificate=certificates.text("ca.pem"))
    kit.make_flow(api, [connection])
    device.send()
    assert server.wait(1)[0]["path"] == "/"


def test_https_without_it_is_refused(api, device, ends, certificates):
    server = ends(kit.HttpCapture(tls=certificates))
    connection = kit.make_http(api, server.url)
    kit.make_flow(api, [connection])
    device.send()
    api.wait_state(connection["id"], "UNREACHABLE", "AUTHENTICATION_FAILED", "CLOSED")
    time.sleep(0.3)
    assert server.requests == []


def test_without_strict_mode_a_refused_message_is_set_aside_and_the_next_one_sent(api, device, ends):
    answers = iter([422, 200])
    server = ends(kit.HttpCapture(lambda request: next(answers)))
    connection = kit.make_http(api, server.url)
    kit.make_flow(api, [connection])
    device.send()
    device.send()
    got = server.wait(2)
    assert [json.loads(request["body"])["DevEUI_uplink"]["FCntUp"] for request in got] == [1, 2]
    kit.wait_for(lambda: api.get(f"/connections/{connection['id']}/metrics")["uplinksLast1hFailed"] == 1, what="the counter")
    assert any(event["code"] == "connection-1201" for event in api.get(f"/events?q_connectionId={connection['id']}"))


def test_strict_mode_keeps_a_refused_message_until_it_is_taken(api, device, ends):
    refusals = [0]

    def answer(_):
        refusals[0] += 1
        return 500 if refusals[0] <= 2 else 204
    server = ends(kit.HttpCapture(answer))
    connection = kit.make_http(api, server.url, strictMode=True)
    kit.make_flow(api, [connection])
    device.send()
    device.send()
    kit.wait_for(lambda: [r for r in server.requests if r["status"] == 204 and '"FCntUp":2' in r["body"]], 40,
                 "the second message to be taken")
    taken = [json.loads(r["body"])["DevEUI_uplink"]["FCntUp"] for r in server.requests if r["status"] == 204]
    assert taken == [1, 2]


def test_compliance_mode_signs_like_a_network_server(api, device, ends):
    import hashlib
    import urllib.parse
    key = "00112233445566778899aabbccddeeff"
    server = ends(kit.HttpCapture())
    connection = kit.make_http(api, server.url + "/as", lrcCompliance=True, tunnelInterfaceAuthenticationKey=key,
                               downlinkAsId="OPEN-FLOW")
    kit.make_flow(api, [connection])
    device.send("00FF")
    request = server.wait(1)[0]
    parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request["path"]).query))
    plain = "&".join(f"{name}={parameters[name]}" for name in ("LrnDevEui", "LrnFPort", "LrnInfos", "AS_ID", "Time"))
    wanted = hashlib.sha256(f"100000001{device.eui}2100FF{plain}{key}".encode()).hexdigest()
    assert parameters["Token"] == wanted and parameters["LrnDevEui"] == device.eui
