# SPDX-License-Identifier: Apache-2.0
"""AWS IoT as far as the connectors speak to it, written from AWS's documents (IoT Core developer guide and API reference,
Greengrass V2 discovery), so that it shares no mistake with them. One account in one region:

  https     as port 8443: messages posted by client certificate, Greengrass discovery
  edge      as port 443, all in one process: signed posts; ALPN x-amzn-http-ca posts and x-amzn-mqtt-ca MQTT by client
            certificate; a WebSocket at /mqtt by presigned URL. The registry and the discovery answer there, too, for tests
            that want one port before everything
  mqtt      as port 8883: mosquitto itself, which asks for a client certificate of the authority
  port443   as port 443 with HAProxy before it: MQTT only for those that offer x-amzn-mqtt-ca, show a certificate of the
            registry and name the host (SNI); everything else goes on to `edge`
  registry  the control plane: things, types, principals

All are reached as localhost. Who calls is known by his certificate or his signature (sigv4.py), never by trust."""
import base64
import dataclasses
import hashlib
import http.server
import json
import pathlib
import re
import select
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse
import uuid

from lib import kit, sigv4

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
SIZE_LIMIT = 128 * 1024
TOPIC_BYTES, TOPIC_SLASHES = 256, 7
ALPN_HTTP, ALPN_MQTT = "x-amzn-http-ca", "x-amzn-mqtt-ca"


@dataclasses.dataclass
class Published:
    topic: str
    body: bytes
    qos: int
    by: str          # a certificate's ARN or an access key id
    role: str        # of the port it came by
    time: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass
class Call:
    action: str      # "iot:DescribeThing"
    subject: str     # the thing's or type's name; of a list its query
    status: int
    time: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass
class Certificate:
    arn: str
    der: bytes
    active: bool = True
    denied: set = dataclasses.field(default_factory=set)   # of "iot:Connect", "iot:Publish", "iot:Subscribe"
    # A policy with ${iot:Connection.Thing.IsAttached}: may publish for those things alone that it is attached to.
    attached_only: bool = False


@dataclasses.dataclass
class User:
    secret: str
    token: str = ""  # of temporary credentials
    denied: set = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Thing:
    type: str
    attributes: dict
    principals: list = dataclasses.field(default_factory=list)
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))


class Script:
    """An answer in place of the usual one, for the requests that fit; `left` None: until it is taken away."""

    def __init__(self, status, headers=None, count=None, where=None, kind="InternalFailureException", message="scripted"):
        self.status, self.headers, self.left, self.where = status, dict(headers or {}), count, where
        self.kind, self.message = kind, message


def fault(status, kind, message):
    return status, {"x-amzn-ErrorType": kind}, {"message": message, "traceId": str(uuid.uuid4())}


def forbidden():
    return fault(403, "ForbiddenException", "Forbidden")


class Request:
    def __init__(self, role, method, target, headers, body, certificate, alpn):
        self.role, self.method, self.headers, self.body = role, method, headers, body
        self.path, _, self.query = target.partition("?")
        self.certificate, self.alpn = certificate, alpn
        self.action, self.subject = "", ""

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), "")


