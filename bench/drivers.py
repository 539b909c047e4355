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

    def stop(self):
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

def start_peer(core):
    """isolated-vm, or the reason why it is not there."""
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
    peer = Talker(["node", "--no-node-snapshot", ROOT / "bench/peer_isolated_vm.js", PEER], core)
    return peer, f"isolated-vm {version}, Node.js {node}"


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


def measure_speed(options, engine, peer):
    rows = []
    for name, (file, uplinks) in bench_drivers().items():
        for talker in filter(None, (engine, peer)):
            talker.ask(do="driver", name=name, file=str(file))
        compare_results(engine, peer, name, uplinks)
        calls = [[name, payload, port] for payload, port in uplinks]
        rate(engine, calls, 2000)
        way = None
        if peer:
            for each in WAYS:
                rate(peer, calls, 1000, way=each)  # its compilers
            found = {each: max(rate(peer, calls, 700, way=each) for _ in range(2)) for each in WAYS}
            way = max(found, key=found.get)
        ours, theirs, limited = [], [], []
        for _ in range(options.rounds):
            ours.append(rate(engine, calls, options.milliseconds))
            if peer:
                theirs.append(rate(peer, calls, options.milliseconds, way=way))
                limited.append(rate(peer, calls, options.milliseconds, way=way + "+limit"))
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


def main():
    parser = argparse.ArgumentParser(prog="./dev bench drivers", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds of engine and peer in turn")
    parser.add_argument("--milliseconds", type=int, default=1000, help="length of a round")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    peer, about = (None, "left out") if options.no_peer else start_peer(options.core)
    print(f"peer: {about}", flush=True)
    engine = Talker([LOAD], options.core)
    engine.ask(do="engine", fastHosts=1)
    measure_speed(options, engine, peer)
    engine.stop()
    if peer:
        peer.stop()


if __name__ == "__main__":
    main()
