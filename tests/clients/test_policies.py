"""The policies of policies/, each held by whom it is for, against a table of what is allowed and what is not.

A row asks the real server: whoever is refused gets 403, whoever is not gets anything else that is no fault of the server. What would end the test
(sealing, for example) is asked of sys/capabilities-self instead. What can be told without a server is asserted in policies/tests as well; here it
is seen that a server's engines agree.
"""

import unittest

from harness import Server

ALLOWED, DENIED = True, False
EMPTY = {}

# Holder, method, path, body, verdict. `CAN` asks for the capabilities, which must be exactly these.
TABLE = [
    # An operator arranges everything and reads no secret.
    ("operator", "GET", "sys/mounts", None, ALLOWED),
    ("operator", "POST", "sys/mounts/team-a", {"type": "kv"}, ALLOWED),
    ("operator", "DELETE", "sys/mounts/team-a", None, ALLOWED),
    ("operator", "POST", "sys/auth/people", {"type": "userpass"}, ALLOWED),
    ("operator", "DELETE", "sys/auth/people", None, ALLOWED),
    ("operator", "PUT", "sys/policies/acl/new", {"policy": 'path "a" { capabilities = ["read"] }'}, ALLOWED),
    ("operator", "LIST", "sys/policies/acl", None, ALLOWED),
    ("operator", "POST", "auth/services/role/other", {"token_ttl": "1m"}, ALLOWED),
    ("operator", "LIST", "auth/services/role", None, ALLOWED),
    ("operator", "GET", "auth/services/role/shop/role-id", None, ALLOWED),
    ("operator", "POST", "auth/services/role/shop/secret-id", EMPTY, DENIED),
    ("operator", "POST", "pki/roles/other", {"allowed_domains": "other.internal"}, ALLOWED),
    ("operator", "POST", "pki/issue/shop", {"common_name": "shop.internal"}, DENIED),
    ("operator", "GET", "secret/data/services/shop/db", None, DENIED),
    ("operator", "LIST", "secret/metadata/services", None, DENIED),
    ("operator", "POST", "auth/token/create", EMPTY, DENIED),
    ("operator", "GET", "sys/audit", None, ALLOWED),
    ("operator", "DELETE", "sys/audit/file", None, DENIED),
    ("operator", "CAN", "sys/seal", None, ["sudo", "update"]),
    ("operator", "CAN", "sys/rotate", None, ["sudo", "update"]),
    ("operator", "CAN", "sys/raw/core", None, ["deny"]),
    ("operator", "GET", "sys/key-status", None, ALLOWED),
    # A service has its own secrets and its own name.
    ("shop", "GET", "secret/data/services/shop/db", None, ALLOWED),
    ("shop", "GET", "secret/data/services/shop/deep/er", None, ALLOWED),
    ("shop", "GET", "secret/data/shared/addresses", None, ALLOWED),
    ("shop", "GET", "secret/data/services/billing/db", None, DENIED),
    ("shop", "GET", "secret/data/services/shop", None, DENIED),
    ("shop", "GET", "secret/data/services/shop2/db", None, DENIED),
    ("shop", "GET", "secret/data/services//shop/db", None, 400),
    ("shop", "GET", "secret/data/services/shop/../billing/db", None, 400),
    ("shop", "GET", "secret/data/services/shop/%2e%2e/billing/db", None, 400),
    ("shop", "LIST", "secret/metadata/services", None, DENIED),
    ("shop", "POST", "secret/data/services/shop/db", {"data": {"k": "v"}}, DENIED),
    ("shop", "POST", "pki/issue/shop", {"common_name": "shop.internal"}, ALLOWED),
    ("shop", "POST", "pki/issue/billing", {"common_name": "billing.internal"}, DENIED),
    ("shop", "POST", "pki/issue/shop", {"common_name": "billing.internal"}, 400),
    ("shop", "GET", "pki/roles/shop", None, DENIED),
    ("shop", "GET", "sys/policies/acl/service", None, DENIED),
    ("shop", "GET", "auth/token/lookup-self", None, ALLOWED),
    ("billing", "GET", "secret/data/services/billing/db", None, ALLOWED),
    ("billing", "GET", "secret/data/services/shop/db", None, DENIED),
    # The same policy on a token that came from no AppRole opens nothing: its templates cannot be filled in.
    ("service-without-login", "GET", "secret/data/services/shop/db", None, DENIED),
    ("service-without-login", "GET", "secret/data/services//db", None, 400),
    # A CI job has its project, and production's keys not even there.
    ("ci-shop", "GET", "secret/data/ci/shop/registry", None, ALLOWED),
    ("ci-shop", "LIST", "secret/metadata/ci/shop/", None, ALLOWED),
    ("ci-shop", "GET", "secret/data/ci/billing/registry", None, DENIED),
    ("ci-shop", "LIST", "secret/metadata/ci/billing/", None, DENIED),
    ("ci-shop", "LIST", "secret/metadata/ci/", None, DENIED),
    ("ci-shop", "GET", "secret/data/ci/shop/production/key", None, DENIED),
    ("ci-shop", "POST", "secret/data/ci/shop/registry", {"data": {"k": "v"}}, DENIED),
    ("ci-shop", "GET", "secret/data/services/shop/db", None, DENIED),
    # A service's role name in the other auth mount is another thing.
    ("shop", "GET", "secret/data/ci/shop/registry", None, DENIED),
    # The deployer hands out what it cannot see.
    ("deployer", "GET", "auth/services/role/shop/role-id", None, ALLOWED),
    ("deployer", "POST", "auth/services/role/shop/secret-id", EMPTY, DENIED),
    ("deployer", "WRAP 1m", "auth/services/role/shop/secret-id", EMPTY, ALLOWED),
    ("deployer", "WRAP 5m", "auth/ci/role/shop/secret-id", EMPTY, ALLOWED),
    ("deployer", "WRAP 10m", "auth/ci/role/shop/secret-id", EMPTY, DENIED),
    ("deployer", "POST", "secret/data/services/shop/db", {"data": {"k": "v"}}, ALLOWED),
    ("deployer", "GET", "secret/data/services/shop/db", None, DENIED),
    ("deployer", "POST", "secret/data/ci/shop/registry", {"data": {"k": "v"}}, DENIED),
    ("deployer", "POST", "auth/services/role/shop", {"token_policies": "root"}, DENIED),
    # Nomad makes tokens by its role and by no other.
    ("nomad-server", "POST", "auth/token/create/nomad-cluster", {"policies": ["nomad-task"]}, ALLOWED),
    ("nomad-server", "POST", "auth/token/create/nomad-cluster", {"policies": ["operator"]}, 400),
    ("nomad-server", "POST", "auth/token/create", {"policies": ["nomad-server"]}, DENIED),
    ("nomad-server", "POST", "auth/token/create-orphan", EMPTY, DENIED),
    ("nomad-server", "GET", "auth/token/roles/nomad-cluster", None, ALLOWED),
    ("nomad-server", "POST", "auth/token/roles/nomad-cluster", {"allowed_policies": "operator"}, DENIED),
    ("nomad-server", "POST", "auth/token/revoke-accessor", {"accessor": "none"}, ALLOWED),
    ("nomad-server", "POST", "auth/token/renew-self", EMPTY, ALLOWED),
    ("nomad-server", "GET", "secret/data/services/shop/db", None, DENIED),
    # Consul has its intermediate, and of the root a signature.
    ("consul-ca", "POST", "connect-inter/roles/leaf-cert", {"allow_any_name": True}, ALLOWED),
    ("consul-ca", "CAN", "connect-inter/intermediate/generate/internal", None, ["create", "delete", "list", "read", "update"]),
    ("consul-ca", "CAN", "connect-root/root/sign-intermediate", None, ["update"]),
    ("consul-ca", "GET", "connect-root/cert/ca", None, ALLOWED),
    ("consul-ca", "POST", "connect-root/root/generate/internal", {"common_name": "mine"}, DENIED),
    ("consul-ca", "POST", "connect-root/roles/mine", {"allow_any_name": True}, DENIED),
    ("consul-ca", "DELETE", "sys/mounts/connect-inter", None, DENIED),
    ("consul-ca", "POST", "sys/mounts/connect-inter/tune", {"max_lease_ttl": "24h"}, ALLOWED),
    ("consul-ca", "POST", "pki/issue/shop", {"common_name": "shop.internal"}, DENIED),
    # An auditor reads rules and names, never a value, and changes nothing.
    ("auditor", "LIST", "sys/policies/acl", None, ALLOWED),
    ("auditor", "GET", "sys/policies/acl/service", None, ALLOWED),
    ("auditor", "PUT", "sys/policies/acl/service", {"policy": ""}, DENIED),
    ("auditor", "GET", "sys/mounts", None, ALLOWED),
    ("auditor", "GET", "sys/auth", None, ALLOWED),
    ("auditor", "GET", "sys/audit", None, ALLOWED),
    ("auditor", "DELETE", "sys/audit/file", None, DENIED),
    ("auditor", "GET", "auth/services/role/shop", None, ALLOWED),
    ("auditor", "LIST", "auth/services/role", None, ALLOWED),
    ("auditor", "LIST", "secret/metadata/services", None, ALLOWED),
    ("auditor", "GET", "secret/metadata/services/shop/db", None, ALLOWED),
    ("auditor", "GET", "secret/data/services/shop/db", None, DENIED),
    ("auditor", "LIST", "auth/token/accessors", None, ALLOWED),
    ("auditor", "POST", "auth/token/revoke-accessor", {"accessor": "none"}, DENIED),
    # Prometheus reads numbers.
    ("prometheus", "GET", "sys/metrics", None, ALLOWED),
    ("prometheus", "POST", "sys/metrics", EMPTY, DENIED),
    ("prometheus", "GET", "sys/mounts", None, DENIED),
    ("prometheus", "GET", "sys/in-flight-req", None, DENIED),
    ("prometheus", "GET", "secret/data/services/shop/db", None, DENIED),
]