class Cloud:
    def __init__(self, directory, certificates, region="eu-central-1", account="123456789012", haproxy=True, broker=True,
                 server="server"):
        """`certificates`: kit.Certificates, whose client.pem is registered; `server`: the name of the one we show."""
        self.directory, self.certificates, self.server = pathlib.Path(directory), certificates, server
        self.directory.mkdir(parents=True, exist_ok=True)
        self.region, self.account = region, account
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.messages, self.calls, self.refusals, self.scripts = [], [], [], []
        self.users, self.known, self.types, self.things, self.groups = {}, {}, {}, {}, {}
        self.size_limit = SIZE_LIMIT
        self.skew = 0.0                  # seconds that our clock goes before the true one
        self.refused_topics = []         # parts of topics whose messages are refused for good
        self.hooks = {}                  # action -> function of its subject, run once when it has been answered
        self.swallowing = threading.Event()
        self.upgrades = 0                # WebSockets let through
        self.sessions = []               # of MQTT through `edge`: (client id, who)
        self.names = []                  # that clients have named in their hellos (SNI); None for none
        self.client = self.register(certificates.text("client.pem"))
        self.users["AKIAFLOWEXAMPLE"] = User("flow/Secret+of/the+tests0123456789abcde")
        self.broker = self.proxy = None
        if broker:
            self.plain, self.websocket = kit.free_port(), kit.free_port()
            listener = (f"cafile {certificates.path('ca.pem')}\ncertfile {certificates.path(server + '.pem')}\n"
                        f"keyfile {certificates.path(server + '.key')}\nrequire_certificate true\nuse_identity_as_username true\n"
                        f"listener {self.plain} 127.0.0.1\nlistener {self.websocket} 127.0.0.1\nprotocol websockets")
            self.broker = kit.Mosquitto(self.directory / "broker", "allow_anonymous true", listener=listener)
            self.mqtt = self.broker.port
        self.servers = {role: Server(self, role) for role in ("https", "edge", "registry")}
        self.https, self.edge, self.registry = (self.servers[role].port for role in ("https", "edge", "registry"))
        if haproxy and broker:
            self.proxy = Proxy(self)
            self.port443 = self.proxy.port

    # What a test arranges.

    def register(self, pem, **more):
        """Makes a certificate known; returns it."""
        der = ssl.PEM_cert_to_DER_cert(pem)
        made = Certificate(f"arn:aws:iot:{self.region}:{self.account}:cert/{hashlib.sha256(der).hexdigest()}", der, **more)
        with self.lock:
            self.known[der] = made
        return made

    def script(self, status, **more):
        with self.lock:
            self.scripts.append(Script(status, **more))

    def throttle(self, count=None, status=429, actions=("iot:",), headers=None):
        """The registry's own table says 400 for ThrottlingException, its front door answers 429: clients see both."""
        self.script(status, headers=headers, count=count, kind="ThrottlingException", message="Rate exceeded",
                    where=lambda request: request.action.startswith(tuple(actions)))

    def well(self):
        with self.lock:
            self.scripts.clear()
            self.refused_topics.clear()
            for one in [*self.known.values(), *self.users.values()]:
                one.denied.clear()
            inactive = [one for one in self.known.values() if not one.active]
            for one in inactive:
                one.active = True
            self.skew = 0.0
        self.swallowing.clear()
        if inactive:
            for server in self.servers.values():
                server.prepare()

    def deactivate(self, certificate):
        """Its handshakes fail from now on, its requests on open connections are refused, its MQTT through `edge` ends."""
        with self.lock:
            certificate.active = False
        for server in self.servers.values():
            server.prepare()
        self.servers["edge"].cut()

    def make_thing(self, name, type="", principals=(), **attributes):
        with self.lock:
            if type:
                self.types.setdefault(type, {"deprecated": False})
            self.things[name] = Thing(type, attributes, list(principals))

    def delete_thing(self, name):
        """As the console does: detaches first."""
        with self.lock:
            del self.things[name]

    def core(self, thing, host, port, ca_pem, group="group-1"):
        """A Greengrass core that `thing` may find by discovery."""
        self.groups.setdefault(thing, []).append({"GGGroupId": group, "Cores": [
            {"thingArn": f"arn:aws:iot:{self.region}:{self.account}:thing/core-1",
             "Connectivity": [{"Id": "1", "HostAddress": host, "PortNumber": port, "Metadata": ""}]}], "CAs": [ca_pem]})

    def publish(self, topic, text):
        """Somebody's message to those who subscribe."""
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.plain), "-q", "1", "-t", topic, "-s"],
                       input=text.encode(), check=True, timeout=10)

    # What a test asks.

    def wait(self, count=1, seconds=15):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, seconds):
                raise AssertionError(f"{len(self.messages)} of {count} messages came in {seconds} s; refused: {self.refusals[-3:]}; "
                                     f"calls: {self.calls[-5:]}")
            return list(self.messages)

    def wait_calls(self, test, seconds=15, what="a call"):
        with self.changed:
            if not self.changed.wait_for(lambda: test(self.calls), seconds):
                raise AssertionError(f"{what} did not come in {seconds} s: {self.calls[-10:]}")

    def actions(self, subject=None):
        with self.lock:
            return [call.action for call in self.calls if subject in (None, call.subject)]

    def stop(self):
        self.swallowing.set()
        for server in self.servers.values():
            server.stop()
        if self.proxy:
            self.proxy.stop()
        if self.broker:
            self.broker.stop()

    # How it answers.

    def now(self):
        return time.time() + self.skew

    def answer(self, request):
        """(status, headers, document) or None: say nothing and hang up."""
        action, subject, run = self.route(request)
        request.action, request.subject = action, subject
        if self.swallowing.is_set() and action == "iot:Publish":
            while self.swallowing.is_set() and not self.servers[request.role].closing.wait(0.05):
                pass
            return None
        with self.changed:
            got = self.scripted(request)
            if got is None:
                try:
                    got = run(request)
                except sigv4.Refused as refused:
                    got = fault(refused.status, refused.kind, str(refused))
            if action != "iot:Publish":
                self.calls.append(Call(action, subject, got[0]))
            if action in self.hooks:
                self.hooks.pop(action)(subject)
            if got[0] >= 400:
                self.refusals.append((action, subject, got[0], got[2].get("message", "")))
            self.changed.notify_all()
        return got

    def scripted(self, request):
        for script in self.scripts:
            if script.where and not script.where(request):
                continue
            if script.left is not None:
                script.left -= 1
                if script.left <= 0:
                    self.scripts.remove(script)
            status, headers, document = fault(script.status, script.kind, script.message)
            return status, {**headers, **script.headers}, document
        return None

    def route(self, request):
        unquoted = urllib.parse.unquote
        data = request.role in ("https", "edge")
        control = request.role in ("registry", "edge")
        path = request.path
        if data and path.startswith("/topics/"):
            return "iot:Publish", unquoted(path[len("/topics/"):]), self.take
        if data and path == "/retainedMessage" and request.method == "GET":
            return "iot:ListRetainedMessages", request.query, self.retained
        if data and path.startswith("/greengrass/discover/thing/"):
            return "greengrass:Discover", unquoted(path.rsplit("/", 1)[1]), self.discover
        if control:
            for method, pattern, action, run in REGISTRY:
                match = re.fullmatch(pattern, path)
                if match and method == request.method:
                    subject = unquoted(match[1]) if match.groups() else request.query
                    return action, subject, lambda request: self.as_user(request, action, subject, run)
        return "none", path, lambda request: fault(404, "UnknownOperationException", "Unknown operation")

    def signer(self, request, service):
        """(access key id, user) of a signed request."""
        with_tokens = {key: user.secret for key, user in self.users.items()}
        query = request.query
        token = request.header("x-amz-security-token")
        if service == "iotdevicegateway":
            # There the token is no part of what is signed.
            pairs = [pair for pair in query.split("&") if not pair.startswith("X-Amz-Security-Token=")]
            token = dict(urllib.parse.parse_qsl(query)).get("X-Amz-Security-Token", "")
            query = "&".join(pairs)
        key = sigv4.verify(request.method, request.path, query, request.headers, request.body, with_tokens, self.region, service,
                           self.now())
        if self.users[key].token != token:
            raise sigv4.Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
        return key, self.users[key]

    def caller(self, request):
        """(name, Certificate or User) of a request to the data plane."""
        if request.role == "https" or request.alpn == ALPN_HTTP or (request.certificate and not request.header("authorization")):
            caller = self.known.get(request.certificate)
            if caller is None or not caller.active:
                raise sigv4.Refused("ForbiddenException", "Forbidden" if request.certificate else "Missing authentication")
            return caller.arn, caller
        return self.signer(request, "iotdata")

    def retained(self, request):
        self.caller(request)
        return 200, {}, {"retainedTopics": []}

    def take(self, request):
        """POST /topics/<topic>?qos=."""
        topic = request.subject
        if request.method != "POST":
            return fault(405, "MethodNotAllowedException", "Method not allowed")
        name, caller = self.caller(request)
        if "iot:Publish" in caller.denied or topic.startswith("$"):
            return forbidden()
        if isinstance(caller, Certificate) and caller.attached_only and not any(
                thing in topic.split("/") and caller.arn in made.principals for thing, made in self.things.items()):
            return forbidden()
        if len(request.body) > self.size_limit:
            return fault(413, "RequestEntityTooLargeException", "Request entity too large")
        parameters = dict(urllib.parse.parse_qsl(request.query))
        if parameters.get("qos", "0") not in ("0", "1"):
            return fault(400, "InvalidRequestException", "Invalid QoS")
        if not topic or len(topic.encode()) > TOPIC_BYTES or topic.count("/") > TOPIC_SLASHES or set("+#\0") & set(topic):
            return fault(400, "InvalidRequestException", "Invalid topic")
        if any(part in topic for part in self.refused_topics):
            return fault(400, "InvalidRequestException", "Invalid request")
        self.messages.append(Published(topic, request.body, int(parameters.get("qos", "0")), name, request.role))
        return 200, {}, {"message": "OK", "traceId": str(uuid.uuid4())}

    def discover(self, request):
        caller = self.known.get(request.certificate)
        thing = self.things.get(request.subject)
        if caller is None or not caller.active or "greengrass:Discover" in caller.denied or thing is None or \
                caller.arn not in thing.principals:
            return forbidden()
        groups = self.groups.get(request.subject)
        if not groups:
            return 404, {}, {"errorMessage": "The thing provided for discovery was not found"}
        return 200, {}, {"GGGroups": groups}

    def as_user(self, request, action, subject, run):
        key, user = self.signer(request, "iot")
        if action in user.denied:
            return fault(403, "AccessDeniedException", f"User: arn:aws:iam::{self.account}:user/{key} is not authorized to perform: "
                         f"{action} on resource: arn:aws:iot:{self.region}:{self.account}:thing/{subject} because no "
                         "identity-based policy allows the action")
        try:
            document = json.loads(request.body) if request.body else {}
        except ValueError:
            return fault(400, "InvalidRequestException", "Invalid JSON")
        return run(self, request, subject, document)

    def thing_arn(self, name):
        return f"arn:aws:iot:{self.region}:{self.account}:thing/{name}"

    def list_things(self, request, _, __):
        query = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
        unknown = set(query) - {"maxResults", "nextToken", "thingTypeName", "attributeName", "attributeValue", "usePrefixAttributeValue"}
        size = query.get("maxResults", "25")
        if unknown or not size.isdigit() or not 1 <= int(size) <= 250:
            return fault(400, "InvalidRequestException", f"1 validation error detected: {sorted(unknown)} maxResults {size}")
        names = sorted(name for name, thing in self.things.items() if query.get("thingTypeName") in (None, thing.type))
        first = 0
        if "nextToken" in query:
            match = re.fullmatch(r"page/([0-9]+)\+=", query["nextToken"])
            if not match:
                return fault(400, "InvalidRequestException", "Invalid nextToken")
            first = int(match[1])
        page = names[first:first + int(size)]
        document = {"things": [self.described(name, False) for name in page]}
        if first + len(page) < len(names):
            document["nextToken"] = f"page/{first + len(page)}+="  # wants percent-encoding, as AWS's do
        return 200, {}, document

    def described(self, name, whole):
        thing = self.things[name]
        document = {"thingName": name, "thingArn": self.thing_arn(name), "attributes": thing.attributes, "version": 1}
        if thing.type:
            document["thingTypeName"] = thing.type
        return {**document, "thingId": thing.id, "defaultClientId": name} if whole else document

    def describe_thing(self, _, name, __):
        if name not in self.things:
            return fault(404, "ResourceNotFoundException", f"Thing {name} cannot be found.")
        return 200, {}, self.described(name, True)

    def create_thing(self, _, name, document):
        wanted = document.get("thingTypeName", "")
        if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", name):
            return fault(400, "InvalidRequestException", "1 validation error detected: Value at 'thingName' failed to satisfy constraint")
        if wanted and wanted not in self.types:
            return fault(404, "ResourceNotFoundException", f"Thing Type {wanted} not found")
        if wanted and self.types[wanted]["deprecated"]:
            return fault(400, "InvalidRequestException", f"Can not create thing with deprecated thing type:{wanted}")
        attributes = document.get("attributePayload", {}).get("attributes", {})
        there = self.things.get(name)
        if there and (there.type, there.attributes) != (wanted, attributes):
            return fault(409, "ResourceAlreadyExistsException", f"Thing {name} already exists in account with different tags/attributes/type")
        made = there or self.things.setdefault(name, Thing(wanted, attributes))
        return 200, {}, {"thingName": name, "thingArn": self.thing_arn(name), "thingId": made.id}

    def delete(self, _, name, __):
        if name in self.things and self.things[name].principals:
            return fault(400, "InvalidRequestException", f"Cannot delete. Thing {name} is still attached to one or more principals")
        self.things.pop(name, None)
        return 200, {}, {}

    def attach(self, request, name, _):
        principal = request.header("x-amzn-principal")
        if not principal:
            return fault(400, "InvalidRequestException", "Principal cannot be null")
        if name not in self.things:
            return fault(404, "ResourceNotFoundException", f"Thing {name} cannot be found.")
        if not any(one.arn == principal for one in self.known.values()):
            return fault(404, "ResourceNotFoundException", f"Principal {principal} cannot be found.")
        if principal not in self.things[name].principals:
            self.things[name].principals.append(principal)
        return 200, {}, {}

    def describe_type(self, _, name, __):
        if name not in self.types:
            return fault(404, "ResourceNotFoundException", f"Thing type {name} not found")
        return 200, {}, {"thingTypeName": name, "thingTypeId": str(uuid.uuid4()), "thingTypeProperties": {},
                         "thingTypeMetadata": {"deprecated": self.types[name]["deprecated"]}}

    def create_type(self, _, name, __):
        self.types.setdefault(name, {"deprecated": False})
        return 200, {}, {"thingTypeName": name, "thingTypeId": str(uuid.uuid4()),
                         "thingTypeArn": f"arn:aws:iot:{self.region}:{self.account}:thingtype/{name}"}


