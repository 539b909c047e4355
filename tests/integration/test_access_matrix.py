# SPDX-License-Identifier: Apache-2.0
"""Role x method x resource, and account A's tokens against every id of account B, for every path of the served contract."""
import http.client
import json
import re
import threading
import time
import urllib.parse

import pytest

from access_roles import ADMINISTRATOR, LEAST, OPEN, OWNER, ROLES, USER
from lib import kit

NOBODY = "999999"
MARK = "zebra-of-b"  # in every name of account B
B_DEVICE = "70B3D5E75E0000BB"
# The resources that all accounts share: there is nothing to keep apart.
SHARED = {"connectors", "units", "sensors", "fields", "swagger-ui", "downlinkMessages", "tunnel", "users"}


class Account:
    """An organization account with a member and an API key of each role."""

    def __init__(self, admin, url, name):
        self.name = name
        self.url = url
        made = admin.admin("POST", "/accounts", {"type": "organization", "name": name, "owner": f"owner@{name}"})
        self.id = made["id"]
        self.users = {OWNER: self.token(f"owner@{name}", made["password"])}
        self.keys = {}
        for role in ROLES:
            if role != OWNER:
                member = admin.admin("POST", f"/accounts/{self.id}/members", {"login": f"{role}@{name}", "role": role})
                self.users[role] = self.token(f"{role}@{name}", member["password"])
            key = admin.admin("POST", f"/accounts/{self.id}/apiKeys", {"name": f"{name} {role}", "role": role})
            self.keys[role] = self.token(key["clientId"], key["clientSecret"])
        self.api = admin.with_token(self.users[OWNER])

    def token(self, client, secret):
        return kit.Api(self.url, secret, client).token


class World:
    def __init__(self, directory):
        self.sluice = kit.Sluice(directory)
        self.admin = self.sluice.api()
        self.a = Account(self.admin, self.sluice.url, "aardvark")
        self.b = Account(self.admin, self.sluice.url, MARK)
        self.ids = {account.name: self.fill(account) for account in (self.a, self.b)}
        status, text, _ = self.admin.raw("GET", self.sluice.url + "/iot-flow/v1/v3/api-docs")
        assert status == 200
        self.paths = json.loads(text)["paths"]
        self.operations = [(method.upper(), path, body) for path, methods in self.paths.items() for method, body in methods.items()
                           if method in ("get", "put", "post", "delete", "patch")]

    def fill(self, account):
        api, name = account.api, account.name
        connection = kit.make_http(api, "http://127.0.0.1:9/" + name, name=name)
        driver = kit.make_driver(api, kit.climate_code(), module=name[:10], producer=name[:10])
        flow = kit.make_flow(api, [connection], name=name, matchers=[])
        binder = api.post("/binders", {"type": "thingpark", "name": name, "security": False})
        device = kit.Device(binder, eui=B_DEVICE if account.name == MARK else "70B3D5E75E0000AA")
        device.send()
        members = account.api.admin("GET", f"/accounts/{account.id}/members")
        keys = account.api.admin("GET", f"/accounts/{account.id}/apiKeys")
        return {"connections": connection["id"], "flows": flow["id"], "drivers": driver["id"], "binders": binder["id"],
                "accounts": account.id, "members": members[0]["id"], "apiKeys": keys[0]["id"], "devices": device.eui,
                "messages": None, "deadLetters": "1", "device": device, "binder": binder, "connection": connection, "flow": flow}

    def message_of(self, account):
        """The id of a message of the account, where there is such a resource."""
        if "/iot-flow/v1/messages" not in self.paths:
            return None
        got = kit.wait_for(lambda: account.api.get("/messages?deviceEui=" + self.ids[account.name]["devices"]), 10, "a message")
        got = got if isinstance(got, list) else got.get("messages", [])
        return got[0]["id"] if got else None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("matrix"))
    made.ids[MARK]["messages"] = made.message_of(made.b)
    yield made
    made.sluice.stop()


