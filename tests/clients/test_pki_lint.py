"""What the CA signs, looked at by others: pkilint finds no error in it, and openssl checks chains, lists and OCSP answers."""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import unittest
import urllib.request

from harness import Server

OPENSSL = shutil.which("openssl")
BIN = pathlib.Path(sys.executable).parent


def lint(name):
    """pkilint's command of this name: beside the Python that runs, or in the path."""
    here = BIN / name
    return str(here) if here.exists() else shutil.which(name)


# What the linter of RFC 5280 alone refuses, and others want: nothing else may be found, and these must be.
EXPECTED = {
    "leaf": ["pkix.invalid_domain_name_syntax (ERROR): Invalid domain name syntax: \"*.x.a.test\""],  # RFC 9525 has wildcards
    "svid": ["pkix.invalid_uri_syntax (ERROR): Invalid URI syntax: \"spiffe://a.test/ns/x\""],  # a scheme it does not know
}

PKIX_CERT, PKIX_CRL = lint("lint_pkix_cert"), lint("lint_crl")
OCSP = lint("lint_ocsp_response")


class Signed(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.folder = self.server.path / "signed"
        self.folder.mkdir()

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text.strip() + "\n") if isinstance(text, str) else path.write_bytes(text)
        return str(path)

    def hierarchy(self, kind):
        """A root, an intermediate with addresses in it, a server's leaf, a client's leaf, a workload's."""
        must = self.server.must
        for mount in ["root", "int"]:
            must("POST", f"sys/mounts/{mount}-{kind}", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        root, inter = f"root-{kind}", f"int-{kind}"
        subject = {"organization": "Story", "country": "NL"}
        urls = lambda mount: {
            "issuing_certificates": f"http://pki.test/v1/{mount}/ca", "crl_distribution_points": f"http://pki.test/v1/{mount}/crl",
            "ocsp_servers": f"http://pki.test/v1/{mount}/ocsp"}
        made = must("POST", f"{root}/root/generate/internal", {"common_name": f"Root {kind}", "key_type": kind, "ttl": "80000h", **subject})
        files = {"root": self.write(f"{kind}-root.pem", made.data["certificate"])}
        must("POST", f"{root}/config/urls", urls(root))
        csr = must("POST", f"{inter}/intermediate/generate/internal", {"common_name": f"Int {kind}", "key_type": kind, **subject})
        signed = must("POST", f"{root}/root/sign-intermediate",
                      {"csr": csr.data["csr"], "common_name": f"Int {kind}", "ttl": "40000h", "max_path_length": 0, **subject})
        files["int"] = self.write(f"{kind}-int.pem", signed.data["certificate"])
        must("POST", f"{inter}/intermediate/set-signed", {"certificate": signed.data["certificate"] + "\n" + made.data["certificate"]})
        must("POST", f"{inter}/config/urls", urls(inter))
        must("POST", f"{inter}/roles/web", {"allowed_domains": "a.test", "allow_subdomains": True, "key_type": kind,
             "allowed_uri_sans": "spiffe://a.test/*", "require_cn": False, "cn_validations": "disabled", "ttl": "24h",
             "basic_constraints_valid_for_non_ca": True, "policy_identifiers": "2.23.140.1.2.1"})
        for name, asked in {"leaf": {"common_name": "www.a.test", "alt_names": "*.x.a.test", "ip_sans": "192.0.2.1,2001:db8::1"},
                            "revoked": {"common_name": "old.a.test"},
                            "svid": {"uri_sans": "spiffe://a.test/ns/x"}}.items():
            leaf = must("POST", f"{inter}/issue/web", asked).data
            files[name] = self.write(f"{kind}-{name}.pem", leaf["certificate"])
            if name == "revoked":
                must("POST", f"{inter}/revoke", {"serial_number": leaf["serial_number"]})
        for of, mount in [("int", inter), ("root", root)]:
            with urllib.request.urlopen(f"{self.server.url}/v1/{mount}/crl/pem") as reply:
                files[f"{of}-crl"] = self.write(f"{kind}-{of}.crl", reply.read().decode())
        return files, inter

    def run_tool(self, *command, code=0):
        ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, code, f"{command}\n{ran.stdout}\n{ran.stderr}")
        return ran.stdout

    def no_error(self, *command, expected=()):
        """pkilint's answer, without a finding of the severity error or worse but for those expected."""
        ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
        found = [line.strip() for line in ran.stdout.splitlines() if "(ERROR)" in line or "(FATAL)" in line]
        self.assertEqual(found, list(expected), f"{command}\n{ran.stdout}\n{ran.stderr}")
        self.assertEqual(ran.stderr.strip(), "", f"{command}\n{ran.stderr}")

    @unittest.skipUnless(PKIX_CERT and PKIX_CRL, "pkilint is not installed")
    def test_pkilint_finds_no_error(self):
        for kind in ["ec", "rsa", "ed25519"]:
            files, inter = self.hierarchy(kind)
            for name in ["root", "int", "leaf", "svid"]:
                with self.subTest(kind=kind, of=name):
                    self.no_error(PKIX_CERT, "lint", files[name], expected=EXPECTED.get(name, ()))
            for name in ["int-crl", "root-crl"]:
                with self.subTest(kind=kind, of=name):
                    self.no_error(PKIX_CRL, "lint", "-t", "CRL", "-p", "PKIX", files[name])
            if OCSP:
                with self.subTest(kind=kind, of="ocsp"):
                    self.no_error(OCSP, "lint", self.ocsp_answer(files, inter, kind))

    def ocsp_answer(self, files, inter, kind):
        request, answer = self.folder / f"{kind}.req", self.folder / f"{kind}.resp"
        self.run_tool(OPENSSL, "ocsp", "-issuer", files["int"], "-cert", files["revoked"], "-no_nonce", "-reqout", request)
        call = urllib.request.Request(f"{self.server.url}/v1/{inter}/ocsp", data=request.read_bytes(),
                                      headers={"Content-Type": "application/ocsp-request"})
        with urllib.request.urlopen(call) as reply:
            answer.write_bytes(reply.read())
        return answer

    @unittest.skipUnless(OPENSSL, "openssl is not installed")
    def test_openssl_checks_chains_lists_and_answers(self):
        for kind in ["ec", "rsa", "ed25519"]:
            with self.subTest(kind=kind):
                files, inter = self.hierarchy(kind)
                lists = self.write(f"{kind}-all.crl", pathlib.Path(files["int-crl"]).read_text() + pathlib.Path(files["root-crl"]).read_text())
                check = [OPENSSL, "verify", "-x509_strict", "-crl_check_all", "-CRLfile", lists, "-CAfile", files["root"],
                         "-untrusted", files["int"]]
                self.run_tool(*check, files["leaf"])
                self.run_tool(*check, files["svid"])
                self.run_tool(*check, files["revoked"], code=2)
                for digest in ["-sha1", "-sha256"]:
                    text = self.run_tool(OPENSSL, "ocsp", digest, "-issuer", files["int"], "-cert", files["leaf"], digest,
                                         "-cert", files["revoked"], "-url", f"{self.server.url}/v1/{inter}/ocsp",
                                         "-CAfile", files["root"], "-verify_other", files["int"])
                    self.assertRegex(text, r"leaf.pem: good")
                    self.assertRegex(text, r"revoked.pem: revoked")


if __name__ == "__main__":
    unittest.main()
