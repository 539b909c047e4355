# SPDX-License-Identifier: Apache-2.0
"""What `./dev bench connectors` needs to know of a connector: its folder has a bench.py whose PEERS are subclasses of Peer."""
import importlib.util
import os
import pathlib
import time

from lib import kit


def load(path):
    """The module in that file: several have the same name."""
    spec = importlib.util.spec_from_file_location("_".join(pathlib.Path(path).with_suffix("").parts[-3:]), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Peer:
    """A server and the configuration that reaches it. It runs on the peers' core: the bench is bound to it, and its children with it."""

    name = ""       # of the row, and the word of the command line
    connector = ""  # "actility-mqtt-iot"
    about = ""      # what is measured, for the report
    wanted = 0      # messages a second
    count = 50_000  # messages a round: some seconds' worth
    all_cores = False  # where one core is too little for the peer: it may take what the connector leaves of the other, too

    def __init__(self, directory):
        """Starts it; `directory` is its own and does not exist yet."""

    def body(self):
        """The connection's configuration."""
        raise NotImplementedError

    def arrived(self):
        """How many messages have come so far, by its own count; None: it cannot tell."""
        return None

    def stop(self):
        """Ends everything it has started."""


class Nginx(Peer):
    """nginx that takes the body and answers; its log has a line for each request."""

    def __init__(self, directory, server):
        self.directory = directory
        directory.mkdir(parents=True)
        self.port = kit.free_port()
        self.log = directory / "access.log"
        user = "user root;\n" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(f"""{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format bench '$status $request_method $content_length $uri';
  access_log {self.log} bench buffer=64k flush=1s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  server {{
{server.replace("PORT", str(self.port))}
  }}
}}
""")
        nginx = next(path for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx") if os.path.exists(path))
        self.process = kit.Process([nginx, "-c", directory / "nginx.conf", "-p", directory], directory / "nginx.log")
        kit.wait_for(lambda: kit.port_is_open(self.port), 10, "nginx to listen")

    def arrived(self):
        time.sleep(1.5)  # its log is written once a second
        good, bad = 0, 0
        with open(self.log) as lines:
            for line in lines:
                status, method, length, _ = line.split(" ", 3)
                if method == "POST":
                    good, bad = (good + 1, bad) if status == "200" and int(length) > 500 else (good, bad + 1)
        if bad:
            raise SystemExit(f"nginx refused {bad} requests: see {self.log}")
        return good

    def stop(self):
        self.process.stop()


class TlsNginx(Nginx):
    """nginx over TLS that takes only who shows a client certificate of certificates' ca.pem; `verify`: of ssl_verify_client."""

    def __init__(self, directory, location, verify="on"):
        self.certificates = kit.Certificates(directory.parent / "certificates")
        path = self.certificates.path
        super().__init__(directory, f"""    listen 127.0.0.1:PORT ssl;
    ssl_certificate {path('server.pem')};
    ssl_certificate_key {path('server.key')};
    ssl_client_certificate {path('ca.pem')};
    ssl_verify_client {verify};
    {location}""")