def ask(world, method, path, token=None, body=None, content_type="application/json"):
    """(status, text); of an endless answer only its head."""
    connection = http.client.HTTPConnection("127.0.0.1", world.sluice.port, timeout=30)
    headers = {"Authorization": "Bearer " + token} if token else {}
    if body is not None:
        headers["Content-Type"] = content_type
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        if (answer.getheader("Content-Type") or "").startswith("text/event-stream"):
            return answer.status, ""
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def fill_path(world, path, ids, account=None):
    """The path with `ids` for its names; `account` for accounts/{id}, where given."""
    segments = path.split("/")
    for i, segment in enumerate(segments):
        if segment.startswith("{"):
            kind = segments[i - 1]
            value = account if kind == "accounts" and account else ids(kind) if callable(ids) else ids
            segments[i] = urllib.parse.quote(str(value), safe="")
    return "/".join(segments)


def body_for(operation):
    return "{}" if "requestBody" in operation[2] or operation[0] in ("PUT", "PATCH") else None


def test_every_route_has_its_least_role(world):
    served = {(method, path) for method, path, _ in world.operations}
    assert served - set(LEAST) == set(), "routes without a line in access_roles.py"


def test_without_a_token_only_what_is_open_answers(world):
    wrong = []
    for operation in world.operations:
        method, path, _ = operation
        if LEAST.get((method, path)) == OPEN:
            continue
        for token in (None, "wrong", "a.b.c"):
            status, text = ask(world, method, fill_path(world, path, NOBODY), token, body_for(operation))
            if status != 401 or json.loads(text)["code"] != "com-4001":
                wrong.append((method, path, token, status))
    assert wrong == []


@pytest.mark.parametrize("kind", ["users", "keys"])
def test_each_role_may_do_what_its_role_may(world, kind):
    wrong = []
    for operation in world.operations:
        method, path, _ = operation
        least = LEAST.get((method, path))
        if least in (None, OPEN):
            continue
        target = fill_path(world, path, NOBODY, world.a.id)
        if (method, path) == ("DELETE", "/iot-admin/v1/accounts/{id}"):
            continue  # the next test: here an Owner would succeed
        for role in ROLES:
            status, text = ask(world, method, target, getattr(world.a, kind)[role], body_for(operation))
            if least == USER:
                may = kind == "users"
            else:
                may = least != ADMINISTRATOR and ROLES.index(role) >= ROLES.index(least)
            # 403 also says that one's own place is the only one that may be left: a member that is not there.
            if (status == 403) == may or status == 401 or status >= 500:
                wrong.append((method, path, role, status, text[:200]))
            if status == 403 and json.loads(text)["code"] != "com-4003":
                wrong.append((method, path, role, text[:200]))
    assert wrong == []


def test_below_owner_nobody_deletes_the_account(world):
    for tokens in (world.a.users, world.a.keys):
        for role in ROLES[:-1]:
            assert ask(world, "DELETE", f"/iot-admin/v1/accounts/{world.a.id}", tokens[role])[0] == 403
        assert ask(world, "DELETE", f"/iot-admin/v1/accounts/{world.a.id}", tokens[OWNER])[0] == 409  # it has connections


def bodies(world):
    """Bodies that would be taken if the resource were one's own."""
    b = world.ids[MARK]
    renamed = json.dumps({"name": "stolen"})
    binder = json.dumps({"type": "thingpark", "name": "stolen", "security": False})
    return {
        ("PUT", "/iot-flow/v1/connections/{id}"): json.dumps(b["connection"]),
        ("PATCH", "/iot-flow/v1/connections/{id}"): renamed,
        ("PUT", "/iot-flow/v1/flows/{id}"): json.dumps({"name": "stolen", "connectors": [], "matchers": []}),
        ("PATCH", "/iot-flow/v1/flows/{id}"): renamed,
        ("PATCH", "/iot-flow/v1/drivers/{driverId}"): renamed,
        ("PUT", "/iot-flow/v1/binders/{id}"): binder,
        ("PATCH", "/iot-flow/v1/binders/{id}"): renamed,
        ("PUT", "/iot-admin/v1/accounts/{id}/binders/{binderId}"): binder,
        ("POST", "/iot-admin/v1/accounts/{id}/binders"): binder,
        ("PATCH", "/iot-admin/v1/accounts/{id}/binders/{binderId}"): renamed,
        ("PATCH", "/iot-admin/v1/accounts/{id}"): renamed,
        ("POST", "/iot-admin/v1/accounts/{id}/members"): json.dumps({"login": "thief", "role": "Owner"}),
        ("PATCH", "/iot-admin/v1/accounts/{id}/members/{memberId}"): json.dumps({"role": "Reader"}),
        ("POST", "/iot-admin/v1/accounts/{id}/apiKeys"): json.dumps({"name": "thief", "role": "Owner"}),
        ("POST", "/iot-flow/v1/connections/{id}/replay"): json.dumps({"startTime": "2020-01-01T00:00:00Z"}),
        ("POST", "/iot-flow/v1/connections/{id}/downlinks"): json.dumps(
            {"DevEUI_downlink": {"DevEUI": B_DEVICE, "FPort": 1, "payload_hex": "00"}}),
    }


