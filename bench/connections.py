#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The run behind `./dev bench connections`: 1,000 MQTT connections on this machine.

First all of them at a live broker: the time from the start of the process until all are OPENED, and the memory of the process and
its driver hosts. Then half of them behind a broker that accepts and never answers: throughput of the other half, flat out, in
rounds that alternate between that half switched off and that half trying. The load is the same in both: that half's devices
report all the time, too, and what is for them waits on the disk."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

from e2e import FIRST_DEV_EUI, commit, machine, resident_mb  # noqa: E402
from lib import kit  # noqa: E402

HOME = ROOT / "build/bench/connections"


class DeadBroker:
    """Accepts every connection, reads nothing, says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.accepted = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.accepted.append(self.listener.accept()[0])
            except OSError:
                return
            while len(self.accepted) > 2000:
                self.accepted.pop(0).close()

    def stop(self):
        self.listener.close()


def opened(api):
    return int(api.metric("sluice_connection_opened"))


def load(binder, broker, options):
    half = options.connections // 2
    others = kit.Simulator(HOME, binder, "--devices", half, "--rate", options.dead_rate, "--connections", 4, "--first-deveui",
                           f"{FIRST_DEV_EUI + half:016X}", "--first-fcnt", int(time.time()) % 1000000000)
    try:
        return load_live(binder, broker, options)
    finally:
        others.stop()


def load_live(binder, broker, options):
    got = kit.Simulator(HOME, binder, "--devices", options.connections // 2, "--rate", options.rate, "--duration",
                        f"{options.seconds}s", "--connections", 16, "--expect", f"mqtt://127.0.0.1:{broker.port}/up/#", "--drain",
                        "60s", "--first-fcnt", int(time.time()) % 1000000000).wait(options.seconds + 400)
    return {"rate": got["arrived"] / max(got["secondsToLastArrival"], 0.001), "whole": got}


def set_active(api, connections, active):
    for connection in connections:
        api.post(f"/connections/{connection['id']}/{'start' if active else 'stop'}")


def record(figures, options):
    rows = [("until all are OPENED", f"{figures['secondsUntilAllOpen']} s", "under 60 s"),
            ("resident, engine and driver hosts", f"{figures['rssMb']} MB; {figures['rssMbAtEnd']} MB after the load", "under 300 MB"),
            (f"{options.connections // 2} of them flat out, the others switched off", f"{figures['rateWithout']:,} msg/s", ""),
            ("the same, the others behind a broker that answers nothing", f"{figures['rateWith']:,} msg/s, "
             f"{figures['slowdownPercent']} % slower", "under 5 %")]
    words = " ".join(word for word in sys.argv[1:] if word != "--record")
    with open(ROOT / "bench/RESULTS.md", "a") as out:
        out.write(f"\n## {datetime.date.today()}, {commit()}, connections\n\nMachine: {machine()}. Command: `./dev bench connections "
                  f"{words}`. {options.connections:,} MQTT connections; medians of {options.rounds} rounds of {options.seconds} s; the "
                  f"devices of the other half report too, {options.dead_rate} a second.\n\n"
                  "| what | measured | wanted |\n| --- | --- | --- |\n"
                  + "".join(f"| {what} | {measured} | {wanted} |\n" for what, measured, wanted in rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs, without and with the dead half")
    parser.add_argument("--seconds", type=int, default=20, help="of each run")
    parser.add_argument("--rate", type=int, default=0, help="reports a second; 0: flat out")
    parser.add_argument("--dead-rate", type=int, default=300, help="reports a second for the other half")
    parser.add_argument("--record", action="store_true", help="append to bench/RESULTS.md")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rm", "-rf", HOME / "sluice"], check=True)
    broker, dead = kit.Mosquitto(HOME / "broker"), DeadBroker()
    server = kit.Sluice(HOME / "sluice")
    figures = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
               "connections": options.connections}
    try:
        api = server.api()
        kit.make_driver(api, kit.climate_code())
        binder = kit.make_binder(api)
        print(f"making {options.connections} connections", flush=True)
        made = [kit.make_mqtt(api, broker.port, f"bench {i}", actionTimeout=10000, connectionTimeout=30000,
                              downlinkTopicPattern=f"down/{i}/{{DevEUI}}") for i in range(options.connections)]
        half = options.connections // 2
        live, other = made[:half], made[half:]
        for i, connection in enumerate(made):
            kit.make_flow(api, [connection], [kit.key_matcher(f"{FIRST_DEV_EUI + i:016X}")], name=f"flow {i}")
        server.stop()
        started = time.monotonic()
        server.start(60)
        api = server.api()
        kit.wait_for(lambda: opened(api) >= options.connections, 300, "all connections to be open", 0.1)
        figures["secondsUntilAllOpen"] = round(time.monotonic() - started, 1)
        time.sleep(5)
        figures["rssMb"] = round(resident_mb(server.process.pid))
        print(json.dumps(figures), flush=True)

        set_active(api, other, False)
        for connection in other:
            api.patch(f"/connections/{connection['id']}",
                      {"configuration": {"hostName": f"127.0.0.1:{dead.port}", "reconnectStrategy": "AGGRESSIVE"}})
        kit.wait_for(lambda: opened(api) == half, 120, "the dead half to be closed", 0.2)
        runs = {False: [], True: []}
        load(binder, broker, options)  # warm
        for number in range(options.rounds):
            for with_dead in ((False, True) if number % 2 == 0 else (True, False)):
                set_active(api, other, with_dead)
                time.sleep(5)
                one = load(binder, broker, options)
                runs[with_dead].append(one)
                print("with" if with_dead else "without", round(one["rate"]), json.dumps(one["whole"].get("latencyMs")), flush=True)
        alone, beside = (statistics.median(one["rate"] for one in runs[key]) for key in (False, True))
        figures.update(rateWithout=round(alone), rateWith=round(beside), slowdownPercent=round(100 * (1 - beside / alone), 1),
                       rssMbAtEnd=round(resident_mb(server.process.pid)))
        print(json.dumps(figures), flush=True)
        if options.record:
            record(figures, options)
    finally:
        server.stop()
        broker.stop()
        dead.stop()
    good = (figures["secondsUntilAllOpen"] < 60 and figures["rssMb"] < 300 and figures["slowdownPercent"] < 5)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
