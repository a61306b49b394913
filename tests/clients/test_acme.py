"""certbot and lego get, renew and revoke certificates by ACME, by each of the three challenges, with the server as it is."""

import base64
import os
import pathlib
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import unittest

from harness import Server, clean_environment, free_port

NAME = "www.acme.test"
CERTBOT = shutil.which("certbot")
LEGO = shutil.which("lego")
OPENSSL = shutil.which("openssl")


class Names(threading.Thread):
    """A DNS server: every name is at 127.0.0.1; texts are read from a file that a client's hook writes."""

    def __init__(self, texts):
        super().__init__(daemon=True)
        self.texts = texts
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def run(self):
        while True:
            try:
                question, client = self.socket.recvfrom(2048)
            except OSError:
                return
            self.socket.sendto(self.answer(question), client)

    def answer(self, question):
        end = question.index(b"\0", 12)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        (kind,) = struct.unpack("!H", question[end + 1 : end + 3])
        records = []
        if kind == 1:
            records = [bytes([127, 0, 0, 1])]
        elif kind == 16 and self.texts.exists():
            lines = [line.split() for line in self.texts.read_text().splitlines()]
            name = ".".join(labels).lower()
            records = [bytes([len(text)]) + text.encode() for of, text in lines if of.rstrip(".").lower() == name]
        head = question[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data for data in records)
        return head + question[12 : end + 5] + body


