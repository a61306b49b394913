"""Logins with what a workload or a person has already: by hvac, by the command line and by the agent, with certificates of our own CA (and
those that only look like them), with the signed token that a platform puts into a file, and at a terminal."""

import base64
import hmac
import http.server
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
import unittest
import urllib.parse

import hvac

import issuer
from harness import Server, binary, clean_environment, eventually

OPENSSL = shutil.which("openssl")


def openssl(folder, *words):
    subprocess.run([OPENSSL, *words], check=True, stdin=subprocess.DEVNULL, capture_output=True, cwd=folder)


def key(folder):
    """Makes the key of an issuer of tokens: jwt.key, jwt.pub."""
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "jwt.key")
    openssl(folder, "ec", "-in", "jwt.key", "-pubout", "-out", "jwt.pub")


def signed(folder, claims):
    """A JWT by ES256: openssl signs in DER, a token has both numbers side by side (RFC 7518, section 3.4)."""
    def packed(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = f"{packed(json.dumps({'alg': 'ES256', 'typ': 'JWT'}).encode())}.{packed(json.dumps(claims).encode())}"
    (folder / "signed").write_text(text)
    openssl(folder, "dgst", "-sha256", "-sign", "jwt.key", "-out", "signature", "signed")
    der, numbers = (folder / "signature").read_bytes(), b""
    at = 2
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return f"{text}.{packed(numbers)}"


@unittest.skipUnless(OPENSSL, "no openssl")
class Certificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(tls=True)
        cls.addClassCleanup(cls.server.stop)
        cls.folder = cls.server.path / "certificates"
        cls.folder.mkdir()
        must = cls.server.must
        must("POST", "sys/mounts/pki", {"type": "pki"})
        cls.ca = must("POST", "pki/root/generate/internal", {"common_name": "CA", "key_type": "ec"}).data["certificate"]
        must("POST", "pki/roles/client", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "server_flag": False})
        must("POST", "pki/roles/server", {"allow_any_name": True, "ttl": "1h", "key_type": "ec", "client_flag": False})
        must("POST", "sys/auth/cert", {"type": "cert"})
        must("PUT", "auth/cert/certs/web", {"certificate": cls.ca, "allowed_common_names": "web-*", "token_policies": "default"})

    def issued(self, name, role="client"):
        """The files of a certificate and its key, and the certificate."""
        made = self.server.must("POST", f"pki/issue/{role}", {"common_name": name}).data
        files = [self.folder / f"{made['serial_number']}.{kind}" for kind in ("crt", "key")]
        files[0].write_text(f"{made['certificate']}\n{self.ca}\n")
        files[1].write_text(made["private_key"])
        return [str(file) for file in files], made

    def openssl(self, *words):
        openssl(self.folder, *words)

    def client(self, files=None):
        return hvac.Client(url=self.server.url, verify=self.server.ca, cert=tuple(files) if files else None)

    def login(self, files, name="web"):
        client = self.client(files)
        client.auth.cert.login(name=name, cert_pem=files[0], key_pem=files[1])
        return client

    def refused(self, files, name="web"):
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            self.login(files, name)

    def test_our_own_certificate_logs_in_and_renews_with_itself_alone(self):
        files, _ = self.issued("web-1")
        client = self.login(files)
        self.assertEqual(client.auth.token.lookup_self()["data"]["meta"]["common_name"], "web-1")
        client.auth.token.renew_self()
        for other in (None, self.issued("web-1")[0]):
            thief = self.client(other)
            thief.token = client.token
            with self.assertRaises(hvac.exceptions.InvalidRequest):
                thief.auth.token.renew_self()
        client.auth.token.renew_self()

    def test_names_usages_and_strangers_are_refused(self):
        self.refused(self.issued("db-1")[0])
        self.refused(self.issued("web-1", role="server")[0])
        self.refused(self.issued("web-1")[0], name="none")
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            self.client().adapter.post("/v1/auth/cert/login", json={"name": "web"})

    def test_a_look_alike_of_another_authority_is_refused(self):
        files, made = self.issued("web-2")
        self.server.must("PUT", "auth/cert/certs/pinned", {"certificate": made["certificate"]})
        self.login(files, "pinned")
        number = "0x" + made["serial_number"].replace(":", "")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        # Another authority of the same name, and under it the same subject and serial number with another key.
        self.openssl("req", "-x509", *curve, "-keyout", "ca2.key", "-out", "ca2.crt", "-subj", "/CN=CA", "-days", "1")
        self.openssl("req", *curve, "-keyout", "like.key", "-out", "like.csr", "-subj", "/CN=web-2")
        self.openssl("x509", "-req", "-in", "like.csr", "-CA", "ca2.crt", "-CAkey", "ca2.key", "-set_serial", number, "-days", "1", "-out", "like.crt")
        (self.folder / "like-chain.crt").write_text((self.folder / "like.crt").read_text() + (self.folder / "ca2.crt").read_text())
        for chain in ("like.crt", "like-chain.crt"):
            for name in ("web", "pinned"):
                self.refused([str(self.folder / chain), str(self.folder / "like.key")], name)
        # One that signs itself, with the right subject and serial number.
        self.openssl("req", "-x509", *curve, "-keyout", "self.key", "-out", "self.crt", "-subj", "/CN=web-2", "-set_serial", number, "-days", "1")
        for name in ("web", "pinned"):
            self.refused([str(self.folder / "self.crt"), str(self.folder / "self.key")], name)

    def test_a_revoked_certificate_neither_logs_in_nor_renews(self):
        files, made = self.issued("web-3")
        client = self.login(files)
        self.server.must("POST", "pki/revoke", {"serial_number": made["serial_number"]})
        self.login(files)  # The list of the CA is not ours before it is brought.
        crl = self.server.must("GET", "pki/cert/crl").data["certificate"]
        self.server.must("PUT", "auth/cert/crls/pki", {"crl": crl})
        self.addCleanup(self.server.must, "DELETE", "auth/cert/crls/pki")
        self.refused(files)
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            client.auth.token.renew_self()
        self.login(self.issued("web-3")[0])

    def test_the_command_line_logs_in_with_its_certificate(self):
        (certificate, key), _ = self.issued("web-5")
        flags = [f"-client-cert={certificate}", f"-client-key={key}"]
        self.assertEqual(command(self.server, "cert", "name=web", *flags)[0], "cert-web")
        self.assertEqual(command(self.server, "cert", *flags)[0], "cert-web")
        for words in (["name=none", *flags], ["name=web"]):
            name, told = command(self.server, "cert", *words)
            self.assertIsNone(name)
            self.assertIn("Code: 400", told)

    def rendered(self, method, contents):
        """What the agent renders once it has logged in like this, and how it ended."""
        out = self.folder / "rendered"
        out.unlink(missing_ok=True)
        config = self.folder / "agent.hcl"
        config.write_text(
            f'vault {{ address = "{self.server.url}" ca_cert = "{self.server.ca}" }}\nauto_auth {{ {method} }}\n'
            f'template {{ destination = "{out}" contents = {json.dumps(contents)} }}\n'
        )
        done = subprocess.run(
            [binary(), "template", f"-config={config}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            env=clean_environment(),
        )
        return (out.read_text() if out.exists() else None), done

    WHO = '{{ with secret "auth/token/lookup-self" }}{{ .Data.display_name }}{{ end }}'

    def test_the_agent_logs_in_with_its_certificate(self):
        (certificate, key), _ = self.issued("web-4")
        method = 'method "cert" {{ config {{ name = "web" client_cert = "{}" client_key = "{}" }} exit_on_err = true }}'
        text, done = self.rendered(method.format(certificate, key), self.WHO)
        self.assertIn("web", text or "", done.stderr)
        (certificate, key), _ = self.issued("db-4")
        text, done = self.rendered(method.format(certificate, key), self.WHO)
        self.assertEqual((text, done.returncode), (None, 1), done.stderr)

    def test_the_agent_logs_in_with_the_token_of_a_file(self):
        key(self.folder)
        must = self.server.must
        must("POST", "sys/auth/jwt", {"type": "jwt"})
        must("PUT", "auth/jwt/config", {"jwt_validation_pubkeys": [(self.folder / "jwt.pub").read_text()]})
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "warifu", "token_policies": "default"}
        must("PUT", "auth/jwt/role/job", role)
        file = self.folder / "token"
        for audience, ends in (("warifu", 0), ("another", 1)):
            file.write_text(signed(self.folder, {"sub": "job-7", "aud": audience, "iat": int(time.time()), "exp": int(time.time()) + 600}))
            method = f'method "jwt" {{ config {{ role = "job" path = "{file}" }} exit_on_err = true }}'
            text, done = self.rendered(method, self.WHO)
            self.assertEqual((text, done.returncode), ("jwt-job-7" if ends == 0 else None, ends), done.stderr)
            self.assertFalse(file.exists(), "what was read is removed, as vault-agent does")