REGISTRY = [
    ("GET", r"/things", "iot:ListThings", Cloud.list_things),
    ("GET", r"/things/([^/]+)", "iot:DescribeThing", Cloud.describe_thing),
    ("POST", r"/things/([^/]+)", "iot:CreateThing", Cloud.create_thing),
    ("DELETE", r"/things/([^/]+)", "iot:DeleteThing", Cloud.delete),
    ("PUT", r"/things/([^/]+)/principals", "iot:AttachThingPrincipal", Cloud.attach),
    ("GET", r"/thing-types/([^/]+)", "iot:DescribeThingType", Cloud.describe_type),
    ("POST", r"/thing-types/([^/]+)", "iot:CreateThingType", Cloud.create_type),
]


def bridge(tls, port, first=b"", inspect=None):
    """Bytes both ways between a TLS client and a local port until one ends. One thread does both: a TLS socket must not be
    read and written at once. `inspect(bytes)` sees what the client sends; it gives what goes on, what goes back, and whether
    that is the end."""
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if first:
            plain.sendall(first)
        tls.settimeout(10)
        pending = getattr(tls, "pending", lambda: 0)
        while True:
            readable = [tls] if pending() else select.select([tls, plain], [], [])[0]
            if tls in readable:
                data = tls.recv(65536)
                if not data:
                    return
                if inspect:
                    data, answer, ends = inspect(data)
                    if answer:
                        tls.sendall(answer)
                    if ends:
                        return
                plain.sendall(data)
            if plain in readable:
                data = plain.recv(65536)
                if not data:
                    return
                tls.sendall(data)


