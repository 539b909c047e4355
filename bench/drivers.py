#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of the driver engine, as `./dev bench` runs it: a small, a middle and a heavy driver through the host
processes, engine and hosts together on one core, against isolated-vm on the same core in turn; then 400 drivers at once, and
drivers that come back after they were dropped."""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "build/bench/drivers"
PEER = ROOT / "build/peer/isolated-vm"
LOAD = ROOT / "build/release/driver_load"
BUFFER = "6.0.3"
# The newest version of isolated-vm that each Node.js takes: (least Node.js, version).
ISOLATED_VM = [(24, "7.0.1"), (22, "6.0.2"), (18, "5.0.4")]
WAYS = ["args", "json", "copy"]
WANTED_RATIO, WANTED_RATE, WANTED_MB, WANTED_MS = 1.3, 100_000, 400, 5


class Talker:
    """A child that is told one JSON object a line and answers with one."""

    def __init__(self, command, core=None):
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **order):
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.child.args} ended")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{order.get('do')} {order.get('name', '')}: {answer['error']}")
        return answer

    def pause(self):
        """isolated-vm's timers go on after a call with a limit, on the core that is another's now."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self):
        self.resume()
        self.child.stdin.close()
        self.child.wait(20)


# ---- the drivers and what they are given

def small_payloads(dice):
    return [(bytes([1]) + struct.pack(">hBH", dice.randint(-2000, 6000), dice.randint(0, 200), dice.randint(2900, 3600))).hex()
            for _ in range(16)]


def middle_payloads(dice):
    """Some 40 bytes: a dozen readings, and what the device says of itself or a record of history."""
    payloads = []
    for i in range(16):
        out = bytearray()
        parts = [b"\x01\x75" + bytes([dice.randint(1, 100)]), b"\x03\x67" + struct.pack("<h", dice.randint(-200, 500)),
                 b"\x04\x68" + bytes([dice.randint(0, 200)]), b"\x05\x00" + bytes([dice.randint(0, 1)]),
                 b"\x06\xcb" + bytes([dice.randint(0, 5)]), b"\x07\x7d" + struct.pack("<H", dice.randint(300, 3000)),
                 b"\x08\x7d" + struct.pack("<H", dice.randint(0, 500)), b"\x09\x73" + struct.pack("<H", dice.randint(9500, 10500)),
                 b"\x0b\x7d" + struct.pack("<H", dice.randint(0, 100)), b"\x0c\x7d" + struct.pack("<H", dice.randint(0, 100)),
                 b"\x10\xc8" + struct.pack("<I", dice.randint(0, 1 << 31))]
        for part in parts:
            out += part
        if i % 4 == 0:
            out += b"\xff\x01\x01\xff\x09\x03\x10"
        elif i % 4 == 1:
            out += b"\x20\xce" + struct.pack("<IhB", 1700000000 - i, dice.randint(-200, 500), dice.randint(0, 200))
        else:
            out += b"\x11\x94" + bytes([dice.randint(0, 1)])
        payloads.append(out.hex())
    return payloads


