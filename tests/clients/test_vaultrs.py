"""The vaultrs client over its areas: vaultrs/ is a program of its own, which scripts/test builds."""

import os
import pathlib
import unittest

import suites
from harness import binary

SUITE = os.environ.get("VAULTRS_SUITE") or str(pathlib.Path(binary()).with_name("vaultrs-suite"))


@unittest.skipUnless(os.path.exists(SUITE), "vaultrs-suite is not built: cargo build -p vaultrs-suite")
class Vaultrs(unittest.TestCase):
    def area(self, name, **server):
        suites.run(self, [SUITE, name], **server)

    def test_seal(self):
        self.area("seal", ready=False)

    def test_sys(self):
        self.area("sys")

    def test_secrets(self):
        self.area("secrets")

    def test_tokens(self):
        self.area("tokens")

    def test_logins(self):
        self.area("logins")

    def test_certificate(self):
        self.area("certificate", tls=True)

    def test_identity(self):
        self.area("identity")

    def test_pki(self):
        self.area("pki")


if __name__ == "__main__":
    unittest.main()
