# SPDX-License-Identifier: Apache-2.0
"""No secret lies in clear in the data directory, a log, an event, a metric or an answer."""
import json
import os
import pathlib
import signal
import subprocess
import time

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


PLANTED = {name: f"planted-{name}-9f3Kq7Zx" for name in (
    "password", "header", "proxy", "wrongpassword", "httpspassword", "refused", "tested")}


def test_planted_secrets_are_nowhere_whatever_fails(tmp_path, ends, certificates):
    """Secrets in every place that takes one, failures of every kind with them, and then a search of all that leaves the process."""
    config = tmp_path / "sluice.yaml"
    config.write_text("logLevel: debug\n")
    sluice = ends(kit.Sluice(tmp_path / "sluice", options=["--config", config]))
    api = sluice.api()
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "flow", PLANTED["password"]], check=True, capture_output=True)
    passwords.chmod(0o644)
    broker = ends(kit.Mosquitto(tmp_path / "broker", config=f"allow_anonymous false\npassword_file {passwords}"))
    plain = ends(kit.HttpCapture(lambda request: 401))
    tls = ends(kit.HttpCapture(tls=certificates))
    answers = []

    def call(method, path, body=None, root=None):
        """Keeps what is answered, for the search."""
        try:
            answer = api.call(method, path, body, root=root)
        except kit.ApiError as refused:
            answers.append(refused.body)
            return None
        answers.append(json.dumps(answer))
        return answer

    key = certificates.text("client.key")
    as_key, downlink_key = "5a17e3203a20a2e8dfaf6686b621f56d", "71aa11e33d7d44fc52215b0dc789aa1d"
    binder = call("POST", "/binders", {"type": "thingpark", "name": "b", "asId": kit.AS_ID, "asKey": as_key, "security": True})
    right = kit.make_mqtt(api, broker.port, "right", username="flow", password=PLANTED["password"], downlinkAsKey=downlink_key)
    wrong = kit.make_mqtt(api, broker.port, "wrong", username="flow", password=PLANTED["wrongpassword"])
    secure = kit.make_mqtt(api, broker.port, "tls to plain", protocol="SSL", username="flow", password=PLANTED["httpspassword"],
                           certificate=certificates.text("client.pem"), privateKey=key)
    refusing = kit.make_http(api, plain.url, "refusing", headers={"Authorization": PLANTED["header"], "X-Api-Key": PLANTED["proxy"]})
    untrusted = kit.make_http(api, tls.url, "untrusted", headers={"Cookie": PLANTED["header"]})
    nowhere = kit.make_http(api, "http://no-such-host.invalid/", "nowhere", headers={"X-Token": PLANTED["header"]})
    everything = [right, wrong, secure, refusing, untrusted, nowhere]
    flow = kit.make_flow(api, everything)
    # Bodies that are refused, with a secret in them.
    call("POST", "/connections", {"connectorId": "actility-mqtt-iot", "configuration": {
        "hostName": "bad host://x", "password": PLANTED["refused"], "protocol": "NOTHING"}})
    call("PUT", f"/connections/{right['id']}", {"connectorId": "actility-mqtt-iot", "configuration": {"password": [PLANTED["refused"]]}})
    call("POST", "/binders", {"type": "nothing", "asKey": PLANTED["refused"]})
    call("POST", "/binders", {"type": "thingpark", "asKey": [PLANTED["refused"]]})
    for connection in (wrong, secure, untrusted):  # a trial, where there is one
        call("POST", "/connections/test", {"id": connection["id"]})
    call("POST", "/connections/test", {"connectorId": "actility-mqtt-iot", "configuration": {
        "hostName": f"127.0.0.1:{broker.port}", "protocol": "TCP", "username": "flow", "password": PLANTED["tested"],
        "uplinkTopicPattern": "up"}})
    # Clients, keys, passwords, tokens.
    api_key = api.admin("POST", "/accounts/1/apiKeys", {"name": "robot", "role": "Owner"})
    rotated = api.admin("POST", f"/accounts/1/apiKeys/{api_key['id']}/rotate", {"graceSeconds": 60})
    invited = api.admin("POST", "/accounts/1/members", {"login": "ann@example.com", "role": "Reader"})
    ann = kit.Api(sluice.url, invited["password"], "ann@example.com")
    fresh = "a-new-password-of-ann-51"
    ann.admin("POST", "/users/me/password", {"oldPassword": invited["password"], "newPassword": fresh})
    act = api.admin("POST", "/impersonationTokens", {"login": "ann@example.com"})
    for client, secret in (("admin", PLANTED["refused"]), (PLANTED["refused"], "x")):
        try:
            kit.Api(sluice.url, secret, client)
        except (KeyError, kit.ApiError):
            pass
    status, text, _ = api.with_token(None).raw("GET", sluice.url + "/iot-flow/v1/connections?access_token=" + act["access_token"] + "x")
    answers.append(text)
    device = kit.Device(binder, as_id=kit.AS_ID, as_key=as_key)
    for _ in range(3):
        device.send()
    kit.Device(binder, as_id=kit.AS_ID, as_key="f" * 32).send(expect=401)
    api.wait_state(right["id"], "OPENED")
    api.wait_state(wrong["id"], "AUTHENTICATION_FAILED", "UNREACHABLE")
    plain.wait(1)
    api.patch(f"/connections/{right['id']}", {"configuration": {"hostName": "localhost:" + str(broker.port)}})  # a warning: kept secret
    api.delete(f"/flows/{flow['id']}")
    time.sleep(1)

    for path in ("/connections", "/flows", "/binders", "/events?level=debug&perPage=5000", "/connections/metrics", "/drivers",
                 "/messages", f"/connections/{right['id']}", f"/connections/{wrong['id']}/metrics", f"/connections/{wrong['id']}/deadLetters",
                 f"/connections/{wrong['id']}/statistics"):
        call("GET", path)
    for path in ("/accounts/1/apiKeys", "/accounts/1/members", "/accounts/1/binders", "/users/me"):
        call("GET", path, root=sluice.url + "/iot-admin/v1")
    shown = "\n".join(answers) + api.raw("GET", sluice.url + "/metrics")[1] + sluice.process.text().replace(sluice.secret, "", 1)
    secrets = [value for name, value in PLANTED.items() if name != "refused"] + [
        as_key, downlink_key, key.splitlines()[3], sluice.secret, api_key["clientSecret"], rotated["clientSecret"], invited["password"],
        fresh, act["access_token"].split(".")[2], api.token.split(".")[2]]
    assert [secret for secret in secrets if secret in shown] == []
    # What was sent as a client's name is told as one; as a secret it is not.
    assert PLANTED["refused"] not in shown.replace("Login refused: " + PLANTED["refused"].lower(), "").replace(
        PLANTED["refused"].lower(), "")
    at_rest = [*secrets, PLANTED["refused"], right["downlinkUrl"].rsplit("/", 1)[1]]
    assert files_with(sluice.data, at_rest) == []
    sluice.stop()
    assert files_with(sluice.data, at_rest) == []
    sluice.start()
    api = sluice.api()
    api.wait_state(right["id"], "OPENED")  # they are still there
    assert files_with(sluice.data, at_rest) == []


