"""pkilint finds no error in what the CA signs: certificates of all three levels and of leaves, lists, answers, and chains."""

import contextlib
import io
import unittest
import urllib.request

from harness import Server
from pki import OPENSSL, Hierarchy, run

try:
    from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert, lint_pkix_signer_signee_cert_chain as lint_pair
except ImportError:
    lint_crl = None

KINDS = {
    "p256": {"key_type": "ec", "key_bits": 256},
    "p384": {"key_type": "ec", "key_bits": 384},
    "p521": {"key_type": "ec", "key_bits": 521},
    "rsa2048": {"key_type": "rsa", "key_bits": 2048},
    "rsa3072": {"key_type": "rsa", "key_bits": 3072},
    "rsa4096": {"key_type": "rsa", "key_bits": 4096},
    "ed25519": {"key_type": "ed25519"},
}

# What is asked of the role `web`, and what the linter of RFC 5280 alone says against it although others want it: nothing
# else may be found, and these must be.
LEAVES = {
    "leaf": ({"common_name": "www.a.test", "ip_sans": "192.0.2.1,2001:db8::1"}, []),
    "wildcard": ({"common_name": "x.a.test", "alt_names": "*.x.a.test"},
                 ["pkix.invalid_domain_name_syntax (ERROR): Invalid domain name syntax: \"*.x.a.test\""]),  # RFC 9525 has them
    "svid": ({"uri_sans": "spiffe://a.test/ns/x"},
             ["pkix.invalid_uri_syntax (ERROR): Invalid URI syntax: \"spiffe://a.test/ns/x\""]),  # a scheme it does not know
    "person": ({"common_name": "ann@a.test", "user_ids": "ann", "serial_number": "A1"}, []),
    "nameless": ({"ip_sans": "192.0.2.9"}, []),
    "other": ({"common_name": "o.a.test", "other_sans": "1.3.6.1.4.1.311.20.2.3;utf8:ann@a.test"}, []),
}


@unittest.skipUnless(lint_crl and OPENSSL, "pkilint or openssl is not installed")
class Lint(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def hierarchy(self, kind):
        made = Hierarchy(self.server, self.server.path / kind, f"{kind}-", base="http://pki.test/v1", **KINDS[kind])
        made.role("web", allowed_domains="a.test", allow_subdomains=True, allow_bare_domains=True, allowed_uri_sans="spiffe://a.test/*",
                  allowed_other_sans="*", allowed_user_ids="*", allowed_serial_numbers="*", require_cn=False, ttl="24h",
                  basic_constraints_valid_for_non_ca=True, policy_identifiers="2.23.140.1.2.1", country="NL", province="Utrecht",
                  locality="Utrecht", street_address="Oudegracht 1", postal_code="3511", organization="Story", ou="Tests",
                  **KINDS[kind])
        for mount in made.mounts.values():
            delta = {"delta_crl_distribution_points": f"{made.base}/{mount}/crl/delta"}
            self.server.must("POST", f"{mount}/config/urls", delta)
        return made

    def no_error(self, tool, *arguments, expected=()):
        """What a linter says, without a finding of the severity error or worse but for those expected."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            tool.main(["lint", *(str(one) for one in arguments)])
        text = said.getvalue()
        found = [line.strip() for line in text.splitlines() if "(ERROR)" in line or "(FATAL)" in line]
        self.assertEqual(found, list(expected), text)
        self.assertNotIn("Failed to load", text)

    def answer(self, made, certificate, *more, level="issuing"):
        """An OCSP answer as a file."""
        request = made.folder / "request.der"
        run(OPENSSL, "ocsp", *more[:1], "-issuer", made.files[level], "-cert", certificate, *more[1:], "-reqout", request)
        call = urllib.request.Request(f"{self.server.url}/v1/{made.mounts[level]}/ocsp", data=request.read_bytes(),
                                      headers={"Content-Type": "application/ocsp-request"})
        with urllib.request.urlopen(call) as reply:
            return made.write("answer.der", reply.read())

    def check(self, kind):
        made = self.hierarchy(kind)
        for level in made.LEVELS:
            with self.subTest(kind=kind, of=level):
                self.no_error(lint_pkix_cert, made.files[level])
        leaves = {}
        for name, (asked, expected) in LEAVES.items():
            leaves[name] = made.issue("web", name, **asked)
            with self.subTest(kind=kind, of=name):
                self.no_error(lint_pkix_cert, leaves[name].certificate, expected=expected)
        for above, below in [("root", "policy"), ("policy", "issuing")]:
            with self.subTest(kind=kind, of=f"{below} below {above}"):
                self.no_error(lint_pair, made.files[above], made.files[below])
        with self.subTest(kind=kind, of="leaf below issuing"):
            self.no_error(lint_pair, made.files["issuing"], leaves["leaf"].certificate)
        made.revoke(leaves["person"].serial)
        self.server.must("POST", f"{made.mounts['issuing']}/config/crl", {"enable_delta": True, "auto_rebuild": True})
        for path in ["crl/rotate", "crl/rotate-delta"]:
            self.server.must("GET", f"{made.mounts['issuing']}/{path}")
        made.revoke(leaves["leaf"].serial)
        self.server.must("GET", f"{made.mounts['issuing']}/crl/rotate-delta")
        for level, path, what in [("root", "crl", "ARL"), ("policy", "crl", "ARL"), ("issuing", "crl", "CRL"), ("issuing", "crl/delta", "CRL")]:
            with self.subTest(kind=kind, of=f"{level} {path}"):
                file = made.write("one.crl", made.fetch(f"{made.mounts[level]}/{path}"))
                self.no_error(lint_crl, "-t", what, "-p", "PKIX", file)
        for of, certificate, level in [("good", leaves["svid"].certificate, "issuing"), ("revoked", leaves["leaf"].certificate, "issuing"),
                                       ("the CA's", made.files["issuing"], "policy")]:
            for more in [("-sha1", "-no_nonce"), ("-sha256", "-nonce")]:
                with self.subTest(kind=kind, of=f"answer {of} {more}"):
                    self.no_error(lint_ocsp_response, self.answer(made, certificate, *more, level=level))


def test_of(kind):
    def test(self):
        self.check(kind)

    test.__name__ = f"test_no_error_in_what_{kind}_keys_sign"
    return test


for one in KINDS:
    setattr(Lint, f"test_no_error_in_what_{one}_keys_sign", test_of(one))


if __name__ == "__main__":
    unittest.main()
