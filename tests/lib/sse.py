# SPDX-License-Identifier: Apache-2.0
"""A client of Server-Sent Events on http.client."""
import http.client
import json
import threading
import urllib.parse


class Events:
    """Reads a stream below /iot-flow/v1 in a thread; `events` are (name, id, data)."""

    def __init__(self, api, path, headers=None):
        place = urllib.parse.urlsplit(api.url)
        self.client = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        self.client.request("GET", place.path + path,
                            headers={"Authorization": "Bearer " + api.token, "Accept": "text/event-stream", **(headers or {})})
        self.sock = self.client.sock  # the client lets go of it: the answer ends the connection
        self.answer = self.client.getresponse()
        self.status = self.answer.status
        self.events, self.condition, self.ended, self.comments = [], threading.Condition(), False, 0
        if self.status != 200:
            self.body = self.answer.read().decode()
            self.client.close()
            return
        self.started = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self.started.wait(10), "the stream says nothing"

    def _read(self):
        name, ident, data = "message", "", []
        try:
            for raw in self.answer:
                line = raw.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments += 1
                    self.started.set()
                elif line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("id: "):
                    ident = line[4:]
                elif line.startswith("data: "):
                    data.append(line[6:])
                elif not line and data:
                    with self.condition:
                        self.events.append((name, ident, json.loads("\n".join(data))))
                        self.condition.notify_all()
                    name, data = "message", []
        except (OSError, http.client.HTTPException, ValueError):
            pass
        with self.condition:
            self.ended = True
            self.condition.notify_all()

    def wait_where(self, test, seconds=15):
        """The first event that fits."""
        def find():
            return next((event for event in self.events if test(event)), None)
        with self.condition:
            if not self.condition.wait_for(find, seconds):
                raise AssertionError(f"none of {self.events} fits after {seconds} s")
            return find()

    def wait_end(self, seconds=10):
        with self.condition:
            assert self.condition.wait_for(lambda: self.ended, seconds), "the stream goes on"

    def stop(self):
        try:
            self.sock.shutdown(2)
        except OSError:
            pass
        self.client.close()
