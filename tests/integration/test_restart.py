# SPDX-License-Identifier: Apache-2.0
"""What is configured and what is pending outlives the process; SIGTERM ends it cleanly."""
import json
import os
import signal
import stat
import time

from lib import kit


def test_configuration_and_pending_messages_survive(sluice, api, broker, device, ends):
    kit.make_driver(api, kit.climate_code())
    connection = kit.make_mqtt(api, broker.port, password="s3cr3t-word", username="flow")
    flow = kit.make_flow(api, [connection])
    api.wait_state(connection["id"], "OPENED")
    broker.stop()
    for _ in range(10):
        device.send()
    started = time.monotonic()
    assert sluice.stop(seconds=12) == 0
    assert time.monotonic() - started < 10.5
    broker.start()
    capture = ends(broker.subscribe("up/#"))
    sluice.start()
    api = sluice.api()
    assert api.get("/connections")[0]["configuration"]["password"] == "*****"
    assert api.get(f"/flows/{flow['id']}")["name"] == "flow"
    got = [json.loads(text)["DevEUI_uplink"] for _, text in capture.wait(10, 30)]
    assert [root["FCntUp"] for root in got] == list(range(1, 11))
    assert all(root["payload"]["humidity"] == 45 for root in got)


def test_a_token_outlives_a_restart_and_the_secret_is_written_once(sluice, api):
    secret = sluice.secret
    path = sluice.data / "admin-secret"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    sluice.restart()
    assert sluice.secret == secret
    assert api.get("/connections") == []


def test_the_secret_may_be_given(tmp_path, ends):
    server = ends(kit.Sluice(tmp_path / "given", env={"SLUICE_ADMIN_SECRET": "a-secret-of-mine"}))
    assert kit.Api(server.url, "a-secret-of-mine").get("/flows") == []
    assert "a-secret-of-mine" not in server.process.text()


def test_sigterm_under_load_loses_nothing(sluice, api, broker, binder, tmp_path, ends):
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection], driver=None)
    api.wait_state(connection["id"], "OPENED")
    simulator = kit.Simulator(tmp_path, binder, "--devices", 50, "--rate", 500, "--duration", "6s", "--expect",
                              f"mqtt://127.0.0.1:{broker.port}/up/#", "--expect-qos", 1)
    time.sleep(2)
    assert sluice.process.stop(signal.SIGTERM, 12) == 0
    sluice.start()
    summary = simulator.wait()
    assert summary["answered"] > 1000 and summary["lost"] == 0 and summary["damaged"] == 0 and summary["unknown"] == 0
    assert summary["reordered"] == 0


def test_health_and_metrics(sluice, api):
    for path in ("/healthz", "/readyz"):
        assert api.raw("GET", sluice.url + path)[0] == 200
    status, text, headers = api.raw("GET", sluice.url + "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain") and "# TYPE sluice_" in text
