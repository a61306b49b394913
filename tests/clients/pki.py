"""A hierarchy of CAs for a test, as files that openssl and servers read: root, policy CA, issuing CA, each a mount of its own."""

import collections
import pathlib
import shutil
import subprocess
import urllib.request

OPENSSL = shutil.which("openssl")

Leaf = collections.namedtuple("Leaf", "serial certificate key chain")


def run(*command, code=0):
    """What a tool says, its errors too; it must end with this code."""
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    if ran.returncode != code:
        raise AssertionError(f"{command} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout + ran.stderr


def serial(certificate):
    """The serial number in a file, as the API writes it."""
    digits = run(OPENSSL, "x509", "-noout", "-serial", "-in", certificate).strip().partition("=")[2].lower()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


class Hierarchy:
    """Three CAs with keys of one kind. The certificates name `base`, where lists and answers are had."""

    LEVELS = ["root", "policy", "issuing"]

    def __init__(self, server, folder, name="", base=None, **key):
        self.server, self.name, self.folder = server, name, pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.base = base or f"{server.url}/v1"
        self.subject = {"organization": "Story", "country": "NL"}
        self.mounts = {level: f"{name}{level}" for level in self.LEVELS}
        key = key or {"key_type": "ec"}
        for level in self.LEVELS:
            server.mount(self.mounts[level], "pki", config={"max_lease_ttl": "87600h"})
        root, policy, issuing = (self.mounts[level] for level in self.LEVELS)
        titles = {level: f"{name} {level}".strip().title() + " CA" for level in self.LEVELS}
        made = server.must("POST", f"{root}/root/generate/internal",
                           {"common_name": titles["root"], "ttl": "80000h", **key, **self.subject})
        self.pem = {"root": made.data["certificate"]}
        for above, level, mount, length in [("root", "policy", policy, 1), ("policy", "issuing", issuing, 0)]:
            self.addresses(above)
            csr = server.must("POST", f"{mount}/intermediate/generate/internal",
                              {"common_name": titles[level], **key, **self.subject}).data["csr"]
            signed = server.must("POST", f"{self.mounts[above]}/root/sign-intermediate", {
                "csr": csr, "common_name": titles[level], "ttl": "40000h", "max_path_length": length, **self.subject})
            self.pem[level] = signed.data["certificate"]
            chain = [self.pem[one] for one in reversed(self.LEVELS) if one in self.pem]
            server.must("POST", f"{mount}/intermediate/set-signed", {"certificate": "\n".join(chain)})
        self.addresses("issuing")
        self.files = {level: self.write(f"{level}.pem", self.pem[level]) for level in self.LEVELS}
        self.between = self.write("between.pem", self.pem["issuing"] + "\n" + self.pem["policy"])

    def addresses(self, level):
        """What the certificates of this CA say of where to ask about them."""
        at = f"{self.base}/{self.mounts[level]}"
        self.server.must("POST", f"{self.mounts[level]}/config/urls", {
            "issuing_certificates": f"{at}/ca", "crl_distribution_points": f"{at}/crl", "ocsp_servers": f"{at}/ocsp"})

    def write(self, name, content):
        path = self.folder / f"{self.name}{name}"
        path.write_text(content.strip() + "\n") if isinstance(content, str) else path.write_bytes(content)
        return path

    def role(self, name, **settings):
        self.server.must("POST", f"{self.mounts['issuing']}/roles/{name}", settings)

    def issue(self, role, file, **asked):
        """A certificate as files: alone, its key, and with the CAs between it and the root."""
        made = self.server.must("POST", f"{self.mounts['issuing']}/issue/{role}", asked).data
        key = self.write(f"{file}.key", made["private_key"])
        key.chmod(0o600)
        return Leaf(made["serial_number"], self.write(f"{file}.pem", made["certificate"]), key,
                    self.write(f"{file}-chain.pem", made["certificate"] + "\n" + self.between.read_text()))

    def revoke(self, serial, level="issuing"):
        self.server.must("POST", f"{self.mounts[level]}/revoke", {"serial_number": serial})

    def fetch(self, path):
        """What the server gives anybody at this path."""
        with urllib.request.urlopen(f"{self.server.url}/v1/{path}") as reply:
            return reply.read()

    def lists(self):
        """The revocation lists of all three, in one file."""
        texts = [self.fetch(f"{self.mounts[level]}/crl/pem").decode().strip() for level in self.LEVELS]
        return self.write("all.crl", "\n".join(texts))

    def verify(self, leaf, code=0, lists=None):
        """openssl's word on a certificate, with the lists of the whole chain."""
        return run(OPENSSL, "verify", "-x509_strict", "-crl_check_all", "-CRLfile", lists or self.lists(),
                   "-CAfile", self.files["root"], "-untrusted", self.between, leaf, code=code)

    def asked(self, leaf, *more, digest="-sha1", level="issuing"):
        """openssl's word on the OCSP answer about a certificate that this CA signed."""
        return run(OPENSSL, "ocsp", digest, "-issuer", self.files[level], "-cert", leaf, "-CAfile", self.files["root"],
                   "-verify_other", self.between, "-url", f"{self.server.url}/v1/{self.mounts[level]}/ocsp", *more)
