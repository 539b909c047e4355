# SPDX-License-Identifier: Apache-2.0
"""Low rate alarms on a running server: windows of a few seconds, raised and cleared as events, delivered to a second
connection's broker."""
import datetime
import json

import pytest

from lib import kit


@pytest.fixture
def server(tmp_path):
    sluice = kit.Sluice(tmp_path / "sluice")
    yield sluice
    if sluice.process.running():
        sluice.stop()


def moment(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def test_an_alarm_is_raised_cleared_and_delivered(server, tmp_path):
    api = server.api()
    broker = kit.Mosquitto(tmp_path / "broker")
    capture = kit.Capture(broker.port, "alarms")
    uplinks = kit.Capture(broker.port, "up/#")
    try:
        other = kit.make_mqtt(api, broker.port, "other", uplinkTopicPattern="alarms")
        watched = kit.make_mqtt(api, broker.port, "watched")
        binder = kit.make_binder(api)
        kit.make_flow(api, [watched], driver=None)
        api.wait_state(watched["id"], "OPENED")
        api.wait_state(other["id"], "OPENED")
        # Two seconds of every four, and four uplinks in them: half a minute of silence, then as many as there may be.
        alarm = {"startTime": moment(1), "endTime": moment(3), "uplinkRateMinPerHour": 7200, "message": "Too few",
                 "recurrence": [{"frequency": "secondly", "interval": 4}], "deliverTo": other["id"]}
        changed = api.patch(f"/connections/{watched['id']}", {"alarms": [alarm]})
        assert changed["alarms"] == [alarm]
        events = lambda code: api.get(f"/events?code={code}&q_connectionId={watched['id']}")
        low = kit.wait_for(lambda: events("connection-1401"), 15, "the alarm", every=0.2)[0]
        assert (low["level"], low["message"]) == ("warn", "Too few")
        assert low["data"]["connectionId"] == watched["id"]
        assert (low["data"]["expected"], low["data"]["observed"]) == (4, 0)
        seconds = [datetime.datetime.fromisoformat(low["data"][name]) for name in ("from", "to")]
        assert abs((seconds[1] - seconds[0]).total_seconds() - 2) < 0.01
        assert not events("connection-1402")

        device = kit.Device(binder, "70B3D5E75E000001", kit.AS_ID, kit.AS_KEY)

        def fine():
            device.send()
            return events("connection-1402")
        clear = kit.wait_for(fine, 20, "the end of the alarm", every=0.1)[0]
        assert (clear["level"], clear["message"]) == ("info", "Back to normal: Too few")
        assert clear["data"]["observed"] >= clear["data"]["expected"] == 4

        report = lambda number: capture.wait_where(lambda document: document["Connection_alarm"]["ID"] == number)[1]["Connection_alarm"]
        names = ("ConnectionID", "ConnectionName", "State", "Text", "Expected")
        assert [report(1401)[name] for name in names] == [watched["id"], "watched", 3, "Too few", 4]
        assert [report(1402)[name] for name in names] == [watched["id"], "watched", 1, "Too few", 4]
        assert report(1401)["Observed"] == 0
        # Reports are no uplinks of the connection they are about, nor go anywhere else.
        assert not any("Connection_alarm" in text for _, text in uplinks.wait(1))
    finally:
        capture.stop()
        uplinks.stop()
        broker.stop()


def test_what_is_wrong_with_an_alarm_is_told(server):
    api = server.api()
    with pytest.raises(kit.ApiError) as refused:
        api.post("/connections", {"connectorId": "actility-mqtt-iot", "configuration": {
            "hostName": "localhost", "protocol": "TCP", "uplinkTopicPattern": "up"}, "alarms": [
            {"startTime": "2024-01-01T09:00:00+01:00", "endTime": "2024-01-01T09:00:00+01:00", "timezone": "Europe/Atlantis",
             "recurrence": [{"frequency": "weekly", "byDays": ["+1monday"]}], "deliverTo": "4711"}]})
    assert refused.value.status == 400
    paths = {error["path"] for error in json.loads(refused.value.body)["data"]["errors"]}
    assert paths == {f"/alarms/0/{name}" for name in ("endTime", "timezone", "uplinkRateMinPerHour", "recurrence/0/byDays", "deliverTo")}
