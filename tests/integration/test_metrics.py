# SPDX-License-Identifier: Apache-2.0
"""What a connection's counters say after real traffic, over a restart and a kill -9, as the last hour and day, as a series and to
Prometheus; and that the Grafana dashboard asks for what the program emits."""
import json
import re
import sqlite3
import time

import pytest

from lib import kit

DASHBOARD = kit.ROOT / "examples/grafana/sluice.json"


class World:
    """A connection that delivers, one whose peer refuses, one that filters all, and one that cannot be reached."""

    def __init__(self, directory):
        self.sluice = kit.Sluice(directory / "sluice")
        self.broker = kit.Mosquitto(directory / "broker")
        self.refusing = kit.HttpCapture(lambda request: 422)
        api = self.sluice.api()
        binder = kit.make_binder(api)
        kit.make_driver(api, kit.climate_code())
        self.good = kit.make_mqtt(api, self.broker.port, name="good")["id"]
        self.bad = kit.make_http(api, self.refusing.url + "/in", name="bad")["id"]
        self.idle = api.post("/connections", {
            "connectorId": "actility-mqtt-iot", "name": "filters", "upOperations": [{"type": "filter", "keepDeviceUplink": False}],
            "configuration": {"hostName": f"127.0.0.1:{self.broker.port}", "protocol": "TCP", "uplinkTopicPattern": "x/{DevEUI}",
                              "downlinkTopicPattern": ""}})["id"]
        self.dead = kit.make_mqtt(api, kit.free_port(), name="dead")["id"]
        self.all = [self.good, self.bad, self.idle, self.dead]
        kit.make_flow(api, [api.get(f"/connections/{one}") for one in self.all])
        for one in (self.good, self.bad, self.idle):
            api.wait_state(one, "OPENED")
        self.devices = [kit.Device(binder, f"70B3D5E75E0000{number:02X}", kit.AS_ID, kit.AS_KEY, kit.CLIMATE) for number in (1, 2)]

    def stop(self):
        if self.sluice.process.running():
            self.sluice.stop()
        self.broker.stop()
        self.refusing.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("metrics"))
    yield made
    made.stop()


def metrics_of(api, connection):
    return api.get(f"/connections/{connection}/metrics")


def expect(api, connection, **wanted):
    def look():
        got = metrics_of(api, connection)
        return all(got[name] == value for name, value in wanted.items())
    try:
        kit.wait_for(look, 15, "the counters")
    except AssertionError:
        assert {name: metrics_of(api, connection)[name] for name in wanted} == wanted


def test_counts_after_traffic(world):
    api = world.sluice.api()
    for number in range(5):
        world.devices[number % 2].send()
    expect(api, world.good, uplinksLast1h=5, uplinksLast24h=5, uplinksLast1hFailed=0, uplinksLast1hLost=0, activeThingsLast1h=2,
           activeThingsLast24h=2, lag=0)
    expect(api, world.bad, uplinksLast1h=5, uplinksLast1hFailed=5, uplinksLast24hFailed=5, uplinksLast1hLost=0, lag=0)
    expect(api, world.idle, uplinksLast1h=5, uplinksLast1hFailed=0, uplinksLast1hLost=5, uplinksLast24hLost=5, lag=0)
    expect(api, world.dead, uplinksLast1h=5, uplinksLast1hFailed=0, uplinksLast1hLost=0, lag=5)
    by_id = {str(one["connectionId"]): one for one in api.get("/connections/metrics")}
    assert by_id == {one: metrics_of(api, one) for one in world.all}
    # No network server takes it: received and refused, and the refusal is a sixth message to that connection.
    api.raw("POST", f"{api.url}/connections/{world.good}/downlinks", json.dumps(
        {"DevEUI_downlink": {"DevEUI": world.devices[0].eui, "FPort": 1, "payload_hex": "00"}}).encode(),
        {"Content-Type": "application/json"})
    expect(api, world.good, uplinksLast1h=6, lag=0, downlinksLast1h=1, downlinksLast1hFailed=1, downlinksLast24h=1, downlinksLast1hLost=0)


def test_the_series_adds_up(world):
    api = world.sluice.api()
    for step, most in (("1m", 61), ("1h", 25), ("1d", 32)):
        points = api.get(f"/connections/{world.good}/statistics?step={step}")
        assert 1 < len(points) <= most
        assert [one["time"] for one in points] == sorted({one["time"] for one in points})
        for name, value in {"uplinks": 6, "uplinksDelivered": 6, "uplinksFailed": 0, "uplinksLost": 0, "downlinks": 1,
                            "downlinksFailed": 1, "downlinksLost": 0}.items():
            assert sum(one[name] for one in points) == value, (step, name)
        assert sum(one["bytes"] for one in points) > 5 * 100
        busy = [one for one in points if one["uplinksDelivered"]]
        assert all(0 < one["latencyP50Ms"] <= one["latencyP99Ms"] for one in busy)
        assert all(one["latencyP50Ms"] is None for one in points if not one["uplinksDelivered"])
    points = api.get(f"/connections/{world.idle}/statistics?step=1h")
    assert sum(one["uplinksFiltered"] for one in points) == sum(one["uplinksLost"] for one in points) == 5
    assert api.get(f"/connections/{world.good}/statistics?step=1m&startTime=2020-01-01T00:00:00Z&endTime=2020-01-02T00:00:00Z") == []
    everything = api.get(f"/connections/{world.good}/statistics?step=1m&startTime=2020-01-01T00:00:00Z&endTime=2100-01-01T00:00:00Z")
    assert len(everything) == 1441
    for query, name in (("step=2m", "step"), ("startTime=soon", "startTime"), ("endTime=late", "endTime"),
                        ("startTime=2024-01-02T00:00:00Z&endTime=2024-01-01T00:00:00Z", "startTime")):
        status, text, _ = api.raw("GET", f"{api.url}/connections/{world.good}/statistics?{query}")
        assert status == 400 and name in text, (query, text)


