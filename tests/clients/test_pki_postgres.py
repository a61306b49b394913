"""PostgreSQL with our certificates on both sides: who has one of the right CA and name gets in, and nobody else does."""

import unittest

from harness import Server, eventually
from pki import Hierarchy
from postgres import POSTGRES, PSQL, Postgres

SERVER = "db.a.test"


@unittest.skipUnless(POSTGRES and PSQL, "PostgreSQL is not installed")
class Certificates(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.ca = Hierarchy(self.server, self.server.path / "ca")
        self.roles(self.ca)
        self.host = self.ca.issue("db", "db", common_name=SERVER, ip_sans="127.0.0.1")
        self.postgres = Postgres()
        self.addCleanup(self.postgres.stop)
        place = self.postgres.place
        self.settings = {
            "ssl": "on", "ssl_min_protocol_version": "TLSv1.3",
            "ssl_cert_file": place("server.pem", self.host.chain.read_text()),
            "ssl_key_file": place("server.key", self.host.key.read_text()),
            # With the CAs between: libpq sends the client's certificate with its chain, and the lists need their issuers.
            "ssl_ca_file": place("ca.pem", self.ca.between.read_text() + self.ca.pem["root"] + "\n"),
            "ssl_crl_file": place("all.crl", self.ca.lists().read_text()),
        }
        self.postgres.start(self.settings, ["hostssl all all 127.0.0.1/32 cert"])
        self.assertEqual(self.postgres.ask("CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN").returncode, 0)

    @staticmethod
    def roles(ca):
        ca.role("db", allowed_domains="a.test", allow_subdomains=True, key_type="ec", client_flag=False, ttl="24h")
        ca.role("user", allowed_domains="ann,ben", allow_bare_domains=True, key_type="ec", server_flag=False, ttl="24h")

    def login(self, leaf=None, user="ann", sql="SELECT current_user", **more):
        """psql as this user, who shows this certificate."""
        shown = {"sslcert": leaf.chain, "sslkey": leaf.key} if leaf else {"sslcert": "/nowhere", "sslkey": "/nowhere"}
        # The name is checked, and where it leads is said apart from it.
        where = {"host": SERVER, "hostaddr": "127.0.0.1", "sslmode": "verify-full", "sslrootcert": self.ca.files["root"]}
        return self.postgres.ask(sql, user=user, **{**where, **shown, **more})

    def refused(self, answer, words):
        self.assertNotEqual(answer.returncode, 0, answer.stdout)
        self.assertRegex(answer.stderr, words, self.postgres.log())

    def test_a_user_gets_in_as_who_the_certificate_says(self):
        ann = self.ca.issue("user", "ann", common_name="ann")
        answer = self.login(ann, sql="SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        self.assertEqual((answer.returncode, answer.stdout), (0, "ann|t|TLSv1.3\n"), answer.stderr)
        serial = self.login(ann, sql="SELECT client_serial FROM pg_stat_ssl WHERE pid = pg_backend_pid()").stdout.strip()
        self.assertEqual(int(serial), int(ann.serial.replace(":", ""), 16), "the database knows which certificate it was")
        self.refused(self.login(ann, user="ben"), "certificate authentication failed")
        self.refused(self.login(), "requires a valid client certificate|connection requires|certificate")

    def test_a_revoked_certificate_is_refused_when_the_list_is_there(self):
        ann = self.ca.issue("user", "ann", common_name="ann")
        other = self.ca.issue("user", "again", common_name="ann")
        self.assertEqual(self.login(ann).returncode, 0)
        self.ca.revoke(ann.serial)
        self.assertEqual(self.login(ann).returncode, 0, "nobody has told the database")
        self.postgres.place("all.crl", self.ca.lists().read_text())
        self.postgres.reload()
        eventually(lambda: self.login(ann).returncode != 0)
        self.refused(self.login(ann), "revoked")
        self.assertEqual(self.login(other).stdout, "ann\n", "the same name with another certificate")

    def test_another_ca_lets_nobody_in_and_stands_for_no_server(self):
        # It looks the same: the names of its CAs, of its roles and of its certificates are those of the true one.
        twin = Server()
        self.addCleanup(twin.stop)
        other = Hierarchy(twin, twin.path / "ca")
        self.roles(other)
        self.assertNotEqual(other.pem["root"], self.ca.pem["root"])
        forged = other.issue("user", "ann", common_name="ann")
        self.refused(self.login(forged), "unknown ca|decrypt error|certificate|unexpectedly")
        log = self.postgres.log()
        self.assertRegex(log, "could not accept SSL connection: certificate verify failed")
        ann = self.ca.issue("user", "ann", common_name="ann")
        self.refused(self.login(ann, sslrootcert=other.files["root"]), "certificate verify failed")
        self.assertEqual(self.login(ann).returncode, 0)

    def test_a_certificate_is_good_for_what_its_role_says_only(self):
        # A server's certificate is no user's, although its name would fit.
        self.ca.role("odd", allowed_domains="ann", allow_bare_domains=True, key_type="ec", client_flag=False, ttl="24h")
        self.refused(self.login(self.ca.issue("odd", "odd", common_name="ann")), "certificate|unsupported|unexpectedly")
        self.assertRegex(self.postgres.log(), "verify failed")
        # And the server stands for its own names alone.
        ann = self.ca.issue("user", "ann", common_name="ann")
        self.refused(self.login(ann, host="other.a.test"), "does not match host name")
        self.assertEqual(self.login(ann, host="127.0.0.1").returncode, 0)


if __name__ == "__main__":
    unittest.main()
