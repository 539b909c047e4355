# SPDX-License-Identifier: Apache-2.0
"""Tokens, foreign issuers, login limits and the audit, against a running server."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from lib import kit

jwt = pytest.importorskip("jwt", reason="PyJWT makes the tokens of the issuer")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402


class Issuer:
    """An OpenID Connect issuer: discovery and keys over HTTPS, tokens made here."""

    def __init__(self, certificates):
        self.keys = {}
        self.fetches = 0
        self.broken = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.fetches += 1
                document = {"/.well-known/openid-configuration": {"issuer": outer.url, "jwks_uri": outer.url + "/keys"},
                            "/keys": {"keys": [outer.jwk(name) for name in outer.keys]}}.get(self.path)
                body = json.dumps(document).encode()
                self.send_response(500 if outer.broken or document is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name, algorithm):
        make = {"RS256": lambda: rsa.generate_private_key(65537, 2048), "PS256": lambda: rsa.generate_private_key(65537, 2048),
                "ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate,
                "weak": lambda: rsa.generate_private_key(65537, 1024)}
        self.keys[name] = (make[algorithm](), "RS256" if algorithm == "weak" else algorithm)
        return self

    def jwk(self, name):
        key, algorithm = self.keys[name]
        public = key.public_key()

        def text(number, size=None):
            size = size or (number.bit_length() + 7) // 8
            return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()
        head = {"kid": name, "use": "sig"}
        if algorithm in ("RS256", "PS256"):
            numbers = public.public_numbers()
            return {**head, "kty": "RSA", "n": text(numbers.n), "e": text(numbers.e)}
        if algorithm == "ES256":
            numbers = public.public_numbers()
            return {**head, "kty": "EC", "crv": "P-256", "x": text(numbers.x, 32), "y": text(numbers.y, 32)}
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {**head, "kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}

    def token(self, name, algorithm=None, key=None, headers=None, **claims):
        now = int(time.time())
        body = {"iss": self.url, "aud": "sluice-test", "sub": "u1", "email": "Ann@Example.com", "iat": now, "exp": now + 300, **claims}
        body = {claim: value for claim, value in body.items() if value is not None}
        own, its = self.keys[name]
        return jwt.encode(body, key if key is not None else own, algorithm or its, {"kid": name, **(headers or {})})

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def issuer(certificates, ends):
    return ends(Issuer(certificates).add("rsa", "RS256"))


@pytest.fixture
def trusting(tmp_path, issuer, certificates, ends):
    """A server that lets the issuer's users in, with ann@example.com as a Writer of account 1."""
    config = tmp_path / "sluice.yaml"
    config.write_text(f"access:\n  administrators: [ops@example.com]\n  trustedProxies: [127.0.0.1]\n  issuers:\n"
                      f"    - issuer: {issuer.url}\n      audience: sluice-test\n      caFile: {certificates.path('ca.pem')}\n")
    sluice = ends(kit.Sluice(tmp_path / "sluice", options=["--config", config]))
    api = sluice.api()
    api.admin("POST", "/accounts/1/members", {"login": "ann@example.com", "role": "Writer"})
    return sluice, api


def status(api, token, path="/connections", method="GET", **headers):
    return api.raw(method, api.url + path, headers={"Authorization": "Bearer " + token, **headers})[0]


