"""openssl checks what three CAs, one below the other, have signed: chains, the revocation list of each, and OCSP answers."""

import unittest

from harness import Server
from pki import OPENSSL, Hierarchy, serial

KINDS = {
    "p256": {"key_type": "ec", "key_bits": 256},
    "p384": {"key_type": "ec", "key_bits": 384},
    "p521": {"key_type": "ec", "key_bits": 521},
    "rsa": {"key_type": "rsa", "key_bits": 2048},
    "ed25519": {"key_type": "ed25519"},
}


@unittest.skipUnless(OPENSSL, "openssl is not installed")
class Chain(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)

    def hierarchy(self, kind):
        made = Hierarchy(self.server, self.server.path / kind, f"{kind}-", **KINDS[kind])
        made.role("web", allowed_domains="a.test", allow_subdomains=True, ttl="24h", use_pss=kind == "rsa", **KINDS[kind])
        return made

    def test_chains_lists_and_answers_of_each_kind_of_key(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                made = self.hierarchy(kind)
                good, gone = (made.issue("web", name, common_name=f"{name}.a.test") for name in ["good", "gone"])
                made.verify(good.certificate)
                made.verify(gone.certificate)
                self.assertIn("good", made.asked(gone.certificate))
                made.revoke(gone.serial)
                made.verify(good.certificate)
                self.assertIn("certificate revoked", made.verify(gone.certificate, code=2))
                for digest in ["-sha1", "-sha256"]:
                    for nonce in [(), ("-no_nonce",)]:
                        self.assertIn("good.pem: good", made.asked(good.certificate, *nonce, digest=digest))
                        self.assertIn("gone.pem: revoked", made.asked(gone.certificate, *nonce, digest=digest))
                # The CAs between are certificates of the CA above, and asked about there.
                self.assertIn("good", made.asked(made.files["issuing"], level="policy"))
                self.assertIn("good", made.asked(made.files["policy"], level="root"))

    def test_a_revoked_ca_takes_with_it_all_below(self):
        made = self.hierarchy("p256")
        leaf = made.issue("web", "leaf", common_name="www.a.test")
        made.verify(leaf.certificate)
        made.revoke(serial(made.files["issuing"]), level="policy")
        self.assertIn("certificate revoked", made.verify(leaf.certificate, code=2))
        self.assertIn("revoked", made.asked(made.files["issuing"], level="policy"))

    def test_a_list_that_is_missing_or_anothers_is_noticed(self):
        made, other = self.hierarchy("p256"), self.hierarchy("p384")
        leaf = made.issue("web", "leaf", common_name="www.a.test")
        self.assertIn("unable to get certificate CRL", made.verify(leaf.certificate, code=2, lists=other.lists()))
        one = made.write("one.crl", made.fetch(f"{made.mounts['issuing']}/crl/pem"))
        self.assertIn("unable to get certificate CRL", made.verify(leaf.certificate, code=2, lists=one))


if __name__ == "__main__":
    unittest.main()
