"""Logins with a TLS client certificate by hvac and openssl: certificates of our own CA, and those that only look like them."""

import shutil
import subprocess
import unittest

import hvac

from harness import Server

OPENSSL = shutil.which("openssl")


@unittest.skipUnless(OPENSSL, "no openssl")
class Certificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(tls=True)
        cls.addClassCleanup(cls.server.stop)
        cls.folder = cls.server.path / "certificates"
        cls.folder.mkdir()
        must = cls.server.must
        must("POST", "sys/mounts/pki", {"type": "pki"})
        cls.ca = must("POST", "pki/root/generate/internal", {"common_name": "CA", "key_type": "ec"}).data["certificate"]
        must("POST", "pki/roles/client", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "server_flag": False})
        must("POST", "pki/roles/server", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "client_flag": False})
        must("POST", "sys/auth/cert", {"type": "cert"})
        must("PUT", "auth/cert/certs/web", {"certificate": cls.ca, "allowed_common_names": "web-*", "token_policies": "default"})

    def issued(self, name, role="client"):
        """The files of a certificate and its key, and the certificate."""
        made = self.server.must("POST", f"pki/issue/{role}", {"common_name": name}).data
        files = [self.folder / f"{made['serial_number']}.{kind}" for kind in ("crt", "key")]
        files[0].write_text(f"{made['certificate']}\n{self.ca}\n")
        files[1].write_text(made["private_key"])
        return [str(file) for file in files], made

    def openssl(self, *words):
        subprocess.run([OPENSSL, *words], check=True, stdin=subprocess.DEVNULL, capture_output=True, cwd=self.folder)

    def client(self, files=None):
        return hvac.Client(url=self.server.url, verify=self.server.ca, cert=tuple(files) if files else None)

    def login(self, files, name="web"):
        client = self.client(files)
        client.auth.cert.login(name=name, cert_pem=files[0], key_pem=files[1])
        return client

    def refused(self, files, name="web"):
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            self.login(files, name)

    def test_our_own_certificate_logs_in_and_renews_with_itself_alone(self):
        files, _ = self.issued("web-1")
        client = self.login(files)
        self.assertEqual(client.auth.token.lookup_self()["data"]["meta"]["common_name"], "web-1")
        client.auth.token.renew_self()
        for other in (None, self.issued("web-1")[0]):
            thief = self.client(other)
            thief.token = client.token
            with self.assertRaises(hvac.exceptions.InvalidRequest):
                thief.auth.token.renew_self()
        client.auth.token.renew_self()

    def test_names_usages_and_strangers_are_refused(self):
        self.refused(self.issued("db-1")[0])
        self.refused(self.issued("web-1", role="server")[0])
        self.refused(self.issued("web-1")[0], name="none")
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            self.client().adapter.post("/v1/auth/cert/login", json={"name": "web"})

    def test_a_look_alike_of_another_authority_is_refused(self):
        files, made = self.issued("web-2")
        self.server.must("PUT", "auth/cert/certs/pinned", {"certificate": made["certificate"]})
        self.login(files, "pinned")
        number = "0x" + made["serial_number"].replace(":", "")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        # Another authority of the same name, and under it the same subject and serial number with another key.
        self.openssl("req", "-x509", *curve, "-keyout", "ca2.key", "-out", "ca2.crt", "-subj", "/CN=CA", "-days", "1")
        self.openssl("req", *curve, "-keyout", "like.key", "-out", "like.csr", "-subj", "/CN=web-2")
        self.openssl("x509", "-req", "-in", "like.csr", "-CA", "ca2.crt", "-CAkey", "ca2.key", "-set_serial", number, "-days", "1", "-out", "like.crt")
        (self.folder / "like-chain.crt").write_text((self.folder / "like.crt").read_text() + (self.folder / "ca2.crt").read_text())
        for chain in ("like.crt", "like-chain.crt"):
            for name in ("web", "pinned"):
                self.refused([str(self.folder / chain), str(self.folder / "like.key")], name)
        # One that signs itself, with the right subject and serial number.
        self.openssl("req", "-x509", *curve, "-keyout", "self.key", "-out", "self.crt", "-subj", "/CN=web-2", "-set_serial", number, "-days", "1")
        for name in ("web", "pinned"):
            self.refused([str(self.folder / "self.crt"), str(self.folder / "self.key")], name)

    def test_a_revoked_certificate_neither_logs_in_nor_renews(self):
        files, made = self.issued("web-3")
        client = self.login(files)
        self.server.must("POST", "pki/revoke", {"serial_number": made["serial_number"]})
        self.login(files)  # The list of the CA is not ours before it is brought.
        crl = self.server.must("GET", "pki/cert/crl").data["certificate"]
        self.server.must("PUT", "auth/cert/crls/pki", {"crl": crl})
        self.addCleanup(self.server.must, "DELETE", "auth/cert/crls/pki")
        self.refused(files)
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            client.auth.token.renew_self()
        self.login(self.issued("web-3")[0])


if __name__ == "__main__":
    unittest.main()