class Acme(unittest.TestCase):
    def setUp(self):
        self.server = Server(tls=True)
        self.addCleanup(self.server.stop)
        self.folder = self.server.path / "acme"
        self.folder.mkdir()
        self.texts = self.folder / "texts"
        self.names = Names(self.texts)
        self.names.start()
        self.addCleanup(self.names.socket.close)
        self.http, self.alpn = free_port(), free_port()
        must = self.server.must
        must("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "8760h"}})
        must("POST", "pki/root/generate/internal", {"common_name": "ACME root", "key_type": "ec", "ttl": "8000h"})
        must("POST", "pki/config/cluster", {"path": f"{self.server.url}/v1/pki"})
        must("POST", "pki/roles/web", {"allowed_domains": "acme.test", "allow_subdomains": True, "key_type": "any"})
        must("POST", "pki/config/acme", {
            "enabled": True, "allowed_networks": "127.0.0.0/8", "dns_resolver": self.names.address,
            "http_01_port": self.http, "tls_alpn_01_port": self.alpn,
        })
        self.directory = f"{self.server.url}/v1/pki/roles/web/acme/directory"
        self.root = self.folder / "root.pem"
        self.root.write_text(must("GET", "pki/cert/ca").data["certificate"] + "\n")

    def run_client(self, *command, **env):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment(**env))
        self.assertEqual(ran.returncode, 0, f"{command}\n{ran.stdout}\n{ran.stderr}")
        return ran.stdout + ran.stderr

    def check(self, leaf, chain=None):
        """openssl accepts the certificate, and it has the name."""
        extra = ["-untrusted", str(chain)] if chain else []
        self.run_client(OPENSSL, "verify", "-x509_strict", "-verify_hostname", NAME, "-CAfile", str(self.root), *extra, str(leaf))

    def serial(self, leaf):
        text = subprocess.check_output([OPENSSL, "x509", "-noout", "-serial", "-in", str(leaf)], text=True)
        return text.strip().partition("=")[2].lower()

    def revoked(self, serial):
        pairs = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
        return self.server.must("GET", f"pki/cert/{pairs}").data["revocation_time"] != 0

    @unittest.skipUnless(CERTBOT, "certbot is not installed")
    def test_certbot_by_http(self):
        at = self.folder / "certbot"
        common = ["--config-dir", f"{at}/c", "--work-dir", f"{at}/w", "--logs-dir", f"{at}/l", "--server", self.directory]
        env = {"REQUESTS_CA_BUNDLE": self.server.ca}
        self.run_client(CERTBOT, "certonly", "--standalone", "--non-interactive", "--agree-tos",
                        "--register-unsafely-without-email", "--http-01-port", str(self.http), "-d", NAME, *common, **env)
        live = at / "c/live" / NAME
        self.check(live / "cert.pem", live / "chain.pem")
        first = self.serial(live / "cert.pem")
        self.run_client(CERTBOT, "renew", "--force-renewal", "--no-random-sleep-on-renew", "--http-01-port", str(self.http),
                        *common, **env)
        second = self.serial(live / "cert.pem")
        self.assertNotEqual(first, second)
        self.run_client(CERTBOT, "revoke", "--non-interactive", "--cert-path", str(live / "cert.pem"), "--reason",
                        "superseded", "--no-delete-after-revoke", *common, **env)
        self.assertTrue(self.revoked(second))
        self.assertFalse(self.revoked(first))

    @unittest.skipUnless(CERTBOT, "certbot is not installed")
    def test_certbot_by_dns_for_a_wildcard(self):
        at = self.folder / "certbot"
        common = ["--config-dir", f"{at}/c", "--work-dir", f"{at}/w", "--logs-dir", f"{at}/l", "--server", self.directory]
        hook = f'echo "_acme-challenge.$CERTBOT_DOMAIN $CERTBOT_VALIDATION" >> {self.texts}'
        self.run_client(CERTBOT, "certonly", "--manual", "--preferred-challenges", "dns", "--manual-auth-hook", hook,
                        "--non-interactive", "--agree-tos", "--register-unsafely-without-email",
                        "-d", "*.www.acme.test", *common, REQUESTS_CA_BUNDLE=self.server.ca)
        leaf = at / "c/live/www.acme.test/cert.pem"
        text = subprocess.check_output([OPENSSL, "x509", "-noout", "-ext", "subjectAltName", "-in", str(leaf)], text=True)
        self.assertIn("DNS:*.www.acme.test", text)

    def lego(self, *arguments, account="lego"):
        common = [LEGO, "--server", self.directory, "--path", str(self.folder / account), "--email", "a@acme.test",
                  "--accept-tos", "--domains", NAME]
        return self.run_client(*common, *arguments, LEGO_CA_CERTIFICATES=self.server.ca)

    @unittest.skipUnless(LEGO, "lego is not installed")
    def test_lego_by_http(self):
        self.lego("--http", "--http.port", f"127.0.0.1:{self.http}", "run")
        leaf = self.folder / f"lego/certificates/{NAME}.crt"
        self.check(leaf, leaf)
        first = self.serial(leaf)
        self.lego("--http", "--http.port", f"127.0.0.1:{self.http}", "renew", "--days", "1000", "--no-random-sleep")
        second = self.serial(leaf)
        self.assertNotEqual(first, second)
        self.lego("revoke", "--keep")
        self.assertTrue(self.revoked(second))

    @unittest.skipUnless(LEGO, "lego is not installed")
    def test_lego_by_tls(self):
        self.lego("--tls", "--tls.port", f"127.0.0.1:{self.alpn}", "run")
        leaf = self.folder / f"lego/certificates/{NAME}.crt"
        self.check(leaf, leaf)

    @unittest.skipUnless(LEGO, "lego is not installed")
    def test_lego_with_an_external_account(self):
        self.server.must("POST", "pki/config/acme", {"eab_policy": "always-required"})
        refused = subprocess.run(
            [LEGO, "--server", self.directory, "--path", str(self.folder / "none"), "--email", "a@acme.test",
             "--accept-tos", "--domains", NAME, "--http", "--http.port", f"127.0.0.1:{self.http}", "run"],
            capture_output=True, text=True, timeout=60, env=clean_environment(LEGO_CA_CERTIFICATES=self.server.ca))
        self.assertNotEqual(refused.returncode, 0)
        eab = self.server.must("POST", "pki/roles/web/acme/new-eab", {}).data
        self.lego("--eab", "--kid", eab["id"], "--hmac", eab["key"], "--http", "--http.port", f"127.0.0.1:{self.http}",
                  "run", account="bound")
        self.check(self.folder / f"bound/certificates/{NAME}.crt", self.folder / f"bound/certificates/{NAME}.crt")


if __name__ == "__main__":
    unittest.main()
