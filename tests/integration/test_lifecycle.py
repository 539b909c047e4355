# SPDX-License-Identifier: Apache-2.0
"""The life of connections against real brokers: states, reasons, events, what restarts and what does not."""
import time

import pytest

from lib import kit


def events(api, connection, code):
    return [one for one in api.get(f"/events?connectionId={connection}") if one["code"] == code]


def test_states_and_reasons(api, broker):
    made = kit.make_mqtt(api, broker.port)
    path = f"/connections/{made['id']}"
    opened = api.wait_state(made["id"], "OPENED")
    assert "stateReason" not in opened
    api.post(path + "/stop")
    assert "stateReason" not in api.wait_state(made["id"], "DEACTIVATED", seconds=5)
    with pytest.raises(kit.ApiError) as refused:
        api.post(path + "/restart")
    assert refused.value.status == 409
    api.post(path + "/start")
    api.wait_state(made["id"], "OPENED")
    for code in ("connection-1001", "connection-1002", "connection-1003", "connection-1004"):
        assert events(api, made["id"], code), code
    api.delete(path)


def test_unreachable_tells_when_it_is_tried_again(api):
    made = kit.make_mqtt(api, kit.free_port())
    got = api.wait_state(made["id"], "UNREACHABLE")
    assert got["stateReason"]["code"] == "connection-1103" and "refused" in got["stateReason"]["message"].lower()
    assert {"since", "nextRetry"} <= set(got["stateReason"])
    api.delete(f"/connections/{made['id']}")


def test_only_the_configuration_restarts(api, broker):
    made = kit.make_mqtt(api, broker.port)
    path = f"/connections/{made['id']}"
    started = api.wait_state(made["id"], "OPENED")["startupTime"]
    api.patch(path, {"name": "other", "debug": True, "upOperations": []})
    time.sleep(0.5)
    got = api.get(path)
    assert got["state"] == "OPENED" and got["startupTime"] == started and got["debug"] is True and "debugUntil" not in got
    assert api.put(path, got)["debug"] is True
    assert api.get(path)["startupTime"] == started
    api.patch(path, {"configuration": {"actionTimeout": 2000}})
    kit.wait_for(lambda: api.get(path).get("startupTime") != started, 10, "the restart")
    api.wait_state(made["id"], "OPENED")
    api.delete(path)


def test_contradictions_are_refused(api, broker):
    made = kit.make_mqtt(api, broker.port, clientId="twice")
    with pytest.raises(kit.ApiError) as refused:
        kit.make_mqtt(api, broker.port, clientId="twice")
    assert refused.value.status == 400 and made["id"] in str(refused.value) and "hostName" in str(refused.value)
    with pytest.raises(kit.ApiError) as refused:
        kit.make_mqtt(api, broker.port, uplinkTimeValidity="5m", reconnectStrategy="CALM")
    assert refused.value.status == 400 and "reconnectStrategy" in str(refused.value)
    api.delete(f"/connections/{made['id']}")
