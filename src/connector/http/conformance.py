# SPDX-License-Identifier: Apache-2.0
"""HTTP's peers for the conformance kit: a server that answers as it is told."""
import json
import re
import threading
import urllib.parse

from conformance.peer import Arrived, Peer
from lib import kit

SECRET = "s3cr3t-of-the-endpoint"


class Http(Peer):
    name = "http"
    connector_id = "actility-http-iot"
    fast = True
    size_limit = 60000
    without = {"rival": "HTTP clients have no ids", "command": "commands come by the connection's URL, not by the transport"}
    verdicts = {404: "message"}  # strictMode off: what the endpoint refuses goes to the dead letters
    strict = False

    def __init__(self, directory, certificates):
        super().__init__(directory, certificates)
        self.taken = []
        self.lock = threading.Lock()
        self.well()
        self.server = kit.HttpCapture(self._answer, tls=certificates if self.tls else None, clients=self.tls)
        self.port = self.server.port

    def well(self):
        self.token, self.allowed, self.refused_device = SECRET, True, None
        self.scripted, self.status, self.left, self.status_headers = False, 200, None, {}

    def _answer(self, request):
        with self.lock:
            if request["headers"].get("Authorization") != "Bearer " + self.token:
                return 401
            if not self.allowed:
                return 403
            if self.scripted and self.left != 0:
                if self.left is not None:
                    self.left -= 1
                return self.status, "", self.status_headers
            if len(request["body"]) > self.size_limit:
                return 413
            if self.refused_device and self.refused_device in request["body"]:
                return 422, '{"error":"this device is not ours"}'
            headers = {name: text for name, text in request["headers"].items() if name.startswith("X-")}
            self.taken.append(Arrived(request["body"].encode(), request["path"], headers))
            return 200

    def body(self, host, port, name="conformance", **configuration):
        scheme = "https" if self.tls else "http"
        given = {"destinationURL": f"{scheme}://{host}:{port}/in", "headers": {"Authorization": "Bearer " + SECRET},
                 "strictMode": self.strict, "timeout": 2000}
        if self.tls:
            given.update({"trustedCaCertificate": self.certificates.text("ca.pem"),
                          "certificate": self.certificates.text("client.pem"), "privateKey": self.certificates.text("client.key")})
        self.origin = f"{scheme}://{host}:{port}"
        given.update(configuration)
        return {"connectorId": self.connector_id, "name": name, "configuration": given}

    def received(self):
        with self.lock:
            return list(self.taken)

    def in_place(self, expression):
        return {"destinationURL": f"{self.origin}/in/{expression}/end?before=1&value={expression}&after=2",
                "headers": {"Authorization": "Bearer " + SECRET, "X-Value": f"<{expression}>"}}

    def shape(self, arrived):
        parts = urllib.parse.urlsplit(arrived.place)
        path = re.sub(r"(?i)%2e", ".", parts.path)  # some servers decode dots before they look at the path
        assert not any(segment in (".", "..") for segment in path.split("/")), arrived.place
        assert arrived.headers["X-Value"][0] == "<" and arrived.headers["X-Value"][-1] == ">", arrived.headers
        names = [name for name, _ in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)]
        return path.count("/"), tuple(names), bool(parts.fragment), tuple(sorted(arrived.headers))

    def wrong_secret(self):
        return {"headers": {"Authorization": "Bearer wrong-" + SECRET}}

    def revoke(self):
        self.token = "another-one"

    def deny_publish(self):
        self.allowed = False

    def refuse_message(self, dev_eui):
        self.refused_device = json.dumps(dev_eui)

    def answer(self, status, headers=None, count=None):
        with self.lock:
            self.scripted, self.status, self.left, self.status_headers = True, status, count, headers or {}

    def renew(self):
        self.token = "renewed-" + SECRET
        return {"headers": {"Authorization": "Bearer renewed-" + SECRET}}

    def stop(self):
        self.server.stop()


class HttpStrict(Http):
    name = "http-strict"
    fast = False
    strict = True
    # Any answer but 2xx closes the connection, and the message is the first one after reopening.
    verdicts = {status: "reopen" for status in (400, 408, 413, 429, 500, 503)}
    without = {**Http.without, "one_of_a_batch": "strictMode gives no message up: what is refused comes again first",
               "size_limit": "strictMode gives no message up: what is refused comes again first"}


class Https(Http):
    name = "https"
    fast = True
    tls = True
    fast_scenarios = {"tls_expired", "tls_wrong_host", "tls_unknown_ca", "wrong_password", "renewed", "cut_half_way"}

    def wrong_secret(self):
        """A client certificate of an authority that the server does not know."""
        return {"certificate": self.certificates.text("stranger-client.pem"),
                "privateKey": self.certificates.text("stranger-client.key")}


PEERS = [Http, HttpStrict, Https]
