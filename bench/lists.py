#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a page of a list of 10,000 takes: lists.py [--count N] [--record]

Makes N connections (not active), flows and drivers through the API, then reads pages of them as clients do: the first, one in
the middle and the last of 100, the default page of 5,000, and for connections the whole list. Tells the median and the
slowest of ten readings, from the request to the last byte, and the processor time that the server took for one: what
stays the same on a busy machine."""
import argparse
import base64
import datetime
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib import kit  # noqa: E402

LIMIT_MS = 200
DRIVER = base64.b64encode(b"function decodeUplink(input) { return {data: {n: input.bytes.length}}; }").decode()


class Client:
    def __init__(self, port, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}

    def ask(self, method, path, body=None):
        self.connection.request(method, "/iot-flow/v1" + path, body=None if body is None else json.dumps(body), headers=self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise SystemExit(f"{method} {path}: {answer.status} {text[:500]}")
        return text


def make(client, count):
    def connection(i):
        return "/connections", {
            "connectorId": "actility-mqtt-iot", "name": f"connection {i}", "active": False,
            "configuration": {"hostName": "127.0.0.1:1", "protocol": "TCP", "username": "flow", "password": f"secret word {i}",
                              "uplinkTopicPattern": "things/{DevEUI}/uplink", "downlinkTopicPattern": "things/{DevEUI}/downlink"}}

    first = json.loads(client.ask("POST", *connection(0)))["id"]

    def flow(i):
        return "/flows", {"name": f"flow {i}", "driver": {"id": "actility:auto:1"},
                          "matchers": [{"type": "key", "key": "lora:%016x" % (i + 1)}],
                          "connectors": [{"id": "actility-mqtt-iot", "connectionId": first}]}

    def drivers(i):
        return {"name": f"driver-{i}", "version": "1.0.0", "producerId": "bench", "code": DRIVER, "type": "thingpark-x-js",
                "application": {"producerId": "bench", "moduleId": f"driver-{i}", "version": "1"}}

    for name, maker, start in (("connections", connection, 1), ("flows", flow, 0)):
        began = time.monotonic()
        for i in range(start, count):
            client.ask("POST", *maker(i))
        print(f"   {count} {name} made in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    for at in range(0, count, 200):
        client.ask("POST", "/drivers/import", {"drivers": [drivers(i) for i in range(at, min(at + 200, count))]})
    print(f"   {count} drivers made in {time.monotonic() - began:.0f} s", flush=True)


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(client, path, pid):
    times, used = [], processor_seconds(pid)
    for _ in range(10):
        began = time.perf_counter()
        text = client.ask("GET", path)
        times.append((time.perf_counter() - began) * 1000)
    used = (processor_seconds(pid) - used) * 100  # ms, of one of ten
    return statistics.median(times), max(times), len(json.loads(text)), len(text), used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--record", action="store_true", help="append the figures to bench/RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-lists-") as base:
        sluice = kit.Sluice(base)
        try:
            client = Client(sluice.port, sluice.api().token)
            make(client, options.count)
            rows = []
            middle = max(1, options.count // 200)
            for kind in ("connections", "flows", "drivers"):
                pages = ["?page=1&perPage=100", f"?page={middle}&perPage=100", f"?page={max(1, options.count // 100)}&perPage=100",
                         "?page=1&perPage=5000", ""]
                for page in pages:
                    median, slowest, items, size, used = measure(client, f"/{kind}{page}", sluice.process.pid)
                    rows.append((f"/{kind}{page}", items, size, median, slowest, used))
                    print(f"{rows[-1][0]:45} {items:6} entries {size / 1e6:6.2f} MB  median {median:7.1f} ms  slowest {slowest:7.1f} ms  processor {used:6.1f} ms"
                          + ("" if median < LIMIT_MS else "   OVER"), flush=True)
        finally:
            sluice.stop()
    if options.record:
        with open(ROOT / "bench/RESULTS.md", "a") as out:
            out.write(f"\n## Lists of {options.count}, {datetime.date.today()}, load average {os.getloadavg()[0]:.1f}\n\n"
                      "`./dev bench lists`\n\n| list | entries | MB | median ms | slowest of 10, ms | processor ms |\n| --- | --- | --- | --- | --- | --- |\n")
            for path, items, size, median, slowest, used in rows:
                out.write(f"| `{path}` | {items} | {size / 1e6:.2f} | {median:.1f} | {slowest:.1f} | {used:.1f} |\n")
    sys.exit(any(row[3] >= LIMIT_MS for row in rows))


if __name__ == "__main__":
    main()
