"""What went wrong elsewhere with certificates, as far as it takes a server of its own: see the table in tests/it/advisories_d.rs."""

import unittest

import hvac

from harness import Server


class Advisories(unittest.TestCase):
    def setUp(self):
        self.server = Server(tls=True)
        self.addCleanup(self.server.stop)
        must = self.server.must
        self.server.mount("pki", "pki")
        self.ca = must("POST", "pki/root/generate/internal", {"common_name": "CA", "key_type": "ec"}).data["certificate"]
        must("POST", "pki/roles/client", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "server_flag": False})
        must("POST", "sys/auth/cert", {"type": "cert"})
        must("PUT", "auth/cert/certs/web", {"certificate": self.ca, "token_policies": "default"})

    def login(self):
        made = self.server.must("POST", "pki/issue/client", {"common_name": "web"}).data
        files = [self.server.path / f"{made['serial_number']}.{kind}" for kind in ("crt", "key")]
        files[0].write_text(f"{made['certificate']}\n{self.ca}\n")
        files[1].write_text(made["private_key"])
        client = hvac.Client(url=self.server.url, verify=self.server.ca, cert=tuple(str(file) for file in files))
        client.auth.cert.login(name="web")
        return client, made["serial_number"]

    def test_a_revoked_certificate_is_refused_by_the_first_request_after_a_restart(self):
        revoked, number = self.login()
        good, _ = self.login()
        self.server.must("POST", "pki/revoke", {"serial_number": number})
        crl = self.server.must("GET", "pki/cert/crl").data["certificate"]
        self.server.must("PUT", "auth/cert/crls/pki", {"crl": crl})
        self.server.end()
        self.server.start()
        self.server.unseal()
        for client in (revoked, good):
            client.url = self.server.url
        # The first request of all that anybody makes: nobody has looked at the list before.
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            revoked.auth.cert.login(name="web")
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            revoked.auth.token.renew_self()
        good.auth.cert.login(name="web")


if __name__ == "__main__":
    unittest.main()
