# SPDX-License-Identifier: Apache-2.0
"""The test kit: Sluice, brokers and servers as real processes on free ports. Every answer of Sluice that a test sees through
Api is held against the contract (contract.py)."""
import base64
import hashlib
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from lib import contract

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = pathlib.Path(os.environ.get("SLUICE_BINARY", ROOT / "build/release/sluice"))
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds=10, what="the condition", every=0.02):
    """What `condition` gives once it is true; fails loudly when it never is."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(every)


def port_is_open(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child whose output goes to a file, ended by its own id."""

    def __init__(self, command, log, env=None):
        self.log = pathlib.Path(log)
        self.file = open(self.log, "ab")
        self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=self.file,
                                      stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def stop(self, sign=signal.SIGTERM, seconds=15):
        if self.running():
            self.child.send_signal(sign)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(5)
                raise AssertionError(f"{self.child.args[0]} did not end within {seconds} s of {sign!r}")
            finally:
                self.file.close()
        return self.child.returncode


class ApiError(Exception):
    def __init__(self, status, body, headers):
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body, self.headers = status, body, headers


class Api:
    """The REST API with a token."""

    def __init__(self, url, secret, client_id="admin"):
        self.host = url
        self.url = url + "/iot-flow/v1"
        self.token = None
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": client_id,
                                       "client_secret": secret}).encode()
        answer = self.raw("POST", self.url + "/oauth/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self.token = json.loads(answer[1])["access_token"]

    def raw(self, method, url, body=None, headers=None):
        """(status, text, headers) of any answer."""
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", "Bearer " + self.token)
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                got = answer.status, answer.read().decode(), answer.headers
                url = answer.geturl()  # where a redirect led
        except urllib.error.HTTPError as error:
            with error:
                got = error.code, error.read().decode(errors="replace"), error.headers
        if url.startswith(self.host + "/"):
            contract.check(self.host, method, url, *got[:1], got[2], got[1])
        return got

    def call(self, method, path, body=None, headers=None, root=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})} if data is not None else headers
        status, text, got = self.raw(method, (root or self.url) + path, data, headers)
        if status >= 400:
            raise ApiError(status, text, got)
        return json.loads(text) if text else None

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, body)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def patch(self, path, body):
        return self.call("PATCH", path, body)

    def delete(self, path):
        return self.call("DELETE", path)

    def admin(self, method, path, body=None):
        """Below /iot-admin/v1."""
        return self.call(method, path, body, root=self.host + "/iot-admin/v1")

    def with_token(self, token):
        """The same API by another token."""
        other = object.__new__(Api)
        other.host, other.url, other.token = self.host, self.url, token
        return other

    def metric(self, name, **labels):
        """Sum of the series of that name with those labels, 0 where there is none."""
        _, text, _ = self.raw("GET", self.host + "/metrics")
        total = 0.0
        for line in text.splitlines():
            match = re.match(r"([a-z_0-9]+)(?:\{(.*)\})? ([0-9.eE+-]+)$", line)
            if match and match[1] == name:
                has = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if all(has.get(key) == value for key, value in labels.items()):
                    total += float(match[3])
        return total

    def wait_state(self, connection, *states, seconds=15):
        def look():
            got = self.get(f"/connections/{connection}")
            return got if got["state"] in states else None
        return wait_for(look, seconds, f"connection {connection} to be {' or '.join(states)}")


class Sluice:
    """`sluice serve` on a free port with its data below `directory`."""

    def __init__(self, directory, env=None, binary=BINARY, wrapper=(), options=()):
        self.options = list(options)
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self.binary, self.wrapper, self.env = binary, list(wrapper), env
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self, seconds=20):
        self.process = Process([*self.wrapper, self.binary, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                                *self.options],
                               self.directory / "sluice.log", self.env)

        def ready():
            assert self.process.running(), "sluice has ended: " + self.process.text()[-2000:]
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False
        wait_for(ready, seconds, "sluice to be ready")
        return self

    @property
    def secret(self):
        return (self.data / "admin-secret").read_text().strip()

    def api(self):
        return Api(self.url, self.secret)

    def stop(self, **options):
        return self.process.stop(**options)

    def kill(self):
        self.process.stop(sign=signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()


class Mosquitto:
    """An own broker. `config` are lines beside the listener's; keeps its port over restarts."""

    def __init__(self, directory, config="allow_anonymous true", port=None, listener=""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.file = self.directory / f"mosquitto-{self.port}.conf"
        self.file.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{listener}\n{config}\n"
                             "max_inflight_messages 0\nmax_queued_messages 0\n")
        self.process = None
        self.start()

    def start(self):
        self.process = Process([MOSQUITTO, "-c", self.file], self.directory / f"mosquitto-{self.port}.log")
        wait_for(lambda: port_is_open(self.port), 10, "mosquitto to listen")
        return self

    def stop(self, **options):
        return self.process.stop(**options)

    def subscribe(self, topic="#", *options):
        return Capture(self.port, topic, *options)

    def publish(self, topic, text, *options):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic, "-s", *options],
                       input=text.encode(), check=True, timeout=10)


