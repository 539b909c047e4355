#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The long run behind `./dev soak`: load by the HTTP tunnel into several connections whose peers are killed, hung, slowed, cut off
and made to refuse at random, judged by an oracle:

  each report answered 2xx arrives at each target;  nothing arrives that was not sent;  each device's reports arrive in order at
  each target;  a report arrives twice only around a fault;  memory stays flat;  a fresh message passes afterwards.

`sluice simulate` is the devices, its ledger says what was sent and what was answered. What a broker took is read from its own
log, which mosquitto writes before it acknowledges: a broker killed with -9 has acknowledged nothing that is not on record here.
The HTTP target records a request before it answers, and looks into the body. All books are kept by one event loop, in one byte a
report and target."""
import argparse
import asyncio
import datetime
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

from e2e import commit, machine, table, tree  # noqa: E402
from lib import kit  # noqa: E402

FIRST_DEV_EUI = 0x5A1CE00000000001
FRESH = "70B3D5E75E00F5E5"
HTTP_SHARE = 10  # one device of that many goes to the HTTP target, too
SAMPLE_SECONDS = 10
JUDGED_SECONDS = 180  # memory is judged over no less: buffers and caches fill up at first
EXPLAINED_SECONDS = 60  # after a fault: what was in flight may come twice until then, and until the backlog is gone
PUBLISH = re.compile(rb"Received PUBLISH from \S+ \(d\d, q\d, r\d, m\d+, 'up/([0-9A-F]{16})/(\d+)'")
LEDGER = re.compile(rb"([SA]) ([0-9A-F]{16}) (\d+)")


class Book:
    """What was sent and answered, by device and counter: bit 1 sent, bit 2 answered."""

    def __init__(self, devices):
        self.marks = [bytearray() for _ in range(devices)]
        self.sent = self.answered = 0

    def line(self, kind, eui, counter):
        row = self.marks[int(eui, 16) - FIRST_DEV_EUI]
        counter = int(counter)
        if counter >= len(row):
            row.extend(bytes(counter - len(row) + 512))
        if kind == b"S":
            self.sent += not row[counter] & 1
            row[counter] |= 1
        else:
            self.answered += not row[counter] & 2
            row[counter] |= 2


class Target:
    """One peer: its books, its faults."""

    kinds = ()

    def __init__(self, name, devices):
        self.name = name
        self.rows = [bytearray() for _ in range(devices)]  # times arrived
        self.newest = [0] * devices
        self.arrived = self.duplicates = self.unexplained = self.reordered = self.damaged = self.strangers = self.fresh = 0
        self.faults = {}
        self.fault_until = 0.0  # of the latest: its end, or infinity while it lasts
        self.behind = False  # since that fault the backlog has not been gone yet
        self.lag = self.most_lag = 0
        self.last_arrival = time.monotonic()
        self.connection = None

    def takes(self, _):
        return True

    def arrival(self, eui, counter):
        device = int(eui, 16) - FIRST_DEV_EUI
        counter = int(counter)
        if not 0 <= device < len(self.rows):
            if int(eui, 16) == int(FRESH, 16):
                self.fresh += 1
            else:
                self.strangers += 1
            return
        row = self.rows[device]
        if counter >= len(row):
            row.extend(bytes(counter - len(row) + 512))
        self.last_arrival = time.monotonic()
        if row[counter]:
            row[counter] = min(row[counter] + 1, 255)
            self.duplicates += 1
            if not self.behind and self.last_arrival > self.fault_until + EXPLAINED_SECONDS:
                self.unexplained += 1
            return
        row[counter] = 1
        self.arrived += 1
        if counter < self.newest[device]:
            self.reordered += 1
        else:
            self.newest[device] = counter

    def judge(self, book):
        """(lost, unknown, examples)"""
        lost = unknown = 0
        examples = []
        for device, marks in enumerate(book.marks):
            row = self.rows[device]
            for counter in range(max(len(marks), len(row))):
                mark = marks[counter] if counter < len(marks) else 0
                came = counter < len(row) and row[counter]
                if came and not mark:
                    unknown += 1
                elif not came and mark & 2 and self.takes(device):
                    lost += 1
                    if len(examples) < 3:
                        examples.append(f"{FIRST_DEV_EUI + device:016X}/{counter}")
        return lost, unknown, examples

    def missing(self, book):
        wanted = book.answered if self.takes(1) else sum(
            sum(1 for mark in marks if mark & 2) for device, marks in enumerate(book.marks) if self.takes(device))
        return max(0, wanted - self.arrived)

    async def fault(self, kind, seconds):
        raise NotImplementedError

    def stop(self):
        pass


class Broker(Target):
    """mosquitto, its log read through a pipe."""

    kinds = ("kill", "hang")

    def __init__(self, name, devices, home, loop):
        super().__init__(name, devices)
        self.loop = loop
        self.port = kit.free_port()
        self.file = home / f"{name}.conf"
        self.file.write_text(f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
                             "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n"
                             "log_dest stderr\nlog_type debug\nlog_type error\nlog_timestamp false\n")
        self.child = None
        self.start()

    def start(self):
        self.child = subprocess.Popen([kit.MOSQUITTO, "-c", str(self.file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE)
        pipe = self.child.stderr
        try:
            fcntl.fcntl(pipe, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError:
            pass
        os.set_blocking(pipe.fileno(), False)
        rest = [b""]

        def read():
            try:
                got = os.read(pipe.fileno(), 1 << 18)
            except BlockingIOError:
                return
            if not got:
                self.loop.remove_reader(pipe.fileno())
                pipe.close()
                return
            text = rest[0] + got
            cut = text.rfind(b"\n") + 1
            rest[0] = text[cut:]
            for found in PUBLISH.finditer(text, 0, cut):
                self.arrival(found[1], found[2])
        self.loop.add_reader(pipe.fileno(), read)

    async def fault(self, kind, seconds):
        if kind == "kill":
            self.child.kill()
            self.child.wait()
            await asyncio.sleep(seconds)
            self.start()
        else:
            self.child.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.child.send_signal(signal.SIGCONT)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
            self.child.wait(10)


class Proxied(Broker):
    """A broker behind a TCP proxy that can be slow, silent, cut off or closed."""

    kinds = ("slow", "silent", "cut", "refuse")

    def __init__(self, name, devices, home, loop):
        super().__init__(name, devices, home, loop)
        self.broker_port = self.port
        self.mode = "pass"
        self.writers = set()
        self.port = kit.free_port()
        self.server = None

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 17)

    async def serve(self, reader, writer):
        self.writers.add(writer)
        other = None
        try:
            if self.mode == "silent":
                await asyncio.sleep(3600)
            up_reader, other = await asyncio.open_connection("127.0.0.1", self.broker_port, limit=1 << 17)
            self.writers.add(other)
            ways = [asyncio.ensure_future(self.pass_on(reader, other, True)),
                    asyncio.ensure_future(self.pass_on(up_reader, writer, False))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    self.writers.discard(end)
                    end.close()

    async def pass_on(self, reader, writer, up):
        try:
            while True:
                data = await reader.read(1 << 16)
                if not data:
                    return
                if up and self.mode == "slow":
                    await asyncio.sleep(0.25)
                while self.mode == "silent":
                    await asyncio.sleep(0.1)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def cut(self):
        for writer in list(self.writers):
            writer.transport.abort()

    async def fault(self, kind, seconds):
        if kind == "cut":
            for _ in range(max(1, int(seconds / 3))):
                self.cut()
                await asyncio.sleep(min(seconds, 3))
        elif kind == "refuse":
            self.server.close()
            self.cut()
            await asyncio.sleep(seconds)
            await self.listen()
        else:
            self.mode = kind
            await asyncio.sleep(seconds)
            self.mode = "pass"
            if kind == "silent":
                self.cut()


class Endpoint(Target):
    """An HTTP server that can be busy, slow, silent, cut off or closed."""

    kinds = ("503", "429", "slow", "silent", "cut", "refuse")

    def __init__(self, name, devices):
        super().__init__(name, devices)
        self.mode = "pass"
        self.port = kit.free_port()
        self.server = None
        self.writers = set()

    def takes(self, device):
        return device % HTTP_SHARE == 0

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 17)

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
                if re.search(rb"(?i)expect: *100-continue", head):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(length)
                if self.mode == "slow":
                    await asyncio.sleep(0.5)
                while self.mode == "silent":
                    await asyncio.sleep(0.1)
                if self.mode == "503":
                    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
                elif self.mode == "429":
                    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
                else:
                    self.take(body)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, TypeError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def take(self, body):
        try:
            root = json.loads(body)["DevEUI_uplink"]
            if "humidity" not in root["payload"] or len(root["payload_hex"]) < 2:
                raise KeyError("payload")
            self.arrival(root["DevEUI"], root["FCntUp"])
        except (ValueError, KeyError):
            self.damaged += 1

    async def fault(self, kind, seconds):
        if kind == "refuse":
            self.server.close()
            for writer in list(self.writers):
                writer.transport.abort()
            await asyncio.sleep(seconds)
            await self.listen()
        elif kind == "cut":
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for writer in list(self.writers):
                    writer.transport.abort()
                await asyncio.sleep(0.5)
        else:
            self.mode = kind
            await asyncio.sleep(seconds)
            self.mode = "pass"


class Watch:
    """Resident size and processor time of the server and its driver hosts, every ten seconds."""

    def __init__(self, pid):
        self.pid, self.samples, self.started = pid, [], time.monotonic()

    def resident(self, pid):
        try:
            return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        except OSError:
            return 0.0

    def cpu(self):
        total = 0
        for pid in tree(self.pid):
            try:
                words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(words[11]) + int(words[12])
            except OSError:
                pass
        return total / os.sysconf("SC_CLK_TCK")

    def sample(self):
        self.samples.append((time.monotonic() - self.started, self.resident(self.pid),
                             sum(self.resident(pid) for pid in tree(self.pid))))

    def report(self, warm_up):
        """Start, end, most, and the slope in MB an hour of what came after the first minutes; flat or not."""
        own = [size for _, size, _ in self.samples]
        late = [(at, size) for at, size, _ in self.samples if at >= warm_up] or [(at, size) for at, size, _ in self.samples]
        slope = 0.0
        if len(late) > 2:
            slope = statistics.linear_regression([at for at, _ in late], [size for _, size in late]).slope * 3600
        third = max(1, len(late) // 3)
        first = statistics.median(size for _, size in late[:third])
        last = statistics.median(size for _, size in late[-third:])
        return {"start": own[0], "end": own[-1], "max": max(own), "slopeMbPerHour": slope, "firstThird": first, "lastThird": last,
                "withHostsEnd": self.samples[-1][2], "withHostsMax": max(size for _, _, size in self.samples),
                "flat": last <= first * 1.1 + 16 or late[-1][0] - late[0][0] < JUDGED_SECONDS, "samples": len(own)}


class Soak:
    def __init__(self, options, loop):
        self.options, self.loop = options, loop
        self.dice = random.Random(options.seed)
        self.home = ROOT / "build/soak"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.book = Book(options.devices)
        self.targets = [Broker(f"mqtt-{i}", options.devices, self.home, loop) for i in range(options.brokers)]
        self.targets += [Proxied("mqtt-proxied", options.devices, self.home, loop), Endpoint("http", options.devices)]
        self.server = None
        self.ended = False
        self.problems = []

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    async def prepare(self):
        for target in self.targets:
            if isinstance(target, (Proxied, Endpoint)):
                await target.listen()
        await asyncio.sleep(0.5)
        await self.loop.run_in_executor(None, self.make)

    def make(self):
        self.server = kit.Sluice(self.home / "sluice")
        self.api = api = self.server.api()
        kit.make_driver(api, kit.climate_code())
        self.binder = kit.make_binder(api)
        for target in self.targets:
            if isinstance(target, Endpoint):
                target.connection = kit.make_http(api, f"http://127.0.0.1:{target.port}/in", target.name, timeout=10000)
            else:
                target.connection = kit.make_mqtt(api, target.port, target.name, uplinkTopicPattern="up/{DevEUI}/{FCntUp}",
                                                  downlinkTopicPattern="")
        everywhere = [target.connection for target in self.targets]
        some = [kit.key_matcher(f"{FIRST_DEV_EUI + device:016X}") for device in range(0, self.options.devices, HTTP_SHARE)]
        kit.make_flow(api, everywhere, [*some, kit.key_matcher(FRESH)], name="all targets")
        kit.make_flow(api, everywhere[:-1], name="brokers")
        for target in self.targets:
            api.wait_state(target.connection["id"], "OPENED")

    def read_ledger(self, path):
        os.mkfifo(path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        rest = [b""]

        def read():
            try:
                got = os.read(fd, 1 << 18)
            except BlockingIOError:
                return
            text = rest[0] + got
            cut = text.rfind(b"\n") + 1
            rest[0] = text[cut:]
            for found in LEDGER.finditer(text, 0, cut):
                self.book.line(*found.groups())
            if not got and self.ended:
                self.loop.remove_reader(fd)
                os.close(fd)
        self.loop.add_reader(fd, read)

    async def trouble(self, target):
        """One fault after the other for one target."""
        try:
            while True:
                await asyncio.sleep(self.dice.uniform(0.3, 1.7) * self.options.calm)
                kind = self.dice.choice(target.kinds)
                seconds = self.dice.uniform(0.3, 12)
                if self.options.minutes >= 15 and self.dice.random() < 0.06:
                    seconds = self.dice.uniform(30, 75)
                target.fault_until, target.behind = float("inf"), True
                target.faults[kind] = target.faults.get(kind, 0) + 1
                self.say(f"{target.name}: {kind} for {seconds:.1f} s")
                await asyncio.shield(target.fault(kind, seconds))
                target.fault_until = time.monotonic()
        except asyncio.CancelledError:
            target.fault_until = min(target.fault_until, time.monotonic() + 15)

    async def look(self):
        """Memory, lag, and a line a minute."""
        watched = time.monotonic()
        told = time.monotonic()
        while not self.ended:
            if time.monotonic() >= watched:
                self.watch.sample()
                watched += SAMPLE_SECONDS
            try:
                got = await self.loop.run_in_executor(None, self.api.get, "/connections/metrics")
                lags = {str(one["connectionId"]): one["lag"] for one in got}
                for target in self.targets:
                    target.lag = lags[target.connection["id"]]
                    target.most_lag = max(target.most_lag, target.lag)
                    if target.fault_until != float("inf") and target.lag < self.options.rate:
                        target.behind = False
            except (OSError, kit.ApiError) as error:
                if "401" in str(error):
                    self.api = await self.loop.run_in_executor(None, self.server.api)
                else:
                    self.say(f"metrics: {error}")
            if time.monotonic() - told >= 30:
                told = time.monotonic()
                lag = ", ".join(f"{target.name} {target.lag}" for target in self.targets)
                self.say(f"answered {self.book.answered}, resident {self.watch.samples[-1][1]:.0f} MB, lag {lag}")
            await asyncio.sleep(2)

    async def run(self):
        self.started = time.monotonic()
        print(f"seed {self.options.seed}", flush=True)
        await self.prepare()
        self.started = time.monotonic()
        ledger = self.home / "ledger"
        self.read_ledger(ledger)
        self.watch = Watch(self.server.process.pid)
        self.watch.sample()
        simulator = kit.Simulator(self.home, self.binder, "--devices", self.options.devices, "--rate", self.options.rate, "--connections", 48,
                                  "--duration", f"{int(self.options.minutes * 60)}s", "--ledger", ledger, "--quiet")
        looking = asyncio.ensure_future(self.look())
        troubles = [asyncio.ensure_future(self.trouble(target)) for target in self.targets if not self.options.no_faults]
        end = time.monotonic() + self.options.minutes * 60
        while time.monotonic() < end - 5 and self.server.process.running() and simulator.child.poll() is None:
            await asyncio.sleep(0.5)
        for one in troubles:
            one.cancel()
        self.say("no more faults")
        summary = await self.loop.run_in_executor(None, simulator.wait, 120)
        sent_all = time.monotonic()
        await asyncio.sleep(1)
        await self.drain()
        drained = time.monotonic() - sent_all
        fresh = await self.fresh_passes()
        self.watch.sample()
        cpu = self.watch.cpu()
        self.ended = True
        await looking
        await asyncio.sleep(0.5)
        return await self.loop.run_in_executor(None, self.judge, summary, drained, fresh, cpu)

    async def drain(self):
        """Until all has arrived, or nothing new has for a while."""
        while self.server.process.running():
            missing = {target.name: target.missing(self.book) for target in self.targets}
            if not any(missing.values()):
                return
            late = [target for target in self.targets if missing[target.name] and
                    time.monotonic() - target.last_arrival < self.options.drain]
            if not late:
                return self.say(f"given up: {missing}")
            await asyncio.sleep(1)

    async def fresh_passes(self):
        device = kit.Device(self.binder, FRESH, kit.AS_ID, kit.AS_KEY, kit.CLIMATE)
        try:
            await self.loop.run_in_executor(None, device.send)
        except (AssertionError, OSError):
            return False
        for _ in range(300):
            if all(target.fresh for target in self.targets):
                return True
            await asyncio.sleep(0.1)
        return False

    def judge(self, summary, drained, fresh, cpu):
        problems = []
        rows = []
        if not self.server.process.running():
            problems.append("the server has ended: " + self.server.process.text()[-500:])
        for target in self.targets:
            lost, unknown, examples = target.judge(self.book)
            unknown += target.strangers
            if lost:
                problems.append(f"{target.name}: lost {lost}, as {examples}")
            for name, count in (("unknown", unknown), ("damaged", target.damaged), ("reordered", target.reordered),
                                ("duplicates away from any fault", target.unexplained)):
                if count:
                    problems.append(f"{target.name}: {name} {count}")
            faults = ", ".join(f"{count} {kind}" for kind, count in sorted(target.faults.items())) or "none"
            rows.append((target.name, f"{target.arrived:,}", lost, target.reordered, unknown + target.damaged, f"{target.duplicates:,}",
                         target.unexplained, f"{target.most_lag:,}", faults))
        memory = self.watch.report(min(900, self.options.minutes * 60 / 4))
        if not memory["flat"]:
            problems.append("memory grows: {firstThird:.0f} MB, later {lastThird:.0f} MB".format(**memory))
        if not fresh:
            problems.append("a fresh message does not pass")
        if summary["answered"] < self.options.rate * self.options.minutes * 60 * 0.9:
            problems.append(f"only {summary['answered']} reports were answered: not the load that was asked for")
        if summary["answered"] != self.book.answered:
            problems.append(f"the ledger has {self.book.answered} answered reports, the simulator {summary['answered']}")
        seconds = self.options.minutes * 60
        text = table(("target", "arrived", "lost", "reordered", "unknown, damaged", "duplicates", "of these away from faults", "most pending",
                      "faults"), rows)
        text += "\n\n" + table(("what", "measured"), [
            ("sent / answered / refused / broken", "{sent:,} / {answered:,} / {refused:,} / {broken:,}".format(**summary)),
            ("report due to 2xx", "p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max:.0f} ms".format(**summary["answerMs"])),
            ("all arrived after the last report", f"{drained:.1f} s"),
            ("resident, engine alone", "{start:.0f} MB at the start, {end:.0f} MB at the end, {max:.0f} MB at most".format(**memory)),
            ("the same, first minutes left out", "median {firstThird:.0f} MB in the first third, {lastThird:.0f} MB in the last, "
             "slope {slopeMbPerHour:+.1f} MB/h, flat: {flat}".format(**{**memory, "flat": "yes" if memory["flat"] else "NO"})),
            ("resident with driver hosts", "{withHostsEnd:.0f} MB at the end, {withHostsMax:.0f} MB at most".format(**memory)),
            ("processor, engine and hosts", f"{cpu / seconds * 100:.0f} % of one core"),
            ("a fresh message afterwards", "passes" if fresh else "FAILS"),
        ])
        print("\n" + text + "\n")
        for problem in problems:
            print("problem: " + problem)
        print("verdict: " + ("good" if not problems else f"{len(problems)} problems"), flush=True)
        if self.options.record:
            words = " ".join(word for word in sys.argv[1:] if word != "--record")
            with open(ROOT / "bench/RESULTS.md", "a") as results:
                results.write(f"\n## {datetime.date.today()}, {commit()}, soak\n\nMachine: {machine()}. Command: `./dev soak {words}`, seed "
                              f"{self.options.seed}. {self.options.rate:,} reports a second for {self.options.minutes:g} minutes over "
                              f"{self.options.devices:,} devices, each to {len(self.targets) - 1} brokers, one device in {HTTP_SHARE} to an "
                              f"HTTP endpoint, too. Verdict: {'good' if not problems else '; '.join(problems)}.\n\n{text}\n")
        return not problems

    def stop(self):
        if self.server:
            try:
                self.server.stop()
            except AssertionError as error:
                print(f"problem: {error}")
        for target in self.targets:
            target.stop()


def main():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="reports a second")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--brokers", type=int, default=2, help="beside the one behind a proxy")
    parser.add_argument("--calm", type=float, default=20, help="seconds between two faults of one target, on average")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--drain", type=int, default=420, help="seconds without an arrival after which what is missing is lost")
    parser.add_argument("--seed", type=int, default=None, help="of faults and moments; printed")
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    soak = Soak(options, loop)
    good = False
    try:
        good = loop.run_until_complete(soak.run())
    finally:
        soak.stop()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
