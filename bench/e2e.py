#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The load run behind `./dev bench`: devices, engine and broker on this machine.

A report comes in by HTTP, its token is verified, it is synced, matched among 1,000 flows, decoded by a JavaScript driver and
published with QoS 1 to mosquitto; a subscriber counts what arrives. First flat out, then at half the rate reached, for the
latency. `--peer node-red` gives Node-RED the same job (but the durability) in the same run."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib import kit  # noqa: E402

HOME = ROOT / "build/bench"
NODE_RED = "4.0.9"
FIRST_DEV_EUI = 0x5A1CE00000000001


def tree(pid):
    """The process and all below it."""
    pids, more = [], [pid]
    while more:
        one = more.pop()
        pids.append(one)
        try:
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                more += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            pass
    return pids


def resident_mb(pid):
    total = 0
    for one in tree(pid):
        try:
            total += int(pathlib.Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            pass
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


class Memory:
    """Resident size of a process tree, once a second."""

    def __init__(self, pid):
        self.samples, self.done = [], threading.Event()
        self.thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self.thread.start()

    def _watch(self, pid):
        while not self.done.wait(1):
            self.samples.append(resident_mb(pid))

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.samples

    def bounded(self):
        """No growth from the middle third to the last one beyond a quarter and 64 MB."""
        third = len(self.samples) // 3
        if third < 2:
            return True
        middle, last = max(self.samples[third:2 * third]), max(self.samples[2 * third:])
        return last <= max(middle * 1.25, middle + 64)


def simulate(binder, broker, seconds, rate, devices, connections):
    got = kit.Simulator(HOME, binder, "--devices", devices, "--rate", rate, "--duration", f"{seconds}s", "--connections", connections,
                        "--expect", f"mqtt://127.0.0.1:{broker.port}/up/#", "--drain", "60s",
                        "--first-fcnt", int(time.time()) % 1000000000).wait(seconds + 400)
    got["rate"] = got["arrived"] / max(got["secondsToLastArrival"], 0.001)
    return got


def run_sluice(options, broker):
    server = kit.Sluice(HOME / "sluice")
    try:
        api = server.api()
        kit.make_driver(api, kit.climate_code())
        binder = kit.make_binder(api)
        connections = [kit.make_mqtt(api, broker.port, f"bench {i}", downlinkTopicPattern="", actionTimeout=10000)
                       for i in range(options.mqtt_connections)]
        print(f"making {options.flows} flows", flush=True)
        for i in range(options.flows):
            kit.make_flow(api, [connections[i % len(connections)]], [kit.key_matcher(f"{FIRST_DEV_EUI + i:016X}")], name=f"flow {i}")
        for connection in connections:
            api.wait_state(connection["id"], "OPENED")
        before = resident_mb(server.process.pid)
        print(f"sluice: flat out for {options.seconds} s", flush=True)
        memory = Memory(server.process.pid)
        flat = simulate(binder, broker, options.seconds, 0, options.flows, options.http_connections)
        memory.stop()
        flat["rssMb"] = {"before": round(before), "max": round(max(memory.samples or [0])), "end": round((memory.samples or [0])[-1]),
                         "bounded": memory.bounded()}
        half = None
        if options.half_seconds:
            rate = int(flat["rate"] / 2)
            print(f"sluice: {rate}/s for {options.half_seconds} s", flush=True)
            half = simulate(binder, broker, options.half_seconds, rate, options.flows, options.http_connections)
        return flat, half
    finally:
        server.stop()


# One node a stage, as one writes it there: verify, match, decode, shape, publish. A flow's matcher is a rule of Node-RED's own
# switch node, which is where its users put what leads where; `--peer-match map` replaces the 1,000 rules by a hand-written
# look-up in a function node.
NODE_RED_VERIFY = r"""
const crypto = global.get("crypto"), key = global.get("asKey");
const root = msg.payload.DevEUI_uplink, q = msg.req.query;
const text = root.CustomerID + root.DevEUI + root.FPort + root.FCntUp + root.payload_hex +
  `LrnDevEui=${q.LrnDevEui}&LrnFPort=${q.LrnFPort}&LrnInfos=${q.LrnInfos}&AS_ID=${q.AS_ID}&Time=${q.Time}` + key;
const good = crypto.createHash("sha256").update(text).digest("hex") === q.Token;
return [{ req: msg.req, res: msg.res, statusCode: good ? 204 : 401, payload: "" }, good ? { payload: msg.payload } : null];
"""
NODE_RED_MATCH = r"""
return global.get("flows").has(msg.payload.DevEUI_uplink.DevEUI) ? msg : null;
"""
NODE_RED_DECODE = re.sub(r"^//.*\n", "", (ROOT / "examples/drivers/climate/index.js").read_text(), flags=re.M) + r"""
const root = msg.payload.DevEUI_uplink;
const result = decodeUplink({ fPort: root.FPort, bytes: [...Buffer.from(root.payload_hex, "hex")], recvTime: new Date(root.Time) });
if (result.errors && result.errors.length) root.payloadDecodedError = { code: "com-5000", message: result.errors.join(", ") };
else root.payload = result.data;
msg.topic = "up/" + root.DevEUI;
return msg;
"""


def node_red_match(options):
    if options.peer_match == "map":
        return {"id": "n-match", "type": "function", "z": "t", "func": NODE_RED_MATCH, "outputs": 1, "wires": [["n-decode"]]}
    rules = [{"t": "eq", "v": f"{FIRST_DEV_EUI + i:016X}", "vt": "str"} for i in range(options.flows)]
    return {"id": "n-match", "type": "switch", "z": "t", "property": "payload.DevEUI_uplink.DevEUI", "propertyType": "msg",
            "rules": rules, "checkall": "false", "repair": False, "outputs": len(rules), "wires": [["n-decode"]] * len(rules)}


def node_red_flow(options, broker_port):
    def function(name, code, wires):
        return {"id": "n-" + name, "type": "function", "z": "t", "func": code, "outputs": len(wires), "wires": wires}
    return [
        {"id": "t", "type": "tab", "label": "bench"},
        {"id": "b", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(broker_port), "clientid": "", "autoConnect": True,
         "usetls": False, "protocolVersion": "4", "keepalive": "60", "cleansession": True},
        {"id": "in", "type": "http in", "z": "t", "url": "/tunnel", "method": "post", "upload": False, "wires": [["n-verify"]]},
        function("verify", NODE_RED_VERIFY, [["answer"], ["n-match"]]),
        {"id": "answer", "type": "http response", "z": "t", "statusCode": "", "headers": {}, "wires": []},
        node_red_match(options),
        function("decode", NODE_RED_DECODE, [["shape"]]),
        {"id": "shape", "type": "json", "z": "t", "property": "payload", "action": "str", "pretty": False, "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "t", "topic": "", "qos": "1", "retain": "false", "broker": "b", "wires": []},
    ]


def run_node_red(options, broker):
    home = ROOT / "build/peer/node-red"
    home.mkdir(parents=True, exist_ok=True)
    entry = home / "node_modules/node-red/red.js"
    version = home / "node_modules/node-red/package.json"
    if not version.exists() or json.loads(version.read_text())["version"] != NODE_RED:
        print(f"installing node-red {NODE_RED}", flush=True)
        subprocess.run(["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--silent", f"node-red@{NODE_RED}"], check=True)
    user = HOME / "node-red"
    user.mkdir(parents=True)
    port = kit.free_port()
    (user / "flows.json").write_text(json.dumps(node_red_flow(options, broker.port)))
    (user / "settings.js").write_text(f"""module.exports = {{ flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: {port},
      httpAdminRoot: false, credentialSecret: false, logging: {{ console: {{ level: 'warn', metrics: false, audit: false }} }},
      functionGlobalContext: {{ crypto: require('crypto'), asKey: '{kit.AS_KEY}',
        flows: new Map(Array.from({{ length: {options.flows} }}, (_, i) =>
          ({FIRST_DEV_EUI}n + BigInt(i)).toString(16).toUpperCase().padStart(16, '0')).map(eui => [eui, true])) }} }};""")
    process = kit.Process(["node", entry, "--userDir", user, "--settings", user / "settings.js"], user / "log", {"NODE_ENV": "production"})
    try:
        kit.wait_for(lambda: kit.port_is_open(port), 60, "node-red to listen")
        time.sleep(3)  # its flow and its broker connection
        binder = {"uplinkUrl": f"http://127.0.0.1:{port}/tunnel"}
        print(f"node-red: flat out for {options.peer_seconds} s", flush=True)
        return simulate(binder, broker, options.peer_seconds, 0, options.flows, options.http_connections)
    finally:
        process.stop()


def micro():
    rows = []
    for binary in sorted((ROOT / "build/release").glob("*_bench")):
        print(f"{binary.name}", flush=True)
        got = subprocess.run([binary, "--benchmark_min_time=0.3", "--benchmark_format=json"], capture_output=True, text=True, check=True)
        for entry in json.loads(got.stdout)["benchmarks"]:
            rate = entry.get("items_per_second")
            rows.append((entry["name"], f"{entry['real_time']:.0f} {entry['time_unit']}", f"{rate:,.0f}" if rate else ""))
    return rows


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def report(options, flat, half, peer, benches):
    rows = [("end to end, flat out", f"{flat['rate']:,.0f} msg/s over {flat['secondsToLastArrival']:.1f} s", "at least 10,000"),
            ("sent / answered / arrived", f"{flat['sent']:,} / {flat['answered']:,} / {flat['arrived']:,}", ""),
            ("lost, duplicates, reordered, undecoded",
             f"{flat['lost']}, {flat['duplicates']}, {flat['reordered']}, {flat['undecoded']}", "0, 0, 0, 0"),
            ("resident, engine and driver hosts", "{before} MB before, {max} MB at most, {end} MB at the end".format(**flat["rssMb"]),
             "bounded: " + ("yes" if flat["rssMb"]["bounded"] else "NO"))]
    if half:
        rows += [("at half that load, report due to arrived", "p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms".format(**half["arrivalMs"]),
                  "p99 under 100 ms"),
                 ("at half that load, report to 2xx", "p50 {p50:.1f} ms, p99 {p99:.1f} ms".format(**half["answerMs"]), ""),
                 ("at half that load, lost, duplicates, reordered", f"{half['lost']}, {half['duplicates']}, {half['reordered']}", "0, 0, 0")]
    if peer:
        rows += [(f"Node-RED {NODE_RED}, same job, not durable, matching by {options.peer_match}", f"{peer['rate']:,.0f} msg/s", ""),
                 ("Sluice to Node-RED", f"{flat['rate'] / max(peer['rate'], 1):.1f} times", "at least 8 times")]
    text = table(("what", "measured", "wanted"), rows)
    if benches:
        text += "\n\n" + table(("micro benchmark", "a call", "a second"), benches)
    return text


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) // 1000000
    return f"{os.cpu_count()} x {model[1] if model else platform.machine()}, {memory} GB"


def commit():
    got = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return got.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--peer", choices=["node-red"])
    parser.add_argument("--peer-match", choices=["switch", "map"], default="switch", help="how the peer finds a report's flow")
    parser.add_argument("--seconds", type=int, default=60, help="length of the flat-out run")
    parser.add_argument("--half-seconds", type=int, default=30, help="length of the run at half load; 0: none")
    parser.add_argument("--peer-seconds", type=int, default=30)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--http-connections", type=int, default=64)
    parser.add_argument("--mqtt-connections", type=int, default=1)
    parser.add_argument("--no-micro", action="store_true")
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    benches = [] if options.no_micro else micro()
    broker = kit.Mosquitto(HOME / "broker", "allow_anonymous true\npersistence false\nset_tcp_nodelay true")
    try:
        flat, half = run_sluice(options, broker)
        peer = run_node_red(options, broker) if options.peer else None
    finally:
        broker.stop()
    text = report(options, flat, half, peer, benches)
    print("\n" + text)
    (HOME / "result.json").write_text(json.dumps({"flat": flat, "half": half, "peer": peer}, indent=1))
    if options.record:
        with open(ROOT / "bench/RESULTS.md", "a") as results:
            results.write(f"\n## {datetime.date.today()}, {commit()}\n\nMachine: {machine()}. Command: `./dev bench "
                          f"{' '.join(word for word in sys.argv[1:] if word != '--record')}`.\n\n{text}\n")
    good = flat["lost"] == 0 and flat["damaged"] == 0 and flat["unknown"] == 0 and flat["rssMb"]["bounded"]
    sys.exit(0 if good and (not half or half["lost"] == 0) else 1)


if __name__ == "__main__":
    main()
