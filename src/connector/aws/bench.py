# SPDX-License-Identifier: Apache-2.0
"""The other ends of this connector for `./dev bench connectors`: nginx as the data plane, which checks the client certificate and
takes every message."""
from connector_peer import TlsNginx

# The data plane asks for a certificate, the registry for a signature.
ANSWER = """default_type application/json;
    location /topics/ { CHECK return 200 '{"message":"OK","traceId":"5a1ae2f6-2f4c-4b4a-8f4e-0a1b2c3d4e5f"}'; }
    location / { return 200 '{}'; }"""


class Aws(TlsNginx):
    """Devices are taken to be there: after the first message of each that is what is known of them."""
    name, connector = "aws", "actility-aws-iot"
    wanted, count = 5_000, 40_000
    about = "HTTPS with a client certificate, to nginx"
    protocol = "SSL"

    def __init__(self, directory):
        check = "if ($ssl_client_verify != SUCCESS) { return 403; }" if self.protocol == "SSL" else ""
        super().__init__(directory, ANSWER.replace("CHECK", check), verify="optional")

    def body(self):
        text = self.certificates.text
        # The registry by another name, as at AWS: a host's connections are counted by its name.
        given = {"region": "eu-central-1", "accountPrefix": "bench-ats", "protocol": self.protocol, "accessKeyId": "AKIAEXAMPLE",
                 "secretAccessKey": "example/secret", "deviceType": "bench", "createDevices": False, "downlinkEnabled": False,
                 "uplinkTopicPattern": "tpx/things/{DevEUI}/uplink", "endpoint": f"localhost:{self.port}",
                 "registryEndpoint": f"127.0.0.1:{self.port}", "trustedCaCertificate": text("ca.pem")}
        if self.protocol == "SSL":
            given |= {"certificateId": "arn:aws:iot:eu-central-1:123456789012:cert/0a1b2c", "certificate": text("client.pem"),
                      "privateKey": text("client.key")}
        return given


class AwsSigned(Aws):
    name = "aws-signed"
    about = "HTTPS signed by Signature Version 4, to nginx, which does not check the signature"
    protocol = "WSS"


PEERS = [Aws, AwsSigned]
