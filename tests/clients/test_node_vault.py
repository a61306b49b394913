"""The node-vault client over its areas, each a script of node/."""

import shutil
import unittest

import suites
from harness import ROOT

SCRIPTS = ROOT / "tests/clients/node"
MODULES = ROOT / ".cache/node"
NODE = shutil.which("node")


@unittest.skipUnless(NODE and (MODULES / "node_modules/node-vault").exists(), "no node, or no node-vault in .cache/node")
class NodeVault(unittest.TestCase):
    def script(self, name, **server):
        words = [NODE, "--test", "--test-reporter=tap", str(SCRIPTS / f"{name}.js")]
        suites.run(self, words, {"NODE_MODULES": str(MODULES)}, **server)

    def test_seal(self):
        self.script("seal", ready=False)

    def test_kv(self):
        self.script("kv")

    def test_sys(self):
        self.script("sys")

    def test_tokens(self):
        self.script("tokens")

    def test_logins(self):
        self.script("logins")

    def test_certificate(self):
        self.script("certificate", tls=True)

    def test_every_script_is_run(self):
        ours = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")} - {"every_script_is_run"}
        self.assertEqual({file.stem for file in SCRIPTS.glob("*.js")} - {"vault"}, ours)


if __name__ == "__main__":
    unittest.main()