class Watch:
    """Reads a client's MQTT and does what AWS's policies do: a denied connect or publish ends the session (MQTT 5: with a
    word, 0x87), a denied subscription is refused."""

    def __init__(self, cloud, caller, name):
        self.cloud, self.caller, self.name, self.buffer, self.version = cloud, caller, name, b"", 4

    def __call__(self, data):
        """(what goes on to the broker, what goes back, whether it ends then)"""
        self.buffer += data
        forward, answer = b"", b""
        while True:
            packet = self.packet()
            if packet is None:
                return forward, answer, False
            kind, body = packet[0] >> 4, self.body
            if kind == 1:
                self.version = body[6]
                at = 10
                if self.version == 5:
                    assert body[at] < 0x80, "more properties than a client of these tests has"
                    at += 1 + body[at]
                size, = struct.unpack_from(">H", body, at)
                self.cloud.sessions.append((body[at + 2:at + 2 + size].decode(), self.name))
                if "iot:Connect" in self.caller.denied:
                    return b"", b"\x20\x03\0\x87\0" if self.version == 5 else b"", True
            if kind == 3 and "iot:Publish" in self.caller.denied:
                return b"", b"\xe0\x01\x87" if self.version == 5 else b"", True
            if kind == 8 and "iot:Subscribe" in self.caller.denied:
                answer += b"\x90\x04" + body[:2] + b"\0\x87" if self.version == 5 else b"\x90\x03" + body[:2] + b"\x80"
                continue
            forward += packet

    def packet(self):
        size, shift = 0, 0
        for at in range(1, min(len(self.buffer), 5)):
            size |= (self.buffer[at] & 0x7F) << shift
            shift += 7
            if not self.buffer[at] & 0x80:
                if len(self.buffer) < at + 1 + size:
                    return None
                whole, self.body, self.buffer = self.buffer[:at + 1 + size], self.buffer[at + 1:at + 1 + size], self.buffer[at + 1 + size:]
                return whole
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120

    def setup(self):
        self.request.settimeout(10)
        self.request.do_handshake()
        super().setup()
        self.der = self.request.getpeercert(binary_form=True) or None
        self.alpn = self.request.selected_alpn_protocol() or ""

    def handle(self):
        if self.alpn == ALPN_MQTT:
            return self.mqtt()
        super().handle()

    def mqtt(self):
        cloud = self.server.cloud
        caller = cloud.known.get(self.der)
        if caller is None or not caller.active:
            with cloud.changed:
                cloud.refusals.append(("iot:Connect", "", 0, "certificate"))
                cloud.changed.notify_all()
            return
        bridge(self.request, cloud.plain, inspect=Watch(cloud, caller, caller.arn))

    def do(self):
        cloud = self.server.cloud
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.server.role, self.command, self.path, list(self.headers.items()), body, self.der, self.alpn)
        if request.path == "/mqtt" and request.header("upgrade").lower() == "websocket":
            return self.websocket(request)
        got = cloud.answer(request)
        if got is None:
            self.close_connection = True
            return
        self.reply(*got)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do

    def reply(self, status, headers, document):
        text = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def websocket(self, request):
        cloud = self.server.cloud
        request.action = "iot:Connect"
        with cloud.changed:
            try:
                name, user = cloud.signer(request, "iotdevicegateway")
                refused = cloud.scripted(request) or (forbidden() if "iot:Connect" in user.denied else None)
            except sigv4.Refused as error:
                refused = fault(error.status, error.kind, str(error))
            if refused:
                cloud.refusals.append(("iot:Connect", request.path, refused[0], refused[2]["message"]))
            else:
                cloud.upgrades += 1
            cloud.changed.notify_all()
        self.close_connection = True
        if refused:
            return self.reply(*refused)
        head = "GET /mqtt HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in request.headers) + "\r\n"
        bridge(self.request, cloud.websocket, head.encode())

    def log_message(self, *_):
        pass

    def send_response(self, code, message=None):
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string(self.server.cloud.now()))


