"""nginx asks our responder: about its own certificate, to staple the answer, and about those of its clients."""

import base64
import signal
import socket
import ssl
import subprocess
import unittest

from harness import Server, eventually, free_port
from nginx import NGINX, command, configuration
from pki import OPENSSL, Hierarchy, run, serial

NAME = "www.a.test"


@unittest.skipUnless(NGINX and OPENSSL, "nginx or openssl is not installed")
class Stapling(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.ca = Hierarchy(self.server, self.server.path / "ca")
        self.ca.role("web", allowed_domains="a.test", allow_subdomains=True, key_type="ec", ttl="24h")
        self.leaf = self.ca.issue("web", "leaf", common_name=NAME)
        self.folder = self.server.path / "nginx"
        self.folder.mkdir()

    def start(self, leaf, more=""):
        """nginx with this certificate, which asks the responder that the certificate names."""
        self.port, folder = free_port(), self.folder
        (folder / "nginx.conf").write_text(configuration(folder, f"""
        listen 127.0.0.1:{self.port} ssl;
        ssl_certificate {leaf.chain};
        ssl_certificate_key {leaf.key};
        ssl_trusted_certificate {self.trusted()};
        ssl_stapling on;
        ssl_stapling_verify on;
        {more}
        location / {{ return 200 'here\\n'; }}""", level="info", workers=1))
        nginx = subprocess.Popen(command(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, nginx)
        eventually(lambda: self.listens() or nginx.poll() is not None)
        self.assertIsNone(nginx.poll(), self.log())
        return nginx

    def trusted(self):
        return self.ca.write("trusted.pem", self.ca.between.read_text() + self.ca.pem["root"])

    def end(self, nginx):
        if nginx.poll() is None:
            nginx.send_signal(signal.SIGTERM)
        nginx.wait(20)

    def listens(self):
        with socket.socket() as plain:
            return plain.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        return (self.folder / "nginx.log").read_text()[-3000:]

    def status(self, *more):
        """What a client sees that asks for the status."""
        return subprocess.run(
            [OPENSSL, "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", NAME, "-status", "-verify_return_error",
             "-CAfile", str(self.ca.files["root"]), *more],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30).stdout

    def stapled(self, word):
        """The handshake with an answer in it: nginx fetches the first one after the first handshake."""
        def look():
            text = self.status()
            return text if "OCSP Response Status: successful" in text else None

        try:
            text = eventually(look)
        except AssertionError:
            raise AssertionError(f"nothing was stapled\n{self.status()}\n{self.log()}") from None
        self.assertIn(f"Cert Status: {word}", text)
        self.assertIn("Verify return code: 0 (ok)", text)
        return text

    def test_good_and_nothing_once_it_is_revoked(self):
        nginx = self.start(self.leaf)
        self.stapled("good")
        self.ca.revoke(self.leaf.serial)
        # nginx keeps what it was told until that is due to be asked anew; a restart asks at once. It shows nobody an
        # answer that is not good: who insists on one (a certificate may) turns away.
        self.end(nginx)
        self.start(self.leaf)
        eventually(lambda: self.status() and 'certificate status "revoked" in the OCSP response' in self.log())
        self.assertIn("no response sent", self.status())

    def test_a_file_with_our_answer_is_shown_as_it_is(self):
        answer = self.folder / "answer.der"
        for word in ["good", "revoked"]:
            self.ca.asked(self.leaf.certificate, "-no_nonce", "-respout", answer)
            nginx = self.start(self.leaf, f"ssl_stapling_file {answer};")
            text = self.stapled(word)
            self.assertEqual("Revocation Time" in text, word == "revoked")
            self.end(nginx)
            if word == "good":
                self.ca.revoke(self.leaf.serial)

    def test_an_answer_is_stapled_whatever_letters_its_request_has(self):
        """nginx asks by GET, with base64 in the path. A path may not have empty segments; base64 may have '//'."""
        def request(leaf):
            out = self.folder / "request.der"
            run(OPENSSL, "ocsp", "-issuer", self.ca.files["issuing"], "-cert", leaf, "-no_nonce", "-reqout", out)
            return out.read_bytes()

        # The serial number is chance: about one request in thirty has two slashes in a row.
        for attempt in range(600):
            leaf = self.ca.issue("web", "odd", common_name=NAME)
            if b"//" in base64.b64encode(request(leaf.certificate)):
                break
        else:
            self.fail("no serial number gave two slashes")
        self.start(leaf)
        self.stapled("good")

    def test_who_says_must_staple_is_believed_with_it(self):
        """The certificate itself says (RFC 7633) that it comes with an answer."""
        self.ca.role("staple", allowed_domains="a.test", allow_subdomains=True, key_type="any", ttl="24h")
        key, csr = self.folder / "staple.key", self.folder / "staple.csr"
        run(OPENSSL, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
            "-subj", f"/CN={NAME}", "-addext", "tlsfeature=status_request", "-addext", f"subjectAltName=DNS:{NAME}")
        asked = {"csr": csr.read_text(), "ttl": "24h"}
        plain = self.server.must("POST", f"{self.ca.mounts['issuing']}/sign/staple", asked).data["certificate"]
        # A role does not take extensions from a request; verbatim signing does, but none that speaks for the issuer.
        self.assertNotIn("TLS Feature", run(OPENSSL, "x509", "-noout", "-text", "-in", self.ca.write("plain.pem", plain)))
        made = self.server.must("POST", f"{self.ca.mounts['issuing']}/sign-verbatim", asked).data["certificate"]
        file = self.ca.write("staple.pem", made)
        self.assertIn("TLS Feature", run(OPENSSL, "x509", "-noout", "-text", "-in", file))
        chain = self.ca.write("staple-chain.pem", made + "\n" + self.ca.between.read_text())
        self.start(self.leaf._replace(serial=serial(file), certificate=file, key=key, chain=chain))
        self.stapled("good")

    def test_a_client_whose_certificate_is_revoked_is_turned_away(self):
        self.start(self.leaf, f"""ssl_verify_client on;
        ssl_client_certificate {self.ca.files["root"]};
        ssl_verify_depth 3;
        ssl_ocsp leaf;""")

        def ask(client):
            context = ssl.create_default_context(cafile=self.ca.files["root"])
            if client:
                context.load_cert_chain(client.chain, client.key)
            with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
                with context.wrap_socket(plain, server_hostname=NAME) as connection:
                    connection.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
                    return connection.makefile("rb").read().split(b" ")[1]

        good, gone = (self.ca.issue("web", name, common_name=f"{name}.a.test") for name in ["good", "gone"])
        self.assertEqual((ask(good), ask(gone), ask(None)), (b"200", b"200", b"400"), self.log())
        self.ca.revoke(gone.serial)
        self.assertEqual((ask(good), ask(gone)), (b"200", b"400"), self.log())
        self.assertIn("certificate revoked", self.log())


if __name__ == "__main__":
    unittest.main()
