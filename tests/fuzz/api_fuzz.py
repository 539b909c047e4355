#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the whole REST API from its contract: api_fuzz.py [--minutes M] [--seed N]

For every operation of the contract that the server serves, new ones included, it makes requests that are right, nearly right
(a type changed, a member missing or too many, null, bounds, huge, odd Unicode) or wrong (media type, method, token, JSON), by
each role, and with the ids that earlier requests created. Each answer must be in the contract, in status, media type and
body; none may be a 5xx, the server must stay alive, and its memory bounded. The same seed asks in the same order.

What is left out, and what is allowed, stands in LEFT_OUT, ALLOWED_5XX and RARE.
"""
import argparse
import base64
import collections
import copy
import http.client
import json
import pathlib
import random
import re
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import contract, kit  # noqa: E402

# Not asked at all, with the reason.
LEFT_OUT = {}
# Told by a peer of ours, not by us: the network server of a downlink that cannot be reached (spec api.md 12).
ALLOWED_5XX = {502, 504}
# Asked at most so often a run: ten wrong secrets in five minutes lock the address (spec api.md 2), which is as it should be.
RARE = {"/iot-flow/v1/oauth/token": 4, "/iot-flow/v1/oauth/tokenSwagger": 3}
MOST_MEMORY_MB = 1024
MOST_OF_A_KIND = 60  # resources kept of a kind; more are deleted again

DRIVER = "function decodeUplink(input) { return {data: {n: input.bytes.length}}; }"
UPLINK = {"DevEUI_uplink": {"Time": "2023-03-01T00:00:11.013+01:00", "DevEUI": "402C765000000074", "FPort": 2, "FCntUp": 53,
                            "payload_hex": "02300040a0", "LrrRSSI": -83.0, "payload": {"a": {"b": 1}}}}
ODD_TEXTS = ["", " ", "a", "null", "0", "-1", "é漢字🙂", "\u0000", "\u202e", "\ud800", "../../etc/passwd", "%00", "'; DROP TABLE x;--",
             "<script>", "{DevEUI}", "x" * 300, "x" * 70000, "*****", "2024-02-30T25:61:00Z", "lora:0018b20000000b20", "1e999"]
ODD_VALUES = [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -2**63, 1.5, 1e308, 0.0, [], {}, [[]], [None], {"": None}, [{}] * 200]
ODD_JSON = [b"", b"{", b"[", b"nul", b"\"\xff\"", b"{\"a\":1,\"a\":2}", b"[" * 100, b"[" * 100000, b"{\"a\":" * 70 + b"1" + b"}" * 70,
            b"1e999999", b"\xef\xbb\xbf{}", b"\x00", b"{} x"]


class Found(Exception):
    """What the fuzz is for."""


class World:
    """One server with what has been made on it."""

    def __init__(self, random_, base, number):
        self.random = random_
        self.sluice = kit.Sluice(base / f"world-{number}", env={"SLUICE_LOG_LEVEL": "warn"})
        try:
            self.contract = contract.Contract.of(self.sluice.url)
            admin = self.sluice.api()
            self.tokens = {"Owner": admin.token}
            self.ids = collections.defaultdict(list)  # path of the collection -> ids
            self.connection = http.client.HTTPConnection("127.0.0.1", self.sluice.port, timeout=40)
            self.give_roles()
        except BaseException:
            self.sluice.stop()  # nobody else knows of it yet
            raise

    def lives(self, role):
        """Whether the role's token still opens the account: the fuzz ends tokens, deletes keys and accounts."""
        status, _, _ = self.ask("GET", "/iot-flow/v1/connections?perPage=1", None,
                                {"Authorization": "Bearer " + self.tokens[role]})
        return status not in (401, 403, 404)

    def give_roles(self):
        """A key for each role that has none which works. The owner's token must."""
        token = self.tokens["Owner"]
        account = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["account"]
        path = f"/iot-admin/v1/accounts/{account}/apiKeys"
        for role in ("Reader", "Writer", "Controller"):
            if role in self.tokens and self.lives(role):
                continue
            status, text, _ = self.ask("POST", path, json.dumps({"name": role, "role": role}).encode(),
                                       {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
            if status != 201:
                raise Found(f"no key for a {role}: {status} {text}")
            key = json.loads(text)
            self.tokens[role] = self.log_in(key)

    def log_in(self, key):
        """A key's token. What was made up before may have used up the tries of this address: that ends after a while."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": key["clientId"],
                                       "client_secret": key["clientSecret"]}).encode()
        for _ in range(60):
            status, text, headers = self.ask("POST", "/iot-flow/v1/oauth/token", form,
                                             {"Content-Type": "application/x-www-form-urlencoded"})
            if status == 200:
                return json.loads(text)["access_token"]
            if status not in (429, None):
                raise Found(f"a new key does not log in: {status} {text}")
            time.sleep(min(30, int(headers.get("Retry-After") or 1)))
        raise Found("logins are refused for longer than half an hour")

    def ask(self, method, target, body, headers, stream=False):
        try:
            self.connection.request(method, target, body=body, headers=headers)
            answer = self.connection.getresponse()
            if stream and (answer.getheader("Content-Type") or "").startswith("text/event-stream"):
                self.connection.close()
                self.connection = http.client.HTTPConnection("127.0.0.1", self.sluice.port, timeout=40)
                return answer.status, None, answer.headers
            text = answer.read().decode(errors="replace")
            return answer.status, text, answer.headers
        except (http.client.HTTPException, ConnectionError):
            # The server may close after what is no HTTP; whether it is alive is looked at by itself.
            self.connection.close()
            self.connection = http.client.HTTPConnection("127.0.0.1", self.sluice.port, timeout=40)
            return None, "", {}

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.sluice.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def stop(self):
        self.connection.close()
        self.sluice.stop()


class Maker:
    """Values by schema, and what is nearly such a value."""

    def __init__(self, random_, contract_, world):
        self.random, self.contract, self.world = random_, contract_, world

    def text(self, schema):
        r = self.random
        if "enum" in schema:
            return r.choice(schema["enum"])
        if "example" in schema and r.random() < 0.6:
            return schema["example"]
        form = schema.get("format")
        if form == "date-time":
            return r.choice(["2024-05-02T08:15:22.118+02:00", "2024-05-02T08:15:22Z", "1970-01-01T00:00:00Z"])
        if form == "byte":
            return base64.b64encode(r.choice([DRIVER, "", "x("]).encode()).decode()
        if form == "uri":
            return r.choice(["https://example.com/a", "http://127.0.0.1:1/"])
        return r.choice(["a", "name", "1", "5m", "0018B20000000B20", "actility:auto:1", "é漢"])

    def value(self, schema, depth=0):
        r = self.random
        schema = self.contract.resolve(schema or {})
        for several in ("oneOf", "anyOf"):
            if several in schema:
                return self.value(r.choice(schema[several]), depth)
        if "allOf" in schema:
            merged = {}
            for part in schema["allOf"]:
                got = self.value(part, depth)
                if isinstance(got, dict):
                    merged.update(got)
            return merged
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = r.choice(kind)
        if kind is None and "properties" in schema:
            kind = "object"
        if "enum" in schema and kind != "string":
            return r.choice(schema["enum"])
        if kind == "string":
            return self.text(schema)
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", -5), schema.get("maximum", 1000)
            return r.choice([low, high, r.randint(int(low), max(int(low), int(min(high, 2**31)))), schema.get("default", low)])
        if kind == "boolean":
            return r.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            return [self.value(schema.get("items"), depth + 1) for _ in range(r.choice([0, 1, 1, 2]) if depth < 5 else 0)]
        if kind == "object":
            made, required = {}, schema.get("required", [])
            for name, part in schema.get("properties", {}).items():
                if name in required or (depth < 5 and r.random() < 0.5):
                    made[name] = self.value(part, depth + 1)
            return made
        return r.choice([1, "a", {}, []])

    def mutated(self, value):
        """The value with one or a few places changed."""
        r = self.random
        value = json.loads(json.dumps(value))
        for _ in range(r.choice([1, 1, 1, 2, 4])):
            places = []

            def walk(node):
                if isinstance(node, dict):
                    for key in node:
                        places.append((node, key))
                        walk(node[key])
                elif isinstance(node, list):
                    for index in range(len(node)):
                        places.append((node, index))
                        walk(node[index])
            walk(value)
            if not places or r.random() < 0.05:
                value = copy.deepcopy(r.choice(ODD_VALUES))
                continue
            parent, key = r.choice(places)
            act = r.random()
            if act < 0.2 and isinstance(parent, dict):
                del parent[key]
            elif act < 0.35 and isinstance(parent, dict):
                parent[r.choice(["extra", "id", "state", "", "__proto__", "é"])] = copy.deepcopy(r.choice(ODD_VALUES))
            elif act < 0.65:
                parent[key] = r.choice(ODD_TEXTS)
            else:
                parent[key] = copy.deepcopy(r.choice(ODD_VALUES))
        return value

    def seed(self, method, template):
        """A body known to be right, where its schema alone would hardly give one."""
        r = self.random
        ids = self.world.ids
        if template.endswith("/connections") or template.endswith("/connections/{id}") or template.endswith("/connections/test"):
            if method == "PATCH":
                return r.choice([{"name": "patched"}, {"configuration": {"description": None}}, {"active": False}])
            mqtt = {"connectorId": "actility-mqtt-iot", "name": "fuzz", "active": r.random() < 0.3,
                    "configuration": {"hostName": "127.0.0.1:1", "protocol": "TCP", "uplinkTopicPattern": "f/{DevEUI}/up",
                                      "downlinkTopicPattern": "f/{DevEUI}/down", "password": "secret-word"},
                    "upOperations": r.choice([[], [{"type": "callProcessor", "id": "MESSAGE_FLATTENER"}]])}
            web = {"connectorId": "actility-http-iot", "active": r.random() < 0.3,
                   "configuration": {"destinationURL": "http://127.0.0.1:1/x", "headers": {"Authorization": "secret"}}}
            return r.choice([mqtt, web])
        if template.endswith("/flows") or template.endswith("/flows/{id}"):
            connection = r.choice(ids["/iot-flow/v1/connections"] or ["1"])
            return {"name": "fuzz", "driver": {"id": "actility:auto:1"},
                    "matchers": [{"type": "key", "key": "lora:%016x" % r.getrandbits(64)}],
                    "connectors": [{"id": r.choice(["actility-mqtt-iot", "actility-http-iot"]), "connectionId": connection}]}
        if template.endswith("/drivers") or template.endswith("/drivers/{driverId}"):
            if method == "PATCH":
                return r.choice([{"description": "patched"}, {"code": base64.b64encode(DRIVER.encode()).decode()}])
            return {"name": "fuzz", "type": "thingpark-x-js", "moduleId": "m%d" % r.getrandbits(16), "version": "1.0.0",
                    "application": {"producerId": "p", "moduleId": "m", "version": "1"},
                    "code": base64.b64encode(DRIVER.encode()).decode()}
        if template.endswith("/binders") or template.endswith("/binders/{id}"):
            return {"type": "thingpark", "name": "fuzz", "asId": "fuzz", "asKey": "%032x" % r.getrandbits(128),
                    "downlinkUrl": "http://127.0.0.1:1/"}
        if template.endswith("/processor/execute"):
            return {"upOperations": [{"type": "callProcessor", "id": r.choice(["MESSAGE_FLATTENER", "MESSAGE_SIMPLIFIER"])}],
                    "uplink": UPLINK}
        if "/tunnel/" in template:
            return UPLINK
        if template.endswith("/downlinks") or "/downlinkMessages/" in template:
            return {"DevEUI_downlink": {"DevEUI": "402C765000000074", "FPort": 1, "payload_hex": "00"}}
        if re.search(r"/(de|en)code(/code)?$", template):
            body = {"direction": "uplink", "meta": {"lorawan": {"fPort": 2}}, "raw": {"binary": "00ff"}, "message": {"a": 1}}
            if template.endswith("/code"):
                body.update(code=base64.b64encode(DRIVER.encode()).decode(), type="thingpark-x-js")
            else:
                body["meta"]["driverId"] = r.choice(ids["/iot-flow/v1/drivers"] or ["custom:m:1"])
            return body
        return None


class Fuzz:
    def __init__(self, seed, base):
        self.random = random.Random(seed)
        self.base, self.worlds = base, 0
        self.counts = collections.Counter()
        self.asked_rarely = collections.Counter()
        self.slowness = collections.defaultdict(float)  # operation -> share of its turns that are passed over
        self.last = collections.deque(maxlen=200)
        self.world = None
        self.renew()

    def renew(self):
        if self.world:
            self.world.stop()
        self.worlds += 1
        self.world = World(self.random, self.base, self.worlds)
        self.maker = Maker(self.random, self.world.contract, self.world)
        self.operations = []
        for template, item in self.world.contract.document["paths"].items():
            for method, operation in item.items():
                if method in ("get", "put", "post", "patch", "delete") and (method.upper(), template) not in LEFT_OUT:
                    self.operations.append((method.upper(), template, item, operation))

    def path_of(self, template):
        def fill(match):
            prefix = template[:match.start()].rstrip("/")
            known = self.world.ids[prefix]
            if known and self.random.random() < 0.85:
                return urllib.parse.quote(str(self.random.choice(known)), safe="")
            odd = self.random.choice(["1", "999999", "nobody", "a%2Fb", "%00", "%ff", "-1", "99999999999999999999", "402C765000000074",
                                      "x" * 500, "%E2%82%AC", "00000000-0000-4000-8000-000000000000"])
            return odd
        return re.sub(r"\{[^}]+\}", fill, template)

    def query_of(self, item, operation):
        pairs = []
        for parameter in item.get("parameters", []) + operation.get("parameters", []):
            parameter = self.world.contract.resolve(parameter)
            if parameter.get("in") != "query" or self.random.random() > (0.9 if parameter.get("required") else 0.3):
                continue
            if self.random.random() < 0.6:
                value = self.maker.value(parameter.get("schema", {}))
                value = str(value).lower() if isinstance(value, bool) else str(value)
            else:
                value = self.random.choice([text for text in ODD_TEXTS if len(text) < 1000])
            pairs.append((parameter["name"], value))
        text = "&".join(f"{urllib.parse.quote(name)}={urllib.parse.quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs)
        if self.random.random() < 0.03:
            text += self.random.choice(["&", "&&=", "=x", "%zz=%", "page=1&page=2", "perPage=0", "page=-1"])
        return "?" + text if text else ""

    def body_of(self, method, template, operation):
        r = self.random
        content = (operation.get("requestBody") or {}).get("content", {})
        if not content:
            return (r.choice([b"", b"{}", b"x" * 1000]), {"Content-Type": "application/json"}) if r.random() < 0.1 else (None, {})
        kind = r.choice(list(content))
        if kind == "application/x-www-form-urlencoded":
            form = {"grant_type": r.choice(["client_credentials", "password", ""]), "client_id": "nobody-%d" % r.getrandbits(30),
                    "client_secret": r.choice(ODD_TEXTS[:12])}
            return urllib.parse.urlencode(form, errors="replace").encode(), {"Content-Type": kind}
        roll = r.random()
        value = self.maker.seed(method, template) if r.random() < 0.7 else None
        if value is None:
            value = self.maker.value(content[kind].get("schema", {}))
        if roll < 0.35:
            pass
        elif roll < 0.9:
            value = self.maker.mutated(value)
        else:
            return r.choice(ODD_JSON), {"Content-Type": kind}
        body = json.dumps(value, ensure_ascii=r.random() < 0.5).encode("utf-8", "surrogatepass")
        if r.random() < 0.04:
            kind = r.choice(["text/xml", "application/json; charset=utf-16", "multipart/form-data", "", "application/octet-stream"])
        if r.random() < 0.002:
            body += b" " * (6 << 20)
        return body, {"Content-Type": kind}

    def step(self):
        r = self.random
        method, template, item, operation = r.choice(self.operations)
        if template in RARE:
            if self.asked_rarely[template] >= RARE[template]:
                return
            self.asked_rarely[template] += 1
        if r.random() < self.slowness[(method, template)]:
            return
        if method == "DELETE" and r.random() < 0.5:
            collection = template[:template.rfind("/{")]
            if len(self.world.ids[collection]) < MOST_OF_A_KIND:
                return
        path = self.path_of(template)
        body, headers = self.body_of(method, template, operation)
        query = self.query_of(item, operation)
        if r.random() < 0.02:
            method = r.choice(["PUT", "PATCH", "DELETE", "POST", "HEAD", "OPTIONS", "TRACE", "BREW"])
        role = r.choice(list(self.world.tokens))
        if r.random() < 0.04:
            role = r.choice(["none", "wrong"])
        if role == "wrong":
            headers["Authorization"] = r.choice(["Bearer x", "Basic eDp5", "Bearer", "Bearer " + "a" * 5000])
        elif role != "none":
            headers["Authorization"] = "Bearer " + self.world.tokens[role]
        if r.random() < 0.05:
            headers["Accept"] = r.choice(["text/html", "application/json", "*/*", "image/png", "application/*"])
        if r.random() < 0.05:
            name = r.choice(["If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since"])
            headers[name] = r.choice(["*", '"x"', "W/\"1-2\"", "Sun, 06 Nov 1994 08:49:37 GMT", "nonsense"])
        self.send(method, path + query, body, headers, template, role)

    def send(self, method, target, body, headers, template, role):
        shown = f"{method} {target[:300]} as {role} {headers.get('Content-Type', '')} {repr((body or b'')[:1500])}"
        self.last.append(shown)
        began = time.monotonic()
        try:
            status, text, got = self.world.ask(method, target, body, headers, stream=True)
        except TimeoutError:
            raise Found("no answer in 40 s") from None
        # What waits for a peer (a downlink whose network server is not there) is asked less often, or it would eat the time.
        if time.monotonic() - began > 2:
            self.slowness[(method, template)] = 0.97
        if not self.world.sluice.process.running():
            raise Found("the server has ended: " + self.world.sluice.process.text()[-3000:])
        if status is None:
            self.counts["closed"] += 1
            # A body that is refused while it is still being sent may cost the connection; nothing else may.
            if body is not None and len(body) > 1 << 16:
                return
            raise Found("the connection was closed without an answer")
        self.counts[status] += 1
        if status >= 500 and status not in ALLOWED_5XX:
            raise Found(f"answered {status}: {text[:500]}")
        if method not in ("TRACE", "BREW"):
            try:
                self.world.contract.check(method, target, status, got, text)
            except contract.Breach as breach:
                raise Found(str(breach)) from None
        elif status not in (400, 404, 405, 413, 501):
            raise Found(f"answered {status} to an unknown method")
        self.learn(method, target, status, text)

    def learn(self, method, target, status, text):
        path = target.split("?")[0]
        if status not in (200, 201) or not text or not text.startswith(("{", "[")):
            return
        value = json.loads(text)
        for entry in (value if isinstance(value, list) else [value])[:MOST_OF_A_KIND]:
            if not isinstance(entry, dict):
                continue
            if entry.get("id") is not None and (isinstance(value, list) or method == "POST"):
                known = self.world.ids[self.world.contract.find(path)[0] or path]
                if entry["id"] not in known:
                    known.append(entry["id"])
                    del known[:-MOST_OF_A_KIND]
            for name, prefix in (("downlinkUrl", "/iot-flow/downlinkMessages"), ("uplinkUrl", "/iot-flow/tunnel")):
                if isinstance(entry.get(name), str) and prefix in entry[name]:
                    self.world.ids[prefix] = [entry[name].rsplit("/", 1)[1]]

    def run(self, minutes, every=10):
        end, look, tokens, asked = time.monotonic() + minutes * 60, time.monotonic() + every, time.monotonic() + 1, 0
        highest = 0
        while time.monotonic() < end:
            self.step()
            asked += 1
            if time.monotonic() > tokens:
                tokens = time.monotonic() + 1
                if not self.world.lives("Owner"):
                    print("   the Owner's token has ended: a new server")
                    self.renew()
                self.world.give_roles()
            if time.monotonic() > look:
                look = time.monotonic() + every
                memory = self.world.memory_mb()
                highest = max(highest, memory)
                if memory > MOST_MEMORY_MB:
                    raise Found(f"the server uses {memory} MB")
                print(f"   {int(end - time.monotonic())} s left, {asked} requests, {memory} MB", flush=True)
        return asked, highest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as base:
        fuzz = Fuzz(options.seed, pathlib.Path(base))
        try:
            asked, highest = fuzz.run(options.minutes)
        except Found as found:
            print("\n".join(list(fuzz.last)[-8:]))
            print(f"found with seed {options.seed}: {found}")
            sys.exit(1)
        finally:
            fuzz.world.stop()
        seen = {(method, template) for method, template, _ in fuzz.world.contract.seen}
        missed = sorted(f"{method} {template}" for method, template, _, _ in fuzz.operations if (method, template) not in seen)
        print(f"{asked} requests to {len(fuzz.operations)} operations in {options.minutes:g} min, seed {options.seed}: clean; "
              f"at most {highest} MB; answers {dict(sorted(fuzz.counts.items(), key=str))}")
        if fuzz.worlds == 1 and missed:
            print("not reached: " + ", ".join(missed))


if __name__ == "__main__":
    main()