class Server:
    """One port of the cloud; can go and come back."""

    def __init__(self, cloud, role):
        self.cloud, self.role, self.port = cloud, role, kit.free_port()
        self.prepare()
        self.closing = threading.Event()
        self.server = None
        self.start()

    def prepare(self):
        """What the handshakes to come go by."""
        cloud, pem = self.cloud, self.cloud.certificates.path
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(pem(cloud.server + ".pem"), pem(cloud.server + ".key"))
        if self.role != "registry":
            self.context.verify_mode = ssl.CERT_OPTIONAL
            self.context.load_verify_locations(pem("ca.pem"))
            inactive = [one.der for one in cloud.known.values() if not one.active]
            if inactive:
                self.context.load_verify_locations(revocation_list(cloud.certificates, inactive, cloud.directory / f"{self.role}.crl"))
                self.context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if self.role == "edge":
            self.context.set_alpn_protocols([ALPN_MQTT, ALPN_HTTP, "http/1.1"])
        self.context.sni_callback = lambda _, name, __: cloud.names.append(name)

    def start(self):
        outer = self

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False
            request_queue_size = 256
            cloud, role = outer.cloud, outer.role

            def get_request(self):
                plain, address = super().get_request()
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The hands are shaken by the connection's own thread: who says nothing must not hold up the others.
                made = outer.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                with outer.cloud.lock:
                    outer.open.add(made)
                return made, address

            def shutdown_request(self, request):
                with outer.cloud.lock:
                    outer.open.discard(request)
                request.close()

            def handle_error(self, *_):
                pass  # peers that go away are part of the tests

        self.open = set()
        self.closing.clear()
        self.server = Listener(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def cut(self):
        """Ends all that is connected."""
        with self.cloud.lock:
            for one in self.open:
                try:
                    socket.socket.shutdown(one, socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self):
        if self.server is None:
            return
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        self.cut()


class Proxy:
    """HAProxy as AWS's port 443: who offers x-amzn-mqtt-ca gets to the broker by a certificate of the registry, the others to
    `edge`. Nobody without a server name."""

    def __init__(self, cloud):
        self.cloud, self.port, inner = cloud, kit.free_port(), kit.free_port()
        folder = cloud.directory / "haproxy"
        folder.mkdir(exist_ok=True)
        pem = cloud.certificates
        (folder / "server.pem").write_text(pem.text(cloud.server + ".pem") + pem.text(cloud.server + ".key"))
        self.socket = folder / "s"
        self.allowed = folder / "registered"
        self.allowed.write_text("".join(f"{hashlib.sha1(der).hexdigest()}\n" for der in cloud.known))
        (folder / "haproxy.cfg").write_text(f"""global
  stats socket ipv4@127.0.0.1:{(control := kit.free_port())} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend port443
  bind 127.0.0.1:{self.port}
  tcp-request inspect-delay 5s
  tcp-request content reject if {{ req.ssl_hello_type 1 }} !{{ req.ssl_sni -m found }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  tcp-request content reject
  use_backend mqtt if {{ req.ssl_alpn {ALPN_MQTT} }}
  default_backend edge
backend mqtt
  server mqtt 127.0.0.1:{inner}
backend edge
  server edge 127.0.0.1:{cloud.edge}
frontend mqtt
  bind 127.0.0.1:{inner} ssl crt {folder / 'server.pem'} ca-file {pem.path('ca.pem')} verify required alpn {ALPN_MQTT}
  tcp-request content reject unless {{ ssl_fc_alpn {ALPN_MQTT} }}
  tcp-request content reject unless {{ ssl_c_sha1,hex -m str -i -f {self.allowed} }}
  default_backend broker
backend broker
  server broker 127.0.0.1:{cloud.plain}
""")
        self.control = control
        self.process = kit.Process([HAPROXY, "-db", "-f", folder / "haproxy.cfg"], folder / "haproxy.log")
        kit.wait_for(lambda: kit.port_is_open(self.port), 10, "haproxy to listen")

    def tell(self, line):
        with socket.create_connection(("127.0.0.1", self.control), 5) as control:
            control.sendall(line.encode() + b"\n")
            return control.makefile().read()

    def revoke(self, certificate):
        """Out of the registry, and out of what is connected."""
        self.tell(f"del acl {self.allowed} {hashlib.sha1(certificate.der).hexdigest()}")
        self.tell("shutdown sessions server broker/broker")

    def stop(self):
        self.process.stop()


class Tunnels:
    """An HTTP proxy that knows CONNECT alone and leads by the port asked for to a local one; without one for it: 502. It
    remembers who was asked for, so that a test sees the host names and ports that a connector makes up by itself."""

    def __init__(self, ports=None, login=""):
        """`ports`: asked for ("host", port) or port -> local port. `login`: "user:password" that it wants."""
        self.ports, self.asked, self.login = ports or {}, [], login
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                client.settimeout(10)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(4096) or b"\r\n\r\n"
                lines = head.decode().split("\r\n")
                host, _, port = lines[0].split(" ")[1].rpartition(":")
                login = base64.b64encode(self.login.encode()).decode()
                if self.login and not any(line.lower().startswith("proxy-authorization:") and line.endswith(" " + login) for line in lines):
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
                                   b"Content-Length: 0\r\n\r\n")
                    return
                self.asked.append((host, int(port)))
                local = self.ports.get((host, int(port)), self.ports.get(int(port)))
                if local is None:
                    client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    return
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                client.settimeout(None)
                bridge(client, local)
            except (OSError, IndexError, ValueError):
                pass

    def stop(self):
        self.listener.close()


def revocation_list(certificates, ders, path):
    """A CRL of kit.Certificates' authority that revokes those certificates."""
    folder = path.parent / (path.name + ".d")
    folder.mkdir(exist_ok=True)
    run = lambda *words, **more: subprocess.run(["openssl", *[str(word) for word in words]], check=True, capture_output=True, **more).stdout
    rows = ""
    for der in ders:
        serial = run("x509", "-inform", "DER", "-noout", "-serial", input=der).decode().strip().partition("=")[2]
        rows += f"R\t491231235959Z\t200101000000Z\t{serial}\tunknown\t/CN=revoked\n"
    (folder / "index").write_text(rows)
    (folder / "crlnumber").write_text("01\n")
    (folder / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder / 'index'}\ncrlnumber={folder / 'crlnumber'}\n"
                                 "default_md=sha256\ndefault_crl_days=30\n")
    run("ca", "-gencrl", "-config", folder / "conf", "-cert", certificates.path("ca.pem"), "-keyfile", certificates.path("ca.key"),
        "-out", path)
    return path