class Capture:
    """What mosquitto_sub sees, as (topic, text)."""

    def __init__(self, port, topic="#", *options):
        self.messages = []
        self.condition = threading.Condition()
        self.ready = threading.Event()
        self.child = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic,
             "-F", "\x1e%t\x1f%p", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.ready.wait(10), "mosquitto_sub got no subscription"

    def _read(self):
        for line in self.child.stdout:
            if line.startswith("\x1e"):
                topic, _, text = line[1:].rstrip("\n").partition("\x1f")
                with self.condition:
                    self.messages.append((topic, text))
                    self.condition.notify_all()
            elif line.startswith("Subscribed"):
                self.ready.set()

    def wait(self, count=1, seconds=15):
        with self.condition:
            if not self.condition.wait_for(lambda: len(self.messages) >= count, seconds):
                raise AssertionError(f"{len(self.messages)} of {count} messages arrived in {seconds} s")
            return list(self.messages)

    def wait_where(self, test, seconds=15):
        """The first message whose JSON fits."""
        def find():
            for topic, text in self.messages:
                document = json.loads(text)
                if test(document):
                    return topic, document
            return None
        with self.condition:
            if not self.condition.wait_for(find, seconds):
                raise AssertionError(f"none of {len(self.messages)} messages fits after {seconds} s")
            return find()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(5)


