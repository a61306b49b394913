"""Another verifier than openssl, the one of Python's cryptography, on chains of three CAs: whom it accepts, when and as what."""

import datetime
import unittest

from harness import Server
from pki import Hierarchy

try:
    from cryptography import x509
    from cryptography.x509 import verification
except ImportError:
    verification = None

KINDS = {
    "p256": {"key_type": "ec", "key_bits": 256},
    "p384": {"key_type": "ec", "key_bits": 384},
    "rsa": {"key_type": "rsa", "key_bits": 2048},
}


@unittest.skipUnless(verification, "cryptography is not installed")
class Verifiers(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)

    def hierarchy(self, kind):
        made = Hierarchy(self.server, self.server.path / kind, f"{kind}-", **KINDS[kind])
        made.role("web", allowed_domains="a.test", allow_subdomains=True, ttl="24h", allowed_uri_sans="spiffe://a.test/*",
                  require_cn=False, **KINDS[kind])
        made.role("server", allowed_domains="a.test", allow_subdomains=True, ttl="24h", client_flag=False, **KINDS[kind])
        return made

    def read(self, file):
        return x509.load_pem_x509_certificates(file.read_bytes())

    def builder(self, made, after=datetime.timedelta(0)):
        store = verification.Store(self.read(made.files["root"]))
        return verification.PolicyBuilder().store(store).time(datetime.datetime.now(datetime.UTC) + after)

    def test_a_server_is_who_its_names_say(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                made = self.hierarchy(kind)
                leaf = made.issue("web", "leaf", common_name="www.a.test", alt_names="*.x.a.test")
                (certificate,), between = self.read(leaf.certificate), self.read(made.between)
                for name, fits in [("www.a.test", True), ("y.x.a.test", True), ("a.test", False), ("x.a.test", False), ("z.y.x.a.test", False)]:
                    verifier = self.builder(made).build_server_verifier(x509.DNSName(name))
                    if fits:
                        self.assertEqual(len(verifier.verify(certificate, between)), 4)
                    else:
                        self.assertRaises(verification.VerificationError, verifier.verify, certificate, between)
                name = x509.DNSName("www.a.test")
                late = self.builder(made, datetime.timedelta(hours=25)).build_server_verifier(name)
                self.assertRaises(verification.VerificationError, late.verify, certificate, between)
                early = self.builder(made, datetime.timedelta(minutes=-5)).build_server_verifier(name)
                self.assertRaises(verification.VerificationError, early.verify, certificate, between)
                gap = self.builder(made).build_server_verifier(name)
                self.assertRaises(verification.VerificationError, gap.verify, certificate, between[:1])

    def test_a_client_is_one_by_its_usage(self):
        made = self.hierarchy("p256")
        between = self.read(made.between)
        (svid,) = self.read(made.issue("web", "svid", uri_sans="spiffe://a.test/ns/x").certificate)
        (server,) = self.read(made.issue("server", "server", common_name="www.a.test").certificate)
        verifier = self.builder(made).build_client_verifier()
        names = verifier.verify(svid, between).subjects
        self.assertEqual([name.value for name in names], ["spiffe://a.test/ns/x"])
        self.assertRaises(verification.VerificationError, verifier.verify, server, between)

    def test_a_twin_of_the_root_vouches_for_nobody(self):
        made, twin = self.hierarchy("p256"), self.hierarchy("p384")
        leaf = made.issue("web", "leaf", common_name="www.a.test")
        (certificate,), between = self.read(leaf.certificate), self.read(made.between)
        verifier = self.builder(twin).build_server_verifier(x509.DNSName("www.a.test"))
        self.assertRaises(verification.VerificationError, verifier.verify, certificate, between)


if __name__ == "__main__":
    unittest.main()
