# SPDX-License-Identifier: Apache-2.0
"""What a scenario works with: the engine, the peer behind its gate, a connection, devices, and what must hold at the end
whatever the fault was."""
import dataclasses
import importlib.util
import itertools
import json
import time

from conformance.faults import FaultGate
from lib import kit

SCENARIOS = {}


@dataclasses.dataclass
class Scenario:
    name: str
    run: object      # function of a Case
    promise: str     # what holds, for the table's legend
    fast: bool       # taken for `./dev test`
    tls: bool        # for peers that speak TLS only
    statuses: bool   # for protocols with statuses only


def scenario(promise, fast=True, tls=False, statuses=False, name=None):
    """Registers a scenario under its function's name."""
    def register(function):
        made = Scenario(name or function.__name__, function, promise, fast, tls, statuses)
        SCENARIOS[made.name] = made
        return function
    return register


def discover():
    """The peers of all connectors, in the order of their folders: [(folder, class)]."""
    root = kit.ROOT / "src/connector"
    out = []
    for path in sorted([*root.glob("*/conformance.py"), *root.glob("*/*/conformance.py")]):
        folder = str(path.parent.relative_to(root))
        spec = importlib.util.spec_from_file_location("conformance_of_" + folder.replace("/", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        out += [(folder, peer) for peer in module.PEERS]
    return out


class Rig:
    """An engine, a peer behind a gate, and a neighbour: a connection that has nothing to do with the fault and must not
    notice it. Serves one scenario after another."""

    def __init__(self, directory, peer_class, certificates):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.certificates = directory, certificates
        self.things = []
        try:
            (directory / "peer").mkdir()
            self.peer = self._keep(peer_class(directory / "peer", certificates))
            self.gate = self._keep(FaultGate(self.peer.port))
            self.peer.advertise("127.0.0.1", self.gate.port)
            self.sluice = self._keep(kit.Sluice(directory / "sluice"))
            self.api = self.sluice.api()
            self.network = self._keep(kit.HttpCapture())  # where commands to devices go
            self.binder = kit.make_binder(self.api, self.network.url)
            self.neighbour_server = self._keep(kit.HttpCapture())
            self.neighbour = kit.Device(self.binder, "70B3D5E75EFFFFFF", kit.AS_ID, kit.AS_KEY)
            connection = kit.make_http(self.api, self.neighbour_server.url, "neighbour")
            kit.make_flow(self.api, [connection], [kit.key_matcher(self.neighbour.eui)], driver=None, name="neighbour")
        except BaseException:
            self.stop()
            raise
        self.numbers = itertools.count(1)

    def _keep(self, thing):
        self.things.append(thing)
        return thing

    def stop(self):
        failures = []
        for thing in reversed(self.things):
            try:
                thing.stop()
            except Exception as error:  # noqa: BLE001: the others must still be ended
                failures.append(error)
        if failures:
            raise failures[0]


class Case:
    """One scenario with one peer."""

    PATIENCE = 60  # seconds until what is to arrive has arrived

    def __init__(self, rig, whole=False):
        self.rig, self.whole = rig, whole
        self.peer, self.gate, self.sluice, self.certificates = rig.peer, rig.gate, rig.sluice, rig.certificates
        self.api, self.binder = rig.api, rig.binder
        self.connection = self.flow = None
        self.sent = {}        # DevEUI -> FCntUp of what was answered 2xx
        self.refused = {}     # DevEUI -> FCntUp of what must end as a dead letter
        self.secrets = set()
        self.ends = []
        self.before = len(self.peer.received())

    # ------------------------------------------------------------ setting up

    def devices(self, count=1):
        """New devices whose reports are routed to the connection that connect() makes."""
        out = []
        for _ in range(count):
            eui = f"70B3D5E75E{next(self.rig.numbers):06X}"
            out.append(kit.Device(self.binder, eui, kit.AS_ID, kit.AS_KEY))
            self.sent[eui] = []
        return out

    def body(self, port=None, host="127.0.0.1", **configuration):
        """The body of the connection that reaches the gate (or `port`); its secrets are remembered."""
        return self.peer.body(host, port or self.gate.port, **configuration)

    def connect(self, devices, body=None, opened=True):
        """Makes the connection and its flow; waits until it is OPENED."""
        body = body or self.body()
        self.connection = self.api.post("/connections", body)
        self._remember_secrets(body["configuration"])
        self.flow = kit.make_flow(self.api, [self.connection], [kit.key_matcher(device.eui) for device in devices],
                                  driver=None, name="conformance")
        if opened:
            self.wait_state("OPENED")
        return self.connection

    def configure(self, configuration):
        """Replaces properties of the connection's configuration, as a user does."""
        self._remember_secrets(configuration)
        self.api.patch(self.path, {"configuration": configuration})

    def _remember_secrets(self, configuration):
        """Whatever the API masks is a secret, and must be found nowhere."""
        shown = self.api.get(self.path)["configuration"]

        def look(given, masked):
            if isinstance(given, dict) and isinstance(masked, dict):
                for name, value in given.items():
                    look(value, masked.get(name))
            elif isinstance(given, str) and masked == "*****":
                self.secrets.add(given)
        look(configuration, shown)

    # ------------------------------------------------------------ acting

    @property
    def path(self):
        return f"/connections/{self.connection['id']}"

    def send(self, devices, count=1, **fields):
        """`count` reports of each device, in turns; each is answered 2xx, so each is an obligation."""
        for _ in range(count):
            for device in devices:
                self.sent[device.eui].append(device.send(**fields))

    def simulate(self, devices, count):
        """As send(), of devices that were made together and have sent nothing, and fast."""
        summary = kit.Simulator(self.rig.directory, self.binder, "--first-deveui", devices[0].eui, "--devices", len(devices),
                                "--count", count * len(devices), "--rate", 0, "--resend", "--drivercfg", "").wait()
        for device in devices:
            device.fcnt = count
            self.sent[device.eui] += range(1, count + 1)
        return summary

    def restart(self):
        """What an operator does instead of waiting minutes for the strategy's next try."""
        self.api.post(self.path + "/restart")

    def open_again(self, seconds=30):
        """The fault is over: the operator restarts the connection, and it opens."""
        self.restart()
        self.wait_state("OPENED", seconds=seconds)

    # ------------------------------------------------------------ looking

    def state(self):
        return self.api.get(self.path)

    def wait_state(self, *states, seconds=30):
        try:
            return self.api.wait_state(self.connection["id"], *states, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._last_events()}") from None

    def events(self, *codes):
        found = self.api.get(f"/events?q_connectionId={self.connection['id']}&perPage=500")
        return [event for event in found if not codes or event["code"] in codes]

    def wait_event(self, *codes, seconds=30, where=lambda event: True):
        def look():
            return next((event for event in self.events(*codes) if where(event)), None)
        try:
            return kit.wait_for(look, seconds, f"event {' or '.join(codes)}", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._last_events()}") from None

    def _last_events(self):
        told = [f"{event['code']} {event['message']} {event['data'].get('cause', '')}" for event in self.events()[:8]]
        return f"it is {self.state()['state']}; last events: {told}"

    def queue(self):
        return self.api.get(self.path + "/queue")

    def letters(self):
        return self.api.get(self.path + "/deadLetters?perPage=500")

    def arrived(self):
        """{DevEUI: [FCntUp in order of arrival]} of this scenario's devices."""
        out = {eui: [] for eui in self.sent}
        for one in self.peer.received()[self.before:]:
            root = next(iter(self.peer.document(one).values()))
            if root.get("DevEUI") in out:
                out[root["DevEUI"]].append(root["FCntUp"])
        return out

    def messages(self, device):
        """What has arrived of the device (Arrived)."""
        return [one for one in self.peer.received()[self.before:]
                if next(iter(self.peer.document(one).values())).get("DevEUI") == device.eui]

    # ------------------------------------------------------------ judging

    def expect_unreachable(self, seconds=40):
        """Transient, the transport is not there: state, reason and event say so; nothing was given up."""
        return self._expect_held("UNREACHABLE", "connection-1103", seconds)

    def expect_authentication_failed(self, seconds=40):
        """The configuration is at fault: all is held, a person is told."""
        return self._expect_held("AUTHENTICATION_FAILED", "connection-1102", seconds)

    def _expect_held(self, state, code, seconds):
        got = self.wait_state(state, seconds=seconds)
        reason = got.get("stateReason") or {}
        assert reason.get("code") == code and reason.get("message") and reason.get("nextRetry") and reason.get("since"), got
        event = self.wait_event(code)
        assert event["level"] == "error" and event["data"]["cause"], event
        blamed = self.letters() + self.events("connection-1201")
        assert not blamed, f"a message was blamed for it: {blamed}"
        return got

    def expect_repeated(self, seconds=30):
        """Transient, for one message: it is tried again, the connection stays as it is, nothing is given up."""
        event = self.wait_event("connection-1202", seconds=seconds)
        assert event["data"]["cause"], event
        assert not self.letters(), "a message was blamed for it"
        return event

    def expect_dead_letter(self, device, seconds=30):
        """The message is at fault: its device's last report ends as a dead letter, told by an event."""
        number = self.sent[device.eui][-1]
        self.refused.setdefault(device.eui, []).append(number)
        event = self.wait_event("connection-1201", seconds=seconds,
                                where=lambda one: one["data"].get("DevEUI") == device.eui and one["data"].get("FCntUp") == number)
        assert event["level"] == "error" and event["data"]["cause"], event
        assert self.state()["state"] == "OPENED", "one message that is refused must end nothing; " + self._last_events()
        return event

    def expect_neighbour_unharmed(self, seconds=2.0):
        """Another connection of the same engine delivers as if nothing was."""
        seen = len(self.rig.neighbour_server.requests)
        self.rig.neighbour.send()
        self.rig.neighbour_server.wait(seen + 1, seconds)

    def expect_all(self, seconds=None, duplicates=False):
        """Everything that was answered 2xx has arrived, in order for each device, or is a dead letter that the scenario
        called for. `duplicates`: a message may come again where its acknowledgement was lost; its first arrivals are in
        order all the same."""
        wanted = {eui: [number for number in numbers if number not in self.refused.get(eui, ())]
                  for eui, numbers in self.sent.items()}

        def complete():
            arrived = self.arrived()
            return all(set(numbers) <= set(arrived[eui]) for eui, numbers in wanted.items())
        seconds = seconds or self.PATIENCE
        end = time.monotonic() + seconds
        while not complete():
            assert time.monotonic() < end, f"not arrived after {seconds} s: " + json.dumps(
                {eui: sorted(set(numbers) - set(self.arrived()[eui])) for eui, numbers in wanted.items()})[:500]
            time.sleep(0.05 if sum(map(len, wanted.values())) < 1000 else 0.5)
        kit.wait_for(lambda: self.queue()["pending"] == 0, 20, "the queue to be empty")
        for eui, numbers in self.arrived().items():
            first = list(dict.fromkeys(numbers))
            assert first == wanted[eui], f"{eui}: {first} arrived, {wanted[eui]} wanted in this order"
            assert duplicates or numbers == first, f"{eui}: {numbers} has duplicates"

    def expect_books(self):
        """What holds at the end of each scenario: the counters add up, nothing was lost on the way, the wanted dead letters
        and no others are there, and no secret is in events, states, dead letters or the log."""
        queue = self.queue()
        totals = queue["totals"]
        sent, refused = (sum(len(numbers) for numbers in books.values()) for books in (self.sent, self.refused))
        assert totals["accepted"] == sent, totals
        assert totals["delivered"] + queue["pending"] == sent - refused and totals["dead"] == refused, totals
        assert totals["filtered"] == totals["expired"] == totals["dropped"] == 0, totals
        letters = [(letter["DevEUI"], letter["FCntUp"]) for letter in self.letters()]
        assert sorted(letters) == sorted((eui, number) for eui, numbers in self.refused.items() for number in numbers)
        state = {name: value for name, value in self.state().items() if name != "configuration"}  # there it is masked
        seen = json.dumps([self.events(), state, self.letters(), self.api.get("/events?perPage=500")])
        log = self.sluice.process.text()
        for secret in self.secrets:
            for spelled in {secret, json.dumps(secret)[1:-1], *[line for line in secret.splitlines() if len(line) > 40]}:
                assert spelled not in seen, f"a secret is shown by the API: {spelled[:6]}..."
                assert spelled not in log, "a secret is in the log"

    # ------------------------------------------------------------ ending

    def keep(self, thing):
        self.ends.append(thing)
        return thing

    def leave(self):
        """Leaves engine, gate and peer as they were."""
        for thing in reversed(self.ends):
            thing.stop()
        self.gate.target = self.peer.port
        self.gate.set("pass")
        self.peer.well()
        if self.flow:
            self.api.delete(f"/flows/{self.flow['id']}")
        if self.connection:
            self.api.delete(self.path)
