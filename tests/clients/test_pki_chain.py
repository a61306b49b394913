"""openssl checks what three CAs, one below the other, have signed: chains, the revocation list of each, and OCSP answers."""

import unittest

from harness import Server
from pki import OPENSSL, Hierarchy, run, serial

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

    def test_a_delta_list_tells_what_the_complete_one_does_not_know_yet(self):
        made = self.hierarchy("p256")
        for level in made.LEVELS:
            at = f"{made.base}/{made.mounts[level]}"
            self.server.must("POST", f"{made.mounts[level]}/config/crl", {"auto_rebuild": True, "enable_delta": True})
            self.server.must("POST", f"{made.mounts[level]}/config/urls", {"delta_crl_distribution_points": f"{at}/crl/delta"})
        good, early, late = (made.issue("web", name, common_name=f"{name}.a.test") for name in ["good", "early", "late"])
        made.revoke(early.serial)
        for level in made.LEVELS:
            self.server.must("GET", f"{made.mounts[level]}/crl/rotate")
        made.revoke(late.serial)

        def verify(leaf, *more, deltas, code=0):
            kinds = ["crl/pem", "crl/delta/pem"] if deltas else ["crl/pem"]
            lists = [made.fetch(f"{made.mounts[level]}/{kind}").decode().strip() for level in made.LEVELS for kind in kinds]
            file = made.write("both.crl", "\n".join(lists))
            return run(OPENSSL, "verify", "-x509_strict", "-crl_check_all", *more, "-CRLfile", file, "-CAfile",
                       made.files["root"], "-untrusted", made.between, leaf.certificate, code=code)

        with_deltas = ["-extended_crl", "-use_deltas"]
        # The complete list does not know the late one; a delta list alone is of no use to who does not ask for it.
        verify(late, deltas=False)
        verify(late, deltas=True)
        verify(late, *with_deltas, deltas=False)
        self.assertIn("certificate revoked", verify(late, *with_deltas, deltas=True, code=2))
        self.assertIn("certificate revoked", verify(early, *with_deltas, deltas=True, code=2))
        verify(good, *with_deltas, deltas=True)
        # The next complete list says it all.
        self.server.must("GET", f"{made.mounts['issuing']}/crl/rotate")
        self.assertIn("certificate revoked", verify(late, deltas=False, code=2))
        verify(good, *with_deltas, deltas=True)


if __name__ == "__main__":
    unittest.main()