class Certificates:
    """An authority, a server's certificate for localhost and 127.0.0.1, a client's; PEM files made with openssl."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Sluice test authority",
                  "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE")
        self._issue("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self._issue("client", "flow-client", "extendedKeyUsage=clientAuth")

    def _run(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True, timeout=60)

    def _issue(self, name, common_name, extension, days=30, authority="ca"):
        (self.directory / f"{name}.ext").write_text(extension + "\n")
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={common_name}", "-keyout", f"{name}.key",
                  "-out", f"{name}.csr")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                  "-CAcreateserial", "-days", str(days), "-out", f"{name}.pem", "-extfile", f"{name}.ext")

    def issue_client(self, name, common_name):
        """One more client certificate: NAME.pem and NAME.key."""
        self._issue(name, common_name, "extendedKeyUsage=clientAuth")

    def path(self, name):
        return self.directory / name

    def text(self, name):
        return self.path(name).read_text()


class HttpCapture:
    """An HTTP(S) server that keeps what it gets. `answer(request)` gives a status, (status, text) or (status, text, headers).
    `clients`: certificates of an authority's are demanded of them."""

    def __init__(self, answer=None, tls=None, clients=False):
        import http.server
        import ssl
        outer = self
        self.requests = []
        self.condition = threading.Condition()
        self.answer = answer or (lambda request: 200)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return  # cut off half way: no request
                body = body.decode()
                request = {"path": self.path, "headers": dict(self.headers.items()), "body": body, "time": time.monotonic(),
                           "peer": self.client_address}
                got = outer.answer(request)
                status, text, headers = (*got, {})[:3] if isinstance(got, tuple) else (got, "", {})
                request["status"] = status
                with outer.condition:
                    outer.requests.append(request)
                    outer.condition.notify_all()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # peers that go away are part of the tests

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.path("server.pem"), tls.path("server.key"))
            if clients:
                context.load_verify_locations(tls.path("ca.pem"))
                context.verify_mode = ssl.CERT_REQUIRED
            # The handshake in the thread that serves the client: one that hangs must not keep the others out.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count=1, seconds=15):
        with self.condition:
            if not self.condition.wait_for(lambda: len(self.requests) >= count, seconds):
                raise AssertionError(f"{len(self.requests)} of {count} requests came in {seconds} s")
            return list(self.requests)

    def wait_where(self, test, seconds=15):
        """The first request that fits."""
        def find():
            return next((request for request in self.requests if test(request)), None)
        with self.condition:
            if not self.condition.wait_for(find, seconds):
                raise AssertionError(f"none of {len(self.requests)} requests fits after {seconds} s")
            return find()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Gate:
    """A TCP gate in front of a server, to break what passes. Modes:
    pass; refuse (accept is closed at once); stall (accepts and says nothing); cut_after (bytes upstream, then cut);
    delay (seconds for each piece). Setting a mode acts on new connections; `cut()` ends those under way."""

    def __init__(self, target_port):
        self.target = target_port
        self.mode, self.cut_after, self.delay = "pass", None, 0.0
        self.accepted = 0
        self.pairs = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.mode == "refuse":
                # RST, as a peer that has gone would do.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.close()
                continue
            if self.mode == "stall":
                with self.lock:
                    self.pairs.append((client, None))
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.pairs.append((client, server))
            budget = [self.cut_after]
            threading.Thread(target=self._pump, args=(client, server, budget), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    def _pump(self, source, sink, budget):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if self.delay:
                    time.sleep(self.delay)
                if budget and budget[0] is not None:
                    data = data[:budget[0]]
                    budget[0] -= len(data)
                    sink.sendall(data)
                    if budget[0] <= 0:
                        break
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                if end is not None:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                    end.close()

    def stop(self):
        self.listener.close()
        self.cut()


class Device:
    """Sends uplinks by the tunnel, as the network server would."""

    def __init__(self, binder, eui="70B3D5E75E000001", as_id="", as_key="", driver_cfg=None):
        self.binder, self.eui, self.as_id, self.as_key, self.driver_cfg = binder, eui, as_id, as_key, driver_cfg
        self.fcnt = 0

    def report(self, payload="01081F5A0E10", port=2, time_text=None, **fields):
        self.fcnt += 1
        stamp = time_text or time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
        root = {"Time": stamp, "DevEUI": self.eui, "FPort": port, "FCntUp": self.fcnt, "payload_hex": payload,
                "LrrRSSI": -80.0, "CustomerID": "100000001", "ModelCfg": "0"}
        if self.driver_cfg:
            root["DriverCfg"] = self.driver_cfg
        root.update(fields)
        return {"DevEUI_uplink": root}

    def query(self, document, now=None):
        root = next(iter(document.values()))
        now = now or time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
        parameters = [("LrnDevEui", root["DevEUI"]), ("LrnFPort", str(root.get("FPort", 0))), ("LrnInfos", "TEST_1")]
        if self.as_key:
            parameters += [("AS_ID", self.as_id), ("Time", now)]
            plain = "&".join(f"{name}={value}" for name, value in parameters)
            elements = "".join(str(root.get(name, "")) for name in ("CustomerID", "DevEUI", "FPort", "FCntUp", "payload_hex"))
            parameters.append(("Token", hashlib.sha256((elements + plain + self.as_key).encode()).hexdigest()))
        return urllib.parse.urlencode(parameters)

    def send(self, payload="01081F5A0E10", expect=204, **fields):
        document = self.report(payload, **fields)
        status, text = self.post(json.dumps(document, separators=(",", ":")), self.query(document))
        assert status == expect, f"{status} {text}"
        return document["DevEUI_uplink"]["FCntUp"]

    def post(self, body, query, content_type="application/json"):
        request = urllib.request.Request(self.binder["uplinkUrl"] + "?" + query, data=body.encode(), method="POST",
                                         headers={"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


AS_ID, AS_KEY = "app1.example", "f3203a20a2e8dfaf6686b621f56d05e3"
CLIMATE = {"mod": {"pId": "sluice", "mId": "climate", "ver": "1"}, "app": {"pId": "sluice", "mId": "climate", "ver": "1"}}


def make_binder(api, downlink_url=None):
    body = {"type": "thingpark", "name": "test", "asId": AS_ID, "asKey": AS_KEY, "security": True}
    if downlink_url:
        body["downlinkUrl"] = downlink_url
    return api.post("/binders", body)


def make_driver(api, code, module="climate", version="1.0.0", kind="lora-alliance", producer="sluice"):
    return api.post("/drivers", {
        "name": module, "type": kind, "moduleId": module, "version": version,
        "application": {"producerId": producer, "moduleId": module, "version": version.split(".")[0]},
        "code": base64.b64encode(code.encode()).decode()})


def climate_code():
    return (ROOT / "examples/drivers/climate/index.js").read_text()


def make_mqtt(api, port, name="broker", **configuration):
    body = {"hostName": f"127.0.0.1:{port}", "protocol": "TCP", "uplinkTopicPattern": "up/{DevEUI}",
            "downlinkTopicPattern": "down/{DevEUI}", **configuration}
    return api.post("/connections", {"connectorId": "actility-mqtt-iot", "name": name, "configuration": body})


def make_http(api, url, name="server", **configuration):
    return api.post("/connections", {"connectorId": "actility-http-iot", "name": name,
                                     "configuration": {"destinationURL": url, **configuration}})


def make_flow(api, connections, matchers=(), driver="actility:auto:1", name="flow"):
    body = {"name": name, "matchers": list(matchers),
            "connectors": [{"id": connection["connectorId"], "connectionId": connection["id"]} for connection in connections]}
    if driver:
        body["driver"] = {"id": driver}
    return api.post("/flows", body)


def key_matcher(eui):
    return {"type": "key", "key": "lora:" + eui.lower()}


class Simulator:
    """`sluice simulate` with its summary."""

    def __init__(self, directory, binder, *options, binary=BINARY, env=None):
        self.out = pathlib.Path(directory) / f"simulate-{time.monotonic_ns()}.json"
        self.errors = open(str(self.out) + ".log", "wb")
        with open(self.out, "wb") as out:
            self.child = subprocess.Popen([str(binary), "simulate", "--url", binder["uplinkUrl"], "--as-id", AS_ID, "--as-key",
                                           AS_KEY, "--json", *[str(option) for option in options]], stdout=out,
                                          stderr=self.errors, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})

    def stop(self, seconds=60):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
        return self.wait(seconds)

    def wait(self, seconds=120):
        self.child.wait(seconds)
        self.errors.close()
        text = self.out.read_text()
        assert text, "simulate gave no summary: " + pathlib.Path(str(self.out) + ".log").read_text()[-1000:]
        return json.loads(text)
