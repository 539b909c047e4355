# SPDX-License-Identifier: Apache-2.0
"""What a driver keeps of its devices: each its own, in order, and through a kill -9."""
import base64
import json
import threading

from lib import kit

# Counts the uplinks of its device, and notices a context that is another's.
COUNTER = """
function decodeUplink(input) {
  var mine = context[0] || { device: input.DevEUI, count: 0 };
  if (mine.device !== input.DevEUI) return { errors: ["the context of " + mine.device] };
  mine.count++;
  context = [mine];
  return { data: { count: mine.count } };
}
function encodeDownlink(input) { return { bytes: [context[0] ? context[0].count : 0], fPort: 1 }; }
"""


def make_counter(api):
    return api.post("/drivers", {
        "name": "counter", "type": "lora-alliance", "moduleId": "counter", "version": "1.0.0", "useContext": True,
        "application": {"producerId": "sluice", "moduleId": "counter", "version": "1"},
        "code": base64.b64encode(COUNTER.encode()).decode()})


def roots(capture):
    return [json.loads(text)["DevEUI_uplink"] for _, text in capture.wait(0)]


def test_contexts_stay_apart_and_outlive_a_kill(sluice, api, broker, binder, ends):
    driver = make_counter(api)
    assert driver["useContext"] is True
    connection = kit.make_mqtt(api, broker.port)
    kit.make_flow(api, [connection], driver=driver["id"])
    api.wait_state(connection["id"], "OPENED")
    capture = ends(broker.subscribe("up/#"))
    devices = [kit.Device(binder, f"70B3D5E75E00C0{i:02X}", kit.AS_ID, kit.AS_KEY) for i in range(8)]
    stop = threading.Event()

    def send(device):
        while not stop.is_set():
            try:
                device.send()
            except Exception:  # noqa: BLE001: the server is being killed
                return

    threads = [threading.Thread(target=send, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    capture.wait(300, 60)
    sluice.kill()
    stop.set()
    for thread in threads:
        thread.join()
    before = {}
    for root in roots(capture):
        assert "payloadDecodedError" not in root, root["payloadDecodedError"]
        count = root["payload"]["count"]
        # In order, each one more than the last: nothing lost and nothing doubled in plain running.
        assert count == before.get(root["DevEUI"], 0) + 1
        before[root["DevEUI"]] = count
    assert len(before) == len(devices)

    sluice.start()
    api = sluice.api()
    api.wait_state(connection["id"], "OPENED", seconds=30)
    for device in devices:
        counter = device.send()
        _, document = capture.wait_where(
            lambda d, device=device, counter=counter: d["DevEUI_uplink"]["DevEUI"] == device.eui and d["DevEUI_uplink"]["FCntUp"] == counter, 30)
        root = document["DevEUI_uplink"]
        assert root["payload"]["count"] > before[device.eui], root
    # A person's own call reads the context and leaves it.
    last = api.post("/decode", {"direction": "uplink", "meta": {"lorawan": {"fPort": 1}, "driverId": driver["id"]},
                                "raw": {"binary": "00"}, "DevEUI": devices[0].eui})["message"]["count"]
    again = api.post("/decode", {"direction": "uplink", "meta": {"lorawan": {"fPort": 1}, "driverId": driver["id"]},
                                 "raw": {"binary": "00"}, "DevEUI": devices[0].eui})["message"]["count"]
    assert last == again > 1
    alone = api.post("/decode", {"direction": "uplink", "meta": {"lorawan": {"fPort": 1}, "driverId": driver["id"]},
                                 "raw": {"binary": "00"}})["message"]["count"]
    assert alone == 1
