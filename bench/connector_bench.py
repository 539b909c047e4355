#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages a second of each connector, as `./dev bench connectors` runs it: the connector alone, without queue and drivers, with
all its threads on one core, the peer on another. Counted is what the peer has acknowledged, and the peer is asked whether it
has arrived."""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib import kit  # noqa: E402

HOME = ROOT / "build/bench/connectors"
LOAD = ROOT / "build/release/connector_load"
KAFKA_MOCK = ROOT / "build/release/kafka_mock"


def pinned(core, command):
    return ["taskset", "-c", str(core), *[str(word) for word in command]]


# ---- the peers: each starts in its constructor; body() is a connection's, arrived() what has come so far (None: it cannot tell)

class Mqtt:
    """mosquitto, QoS 1; it counts the messages it gets."""
    connector, wanted, count = "actility-mqtt-iot", 20_000, 200_000
    about = "QoS 1, in clear, to mosquitto"

    def __init__(self, directory, core):
        self.broker = kit.Mosquitto(directory, config="allow_anonymous true\nsys_interval 1")
        os.sched_setaffinity(self.broker.process.pid, {core})

    def body(self):
        return {"hostName": f"127.0.0.1:{self.broker.port}", "protocol": "TCP", "uplinkTopicPattern": "bench/{DevEUI}/uplink",
                "downlinkTopicPattern": "bench/{DevEUI}/downlink", "actionTimeout": 10000}

    def arrived(self):
        time.sleep(2.5)  # its counters are told once a second
        got = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-C", "1", "-W", "5", "-t",
                              "$SYS/broker/publish/messages/received"], capture_output=True, text=True, check=True)
        return int(got.stdout)

    def stop(self):
        self.broker.stop()


class Nginx:
    """nginx that takes the body and answers; its log has a line for each request."""

    def __init__(self, directory, core, server):
        self.directory = directory
        directory.mkdir(parents=True)
        self.port = kit.free_port()
        self.log = directory / "access.log"
        user = "user root;\n" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(f"""{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format bench '$status $request_method $content_length $uri';
  access_log {self.log} bench buffer=64k flush=1s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  server {{
{server.replace("PORT", str(self.port))}
  }}
}}
""")
        nginx = next(path for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx") if os.path.exists(path))
        self.process = kit.Process(pinned(core, [nginx, "-c", directory / "nginx.conf", "-p", directory]), directory / "nginx.log")
        kit.wait_for(lambda: kit.port_is_open(self.port), 10, "nginx to listen")

    def arrived(self):
        time.sleep(1.5)  # its log is written once a second
        good, bad = 0, 0
        with open(self.log) as lines:
            for line in lines:
                status, method, length, _ = line.split(" ", 3)
                if method == "POST":
                    good, bad = (good + 1, bad) if status == "200" and int(length) > 500 else (good, bad + 1)
        if bad:
            raise SystemExit(f"nginx refused {bad} requests: see {self.log}")
        return good

    def stop(self):
        self.process.stop()


class Http(Nginx):
    connector, wanted, count = "actility-http-iot", 8_000, 60_000
    about = "kept-alive connections to nginx, in clear"

    def __init__(self, directory, core):
        super().__init__(directory, core, "    listen 127.0.0.1:PORT;\n    location / { return 200 '{\"result\":\"ok\"}'; }")

    def body(self):
        return {"destinationURL": f"http://127.0.0.1:{self.port}/things/{{DevEUI}}"}


class TlsNginx(Nginx):
    """nginx that asks for a client's certificate."""

    def __init__(self, directory, core, location):
        self.certificates = kit.Certificates(directory.parent / "certificates")
        path = self.certificates.path
        super().__init__(directory, core, f"""    listen 127.0.0.1:PORT ssl;
    ssl_certificate {path('server.pem')};
    ssl_certificate_key {path('server.key')};
    ssl_client_certificate {path('ca.pem')};
    ssl_verify_client on;
    {location}""")


class Https(TlsNginx):
    connector, wanted, count = "actility-http-iot", 5_000, 60_000
    about = "kept-alive TLS connections with a client certificate to nginx"

    def __init__(self, directory, core):
        super().__init__(directory, core, "location / { return 200 '{\"result\":\"ok\"}'; }")

    def body(self):
        text = self.certificates.text
        return {"destinationURL": f"https://localhost:{self.port}/things/{{DevEUI}}", "trustedCaCertificate": text("ca.pem"),
                "certificate": text("client.pem"), "privateKey": text("client.key")}


