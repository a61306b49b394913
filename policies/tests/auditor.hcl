# An auditor reads rules and names, never a value, and changes nothing.

identity "auditor" {
  policies = ["auditor"]
}

test "an auditor reads the rules" {
  identity = "auditor"
  can "list" { paths = ["sys/policies/acl", "auth/services/role", "auth/token/accessors"] }
  can "read" { paths = ["sys/policies/acl/service", "sys/mounts", "sys/auth", "sys/audit", "auth/services/role/shop"] }
}

test "an auditor changes nothing" {
  identity = "auditor"
  cannot "create,update,delete" { paths = ["sys/policies/acl/service", "auth/services/role/shop", "sys/mounts/a"] }
  can "read" { paths = ["sys/policies/apply", "sys/policies/sets"] }
  cannot "delete" { path = "sys/audit/file" }
  cannot "update" { path = "sys/policies/apply/1a2b3c" }
  cannot "update" { path = "auth/token/revoke-accessor" }
}

test "an auditor sees the names of secrets, never a value" {
  identity = "auditor"
  can "list" { path = "secret/metadata/services" }
  can "read" { path = "secret/metadata/services/shop/db" }
  cannot "read" { path = "secret/data/services/shop/db" }
  capabilities = { "secret/data/services/shop/db" = ["deny"] }
}
