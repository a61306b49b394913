"""People who log in with a browser: a real OpenID provider, a real browser, and `warifu login -method=oidc` between them."""

import json
import os
import re
import subprocess
import threading
import unittest
import urllib.parse

import hvac

import issuer
import webdriver
from harness import Server, binary, clean_environment, eventually

PEOPLE = {
    "anna": {"name": "Anna", "groups": ["ops", "unknown"]},
    "ben": {"name": "Ben", "groups": []},
}
#: Where the browser brings the code when no program listens for it: the server itself.
AT_SERVER = "/v1/auth/oidc/oidc/callback"


class Program:
    """`warifu login -method=oidc`, which waits for a browser."""

    def __init__(self, server, *words, path=None, home, port=0):
        environment = clean_environment(VAULT_ADDR=server.url, HOME=home, VAULT_TOKEN="hvs.of-somebody-else")
        environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
        self.process = subprocess.Popen(
            [binary(), "login", "-format=json", "-method=oidc", f"port={port}", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        self.told = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.told += line

    def address(self):
        """The address that it asks to open."""
        def look():
            found = re.search(r"^    (http\S+)$", self.told, re.M)
            assert found or self.process.poll() is None, self.told
            return found and "Waiting" in self.told and found[1]
        return eventually(look)

    def end(self):
        """How it ended: the code, what it printed, and what it told."""
        out = self.process.stdout.read()
        code = self.process.wait(30)
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code, out, self.told


def of(url, name):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)[name][0]


def replaced(url, name, value):
    place, query = url.split("?")
    pairs = [(key, value if key == name else old) for key, old in urllib.parse.parse_qsl(query)]
    assert (name, value) in pairs and of(url, name) != value
    return f"{place}?{urllib.parse.urlencode(pairs)}"


@unittest.skipIf(issuer.MISSING, issuer.MISSING)
@unittest.skipIf(webdriver.MISSING, webdriver.MISSING)
class InABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.issuer = issuer.Issuer(cls.server.path, PEOPLE, [f"http://127.0.0.1{AT_SERVER}"])
        cls.addClassCleanup(cls.issuer.stop)
        cls.browser = webdriver.Browser()
        cls.addClassCleanup(cls.browser.stop)
        must = cls.server.must
        must("POST", "sys/auth/oidc", {"type": "oidc"})
        cls.configure()
        accessor = must("GET", "sys/auth").data["oidc/"]["accessor"]
        role = {
            "user_claim": "sub", "groups_claim": "groups", "oidc_scopes": "profile,groups", "token_policies": "people", "token_ttl": "1h",
            "allowed_redirect_uris": ["http://localhost:8250/oidc/callback", cls.server.url + AT_SERVER], "claim_mappings": {"name": "name"},
        }
        must("POST", "auth/oidc/role/people", role)
        must("POST", "auth/oidc/role/strict", {**role, "clock_skew_leeway": -1})
        group = must("POST", "identity/group", {"name": "operators", "type": "external", "policies": ["operators"]}).data["id"]
        must("POST", "identity/group-alias", {"name": "ops", "mount_accessor": accessor, "canonical_id": group})

    @classmethod
    def configure(cls, **more):
        cls.server.must("POST", "auth/oidc/config", {
            "oidc_discovery_url": cls.issuer.url, "oidc_client_id": issuer.CLIENT["client_id"],
            "oidc_client_secret": issuer.CLIENT["client_secret"], "default_role": "people", **more,
        })

    def setUp(self):
        self.browser.go(f"{self.issuer.url}/.well-known/openid-configuration")
        self.browser.forget()
        self.home = self.server.path / f"home-{self.id()}"
        self.home.mkdir()

    def program(self, *words, **more):
        program = Program(self.server, *words, home=str(self.home), **more)
        self.addCleanup(lambda: program.process.poll() is None and program.process.kill())
        return program

    def person(self, url, name="anna", agrees=True, meanwhile=lambda: None):
        """Follows the address and logs in at the issuer, as a person does."""
        self.browser.go(url)
        self.browser.type("input[name=login]", name)
        self.browser.click("button[value=login]")
        self.browser.find("button[value=consent]")
        meanwhile()
        self.browser.click(f"button[value={'consent' if agrees else 'deny'}]")

    def refused(self, program, words):
        code, out, told = program.end()
        self.assertEqual((code, out), (2, ""), told)
        self.assertIn(words, told)
        self.assertFalse((self.home / ".vault-token").exists())

    def test_a_person_says_no(self):
        program = self.program("skip_browser=true")
        self.person(program.address(), agrees=False)
        self.browser.shows("The login failed.")
        self.assertNotIn("said no", self.browser.text())
        self.refused(program, "the issuer refused the login: access_denied")

    def test_a_page_that_knows_the_port_but_not_the_login_ends_nothing(self):
        program = self.program("skip_browser=true")
        url = program.address()
        self.browser.go(f"{of(url, 'redirect_uri')}?state=another&code=canary")
        self.browser.shows("This is not the login that was begun here")
        self.person(url)
        self.browser.shows("You are signed in.")
        self.assertEqual(program.end()[0], 0)

    def test_a_login_is_good_once(self):
        program = self.program("skip_browser=true")
        self.person(program.address())
        self.browser.shows("You are signed in.")
        back = self.browser.url()
        self.assertEqual(program.end()[0], 0)
        for query in ({}, {"client_nonce": "a guess"}):
            again = urllib.parse.urlencode({"state": of(back, "state"), "code": of(back, "code"), **query})
            answer = self.server.call("GET", f"auth/oidc/oidc/callback?{again}", token=None)
            self.assertEqual(answer.status, 400, answer)
            self.assertIn("expired or missing OAuth state", answer.json["errors"][0])

    def test_the_token_of_another_login_is_refused(self):
        program = self.program("skip_browser=true")
        self.person(replaced(program.address(), "nonce", "anothers"))
        self.browser.shows("The login failed.")
        self.refused(program, "the id_token is of another login ('nonce')")

    def test_a_code_that_was_asked_for_with_another_proof_is_refused(self):
        program = self.program("skip_browser=true")
        self.person(replaced(program.address(), "code_challenge", "A" * 43))
        self.browser.shows("The login failed.")
        self.refused(program, "the issuer did not take the code")

    def test_a_token_that_is_over_is_refused(self):
        self.addCleanup(self.issuer.clock, 0)
        program = self.program("skip_browser=true", "role=strict")
        self.person(program.address(), meanwhile=lambda: self.issuer.clock(-3600))
        self.browser.shows("The login failed.")
        self.refused(program, "it has expired ('exp')")

    def test_a_code_that_is_over_is_refused(self):
        self.addCleanup(self.issuer.clock, 0)
        nonce = {"client_nonce": "of this test"}
        begin = {"redirect_uri": self.server.url + AT_SERVER, **nonce}
        self.configure(oidc_response_mode="form_post")
        self.addCleanup(self.configure)
        url = self.server.must("POST", "auth/oidc/oidc/auth_url", begin, token=None).data["auth_url"]
        self.person(url)
        self.browser.shows("This window can be closed")
        self.issuer.clock(120)
        end = urllib.parse.urlencode({"state": of(url, "state"), **nonce})
        answer = self.server.call("GET", f"auth/oidc/oidc/callback?{end}", token=None)
        self.assertIn("the issuer did not take the code", answer.json["errors"][0])

    def test_a_form_brings_the_code_to_the_server_and_the_token_to_the_program_alone(self):
        self.configure(oidc_response_mode="form_post")
        self.addCleanup(self.configure)
        begin = {"redirect_uri": self.server.url + AT_SERVER, "client_nonce": "of this test"}
        url = self.server.must("POST", "auth/oidc/oidc/auth_url", begin, token=None).data["auth_url"]
        ask = f"auth/oidc/oidc/callback?state={of(url, 'state')}&client_nonce="
        self.assertEqual(self.server.call("GET", ask + "of+this+test", token=None).status, 400, "nobody has come yet")
        self.person(url)
        self.browser.shows("This window can be closed")
        self.assertNotIn("hvs.", self.browser.text())
        self.assertEqual(self.server.call("GET", ask + "anothers", token=None).status, 400)
        auth = self.server.must("GET", ask + "of+this+test", token=None).json["auth"]
        self.assertEqual(auth["metadata"], {"name": "Anna", "role": "people"})
        self.assertEqual(self.server.call("GET", ask + "of+this+test", token=None).status, 400)

    def test_hvac_begins_and_ends_a_login(self):
        self.configure(oidc_response_mode="form_post")
        self.addCleanup(self.configure)
        client = hvac.Client(url=self.server.url)
        place = self.server.url + AT_SERVER
        url = client.auth.oidc.oidc_authorization_url_request(role="people", redirect_uri=place)["data"]["auth_url"]
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            client.auth.oidc.oidc_callback(of(url, "state"), of(url, "nonce"), "a guess")
        self.person(url)
        self.browser.shows("This window can be closed")
        # The code waits at the server: hvac is given none.
        with self.assertRaises(hvac.exceptions.InvalidRequest):
            client.auth.oidc.oidc_callback("another", of(url, "nonce"), "")
        client.token = client.auth.oidc.oidc_callback(of(url, "state"), of(url, "nonce"), "")["auth"]["client_token"]
        self.assertEqual(client.auth.token.lookup_self()["data"]["display_name"], "oidc-anna")

    def test_the_program_takes_a_form_too(self):
        self.configure(oidc_response_mode="form_post")
        self.addCleanup(self.configure)
        program = self.program("skip_browser=true", "listenaddress=127.0.0.1", "callbackhost=localhost")
        self.person(program.address())
        self.browser.shows("You are signed in.")
        self.assertNotIn("code=", self.browser.url())
        self.assertEqual(program.end()[0], 0)

    def test_the_desktop_is_given_the_address_and_no_token(self):
        """Stands in for the desktop's `xdg-open`: it keeps what it was given."""
        given, desktop = self.home / "given", self.home / "bin"
        desktop.mkdir()
        (desktop / "xdg-open").write_text(f'#!/bin/sh\nprintf "%s\\n%s" "$1" "$VAULT_TOKEN" >{given}.part && mv {given}.part {given}\n')
        os.chmod(desktop / "xdg-open", 0o755)
        program = self.program(path=str(desktop))
        eventually(given.exists)
        url, token = given.read_text().split("\n")
        self.assertEqual((url, token), (program.address(), ""))
        self.person(url)
        self.browser.shows("You are signed in.")
        code, out, told = program.end()
        self.assertEqual(code, 0, told)
        auth = json.loads(out)["auth"]
        self.assertEqual((auth["metadata"], auth["policies"]), ({"name": "Anna", "role": "people"}, ["default", "operators", "people"]))
        kept = self.home / ".vault-token"
        self.assertEqual((kept.read_text(), kept.stat().st_mode & 0o777), (auth["client_token"], 0o600))
        self.assertNotIn(auth["client_token"], told)
        # Another person on this machine has another entity and no group; the same one has the same.
        self.browser.go(f"{self.issuer.url}/.well-known/openid-configuration")
        self.browser.forget()
        entities = [auth["entity_id"]]
        for name in ("ben", "anna"):
            program = self.program("skip_browser=true")
            self.person(program.address(), name)
            self.browser.shows("You are signed in.")
            _, out, told = program.end()
            entities.append(json.loads(out)["auth"]["entity_id"])
            self.browser.go(f"{self.issuer.url}/.well-known/openid-configuration")
            self.browser.forget()
        self.assertTrue(entities[0] == entities[2] != entities[1], entities)

    def test_a_port_that_is_taken_begins_no_login(self):
        program = self.program("skip_browser=true", "listenaddress=127.0.0.1", port=self.issuer.port)
        code, _, told = program.end()
        self.assertEqual(code, 1, told)
        self.assertIn("Error listening", told)
        for words in (["role=nobody"], ["callbackhost=evil.test"]):
            program = self.program("skip_browser=true", *words)
            self.refused(program, "there is no such role, or it does not allow this redirect_uri")


if __name__ == "__main__":
    unittest.main()