PEERS = {"mqtt": Mqtt, "http": Http, "https": Https}


# ---- one run

def measure(name, options, peer_core):
    home = HOME / f"{time.time_ns()}-{name}"
    kind = PEERS[name]
    count = options.count or kind.count
    peer = kind(home / "peer", peer_core)
    rounds = []
    try:
        file = home / "connection.json"
        file.write_text(json.dumps({"connectorId": kind.connector, "name": "bench", "configuration": peer.body()}))
        before = peer.arrived()
        for i in range(options.rounds):
            run = subprocess.run(pinned(options.core, [LOAD, file, "--count", count, "--warm-up", min(5000, count // 4)]),
                                 capture_output=True, text=True, timeout=600)
            if run.returncode == 2 or not run.stdout:
                raise SystemExit(f"{name}: {run.stderr.strip()}")
            result = json.loads(run.stdout)
            after = peer.arrived()
            result["arrived"] = after - before if after is not None else None
            before = after
            rounds.append(result)
            print(f"  {name}, round {i + 1}: {result['perSecond']:,.0f} msg/s, {result['perCpuSecond']:,.0f} a CPU second, at most "
                  f"{result['peakInFlight']} in flight, acknowledged {result['acknowledged']:,}, arrived {result['arrived']}, errors "
                  f"{result['errors']}", flush=True)
    finally:
        peer.stop()
    middle = sorted(rounds, key=lambda result: result["perSecond"])[len(rounds) // 2]
    row = {"name": name, "about": kind.about, "wanted": kind.wanted, **middle,
           "perSecond": statistics.median(result["perSecond"] for result in rounds),
           "perCpuSecond": statistics.median(result["perCpuSecond"] for result in rounds),
           "sent": sum(result["sent"] for result in rounds), "acknowledged": sum(result["acknowledged"] for result in rounds),
           "arrived": None if rounds[0]["arrived"] is None else sum(result["arrived"] for result in rounds),
           "losses": sum((result["losses"] for result in rounds), [])}
    row["good"] = (row["perSecond"] >= row["wanted"] and row["acknowledged"] == row["sent"] and not row["losses"]
                   and (row["arrived"] is None or row["arrived"] >= row["acknowledged"]))
    return row


# ---- the report

def report(rows):
    lines = ["| connector | msg/s | msg per CPU second | in flight at most | sent / acknowledged / arrived | resident at most | wanted |",
             "|" + " --- |" * 7]
    for row in rows:
        arrived = "cannot tell" if row["arrived"] is None else f"{row['arrived']:,}"
        lines.append(f"| {row['name']}: {row['about']} | {row['perSecond']:,.0f} | {row['perCpuSecond']:,.0f} | {row['peakInFlight']} of "
                     f"{row['maxInFlight']} | {row['sent']:,} / {row['acknowledged']:,} / {arrived} | {row['peakResidentMb']:.0f} MB | at "
                     f"least {row['wanted']:,} |")
    return "\n".join(lines)


def main():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="./dev bench connectors", description=__doc__.splitlines()[0],
                                     epilog="NAME: " + ", ".join(PEERS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; default: all")
    parser.add_argument("--count", type=int, help="messages a round; default: some seconds' worth")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (3)")
    parser.add_argument("--core", type=int, default=cores[-1], help="the connector's core; the peers take the first one")
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    unknown = set(options.names) - set(PEERS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(PEERS)}")
    HOME.mkdir(parents=True, exist_ok=True)
    rows = [measure(name, options, cores[0]) for name in options.names or PEERS]
    text = report(rows)
    print("\n" + text)
    (HOME / "result.json").write_text(json.dumps(rows, indent=1))
    if options.record:
        from e2e import commit, machine  # the load run's words for both
        shown = " ".join(word for word in sys.argv[1:] if word != "--record")
        with open(ROOT / "bench/RESULTS.md", "a") as results:
            results.write(f"\n## {time.strftime('%Y-%m-%d')}, {commit()}, connectors\n\nMachine: {machine()}, load average "
                          f"{os.getloadavg()[0]:.1f}. Command: `./dev bench connectors{' ' + shown if shown else ''}`.\n\n"
                          f"All threads of the connector on one core, the peer on another; uplinks of {rows[0]['bytesPerMessage']} bytes from "
                          f"1,000 devices; medians of {options.rounds} rounds.\n\n{text}\n")
    return 0 if all(row["good"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
