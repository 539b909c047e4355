#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages a second of each connector, as `./dev bench connectors` runs it: the connector alone, without queue and drivers, with
all its threads on one core, the peer on another. Counted is what the peer has acknowledged, and the peer is asked whether it
has arrived."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from connector_peer import load  # noqa: E402

HOME = ROOT / "build/bench/connectors"
LOAD = ROOT / "build/release/connector_load"


def find_peers():
    """Name -> class, of all connectors' bench.py."""
    found = {}
    for path in sorted((ROOT / "src/connector").glob("**/bench.py")):
        for kind in load(path).PEERS:
            if kind.name in found:
                raise SystemExit(f"{path}: there are two peers named {kind.name}")
            found[kind.name] = kind
    return found


def peers_cpu_seconds():
    """Used so far by this process and all it has started, which but for the load are the peers."""
    ticks, parents = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has ended meanwhile
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        ticks[pid] = int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        if not more:
            return sum(ticks.get(pid, 0) for pid in ours) / os.sysconf("SC_CLK_TCK")
        ours |= more


# ---- one run

def measure(kind, options, cores):
    name = kind.name
    home = HOME / f"{time.time_ns()}-{name}"
    count = options.count or kind.count
    home.mkdir(parents=True)
    # And with this process all that the peer starts.
    os.sched_setaffinity(0, set(cores) if kind.all_cores else {cores[0]})
    peer = kind(home / "peer")
    rounds = []
    try:
        file = home / "connection.json"
        file.write_text(json.dumps({"connectorId": kind.connector, "name": "bench", "configuration": peer.body()}))
        before = peer.arrived()
        for i in range(options.rounds):
            command = ["taskset", "-c", options.core, LOAD, file, "--count", count, "--warm-up", min(5000, count // 4)]
            cpu = peers_cpu_seconds()
            run = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
            if run.returncode == 2 or not run.stdout:
                raise SystemExit(f"{name}: {run.stderr.strip()}")
            result = json.loads(run.stdout)
            result["peerCpuSeconds"] = peers_cpu_seconds() - cpu
            after = peer.arrived()
            result["arrived"] = after - before if after is not None else None
            before = after
            rounds.append(result)
            print(f"  {name}, round {i + 1}: {result['perSecond']:,.0f} msg/s, {result['perCpuSecond']:,.0f} a CPU second, peer "
                  f"{count / max(result['peerCpuSeconds'], 0.01):,.0f}, at most {result['peakInFlight']} in flight, "
                  f"acknowledged {result['acknowledged']:,}, arrived {result['arrived']}, errors "
                  f"{result['errors']}", flush=True)
    finally:
        peer.stop()
    middle = sorted(rounds, key=lambda result: result["perSecond"])[len(rounds) // 2]
    row = {"name": name, "about": kind.about, "wanted": kind.wanted, **middle,
           "perSecond": statistics.median(result["perSecond"] for result in rounds),
           "perCpuSecond": statistics.median(result["perCpuSecond"] for result in rounds),
           "peerPerCpuSecond": statistics.median(count / max(result["peerCpuSeconds"], 0.01) for result in rounds),
           "sent": sum(result["sent"] for result in rounds), "acknowledged": sum(result["acknowledged"] for result in rounds),
           "arrived": None if rounds[0]["arrived"] is None else sum(result["arrived"] for result in rounds),
           "losses": sum((result["losses"] for result in rounds), [])}
    row["good"] = (row["perSecond"] >= row["wanted"] and row["acknowledged"] == row["sent"] and not row["losses"]
                   and (row["arrived"] is None or row["arrived"] >= row["acknowledged"]))
    return row


# ---- the report

def report(rows):
    lines = ["| connector | msg/s | msg per CPU second | the same of the peer | in flight at most | sent / acknowledged / arrived | "
             "resident at most | wanted |", "|" + " --- |" * 8]
    for row in rows:
        arrived = "cannot tell" if row["arrived"] is None else f"{row['arrived']:,}"
        lines.append(f"| {row['name']}: {row['about']} | {row['perSecond']:,.0f} | {row['perCpuSecond']:,.0f} | "
                     f"{row['peerPerCpuSecond']:,.0f} | {row['peakInFlight']} of {row['maxInFlight']} | "
                     f"{row['sent']:,} / {row['acknowledged']:,} / {arrived} | {row['peakResidentMb']:.0f} MB | at least "
                     f"{row['wanted']:,} |")
    return "\n".join(lines)


def main():
    cores, peers = sorted(os.sched_getaffinity(0)), find_peers()
    parser = argparse.ArgumentParser(prog="./dev bench connectors", description=__doc__.splitlines()[0],
                                     epilog="NAME: " + ", ".join(peers))
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; default: all")
    parser.add_argument("--count", type=int, help="messages a round; default: some seconds' worth")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (3)")
    parser.add_argument("--core", type=int, default=cores[-1], help="the connector's core; the peers take the first one")
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    unknown = set(options.names) - set(peers)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(peers)}")
    HOME.mkdir(parents=True, exist_ok=True)
    rows = [measure(peers[name], options, cores) for name in options.names or peers]
    text = report(rows)
    print("\n" + text)
    (HOME / "result.json").write_text(json.dumps(rows, indent=1))
    if options.record:
        from e2e import commit, machine  # the load run's words for both
        shown = " ".join(word for word in sys.argv[1:] if word != "--record")
        with open(ROOT / "bench/RESULTS.md", "a") as results:
            results.write(f"\n## {time.strftime('%Y-%m-%d')}, {commit()}, connectors\n\nMachine: {machine()}, load average "
                          f"{os.getloadavg()[0]:.1f}. Command: `./dev bench connectors{' ' + shown if shown else ''}`.\n\n"
                          f"All threads of the connector on one core, the peer on another; uplinks of {rows[0]['bytesPerMessage']} bytes "
                          f"from 1,000 devices; medians of {options.rounds} rounds.\n\n{text}\n")
    return 0 if all(row["good"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
