# SPDX-License-Identifier: Apache-2.0
"""No secret lies in clear in the data directory, a log, an event, a metric or an answer."""
import json
import pathlib

from lib import kit

SECRETS = {"password": "pass-Zq81xw", "downlinkAsKey": "9311e33d7d44fc52215b0dc789aa1d22"}
HEADER = "Bearer tok-Mn52rt"


def files_with(directory, needles):
    found = []
    for path in pathlib.Path(directory).rglob("*"):
        if path.is_file() and path.name != "admin-secret":
            data = path.read_bytes()
            found += [(str(path), needle) for needle in needles if needle.encode() in data]
    return found


def test_secrets_are_nowhere_in_clear(sluice, api, broker, tmp_path, ends, certificates):
    server = ends(kit.HttpCapture())
    sluice_key = certificates.text("client.key")
    binder = kit.make_binder(api)
    assert binder["asKey"] == "*****"
    mqtt = kit.make_mqtt(api, broker.port, username="flow", **SECRETS)
    tls = kit.make_mqtt(api, broker.port, "tls", protocol="SSL", certificate=certificates.text("client.pem"), privateKey=sluice_key)
    http = kit.make_http(api, server.url, headers={"Authorization": HEADER})
    kit.make_flow(api, [mqtt, http])
    api.wait_state(mqtt["id"], "OPENED")
    api.wait_state(tls["id"], "UNREACHABLE", "AUTHENTICATION_FAILED", "CLOSED")
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY)
    device.send()
    server.wait(1)
    api.patch(f"/connections/{http['id']}", {"name": "renamed"})
    device.send()
    assert server.wait(2)[1]["headers"]["Authorization"] == HEADER  # kept, though never shown

    needles = [*SECRETS.values(), HEADER, kit.AS_KEY, sluice_key.splitlines()[3], sluice.secret]
    shown = json.dumps([api.get(path) for path in ("/connections", "/events?level=debug", "/binders", "/flows")])
    shown += api.raw("GET", sluice.url + "/metrics")[1] + sluice.process.text().replace(sluice.secret, "", 1)
    assert [needle for needle in needles if needle in shown] == []
    assert files_with(sluice.data, needles) == []
    sluice.stop()
    assert files_with(sluice.data, needles) == []


def test_a_masked_value_keeps_the_stored_one_and_needs_one(api, broker):
    connection = kit.make_mqtt(api, broker.port, username="flow", password="pass-Zq81xw")
    body = api.get(f"/connections/{connection['id']}")
    body["configuration"]["keepAlive"] = 20
    assert api.put(f"/connections/{connection['id']}", body)["configuration"]["password"] == "*****"
    del body["configuration"]["password"]
    assert "password" not in api.put(f"/connections/{connection['id']}", body)["configuration"]
    body["configuration"]["password"] = "*****"
    try:
        api.put(f"/connections/{connection['id']}", body)
        raise AssertionError("a mask where nothing is stored was taken")
    except kit.ApiError as refused:
        assert refused.status == 400 and "/configuration/password" in refused.body
