#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Downlinks a second of one connection, behind `./dev bench downlinks`.

A stand-in for the network server answers each request after 50 ms. Commands come over the MQTT transport, as bytes and as
objects that the device's driver encodes, by the REST endpoint one a request, and by the downlink URL in lists. Each is on the
disk before it is acknowledged or sent. Wanted: at least 100 a second by each way."""
import argparse
import asyncio
import concurrent.futures
import datetime
import http.client
import json
import os
import pathlib
import platform
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib import kit  # noqa: E402

HOME = ROOT / "build/bench"
LATENCY = 0.05
WANTED = 100
KEY = "46ab678cd45df4a4e4b375eacd096acc"
FIRST = 0x70B3D5E75E200000
ANSWER = b"<html><body>Request queued by LRC</body></html>"


class NetworkServer:
    """Answers after 50 ms, keeps when each payload came and whether a device's came in order."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.arrived, self.last_of, self.disorder = [], {}, 0
        self.ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self.ready.wait(5)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
                number, device = int(query["CorrelationID"], 16), query["DevEUI"]
                self.disorder += number <= self.last_of.get(device, -1)
                self.last_of[device] = number
                self.arrived.append(time.monotonic())
                await asyncio.sleep(LATENCY)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def reset(self):
        self.arrived, self.last_of, self.disorder = [], {}, 0


def command(number, devices, **payload):
    return {"DevEUI": f"{FIRST + number % devices:016X}", "FPort": 2, "CorrelationID": f"{number:016X}", **payload}


def measure(name, server, count, send):
    server.reset()
    started = time.monotonic()
    send()
    sent = time.monotonic() - started
    kit.wait_for(lambda: len(server.arrived) >= count, 120, f"{count} downlinks at the network server")
    seconds = server.arrived[-1] - started
    row = {"way": name, "count": count, "arrived": len(server.arrived), "perSecond": count / seconds, "acceptedPerSecond": count / sent,
           "disorder": server.disorder}
    print(f"{name}: {row['perSecond']:.0f} a second ({count} in {seconds:.1f} s), out of order {server.disorder}", flush=True)
    return row


def over_mqtt(broker, bodies):
    lines = "".join(json.dumps({"DevEUI_downlink": body}) + "\n" for body in bodies)
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1", "-t", "down/any", "-l"],
                   input=lines.encode(), check=True, timeout=120)


def by_rest(sluice, url, token, bodies, threads):
    local = threading.local()

    def post(body):
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", sluice.port, timeout=30)
        local.connection.request("POST", url, json.dumps(body), {"Content-Type": "application/json", **token})
        answer = local.connection.getresponse()
        text = answer.read()
        assert answer.status == 202, text
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(post, bodies))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--devices", type=int, default=300)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    home = HOME / f"downlinks-{time.time_ns()}"
    broker, server = kit.Mosquitto(home / "broker"), NetworkServer()
    sluice = kit.Sluice(home / "sluice")
    try:
        api = sluice.api()
        kit.make_driver(api, kit.climate_code())
        kit.make_binder(api, f"http://127.0.0.1:{server.port}/thingpark/lrc/rest/downlink")
        connection = kit.make_mqtt(api, broker.port, downlinkAsId="app", downlinkAsKey=KEY)
        kit.make_flow(api, [connection], driver="sluice:climate:1")
        api.wait_state(connection["id"], "OPENED")
        token = {"Authorization": "Bearer " + api.token}
        count, devices = options.count, options.devices
        hexes = [command(i, devices, payload_hex=f"{i:08X}") for i in range(count)]
        objects = [command(i, devices, payload={"interval": 1 + i % 1000}) for i in range(count)]
        path = f"/iot-flow/v1/connections/{connection['id']}/downlinks"
        rows = [measure("MQTT, payload_hex", server, count, lambda: over_mqtt(broker, hexes)),
                measure("MQTT, payload encoded by the driver", server, count, lambda: over_mqtt(broker, objects)),
                measure("REST, one a request", server, count, lambda: by_rest(sluice, path, token, hexes, 32))]
        lists = [hexes[i:i + 100] for i in range(0, count, 100)]
        url = urllib.parse.urlsplit(connection["downlinkUrl"]).path

        def paced():
            for part in lists:
                by_rest(sluice, url, {}, [part], 1)
        rows.append(measure("downlink URL, lists of 100", server, count, paced))
        waiting = api.get(f"/connections/{connection['id']}/downlinks/queue")["count"]
    finally:
        sluice.stop()
        broker.stop()
    good = all(row["perSecond"] >= WANTED and row["disorder"] == 0 and row["arrived"] == row["count"] for row in rows) and waiting == 0
    if options.record:
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        with open(ROOT / "bench/RESULTS.md", "a") as out:
            out.write(f"\n## {datetime.date.today()}, {commit}, downlinks\n\nMachine: {os.cpu_count()} x {cpu}, load average "
                      f"{os.getloadavg()[0]:.1f}. Command: `./dev bench downlinks --count {count}`.\n\nOne connection, {devices} devices, a "
                      "network server that takes 50 ms to answer; each downlink on the disk before it is sent.\n\n"
                      "| way | downlinks a second | out of order, lost, twice | wanted |\n| --- | --- | --- | --- |\n")
            for row in rows:
                out.write(f"| {row['way']} | {row['perSecond']:.0f} | {row['disorder']}, 0, {row['arrived'] - row['count']} | at least {WANTED} |\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