def snapshot(world):
    b, api = world.b, world.b.api
    got = [api.get(path) for path in ("/flows", "/drivers", "/binders")]
    got += [{key: value for key, value in connection.items() if key in ("id", "name", "connectorId", "configuration", "active")}
            for connection in api.get("/connections")]
    got += [api.admin("GET", f"/accounts/{b.id}{part}") for part in ("", "/members")]
    got += [sorted(key["id"] for key in api.admin("GET", f"/accounts/{b.id}/apiKeys"))]
    return got


def test_no_id_of_another_account_answers(world):
    b, given = world.ids[MARK], bodies(world)
    before = snapshot(world)
    wrong = []
    for operation in world.operations:
        method, path, _ = operation
        least = LEAST.get((method, path))
        kinds = [path.split("/")[i - 1] for i, s in enumerate(path.split("/")) if s.startswith("{")]
        if not kinds or least in (None, OPEN, ADMINISTRATOR) or set(kinds) & SHARED:
            continue
        unknown = [kind for kind in kinds if kind not in b]
        assert not unknown, f"{path}: which id of account B belongs to {unknown}?"
        if any(b[kind] is None for kind in kinds):
            continue
        target = fill_path(world, path, lambda kind: b[kind])
        nowhere = fill_path(world, path, NOBODY)
        body = given.get((method, path), body_for(operation))
        for tokens in (world.a.users, world.a.keys):
            for role in ROLES:
                status, text = ask(world, method, target, tokens[role], body)
                told = text
                for named in kinds:  # what was asked for may be named again
                    told = told.replace(str(b[named]), "")
                if MARK in told or B_DEVICE in told:
                    wrong.append((method, path, role, "tells of B", text[:300]))
                if "devices" in kinds:  # a device belongs to no account: nothing of the other one's may show
                    continue
                if status == 404:
                    continue
                forbidden = not path.startswith("/iot-admin") and ROLES.index(role) < ROLES.index(least)
                if status == 403 and forbidden:
                    continue
                # A body that is refused before anything is looked up tells nothing: the same as where nothing is.
                same = ask(world, method, nowhere, tokens[role], body)
                if status == 400 and same[0] == 400 and (method, path) not in given:
                    continue
                wrong.append((method, path, role, status, text[:200]))
        # A's own account with B's members, keys and binders.
        if kinds[0] == "accounts" and len(kinds) > 1:
            mixed = fill_path(world, path, lambda kind: b[kind], world.a.id)
            status, text = ask(world, method, mixed, world.a.users[OWNER], body)
            if status != 404:
                wrong.append((method, mixed, OWNER, status, text[:200]))
    assert wrong == []
    assert snapshot(world) == before


