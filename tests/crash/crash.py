#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the server with -9 at random moments under load and judges by an oracle (docs/promises.md):

  every report answered 2xx arrives at the broker, intact;  nothing arrives that was not sent;
  each device's reports arrive in order;  a fresh message passes afterwards.  Duplicates are counted.

The books are kept twice: by `sluice simulate --expect` (content, order) and here, from its ledger and what mosquitto_sub
saw. With --no-sync-proof the unsynced tails of the queue's files are cut off at each kill (unsynced.c): the normal build has
to pass that too, and a build without the sync has to fail it, or the test could not notice a loss."""
import argparse
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lib import kit  # noqa: E402

ENTRY = struct.Struct("<QQ")


def build_unsynced(directory):
    library = directory / "unsynced.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library),
                    str(ROOT / "tests/crash/unsynced.c"), "-ldl"], check=True)
    return library


def drop_unsynced(queue, table, dice):
    """Cuts the files below `queue` to what was synced, every other time leaving a part of the tail (a torn write).
    Gives the number of bytes dropped."""
    synced = {inode: size for inode, size in ENTRY.iter_unpack(table.read_bytes()) if inode}
    assert synced, "the preloaded library saw no file of the queue"
    dropped = 0
    for path in queue.rglob("*"):
        status = path.stat()
        if path.is_file() and status.st_ino in synced and status.st_size > synced[status.st_ino]:
            keep = synced[status.st_ino]
            if dice.random() < 0.5:
                keep = dice.randint(keep, status.st_size)
            dropped += status.st_size - keep
            os.truncate(path, keep)
    return dropped


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Campaign:
    def __init__(self, name, options, binary=kit.BINARY, unsynced=False):
        self.name, self.options, self.unsynced = name, options, unsynced
        self.dice = random.Random(options.seed)
        self.home = ROOT / "build/crash" / name
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        environment = {}
        self.table = self.home / "synced.table"
        if unsynced:
            environment = {"LD_PRELOAD": str(build_unsynced(self.home)), "UNSYNCED_DIR": str(self.home / "data/queue"),
                           "UNSYNCED_TABLE": str(self.table)}
        self.broker = kit.Mosquitto(self.home)
        self.server = kit.Sluice(self.home, environment, binary)
        self.api = self.server.api()
        kit.make_driver(self.api, kit.climate_code())
        self.binder = kit.make_binder(self.api)
        self.connection = kit.make_mqtt(self.api, self.broker.port, uplinkTopicPattern="up/{DevEUI}/{FCntUp}",
                                        downlinkTopicPattern="")
        kit.make_flow(self.api, [self.connection])
        self.api.wait_state(self.connection["id"], "OPENED")
        self.dropped, self.recoveries = 0, []

    def run(self):
        seen = open(self.home / "arrived", "wb")
        watcher = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-p", str(self.broker.port), "-q", "1", "-t", "up/#", "-F", "%t"],
                                   stdout=seen)
        ledger = self.home / "ledger"
        simulator = kit.Simulator(self.home, self.binder, "--devices", 300, "--rate", self.options.rate, "--connections", 48,
                                  "--expect", f"mqtt://127.0.0.1:{self.broker.port}/up/#", "--expect-qos", 1, "--ledger", ledger,
                                  "--drain", f"{self.options.drain}s")
        try:
            for number in range(1, self.options.rounds + 1):
                self.round(number)
            if self.unsynced:
                self.server.process.stop(signal.SIGKILL)
                self.dropped += drop_unsynced(self.server.data / "queue", self.table, self.dice)
                self.server.start(60)
            time.sleep(2)
            summary = simulator.stop(self.options.drain * 3 + 60)
            fresh = self.fresh_message_passes()
        finally:
            if simulator.child.poll() is None:
                simulator.child.kill()
            time.sleep(0.5)
            watcher.terminate()
            watcher.wait(10)
            seen.close()
        verdict = self.judge(summary, fresh, ledger)
        self.server.stop()
        self.broker.stop()
        return verdict

    def round(self, number):
        time.sleep(self.dice.uniform(0.2, 2.5))
        stalled = number % 3 == 0  # die with a backlog, too
        if stalled:
            self.broker.process.child.send_signal(signal.SIGSTOP)
            time.sleep(self.dice.uniform(0.2, 1.5))
        hosts = children_of(self.server.process.pid)
        self.server.kill()
        if self.unsynced:
            self.dropped += drop_unsynced(self.server.data / "queue", self.table, self.dice)
        started = time.monotonic()
        self.server.start(60)
        self.recoveries.append(time.monotonic() - started)
        if stalled:
            self.broker.process.child.send_signal(signal.SIGCONT)
        kit.wait_for(lambda: not any(alive(pid) for pid in hosts), 5, "the driver hosts of the killed server to end")
        print(f"   {self.name}: kill {number} of {self.options.rounds}{' with a stalled broker' if stalled else ''}, "
              f"serving again after {self.recoveries[-1]:.2f} s", flush=True)

    def fresh_message_passes(self):
        device = kit.Device(self.binder, "70B3D5E75E00F5E5", kit.AS_ID, kit.AS_KEY, kit.CLIMATE)
        capture = self.broker.subscribe(f"up/{device.eui}/#")
        try:
            device.send()
            return '"humidity":45' in capture.wait(1, 30)[0][1]
        except AssertionError:
            return False
        finally:
            capture.stop()

    def judge(self, summary, fresh, ledger):
        sent, answered = set(), set()
        for line in ledger.read_text().splitlines():
            kind, eui, counter = line.split()[:3]
            (sent if kind == "S" else answered).add(f"up/{eui}/{counter}")
        arrived = [line for line in (self.home / "arrived").read_text().splitlines() if "70B3D5E75E00F5E5" not in line]
        once = set(arrived)
        lost, unknown = answered - once, once - sent
        # The watcher of the fresh message aside, both books have to say the same.
        problems = []
        if lost or summary["lost"]:
            problems.append(f"lost {max(len(lost), summary['lost'])}, as {sorted(lost)[:3]}")
        if unknown or summary["unknown"] or summary["damaged"]:
            problems.append(f"unknown {len(unknown)}/{summary['unknown']}, damaged {summary['damaged']}")
        if summary["reordered"]:
            problems.append(f"reordered {summary['reordered']}")
        if not fresh:
            problems.append("a fresh message does not pass")
        if summary["answered"] < 100:
            problems.append("hardly anything was answered: no load")
        print(f"{self.name}: rounds={self.options.rounds} sent={summary['sent']} answered={summary['answered']} arrived={len(once)} "
              f"lost={max(len(lost), summary['lost'])} duplicates={len(arrived) - len(once)} unknown={len(unknown)} "
              f"reordered={summary['reordered']} fresh={'passes' if fresh else 'fails'}"
              + (f" dropped={self.dropped} bytes" if self.unsynced else "")
              + f" slowest restart={max(self.recoveries):.2f} s", flush=True)
        for problem in problems:
            print(f"   {problem}")
        return lost, problems


def main():
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=2000, help="reports a second")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments; printed")
    parser.add_argument("--drain", type=int, default=30, help="seconds without an arrival after which what is missing is lost")
    parser.add_argument("--no-sync-proof", action="store_true")
    options = parser.parse_args()
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {options.seed}")
    if not options.no_sync_proof:
        sys.exit(1 if Campaign("kill", options).run()[1] else 0)
    _, problems = Campaign("power-cut", options, unsynced=True).run()
    if problems:
        sys.exit("the normal build fails when unsynced writes are dropped")
    options.rounds, options.drain = min(options.rounds, 5), min(options.drain, 10)
    lost, _ = Campaign("power-cut-without-sync", options, ROOT / "build/nosync/sluice", unsynced=True).run()
    if not lost:
        sys.exit("the build without the sync lost nothing: this test proves nothing")
    print(f"proof: the normal build lost 0, the build without the sync lost {len(lost)}")


if __name__ == "__main__":
    main()