class Policies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server = Server(storage="inmem")
        cls.addClassCleanup(server.stop)
        server.mount("secret", "kv", options={"version": "2"})
        for path in ("pki", "connect-root", "connect-inter"):
            server.mount(path, "pki")
        for path in ("pki", "connect-root"):
            server.must("POST", f"{path}/root/generate/internal", {"common_name": "Test CA", "key_type": "ec", "ttl": "24h"})
        for name in ("shop", "billing"):
            server.must("POST", f"pki/roles/{name}", {"allowed_domains": f"{name}.internal", "allow_bare_domains": True, "key_type": "ec"})
        server.approle("services")
        server.approle("ci")
        server.policies()
        server.must("PUT", "sys/policies/acl/nomad-task", {"policy": 'path "secret/data/shared/*" { capabilities = ["read"] }'})
        server.must("POST", "auth/token/roles/nomad-cluster", {"allowed_policies": "nomad-task", "orphan": True, "token_period": "1h"})
        for path in ("services/shop/db", "services/shop/deep/er", "services/shop2/db", "services/billing/db", "shared/addresses",
                     "ci/shop/registry", "ci/shop/production/key", "ci/billing/registry"):
            server.must("POST", f"secret/data/{path}", {"data": {"k": "v"}})
        cls.tokens = {name: server.token(name) for name in ("operator", "deployer", "nomad-server", "consul-ca", "auditor", "prometheus")}
        cls.tokens["service-without-login"] = server.token("service")
        for name in ("shop", "billing"):
            cls.tokens[name] = server.login("services", *server.role("services", name, token_policies="service"))
        cls.tokens["ci-shop"] = server.login("ci", *server.role("ci", "shop", token_policies="ci-job", token_type="batch", token_ttl="5m"))

    def test_table(self):
        self.assertTrue(self.tokens["ci-shop"].startswith("hvb."))
        for holder, method, path, body, verdict in TABLE:
            with self.subTest(f"{holder} {method} {path} {body or ''}".strip()):
                token = self.tokens[holder]
                if method == "CAN":
                    answer = self.server.must("POST", "sys/capabilities-self", {"paths": [path]}, token=token)
                    self.assertEqual(sorted(answer.data[path]), verdict)
                    continue
                wrap = method.split()[1] if method.startswith("WRAP") else None
                answer = self.server.call("POST" if wrap else method, path, body, token=token, wrap=wrap)
                if verdict is DENIED:
                    self.assertEqual(answer.status, 403, answer)
                elif verdict is ALLOWED:
                    self.assertIn(answer.status, (200, 204, 400, 404), answer)
                    self.assertNotIn("unsupported operation", str(answer))
                else:
                    self.assertEqual(answer.status, verdict, answer)

    def test_every_policy_has_a_holder_in_the_table(self):
        from harness import POLICIES
        asked = {row[0] for row in TABLE}
        holders = {"service": "shop", "ci-job": "ci-shop"}
        for file in POLICIES.glob("*.hcl"):
            self.assertIn(holders.get(file.stem, file.stem), asked)
            self.assertTrue(file.read_text().startswith("# "), f"{file.name} does not say who holds it")