def test_no_list_of_one_account_shows_another(world):
    b = world.ids[MARK]
    marks = [MARK, B_DEVICE, b["binders"], world.b.id, b["apiKeys"], b["members"]]
    asked = {"connectionId": b["connections"], "q_connectionId": b["connections"], "flowId": b["flows"], "deviceEui": B_DEVICE,
             "devEUI": B_DEVICE, "DevEUI": B_DEVICE, "q": MARK, "account": world.b.id, "accountId": world.b.id, "driverId": b["drivers"]}
    wrong = []
    for method, path, operation in world.operations:
        if method != "GET" or LEAST.get((method, path)) == OPEN:
            continue
        target = fill_path(world, path, NOBODY, world.a.id)
        names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter.get("in") == "query"]
        queries = [""] + [f"?{name}={urllib.parse.quote(asked[name])}" for name in names if name in asked]
        queries += [f"?{name}={urllib.parse.quote(asked[name])}" for name in ("account", "accountId")]
        for query in queries:
            for role in (ROLES[0], OWNER):
                _, text = ask(world, method, target + query, world.a.users[role])
                seen = [mark for mark in marks if mark in text and mark not in query and mark not in target]
                if seen:
                    wrong.append((path, query, role, seen, text[:300]))
    assert wrong == []
    # B sees itself, so that the marks are the right ones.
    assert MARK in json.dumps(world.b.api.get("/connections")) and MARK in json.dumps(world.b.api.get("/binders"))


def test_no_body_reaches_into_another_account(world):
    b, api = world.ids[MARK], world.a.api
    stolen = [{"id": "actility-http-iot", "connectionId": b["connections"]}]
    flow = {"name": "mine", "matchers": [], "connectors": stolen}
    status, text = ask(world, "POST", "/iot-flow/v1/flows", world.a.users[OWNER], json.dumps(flow))
    assert status in (400, 404), text
    own = world.ids["aardvark"]["flows"]
    status, text = ask(world, "PATCH", f"/iot-flow/v1/flows/{own}", world.a.users[OWNER], json.dumps({"connectors": stolen}))
    assert status in (400, 404), text
    copy = {"duplicateOf": b["drivers"], "name": "copy", "moduleId": "copy"}
    status, text = ask(world, "POST", "/iot-flow/v1/drivers", world.a.users[OWNER], json.dumps(copy))
    assert status in (400, 404), text
    decode = {"direction": "uplink", "meta": {"lorawan": {"fPort": 2}, "driverId": b["drivers"]}, "raw": {"binary": "00"}}
    status, text = ask(world, "POST", "/iot-flow/v1/decode", world.a.users[OWNER], json.dumps(decode))
    assert status in (400, 404) and "temperature" not in text, text
    if "/iot-flow/v1/connections/test" in world.paths:
        status, text = ask(world, "POST", "/iot-flow/v1/connections/test", world.a.users[OWNER], json.dumps({"id": b["connections"]}))
        assert status == 404, text
    assert api.get("/flows")[0]["connectors"][0]["connectionId"] == world.ids["aardvark"]["connections"]


def test_no_stream_of_one_account_shows_another(world):
    streams = [path for method, path, operation in world.operations if method == "GET" and
               any("text/event-stream" in answer.get("content", {}) for answer in operation["responses"].values())]
    a = world.ids["aardvark"]
    for path in streams:
        for query in ("", "?deviceEui=" + B_DEVICE, "?connectionId=" + world.ids[MARK]["connections"]):
            target = fill_path(world, path, lambda kind: a.get(kind, NOBODY)) + query
            got = []

            def read(target=target, got=got):
                connection = http.client.HTTPConnection("127.0.0.1", world.sluice.port, timeout=3)
                connection.request("GET", target, headers={"Authorization": "Bearer " + world.a.users[OWNER]})
                try:
                    answer = connection.getresponse()
                    while piece := answer.read1(65536):
                        got.append(piece.decode(errors="replace"))
                except TimeoutError:
                    pass
                finally:
                    connection.close()
            reader = threading.Thread(target=read)
            reader.start()
            time.sleep(0.3)
            world.ids[MARK]["device"].send()
            world.b.api.patch(f"/connections/{world.ids[MARK]['connections']}", {"description": MARK + query})
            a["device"].send()
            reader.join(15)
            text = "".join(got).replace(B_DEVICE, "", 1) if query else "".join(got)
            assert MARK not in text and not re.search(B_DEVICE, text, re.IGNORECASE), (target, text[:500])
