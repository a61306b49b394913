"""What a thief of the disk reads, and what an operator of the storage can do by writing: the database is opened here with SQLite itself."""

import base64
import sqlite3
import unittest

from harness import Server

SECRET = "a-password-that-lies-nowhere-in-clear"
NEIGHBOUR = "another-tenants-password-of-the-same-"
PLACE = "a-place-that-has-a-name"


class Storage(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.database = self.server.path / "warifu.db"
        self.server.mount("mount-of-mine", "kv", options={"version": "1"})
        self.write("mine", SECRET)
        self.write("theirs", NEIGHBOUR)

    def write(self, name, value):
        self.server.must("PUT", f"mount-of-mine/{PLACE}/{name}", {"password": value})

    def read(self, name):
        return self.server.call("GET", f"mount-of-mine/{PLACE}/{name}")

    def rows(self):
        with sqlite3.connect(self.database) as store:
            return dict(store.execute("SELECT key, value FROM entries"))

    def changed(self, change):
        """Stops the server, changes its database, starts and unseals it."""
        self.server.end()
        store = sqlite3.connect(self.database)
        with store:
            change(store)
        store.close()
        self.server.start()
        return self.server.unseal()

    def row_of(self, name, value):
        """The row that a write changes."""
        before = self.rows()
        self.write(name, value)
        changed = [key for key, content in self.rows().items() if before.get(key) != content]
        self.assertEqual(len(changed), 1)
        return changed[0]

    def test_no_file_shows_a_secret_a_name_or_a_token(self):
        token = self.server.token("default")
        self.server.must("PUT", "sys/policies/acl/policy-with-a-name", {"policy": 'path "x" { capabilities = ["read"] }'})
        share = bytes.fromhex(self.server.share)
        wanted = [SECRET, PLACE, "mount-of-mine", "policy-with-a-name", token, self.server.root, self.server.share]
        wanted = [text.encode() for text in wanted] + [share, base64.b64encode(share)]
        self.server.end()
        files = [file for file in self.server.path.rglob("*") if file.is_file() and file.name != "config.hcl"]
        self.assertIn(self.database, files)
        for file in files:
            content = file.read_bytes()
            for text in wanted:
                self.assertNotIn(text, content, file.name)
                self.assertNotIn(base64.b64encode(text).rstrip(b"="), content, file.name)
        self.assertEqual(self.database.stat().st_mode & 0o077, 0, "others may read the database")
        self.server.start()

    def test_one_value_in_anothers_place_does_not_open(self):
        mine, theirs = self.row_of("mine", SECRET), self.row_of("theirs", NEIGHBOUR)

        def swap(store):
            one, other = (store.execute("SELECT value FROM entries WHERE key = ?", [key]).fetchone()[0] for key in (mine, theirs))
            store.execute("UPDATE entries SET value = ? WHERE key = ?", [other, mine])
            store.execute("UPDATE entries SET value = ? WHERE key = ?", [one, theirs])

        self.assertFalse(self.changed(swap).json["sealed"])
        for name in ("mine", "theirs"):
            answer = self.read(name)
            self.assertEqual(answer.status, 500, answer)
            self.assertNotIn(SECRET, str(answer))
            self.assertNotIn(NEIGHBOUR, str(answer))

    def test_a_changed_bit_is_noticed(self):
        mine = self.row_of("mine", SECRET)

        def flip(store):
            value = bytearray(store.execute("SELECT value FROM entries WHERE key = ?", [mine]).fetchone()[0])
            value[-20] ^= 1
            store.execute("UPDATE entries SET value = ? WHERE key = ?", [bytes(value), mine])

        self.changed(flip)
        self.assertEqual(self.read("mine").status, 500)
        self.assertEqual(self.read("theirs").data["password"], NEIGHBOUR)

    def test_a_keyring_of_another_store_opens_nothing(self):
        other = Server()
        self.addCleanup(other.stop)
        with sqlite3.connect(other.path / "warifu.db") as store:
            foreign = store.execute("SELECT value FROM entries WHERE key = 'core/keyring'").fetchone()[0]

        answer = self.changed(lambda store: store.execute("UPDATE entries SET value = ? WHERE key = 'core/keyring'", [foreign]))
        self.assertNotEqual(answer.status, 200, answer)
        self.assertEqual(self.server.call("GET", "sys/health", token=None).status, 503)

    # What still shows, as SECURITY.md says: when it no longer does, that text is to be changed with this test.
    def test_an_older_version_of_one_row_put_back_is_not_noticed(self):
        mine = self.row_of("mine", SECRET)
        old = self.rows()[mine]
        self.write("mine", "newer")
        self.changed(lambda store: store.execute("UPDATE entries SET value = ? WHERE key = ?", [old, mine]))
        self.assertEqual(self.read("mine").data["password"], SECRET)