def test_prometheus_has_all_of_a_connection(world):
    api = world.sluice.api()

    def value(name, connection, **labels):
        return api.metric("sluice_connection_" + name, connection=connection, **labels)
    assert value("uplinks_total", world.good) == value("delivered_total", world.good) == value("latency_seconds_count", world.good) == 6
    assert value("failed_total", world.bad) == 5
    assert value("filtered_total", world.idle) == value("lost_total", world.idle) == 5
    assert value("expired_total", world.idle) == value("dropped_total", world.idle) == 0
    assert value("downlinks_total", world.good) == value("downlinks_failed_total", world.good) == 1
    assert value("pending", world.dead) == 5 and value("pending", world.good) == 0
    assert 0 < value("oldest_pending_seconds", world.dead) < 600 and value("oldest_pending_seconds", world.good) == 0
    assert value("state", world.good, state="OPENED") == 1 and value("state", world.dead, state="OPENED") == 0
    assert value("state", world.dead) == 1
    _, text, _ = api.raw("GET", world.sluice.url + "/metrics")
    families = re.findall(r"^# TYPE (\S+) ", text, re.M)
    assert len(families) == len(set(families)), "a family is written once"


def test_the_dashboard_asks_for_what_is_emitted(world):
    _, text, _ = world.sluice.api().raw("GET", world.sluice.url + "/metrics")
    emitted = set(re.findall(r"^([a-z_][a-z0-9_]*)(?:\{| )", text, re.M))
    dashboard = json.loads(DASHBOARD.read_text())
    asked = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            asked[f"{panel['title']}/{target['refId']}"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked[variable["name"]] = variable["query"]["query"]
    assert len(asked) > 25
    for where, query in asked.items():
        names = set(re.findall(r"\bsluice_[a-z0-9_]+", query))
        assert names, f"{where} asks for nothing of ours: {query}"
        assert names <= emitted, f"{where} asks for {names - emitted}"
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(places) == len(set(places)) == len({panel["id"] for panel in dashboard["panels"]})


def test_counters_survive_a_restart_and_a_kill(world):
    before = {one: metrics_of(world.sluice.api(), one) for one in world.all}
    world.sluice.restart()
    api = world.sluice.api()
    assert {one: metrics_of(api, one) for one in world.all} == before
    for device in world.devices:
        device.send()
    expect(api, world.good, uplinksLast1h=8, activeThingsLast1h=2)
    expect(api, world.bad, uplinksLast1hFailed=7)

    def written():
        with sqlite3.connect(f"file:{world.sluice.data}/counters.db?mode=ro", uri=True) as database:
            rows = database.execute("SELECT counts FROM steps WHERE connection = ? AND step = 1440", (int(world.good),)).fetchall()
        return sum(int(row[0].split()[0]) for row in rows) == 8
    kit.wait_for(written, 15, "the counters to be written", every=0.5)
    time.sleep(0.2)
    world.sluice.kill()
    world.sluice.start()
    api = world.sluice.api()
    got = metrics_of(api, world.good)
    assert (got["uplinksLast1h"], got["uplinksLast24h"], got["activeThingsLast24h"], got["downlinksLast1hFailed"]) == (8, 8, 2, 1)
    points = api.get(f"/connections/{world.good}/statistics?step=1d")
    assert sum(one["uplinks"] for one in points) == 8


def test_a_deleted_connection_leaves_no_counters(world):
    api = world.sluice.api()
    flow = next(one for one in api.get("/flows") if one["name"] == "flow")
    api.put(f"/flows/{flow['id']}", {**flow, "connectors": [one for one in flow["connectors"] if one["connectionId"] != world.idle]})
    api.delete(f"/connections/{world.idle}")

    def gone():
        _, text, _ = api.raw("GET", world.sluice.url + "/metrics")
        with sqlite3.connect(f"file:{world.sluice.data}/counters.db?mode=ro", uri=True) as database:
            rows = database.execute("SELECT count(*) FROM steps WHERE connection = ?", (int(world.idle),)).fetchone()[0]
        return f'connection="{world.idle}"' not in text and rows == 0
    kit.wait_for(gone, 10, "the counters to go", every=0.2)
    status, _, _ = api.raw("GET", f"{api.url}/connections/{world.idle}/statistics")
    assert status == 404
