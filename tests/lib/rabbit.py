# SPDX-License-Identifier: Apache-2.0
"""An own RabbitMQ: Debian's package, started as a child with its own name, ports and directories, beside whatever service the
package has set up; and a look into it."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pika

from lib import kit

# Debian's /usr/sbin/rabbitmq-server changes to the user of the service; the script behind it does not.
BIN = pathlib.Path("/usr/lib/rabbitmq/bin")
HERE = "127.0.0.1"


class Rabbit:
    """A node. `port` is plain AMQP, `tls_port` (with `certificates`) AMQP over TLS, where a client certificate must be
    shown and logs in as its common name (EXTERNAL). Users: `flow` with `password` and the client certificate's `flow-client`
    may do everything, and so may the tests' own."""

    WATCHER, WORD = "watch", "word-of-the-watcher"

    def __init__(self, directory, certificates=None, config="", port=None, tls_port=None, password="s3cr3t", schedulers=1):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or kit.free_port()
        self.tls_port = (tls_port or kit.free_port()) if certificates else 0
        self.name = f"sluice-{self.port}"
        # epmd serves the node's name to rabbitmqctl; an own one ends with us.
        self.env = {
            "HOME": str(self.directory),  # the Erlang cookie
            "RABBITMQ_NODENAME": f"{self.name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HERE,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(kit.free_port()),
            "ERL_EPMD_PORT": str(kit.free_port()),
            "ERL_EPMD_ADDRESS": HERE,
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none"),
            # Two cores are shared with what is tested: Erlang's schedulers spin less so.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {schedulers}:{schedulers} +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        plugins = ["rabbitmq_auth_mechanism_ssl"] if certificates else []
        (self.directory / "enabled_plugins").write_text("[" + ",".join(plugins) + "].\n")
        lines = ["vm_memory_high_watermark.relative = 0.8", "disk_free_limit.absolute = 1MB", "loopback_users = none",
                 "load_definitions = " + str(self.directory / "definitions.json"), "log.console.level = info", config]
        if certificates:
            lines += [f"listeners.ssl.1 = {HERE}:{self.tls_port}", f"ssl_options.cacertfile = {certificates.path('ca.pem')}",
                      f"ssl_options.certfile = {certificates.path('server.pem')}",
                      f"ssl_options.keyfile = {certificates.path('server.key')}", "ssl_options.verify = verify_peer",
                      "ssl_options.fail_if_no_peer_cert = false", "auth_mechanisms.1 = PLAIN",
                      "auth_mechanisms.2 = EXTERNAL", "ssl_cert_login_from = common_name"]
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.directory / "definitions.json").write_text(json.dumps({
            "vhosts": [{"name": "/"}],
            "users": [{"name": "flow", "password": password, "tags": []},
                      {"name": "flow-client", "password": "of-no-use", "tags": []},
                      {"name": self.WATCHER, "password": self.WORD, "tags": ["administrator"]}],
            "permissions": [{"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
                            for user in ("flow", "flow-client", self.WATCHER)]}))
        self.process = None
        self.start()

    def start(self, seconds=60):
        self.process = kit.Process([BIN / "rabbitmq-server"], self.directory / "server.log", self.env)

        def ready():
            assert self.process.running(), "rabbitmq has ended: " + self.process.text()[-2000:]
            try:
                self.connect().close()
                return True
            except (pika.exceptions.AMQPError, OSError):
                return False
        kit.wait_for(ready, seconds, "rabbitmq to take clients", every=0.1)
        return self

    def _erlang(self):
        """The process id of the Erlang machine: the script's own where it has been replaced by it, else below it."""
        below = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        for line in below.stdout.splitlines():
            pid, name = line.split(None, 1)
            if name.startswith("beam"):
                return int(pid)
        return self.process.pid

    def kill(self):
        """As a power cut: kill -9."""
        os.kill(self._erlang(), signal.SIGKILL)
        self.process.stop(sign=signal.SIGKILL)
        kit.wait_for(lambda: not kit.port_is_open(self.port), 10, "rabbitmq's port to close")

    def stop(self):
        if self.process.running():
            os.kill(self._erlang(), signal.SIGTERM)
            try:
                self.process.child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.file.close()
        subprocess.run(["epmd", "-port", self.env["ERL_EPMD_PORT"], "-kill"], capture_output=True, timeout=10,
                       env={**os.environ, **self.env})

    def evaluate(self, expression):
        """An Erlang expression's value at the node: what `rabbitmqctl eval` does, in a tenth of its time."""
        node = self.env["RABBITMQ_NODENAME"]
        program = (
            "{ok, Tokens, _} = erl_scan:string(os:getenv(\"EXPRESSION\")), {ok, Parsed} = erl_parse:parse_exprs(Tokens), "
            f"case rpc:call('{node}', erl_eval, exprs, [Parsed, []], 20000) of "
            "{value, Value, _} -> io:format(\"~0p\", [Value]), halt(0); Error -> io:format(\"~p\", [Error]), halt(1) end.")
        got = subprocess.run(["erl", "-noshell", "-hidden", "-sname", f"look-{kit.free_port()}@localhost", "-eval", program],
                             capture_output=True, text=True, timeout=60,
                             env={**os.environ, **self.env, "EXPRESSION": expression + "."})
        assert got.returncode == 0, got.stdout + got.stderr
        return got.stdout

    def user(self, name, password):
        """Makes one who may do everything, if there is none of that name."""
        self.evaluate(f"""case rabbit_auth_backend_internal:exists(<<"{name}">>) of true -> ok; false ->
            rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"test">>) end""")
        self.permit(name)

    def permit(self, name, configure=".*", write=".*", read=".*"):
        """For what is opened from now on: a channel keeps for a while what it has looked up."""
        expressions = ", ".join(f'<<"{text}">>' for text in (name, "/", configure, write, read, "test"))
        self.evaluate(f"rabbit_auth_backend_internal:set_permissions({expressions})")

    def forbid(self, name):
        """The user may not even enter the virtual host."""
        self.evaluate(f'rabbit_auth_backend_internal:clear_permissions(<<"{name}">>, <<"/">>, <<"test">>)')

    def password(self, name, password):
        self.evaluate(f'rabbit_auth_backend_internal:change_password(<<"{name}">>, <<"{password}">>, <<"test">>)')

    def close_connections(self):
        """Each with 320 CONNECTION_FORCED."""
        self.evaluate('rabbit_networking:close_connections(rabbit_networking:connections(), "closed by the test")')

    def memory_alarm(self, on):
        """As `rabbitmqctl set_vm_memory_high_watermark 0`."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({0 if on else 0.8})")

    def queues(self):
        """Name -> messages ready."""
        text = self.evaluate('[{element(4, amqqueue:get_name(Q)), element(2, hd(rabbit_amqqueue:info(Q, [messages_ready])))}'
                             ' || Q <- rabbit_amqqueue:list(<<"/">>)]')
        return {name: int(count) for name, count in re.findall(r'\{<<"([^"]*)">>,(\d+)\}', text)}

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            HERE, self.port, credentials=pika.PlainCredentials(self.WATCHER, self.WORD)))

    def capture(self, *keys, exchange="IotFlowExchange", queue="capture"):
        return Capture(self, keys or ("#",), exchange, queue)

    def publish(self, key, text, exchange="IotFlowExchange"):
        connection = self.connect()
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, text.encode() if isinstance(text, str) else text, mandatory=True)
        finally:
            connection.close()


class Capture:
    """A durable queue bound to the exchange, and what comes to it as (routing key, body, properties), also after the broker
    was away. The exchange is made as the connector would."""

    def __init__(self, rabbit, keys, exchange, queue):
        self.rabbit, self.keys, self.exchange, self.queue = rabbit, keys, exchange, queue
        self.messages = []
        self.condition = threading.Condition()
        self.ready, self.stopping = threading.Event(), False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(20), "no consumer at the broker"

    def _run(self):
        while not self.stopping:
            try:
                connection = self.rabbit.connect()
                channel = connection.channel()
                channel.exchange_declare(self.exchange, "topic", durable=True)
                channel.queue_declare(self.queue, durable=True)
                for key in self.keys:
                    channel.queue_bind(self.queue, self.exchange, key)
                for method, properties, body in channel.consume(self.queue, inactivity_timeout=0.2):
                    if self.stopping:
                        break
                    self.ready.set()
                    if method is None:
                        continue
                    with self.condition:
                        # What we had taken when the broker died, and our acknowledgement was not: it comes again.
                        if not method.redelivered or all(body != seen for _, seen, _ in self.messages):
                            self.messages.append((method.routing_key, body, properties))
                        self.condition.notify_all()
                    channel.basic_ack(method.delivery_tag)
                connection.close()
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.2)

    def wait(self, count=1, seconds=20):
        with self.condition:
            if not self.condition.wait_for(lambda: len(self.messages) >= count, seconds):
                raise AssertionError(f"{len(self.messages)} of {count} messages arrived in {seconds} s")
            return list(self.messages)

    def bind(self, keys):
        """Bound by these alone from now on."""
        connection = self.rabbit.connect()
        channel = connection.channel()
        for key in set(keys) - set(self.keys):
            channel.queue_bind(self.queue, self.exchange, key)
        for key in set(self.keys) - set(keys):
            channel.queue_unbind(self.queue, self.exchange, key)
        self.keys = tuple(keys)
        connection.close()

    def documents(self):
        with self.condition:
            return [json.loads(body) for _, body, _ in self.messages]

    def stop(self):
        self.stopping = True
        self.thread.join(10)


def installed():
    return (BIN / "rabbitmq-server").exists() and shutil.which("erl") is not None