def test_no_core_file_is_left(tmp_path, ends):
    where = tmp_path / "cores"
    where.mkdir()
    sluice = ends(kit.Sluice(tmp_path / "sluice", wrapper=["sh", "-c", f'cd {where}; ulimit -c unlimited; exec "$@"', "sh"]))
    pid = sluice.process.pid
    os.kill(pid, signal.SIGABRT)
    _, status = os.waitpid(pid, 0)
    sluice.process.child.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(where.iterdir()) == []


def test_a_key_rotation_survives_being_killed_at_any_moment(tmp_path, ends):
    server = ends(kit.HttpCapture())
    sluice = ends(kit.Sluice(tmp_path / "sluice"))
    api = sluice.api()
    binder = kit.make_binder(api)
    connection = kit.make_http(api, server.url, headers={"Authorization": HEADER})
    kit.make_flow(api, [connection])
    for i in range(150):  # so that there is something to seal
        api.post("/connections", {"connectorId": "actility-http-iot", "name": f"c{i}", "active": False, "configuration": {
            "destinationURL": server.url, "headers": {"Authorization": HEADER * 20}}})
    token = api.token
    running = subprocess.run([kit.BINARY, "key", "rotate", "--data", sluice.data], capture_output=True, text=True, timeout=60)
    assert running.returncode == 1 and "in use" in running.stderr
    sluice.stop()
    key = (sluice.data / "key").read_text()
    begun = time.monotonic()
    whole = subprocess.run([kit.BINARY, "key", "rotate", "--data", sluice.data], capture_output=True, text=True, timeout=60)
    took = time.monotonic() - begun
    assert whole.returncode == 0 and "sealed 3" in whole.stdout, whole  # 151 connections twice, a binder, settings
    assert (sluice.data / "key").read_text() != key and not (sluice.data / "key.new").exists()
    killed = interrupted = 0
    for i in range(24):
        child = subprocess.Popen([kit.BINARY, "key", "rotate", "--data", sluice.data], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            child.wait(took * (i + 1) / 20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
            killed += 1
        assert child.returncode in (0, -signal.SIGKILL), child.stderr.read()
        child.stderr.close()
        interrupted += (sluice.data / "key.new").exists()
    assert killed > 0
    print(f"{killed} of 24 rotations killed, {interrupted} left a second key")
    sluice.start()
    assert not (sluice.data / "key.new").exists()
    assert api.with_token(token).get(f"/connections/{connection['id']}")["configuration"]["headers"]["Authorization"] == "*****"
    kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY).send()
    assert server.wait(1)[0]["headers"]["Authorization"] == HEADER