def command(server, method, *words, stdin=None):
    """`warifu login`; the name that it got, or None, and all that it printed."""
    done = subprocess.run(
        [binary(), "login", f"-method={method}", "-non-interactive", "-no-store", "-format=json", *words], input=stdin or "", timeout=60,
        capture_output=True, text=True, env=clean_environment(VAULT_ADDR=server.url, **({"VAULT_CACERT": server.ca} if server.ca else {})),
    )
    if done.returncode:
        return None, done.stdout + done.stderr
    token = json.loads(done.stdout)["auth"]["client_token"]
    return server.must("GET", "auth/token/lookup-self", token=token).data["display_name"], done.stderr


class Cluster:
    """What a Kubernetes API server answers to a TokenReview: it vouches for the tokens that it knows."""

    def __init__(self, accounts):
        cluster, self.asked = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                spec = json.loads(self.rfile.read(int(self.headers["content-length"])))["spec"]
                cluster.asked.append((self.path, self.headers["authorization"]))
                found = accounts.get(spec["token"])
                status = {"authenticated": False}
                if found:
                    namespace, name = found
                    user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": f"uid-of-{name}", "groups": []}
                    status = {"authenticated": True, "user": user, "audiences": spec.get("audiences", [])}
                body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
                self.send_response(201)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class ByHvac(unittest.TestCase):
    """The methods that need no handshake of their own, by hvac: each with what is right, and with each half of it wrong."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def client(self):
        return hvac.Client(url=self.server.url)

    def enable(self, kind):
        self.server.must("POST", f"sys/auth/{kind}", {"type": kind})

    def refused(self, login, *words, **more):
        with self.assertRaises((hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden)):
            login(*words, **more)

    def who(self, client):
        self.assertTrue(client.is_authenticated())
        return client.auth.token.lookup_self()["data"]["display_name"]

    def test_approle(self):
        self.enable("approle")
        role_id, secret_id = self.server.role("approle", "web", token_policies="default", secret_id_num_uses=1)
        client = self.client()
        self.refused(client.auth.approle.login, role_id=role_id, secret_id="wrong")
        self.refused(client.auth.approle.login, role_id="wrong", secret_id=secret_id)
        self.refused(client.auth.approle.login, role_id=role_id)
        client.auth.approle.login(role_id=role_id, secret_id=secret_id)
        self.assertEqual(self.who(client), "approle")
        self.assertIn("Code: 400", command(self.server, "approle", f"role_id={role_id}", f"secret_id={secret_id}")[1])
        secret_id = self.server.must("POST", "auth/approle/role/web/secret-id", {}).data["secret_id"]
        self.assertEqual(command(self.server, "approle", f"role_id={role_id}", "secret_id=-", stdin=secret_id)[0], "approle")
        self.refused(self.client().auth.approle.login, role_id=role_id, secret_id=secret_id)

    def test_userpass(self):
        self.enable("userpass")
        self.server.must("POST", "auth/userpass/users/anna", {"password": "right", "token_policies": "default"})
        client = self.client()
        self.refused(client.auth.userpass.login, "anna", "wrong")
        self.refused(client.auth.userpass.login, "ben", "right")
        client.auth.userpass.login("Anna", "right")
        self.assertEqual(self.who(client), "userpass-anna")
        self.assertEqual(command(self.server, "userpass", "username=anna", "password=-", stdin="right")[0], "userpass-anna")
        for words in (["username=anna", "password=wrong"], ["username=anna"]):
            name, told = command(self.server, "userpass", *words)
            self.assertIsNone(name)
            self.assertNotIn("wrong", told)
        # A token is looked at before it is taken for one.
        self.assertEqual(command(self.server, "token", "-", stdin=client.token)[0], "userpass-anna")
        self.assertIn("Code: 403", command(self.server, "token", "hvs.wrong")[1])

    @unittest.skipIf(issuer.MISSING, issuer.MISSING)
    def test_jwt(self):
        self.enable("jwt")
        provider = issuer.Issuer(self.server.path)
        self.addCleanup(provider.stop)
        self.server.must("POST", "auth/jwt/config", {"oidc_discovery_url": provider.url, "bound_issuer": provider.url})
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "hosts", "token_policies": "default"}
        self.server.must("POST", "auth/jwt/role/host", role)
        client = self.client()
        good = provider.job(sub="web-1", aud="hosts")
        self.refused(client.auth.jwt.jwt_login, "host", provider.job(sub="web-1", aud="others"))
        self.refused(client.auth.jwt.jwt_login, "host", good.rsplit(".", 1)[0] + ".AAAA")
        self.refused(client.auth.jwt.jwt_login, "nobody", good)
        provider.clock(-3600)
        self.refused(client.auth.jwt.jwt_login, "host", provider.job(sub="web-1", aud="hosts"))
        client.auth.jwt.jwt_login("host", good)
        self.assertEqual(self.who(client), "jwt-web-1")
        self.assertEqual(command(self.server, "jwt", "role=host", "jwt=-", stdin=f"{good}\n")[0], "jwt-web-1")
        self.assertIn("Code: 400", command(self.server, "jwt", "role=nobody", f"jwt={good}")[1])

    @unittest.skipUnless(OPENSSL, "no openssl")
    def test_kubernetes(self):
        self.enable("kubernetes")
        keys = self.server.path / "kubernetes"
        keys.mkdir()
        key(keys)
        # hvac takes a key as a certificate only.
        openssl(keys, "req", "-x509", "-new", "-key", "jwt.key", "-subj", "/CN=cluster", "-days", "1", "-out", "jwt.crt")
        now = int(time.time())

        def token(namespace, name):
            account = {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-of-{name}"}}
            return signed(keys, {"iss": "kubernetes/serviceaccount", "iat": now, "exp": now + 600, "kubernetes.io": account})

        good, stranger, other = token("prod", "web"), token("prod", "web"), token("dev", "web")
        cluster = Cluster({good: ("prod", "web"), other: ("dev", "web")})
        self.addCleanup(cluster.stop)
        client = self.client()
        client.token = self.server.root
        client.auth.kubernetes.configure(
            kubernetes_host=cluster.url, token_reviewer_jwt="of the reviewer", pem_keys=[(keys / "jwt.crt").read_text()],
        )
        client.auth.kubernetes.create_role(
            "web", bound_service_account_names="web", bound_service_account_namespaces="prod", policies=["default"],
        )
        client = self.client()
        self.refused(client.auth.kubernetes.login, "web", stranger)
        self.refused(client.auth.kubernetes.login, "web", other)
        self.refused(client.auth.kubernetes.login, "nobody", good)
        client.auth.kubernetes.login("web", good)
        self.assertEqual(self.who(client), "kubernetes-prod-web")
        self.assertEqual(command(self.server, "kubernetes", "role=web", "jwt=-", stdin=good)[0], "kubernetes-prod-web")
        self.assertIn("Code: 400", command(self.server, "kubernetes", "role=web", f"jwt={stranger}")[1])
        # The agent, with the token of its pod, which stays where it is.
        for text, ends in ((good, 0), (stranger, 1)):
            (keys / "token").write_text(text)
            (keys / "agent.hcl").write_text(
                f'vault {{ address = "{self.server.url}" }}\n'
                f'auto_auth {{ method "kubernetes" {{ config {{ role = "web" token_path = "{keys}/token" }} exit_on_err = true }} }}\n'
                f'template {{ destination = "{keys}/out" contents = {json.dumps(Certificates.WHO)} }}\n')
            (keys / "out").unlink(missing_ok=True)
            done = subprocess.run([binary(), "template", f"-config={keys}/agent.hcl"], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=60, env=clean_environment())
            self.assertEqual(done.returncode, ends, done.stderr)
            self.assertEqual((keys / "out").read_text() if ends == 0 else "", "kubernetes-prod-web" if ends == 0 else "")
            self.assertTrue((keys / "token").exists())
        self.assertEqual(set(cluster.asked), {("/apis/authentication.k8s.io/v1/tokenreviews", "Bearer of the reviewer")})


def typed(server, words, answers):
    """`warifu login` at a terminal, where a person types these answers as they are asked for: the code, and all that the terminal showed."""
    program, environment = binary(), clean_environment(VAULT_ADDR=server.url, HOME=str(server.path))
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program, [program, "login", *words], environment)
    shown = ""
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], 60)
            if not ready:
                raise AssertionError(f"nothing more was shown after: {shown}")
            try:
                more = os.read(terminal, 4096)
            except OSError:  # What Linux says once the other side is gone.
                break
            if not more:
                break
            shown += more.decode()
            if answers and answers[0][0] in shown:
                # A person is not so quick as to type before the terminal shows nothing any more.
                eventually(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO)
                os.write(terminal, f"{answers.pop(0)[1]}\n".encode())
    finally:
        os.close(terminal)
        if answers:
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, shown


def totp(url):
    """The code of this moment (RFC 6238)."""
    text = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["secret"][0]
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    tag = hmac.new(secret, struct.pack(">Q", int(time.time()) // 30), "sha1").digest()
    at = tag[-1] & 15
    return f"{(struct.unpack('>I', tag[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


class AtATerminal(unittest.TestCase):
    """A person types a password and the code of a second factor."""

    def test_a_person_is_asked_for_both_and_neither_is_shown(self):
        server = Server()
        self.addCleanup(server.stop)
        must = server.must
        must("POST", "sys/auth/userpass", {"type": "userpass"})
        must("POST", "auth/userpass/users/anna", {"password": "of anna", "token_policies": "default"})
        entity = must("POST", "auth/userpass/login/anna", {"password": "of anna"}, token=None).json["auth"]["entity_id"]
        method = must("POST", "identity/mfa/method/totp", {"issuer": "t"}).data["method_id"]
        url = must("POST", "identity/mfa/method/totp/admin-generate", {"method_id": method, "entity_id": entity}).data["url"]
        accessor = must("GET", "sys/auth").data["userpass/"]["accessor"]
        must("POST", "identity/mfa/login-enforcement/all", {"mfa_method_ids": [method], "auth_method_accessors": [accessor]})
        words = ["-method=userpass", "username=anna"]
        kept = server.path / ".vault-token"

        code, shown = typed(server, words, [("Password", "of anna"), ("Passcode", "000000")])
        self.assertEqual((code, kept.exists()), (2, False), shown)
        code, shown = typed(server, words, [("Password", "wrong one")])
        self.assertEqual((code, kept.exists()), (2, False), shown)
        self.assertNotIn("wrong one", shown)
        passcode = totp(url)
        code, shown = typed(server, words, [("Password", "of anna"), ("Passcode", passcode)])
        self.assertEqual(code, 0, shown)
        for secret in ("of anna", passcode):
            self.assertNotIn(secret, shown)
        self.assertIn("Success! You are now authenticated.", shown)
        self.assertEqual(must("GET", "auth/token/lookup-self", token=kept.read_text()).data["display_name"], "userpass-anna")
        # A code is good once.
        code, shown = typed(server, words, [("Password", "of anna"), ("Passcode", passcode)])
        self.assertEqual(code, 2, shown)


if __name__ == "__main__":
    unittest.main()
