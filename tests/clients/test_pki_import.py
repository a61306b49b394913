"""CAs that openssl made and that live on here: each kind and form of key, with names as people have had them for decades."""

import unittest

from harness import Server
from pki import OPENSSL, run

KINDS = {
    "rsa2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa3072": ["RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa4096": ["RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "ed25519": ["ED25519"],
}

# Attributes again and again, several in one part, and strings of each type that openssl writes.
NAMES = {
    "repeated": (["-subj", "/DC=test/DC=a/DC=b/OU=One/OU=Two/OU=One/O=Story/CN=Old/CN=Root"], "utf8only"),
    "multi": (["-subj", "/C=NL/O=Story+OU=One+OU=Two/CN=Root+serialNumber=7"], "utf8only"),
    "printable": (["-subj", "/C=NL/O=Story/CN=Root"], "default"),
    "latin": (["-utf8", "-subj", "/C=NL/O=Gesch\u00e4ft/CN=Root"], "nombstr"),
    "kanji": (["-utf8", "-subj", "/C=JP/O=\u5272\u7b26/CN=Root"], "default"),
    "mail": (["-subj", "/O=Story/CN=Root/emailAddress=ca@a.test"], "default"),
}


@unittest.skipUnless(OPENSSL, "openssl is not installed")
class Import(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def made(self, name, kind, subject="repeated"):
        """A root of openssl's: the files of its certificate, and of its key in both forms."""
        folder = self.server.path / name
        folder.mkdir()
        words, mask = NAMES[subject]
        (folder / "ca.cnf").write_text(f"""
[req]
distinguished_name = dn
x509_extensions = ca
string_mask = {mask}
[dn]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
""")
        key, certificate = folder / "key.pem", folder / "ca.pem"
        run(OPENSSL, "genpkey", "-algorithm", *KINDS[kind], "-out", key)
        run(OPENSSL, "req", "-x509", "-new", "-key", key, "-config", folder / "ca.cnf", "-days", "3000", "-out", certificate,
            "-multivalue-rdn", *words)
        forms = {"pkcs8": key.read_text()}
        if kind != "ed25519":
            old = folder / "old.pem"
            run(OPENSSL, "pkey", "-in", key, "-traditional", "-out", old)
            forms["old"] = old.read_text()
        return folder, certificate, forms

    def works(self, mount, folder, certificate, bundle):
        """Brought in, it signs a leaf and a list that openssl finds to be its own."""
        must = self.server.must
        self.server.mount(mount, "pki", config={"max_lease_ttl": "8760h"})
        imported = must("POST", f"{mount}/config/ca", {"pem_bundle": bundle}).data
        self.assertEqual((len(imported["imported_issuers"]), len(imported["imported_keys"])), (1, 1))
        must("POST", f"{mount}/roles/web", {"allow_any_name": True, "key_type": "ec", "ttl": "24h"})
        leaf = must("POST", f"{mount}/issue/web", {"common_name": "www.a.test"}).data
        file, crl = folder / "leaf.pem", folder / "list.pem"
        file.write_text(leaf["certificate"])
        crl.write_text(must("GET", f"{mount}/issuer/default/crl").data["crl"])
        check = [OPENSSL, "verify", "-x509_strict", "-crl_check_all", "-CRLfile", crl, "-CAfile", certificate]
        run(*check, file)
        der = [run(OPENSSL, "x509", "-in", one, "-noout", f"-{what}_hash") for one, what in [(file, "issuer"), (certificate, "subject")]]
        self.assertEqual(der[0], der[1])
        must("POST", f"{mount}/revoke", {"serial_number": leaf["serial_number"]})
        crl.write_text(must("GET", f"{mount}/issuer/default/crl").data["crl"])
        self.assertIn("certificate revoked", run(*check, file, code=2))
        # A CA below it, made here, chains up to it too.
        csr = must("POST", f"{mount}/intermediate/generate/internal", {"common_name": "Below", "key_type": "ec"}).data["csr"]
        below = must("POST", f"{mount}/root/sign-intermediate", {"csr": csr, "common_name": "Below", "ttl": "1000h"}).data
        file.write_text(below["certificate"])
        run(*check, file)

    def test_each_kind_and_form_of_key(self):
        for kind in KINDS:
            folder, certificate, forms = self.made(kind, kind)
            for form, key in forms.items():
                with self.subTest(kind=kind, form=form):
                    self.works(f"{kind}-{form}", folder, certificate, certificate.read_text() + key)
                    self.works(f"{kind}-{form}-first", folder, certificate, key + certificate.read_text())

    def test_each_form_of_name(self):
        for subject in NAMES:
            with self.subTest(subject=subject):
                folder, certificate, forms = self.made(f"name-{subject}", "p256", subject)
                self.works(f"name-{subject}", folder, certificate, certificate.read_text() + forms["pkcs8"])

    def test_a_key_of_another_is_not_the_cas(self):
        _, certificate, _ = self.made("one", "p256")
        _, _, other = self.made("two", "p256")
        self.server.mount("mixed", "pki")
        imported = self.server.must("POST", "mixed/config/ca", {"pem_bundle": certificate.read_text() + other["pkcs8"]}).data
        self.assertEqual(set(imported["mapping"].values()), {""}, "it is kept, and no key is its")
        self.server.must("POST", "mixed/roles/web", {"allow_any_name": True, "key_type": "ec"})
        refused = self.server.call("POST", "mixed/issue/web", {"common_name": "www.a.test"})
        self.assertEqual(refused.status, 400, refused)


if __name__ == "__main__":
    unittest.main()
