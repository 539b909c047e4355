# SPDX-License-Identifier: Apache-2.0
"""The other ends of this connector for `./dev bench connectors`."""
from connector_peer import Nginx, TlsNginx


class Http(Nginx):
    name, connector = "http", "actility-http-iot"
    wanted, count = 8_000, 60_000
    about = "kept-alive connections to nginx, in clear"

    def __init__(self, directory):
        super().__init__(directory, "    listen 127.0.0.1:PORT;\n    location / { return 200 '{\"result\":\"ok\"}'; }")

    def body(self):
        return {"destinationURL": f"http://127.0.0.1:{self.port}/things/{{DevEUI}}"}


class Https(TlsNginx):
    name, connector = "https", "actility-http-iot"
    wanted, count = 5_000, 60_000
    about = "kept-alive TLS connections with a client certificate to nginx"

    def __init__(self, directory):
        super().__init__(directory, "location / { return 200 '{\"result\":\"ok\"}'; }")

    def body(self):
        text = self.certificates.text
        return {"destinationURL": f"https://localhost:{self.port}/things/{{DevEUI}}", "trustedCaCertificate": text("ca.pem"),
                "certificate": text("client.pem"), "privateKey": text("client.key")}


PEERS = [Http, Https]