def heavy_payloads(dice, records=50, width=6):
    payloads = []
    zigzag = lambda value: (value << 1) ^ (value >> 31)  # noqa: E731
    for _ in range(16):
        head = struct.pack(">BBHIHBBhB", 3, dice.randint(0, 15), dice.randint(2900, 3600), 1700000000 - dice.randint(0, 3600), 600,
                           records, width, dice.randint(-500, 3000), 100)
        bits = ""
        for _ in range(records - 1):
            bits += format(zigzag(dice.randint(-31, 31)) & 0x3f, "06b")
            bits += "1" + format(zigzag(dice.choice((-1, 1))) & 0x1f, "05b") if dice.random() < 0.3 else "0"
        bits += "0" * (-len(bits) % 8)
        body = int(bits, 2).to_bytes(len(bits) // 8, "big")
        payloads.append((head + bytes([sum(head) & 255]) + body).hex())
    return payloads


def bench_drivers():
    """name -> (file, [(payload, FPort)])"""
    dice = random.Random(7)
    return {"small": (ROOT / "examples/drivers/climate/index.js", [(p, 2) for p in small_payloads(dice)]),
            "middle": (ROOT / "bench/drivers/middle.js", [(p, 85) for p in middle_payloads(dice)]),
            "heavy": (ROOT / "bench/drivers/heavy.js", [(p, 3) for p in heavy_payloads(dice)])}


# ---- the peer

def start_peers(core):
    """isolated-vm twice, or the reason why it is not there."""
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "Node.js and npm are not installed"
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major = int(re.match(r"v(\d+)", node)[1])
    version = next((version for least, version in ISOLATED_VM if major >= least), None)
    if version is None:
        return None, f"no version of isolated-vm works with Node.js {node}"
    installed = PEER / "node_modules/isolated-vm/package.json"
    built = PEER / "node_modules/isolated-vm/out/isolated_vm.node"
    if not built.exists() or json.loads(installed.read_text())["version"] != version:
        print(f"installing isolated-vm {version} (it is compiled: some minutes)", flush=True)
        PEER.mkdir(parents=True, exist_ok=True)
        # Node.js's own headers, where a package has put them: nothing else to be fetched.
        headers = ["--nodedir=/usr"] if pathlib.Path("/usr/include/node/node.h").exists() else []
        got = subprocess.run(["npm", "install", "--prefix", PEER, "--no-audit", "--no-fund", *headers, f"isolated-vm@{version}",
                              f"buffer@{BUFFER}"], capture_output=True, text=True)
        if got.returncode != 0 or not built.exists():
            return None, f"isolated-vm {version} could not be built: {(got.stderr or got.stdout).strip()[-300:]}"
    # One process for calls without a limit and one for those with: what a limit leaves behind slows both kinds.
    peers = [Talker(["node", "--no-node-snapshot", ROOT / "bench/peer_isolated_vm.js", PEER], core) for _ in range(2)]
    return peers, f"isolated-vm {version}, Node.js {node}"


# ---- speed

def same(left, right):
    return json.loads(left) == json.loads(right)


def compare_results(engine, peer, name, uplinks):
    for payload, port in uplinks:
        ours = engine.ask(do="decode", driver=name, hex=payload, fPort=port)
        if not ours["ok"]:
            raise SystemExit(f"{name} does not decode {payload}: {ours['text']}")
        for way in WAYS if peer else []:
            theirs = peer.ask(do="decode", driver=name, hex=payload, fPort=port, way=way)
            if not same(ours["text"], theirs["text"]):
                raise SystemExit(f"{name}, {payload}: the results differ:\n{ours['text']}\n{theirs['text']}")


def rate(talker, calls, milliseconds, **more):
    got = talker.ask(do="rate", calls=calls, milliseconds=milliseconds, **more)
    if got["failed"]:
        raise SystemExit(f"{got['failed']} of {got['calls']} decodes failed")
    return got["calls"] / got["seconds"]


def measure_speed(options, engine, peers):
    rows = []
    peer, bound = peers or (None, None)

    def turn(whose, *arguments, **options_of):
        whose.resume()
        result = rate(whose, *arguments, **options_of)
        if whose is bound:
            time.sleep(1.5)  # the last call's timer runs out before the process stands still, or it would hit the next one
        whose.pause()
        return result

    for name, (file, uplinks) in bench_drivers().items():
        for talker in filter(None, (engine, peer, bound)):
            talker.resume()
            talker.ask(do="driver", name=name, file=str(file))
        compare_results(engine, peer, name, uplinks)
        calls = [[name, payload, port] for payload, port in uplinks]
        for other in peers or ():
            other.pause()
        rate(engine, calls, 2000)
        way = None
        if peer:
            for each in WAYS:
                turn(peer, calls, 1000, way=each)  # its compilers
            found = {each: max(turn(peer, calls, 700, way=each) for _ in range(2)) for each in WAYS}
            way = max(found, key=found.get)
            turn(bound, calls, 1000, way=way + "+limit")
        ours, theirs, limited = [], [], []
        for _ in range(options.rounds):
            ours.append(rate(engine, calls, options.milliseconds))
            if peer:
                theirs.append(turn(peer, calls, options.milliseconds, way=way))
                limited.append(turn(bound, calls, options.milliseconds, way=way + "+limit"))
        row = {"name": name, "way": way, "ours": statistics.median(ours), "all": ours}
        text = f"{name}: {row['ours']:,.0f}/s (from {min(ours):,.0f} to {max(ours):,.0f})"
        if peer:
            row |= {"peer": statistics.median(theirs), "peerLimited": statistics.median(limited), "peerAll": theirs,
                    "ratio": statistics.median(a / b for a, b in zip(ours, theirs)),
                    "ratioLimited": statistics.median(a / b for a, b in zip(ours, limited))}
            text += (f"; peer ({way}) {row['peer']:,.0f}/s (from {min(theirs):,.0f} to {max(theirs):,.0f}), {row['ratio']:.2f} times; "
                     f"with a limit {row['peerLimited']:,.0f}/s, {row['ratioLimited']:.2f} times")
        print(text, flush=True)
        rows.append(row)
    return rows


# ---- memory and idle drivers

def resident(pid):
    """Of the engine's hosts, in MB: (sum of Rss, sum of Pss, how many)."""
    children = [child for tasks in pathlib.Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]
    rss = pss = count = 0
    for child in children:
        try:
            text = pathlib.Path(f"/proc/{child}/smaps_rollup").read_text()
        except OSError:
            continue  # a host that has just been replaced
        rss += int(re.search(r"Rss:\s+(\d+)", text)[1])
        pss += int(re.search(r"Pss:\s+(\d+)", text)[1])
        count += 1
    return rss / 1000, pss / 1000, count


PADDING = """
function readGroup%(n)d(bytes, offset) {
  var group = {};
  group.field_%(n)d_a = readUInt16%(n)d(bytes, offset) / %(scale)d;
  group.field_%(n)d_b = (bytes[offset + 2] & 0x0f) === %(nibble)d ? "alarm" : "normal";
  group.field_%(n)d_c = ["low", "middle", "high", "unknown"][bytes[offset + 3] & 3];
  if (bytes[offset + 4] & 0x80) throw new Error("group %(n)d: reserved bit");
  return group;
}
function readUInt16%(n)d(bytes, offset) {
  return ((bytes[offset + 1] << 8) | bytes[offset]) & 0xffff;
}
"""


def generated_drivers(count):
    """Variants of the middle and the heavy driver, 5 to 60 KB each: [(name, file, uplinks)]."""
    dice = random.Random(11)
    known = bench_drivers()
    made = []
    for i in range(count):
        file, uplinks = known["middle" if i % 2 == 0 else "heavy"]
        text, size = file.read_text(), int(5000 * 12 ** dice.random())
        n = 0
        while len(text) < size:
            text += PADDING % {"n": n, "scale": dice.choice((1, 10, 100)), "nibble": dice.randint(0, 15)}
            n += 1
        path = HOME / f"generated-{i}.js"
        path.write_text(f"// variant {i}\n{text}")
        made.append((f"generated {i}", path, uplinks[:4]))
    return made


def drivers_from(folder, count):
    """Those of a checkout: every script that is a driver, over again under other names until there are enough."""
    files = [path for path in sorted(pathlib.Path(folder).rglob("*.js"))
             if re.search(r"function\s+(decodeUplink|Decoder|Decode)\b", path.read_text(errors="replace"))]
    if not files:
        raise SystemExit(f"no driver below {folder}")
    uplinks = [("01755c03671001046871", 85), ("ff0bff0100ff0903100ff0a0101", 85), ("0175640367110004687105000006cb03", 85)]
    uplinks = [(payload + "0" * (len(payload) % 2), port) for payload, port in uplinks]
    return [(f"{files[i % len(files)].stem} {i // len(files)}", files[i % len(files)], uplinks) for i in range(count)]


def add_all(engine, drivers):
    added = []
    for name, file, uplinks in drivers:
        try:
            engine.ask(do="driver", name=name, file=str(file))
            added.append((name, file, uplinks))
        except RuntimeError as error:
            print(f"left out: {error}", flush=True)
    return added


def measure_memory(options):
    engine = Talker([LOAD])
    engine.ask(do="engine", fastHosts=options.fast_hosts)
    fresh = resident(engine.child.pid)
    given = drivers_from(options.drivers_from, 400) if options.drivers_from else generated_drivers(400)
    drivers = add_all(engine, given)
    calls = [[name, payload, port] for i in range(2) for name, _, uplinks in drivers for payload, port in [uplinks[i % len(uplinks)]]]
    highest = (0, 0, 0)
    for _ in range(5):
        engine.ask(do="rate", calls=calls, milliseconds=120000, rounds=1)
        highest = max(highest, resident(engine.child.pid))
    got = engine.ask(do="rate", calls=calls, milliseconds=5000)
    highest = max(highest, resident(engine.child.pid))
    engine.stop()
    row = {"drivers": len(drivers), "source": sum(file.stat().st_size for _, file, _ in drivers), "fresh": fresh, "highest": highest,
           "robin": got["calls"] / got["seconds"]}
    print(f"{len(drivers)} drivers, {row['source'] / 1e6:.1f} MB of source: {highest[2]} hosts together {highest[0]:.0f} MB (Pss "
          f"{highest[1]:.0f}), fresh {fresh[0]:.0f}; in turn {row['robin']:,.0f} decodes/s", flush=True)
    return row


def measure_idle(options):
    """How long the first answer takes of a driver that was dropped, and what is given back."""
    idle = 300
    engine = Talker([LOAD])
    engine.ask(do="engine", fastHosts=1, idleMs=idle)
    drivers = [(name, file, uplinks) for name, (file, uplinks) in bench_drivers().items()]
    if options.drivers_from:
        drivers += drivers_from(options.drivers_from, 100)
    drivers = add_all(engine, drivers)
    times = {name: [] for name, _, _ in drivers}
    before = after = (0, 0, 0)
    for _ in range(3):
        for name, _, uplinks in drivers:
            for payload, port in uplinks[:3]:
                engine.ask(do="decode", driver=name, hex=payload, fPort=port)
        before = max(before, resident(engine.child.pid))
        time.sleep(idle / 1000 + 2)  # the drop, and a second later the collection
        after = resident(engine.child.pid)
        for name, _, uplinks in drivers:
            times[name].append(engine.ask(do="decode", driver=name, hex=uplinks[0][0], fPort=uplinks[0][1])["ms"])
    engine.stop()
    first = {name: statistics.median(all) for name, all in times.items()}
    values = sorted(first.values())
    row = {"first": {name: first[name] for name in bench_drivers()}, "count": len(values), "p50": statistics.median(values),
           "p95": values[int(len(values) * 0.95)], "max": values[-1], "before": before, "after": after}
    print("first answer after a drop: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in row["first"].items()) +
          f"; of {len(values)} drivers p50 {row['p50']:.2f}, p95 {row['p95']:.2f}, max {row['max']:.2f} ms; hosts {before[0]:.0f} MB "
          f"before, {after[0]:.0f} MB after", flush=True)
    return row


# ---- the report

def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def report(about, speed, memory, idle):
    text = []
    if speed:
        rows = []
        for row in speed:
            cells = [row["name"], f"{row['ours']:,.0f}"]
            if "peer" in row:
                cells += [f"{row['peer']:,.0f} ({row['way']})", f"{row['ratio']:.2f} times", f"{row['peerLimited']:,.0f}",
                          f"{row['ratioLimited']:.2f} times"]
            rows.append(cells + [""] * (6 - len(cells)))
        text.append(f"Decodes a second on one core, medians of rounds in turn; peer: {about}, its fastest way in, without and with a limit "
                    f"for the call. Wanted: small at least {WANTED_RATE:,}, each at least {WANTED_RATIO} times the peer.\n\n" +
                    table(("driver", "Sluice", "isolated-vm", "ratio", "isolated-vm with a limit", "ratio"), rows))
    rows = []
    if memory:
        rows += [(f"{memory['drivers']} drivers ({memory['source'] / 1e6:.1f} MB of source) used, {memory['highest'][2]} hosts together",
                  f"{memory['highest'][0]:.0f} MB resident (Pss {memory['highest'][1]:.0f} MB); fresh {memory['fresh'][0]:.0f} MB",
                  f"under {WANTED_MB} MB"),
                 ("the same drivers in turn", f"{memory['robin']:,.0f} decodes/s", "")]
    if idle:
        rows += [("first answer of a dropped driver", ", ".join(f"{name} {ms:.2f} ms" for name, ms in idle["first"].items()),
                  f"under {WANTED_MS} ms"),
                 (f"the same of {idle['count']} drivers", f"p50 {idle['p50']:.2f}, p95 {idle['p95']:.2f}, max {idle['max']:.2f} ms", "")]
    if rows:
        text.append(table(("what", "measured", "wanted"), rows))
    return "\n\n".join(text)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench drivers", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds of engine and peer in turn")
    parser.add_argument("--milliseconds", type=int, default=1000, help="length of a round")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--drivers-from", help="a checkout with drivers, for memory and idle drivers; else generated ones")
    parser.add_argument("--fast-hosts", type=int, default=1, help="hosts for 400 drivers")
    parser.add_argument("--only", choices=["speed", "memory", "idle"])
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    speed = memory = idle = None
    about = "left out"
    if options.only in (None, "speed"):
        peers = None
        if not options.no_peer:
            peers, about = start_peers(options.core)
        print(f"peer: {about}", flush=True)
        engine = Talker([LOAD], options.core)
        engine.ask(do="engine", fastHosts=1)
        speed = measure_speed(options, engine, peers)
        engine.stop()
        for peer in peers or ():
            peer.stop()
    if options.only in (None, "memory"):
        memory = measure_memory(options)
    if options.only in (None, "idle"):
        idle = measure_idle(options)
    text = report(about, speed, memory, idle)
    print("\n" + text)
    (HOME / "result.json").write_text(json.dumps({"peer": about, "speed": speed, "memory": memory, "idle": idle}, indent=1))
    if options.record:
        from e2e import commit, machine  # the load run's words for both
        shown = " ".join(word for word in sys.argv[1:] if word != "--record")
        shown = re.sub(r"(--drivers-from[= ])\S*/", r"\1", shown)
        with open(ROOT / "bench/RESULTS.md", "a") as results:
            results.write(f"\n## {time.strftime('%Y-%m-%d')}, {commit()}, drivers\n\nMachine: {machine()}, load average "
                          f"{os.getloadavg()[0]:.1f}. Command: `./dev bench drivers {shown}`.\n\n{text}\n")


if __name__ == "__main__":
    main()