def test_tokens_of_an_issuer_are_let_in(trusting, issuer):
    sluice, api = trusting
    for name, algorithm in (("ps", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")):
        issuer.add(name, algorithm)
    for name in issuer.keys:
        assert status(api, issuer.token(name)) == 200, name
    assert issuer.fetches == 2  # the configuration and the keys, once for all of them
    token = issuer.token("rsa")
    me = json.loads(api.raw("GET", sluice.url + "/iot-admin/v1/users/me", headers={"Authorization": "Bearer " + token})[1])
    assert (me["login"], me["role"], me["accountId"]) == ("ann@example.com", "Writer", "1")
    assert status(api, token, "/binders") == 403
    # A list of audiences, a fraction of a second, a little skew.
    assert status(api, issuer.token("rsa", aud=["x", "sluice-test"], exp=time.time() + 30.5, nbf=time.time() + 30)) == 200
    # The account is chosen by a header; one that is not the user's is refused.
    other = api.admin("POST", "/accounts", {"name": "other", "type": "organization", "owner": "ann@example.com"})
    assert status(api, token, "/binders", **{"X-Account-Id": other["id"]}) == 200
    foreign = api.admin("POST", "/accounts", {"name": "foreign", "type": "organization"})
    assert status(api, token, **{"X-Account-Id": foreign["id"]}) == 401
    # Removed, it is out at once.
    for member in api.admin("GET", "/accounts/1/members"):
        if member["login"] == "ann@example.com":
            api.admin("DELETE", f"/accounts/1/members/{member['id']}")
    assert status(api, token, **{"X-Account-Id": "1"}) == 401


def test_everything_else_is_refused(trusting, issuer):
    sluice, api = trusting
    issuer.add("ec", "ES256")
    issuer.add("weak", "weak")
    assert status(api, issuer.token("rsa")) == 200
    now = int(time.time())
    stranger = rsa.generate_private_key(65537, 2048)
    public = issuer.keys["rsa"][0].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = issuer.token("rsa")
    head, body, signature = good.split(".")

    def crafted(header, with_signature=signature):
        return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + "." + body + "." + with_signature
    import hashlib
    import hmac
    confused = crafted({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, "")
    mac = hmac.new(public, confused.rstrip(".").encode(), hashlib.sha256).digest()
    refused = {
        "over": issuer.token("rsa", exp=now - 61), "no end": issuer.token("rsa", exp=None),
        "not yet": issuer.token("rsa", nbf=now + 120), "issued later": issuer.token("rsa", iat=now + 120),
        "another audience": issuer.token("rsa", aud="other"), "no audience": issuer.token("rsa", aud=None),
        "another issuer": issuer.token("rsa", iss="https://evil.example"), "no issuer": issuer.token("rsa", iss=None),
        "another key": issuer.token("rsa", key=stranger), "another key of the set": issuer.token("ec", headers={"kid": "rsa"}),
        "an unknown key": issuer.token("rsa", key=stranger, headers={"kid": "nowhere"}),
        "a short key": issuer.token("weak"), "unverified": issuer.token("rsa", email_verified=False),
        "no login": issuer.token("rsa", email=None), "nobody here": issuer.token("rsa", email="bob@example.com"),
        "admin": issuer.token("rsa", email="admin"), "none": crafted({"alg": "none", "kid": "rsa"}, ""),
        "none with a signature": crafted({"alg": "none", "kid": "rsa"}),
        "HS256 with the public key": confused + base64.urlsafe_b64encode(mac).rstrip(b"=").decode(),
        "another algorithm": crafted({"alg": "PS256", "kid": "rsa"}), "critical": issuer.token("rsa", headers={"crit": ["x"], "x": 1}),
        "cut": good[:-5], "changed": head + "." + body[:-4] + "AAAA." + signature,
    }
    assert {why: status(api, token) for why, token in refused.items() if status(api, token) != 401} == {}
    assert status(api, good) == 200
    # Made-up key ids cost the issuer nothing: one fetch in 30 s.
    before = issuer.fetches
    for i in range(20):
        assert status(api, issuer.token("rsa", key=stranger, headers={"kid": f"made-up-{i}"})) == 401
    assert issuer.fetches <= before + 2
    assert "Traceback" not in sluice.process.text()


def test_an_issuer_that_is_away_lets_nobody_in_and_blocks_nothing(trusting, issuer):
    sluice, api = trusting
    issuer.broken = True
    assert status(api, issuer.token("rsa")) == 401
    begun = time.monotonic()
    assert status(api, issuer.token("rsa")) == 401 and api.get("/connections") == []
    assert time.monotonic() - begun < 3
    assert "cannot be fetched" in sluice.process.text()


def test_login_failures_are_limited_by_client_and_by_address(trusting):
    sluice, api = trusting

    def attempt(client, address, secret="wrong"):
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": client, "client_secret": secret}).encode()
        got = api.with_token(None).raw("POST", api.url + "/oauth/token", form,
                                       {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address})
        return got[0], got[2]
    for i in range(10):
        assert attempt("ann@example.com", f"198.51.100.{i}")[0] == 401
    refused, headers = attempt("community-api/ANN@example.com", "198.51.100.77")
    assert refused == 429 and 0 < int(headers["Retry-After"]) <= 300
    for i in range(10):
        assert attempt(f"somebody-{i}", "203.0.113.5")[0] == 401
    assert attempt("admin", "203.0.113.5", sluice.secret)[0] == 429
    assert attempt("admin", "203.0.113.6", sluice.secret)[0] == 200
    events = api.get("/events?code=audit-6008")
    assert {"ann@example.com"} <= {event["data"]["user"] for event in events}
    assert "203.0.113.5" in {event["data"]["address"] for event in events}


def test_changes_are_in_the_events_with_who_what_and_from_where(trusting, broker):
    sluice, api = trusting
    key = api.admin("POST", "/accounts/1/apiKeys", {"name": "robot", "role": "Owner"})
    robot = kit.Api(sluice.url, key["clientSecret"], key["clientId"])
    mqtt = kit.make_mqtt(robot, broker.port, password="planted-Zq81")
    robot.patch(f"/connections/{mqtt['id']}", {"name": "renamed"})
    robot.post(f"/connections/{mqtt['id']}/restart")
    flow = kit.make_flow(robot, [mqtt])
    robot.delete(f"/flows/{flow['id']}")
    told = [(event["data"]["action"], event["data"]["user"]) for event in reversed(api.get(f"/events?code=audit-6001"))]
    assert told == [("created", key["clientId"]), ("changed", key["clientId"]), ("restart", key["clientId"])]
    assert [event["data"]["action"] for event in api.get(f"/events?code=audit-6002&flowId={flow['id']}")] == ["deleted", "created"]
    assert all(event["data"]["address"] == "127.0.0.1" for event in api.get("/events?q=audit-600"))
    assert len(api.get(f"/events?q_connectionId={mqtt['id']}&q=audit-6001")) == 3
    act = api.admin("POST", "/impersonationTokens", {"login": "ann@example.com", "accountId": "1"})
    ann = api.with_token(act["access_token"])
    ann.patch(f"/connections/{mqtt['id']}", {"name": "by ann"})
    last = api.get("/events?code=audit-6001")[0]["data"]
    assert (last["user"], last["impersonatedBy"]) == ("ann@example.com", "admin")
    assert api.get("/events?code=audit-6009")[0]["data"]["login"] == "ann@example.com"
    text = json.dumps(api.get("/events?level=debug")) + sluice.process.text().replace(sluice.secret, "", 1)
    for secret in ("planted-Zq81", key["clientSecret"], act["access_token"], api.token):
        assert secret not in text
    assert "by " + key["clientId"] in sluice.process.text()


def test_settings_that_are_wrong_are_named(tmp_path):
    for text, named in (("access:\n  issuers:\n    - issuer: http://idp.example\n      audience: x\n", "issuer: takes an https URL"),
                        ("access:\n  issuers:\n    - issuer: https://idp.example\n", "needs issuer and audience"),
                        ("access:\n  trustedProxies: [nonsense]\n", "access.trustedProxies"),
                        ("access:\n  nothing: 1\n", "access.nothing: there is no such setting")):
        config = tmp_path / "config.yaml"
        config.write_text(text)
        done = subprocess.run([kit.BINARY, "serve", "--config", config, "--data", tmp_path / "data"], capture_output=True, text=True, timeout=30,
                              env=dict(os.environ))
        assert done.returncode == 1 and named in done.stderr, done.stderr
