# SPDX-License-Identifier: Apache-2.0
"""The other ends of this connector for `./dev bench connectors`: every thing is there, every message is taken."""
from connector_peer import Nginx, TlsNginx

from lib import kit

LOCATION = "location / { return 200 '{\"message\":\"OK\"}'; }"


def configuration(port, certificates, **more):
    return {"region": "eu-central-1", "accountPrefix": "a1b2c3d4e5f6g7-ats", "accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "example/secret",
            "deviceType": "bench", "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "downlinkEnabled": False,
            "endpoint": f"localhost:{port}", "registryEndpoint": f"localhost:{port}", "trustedCaCertificate": certificates.text("ca.pem"), **more}


class Aws(TlsNginx):
    name, connector = "aws", "actility-aws-iot"
    wanted, count = 5_000, 60_000
    about = "HTTPS with a client certificate to nginx, things looked up before"

    def __init__(self, directory):
        super().__init__(directory, LOCATION)

    def body(self):
        text = self.certificates.text
        return configuration(self.port, self.certificates, certificateId="arn:aws:iot:eu-central-1:123456789012:cert/0a",
                             certificate=text("client.pem"), privateKey=text("client.key"))


class AwsSigned(Nginx):
    name, connector = "aws-wss", "actility-aws-iot"
    wanted, count = 5_000, 60_000
    about = "HTTPS signed by Signature Version 4 to nginx, which does not check it"

    def __init__(self, directory):
        self.certificates = kit.Certificates(directory.parent / "certificates")
        path = self.certificates.path
        super().__init__(directory, f"""    listen 127.0.0.1:PORT ssl;
    ssl_certificate {path('server.pem')};
    ssl_certificate_key {path('server.key')};
    {LOCATION}""")

    def body(self):
        return configuration(self.port, self.certificates, protocol="WSS")


PEERS = [Aws, AwsSigned]
