# An operator arranges everything and reads no secret.

identity "operator" {
  policies = ["operator"]
}

test "an operator decides what is mounted and how one logs in" {
  identity = "operator"
  can "read" { paths = ["sys/mounts", "sys/mounts/team-a"] }
  can "create,update,delete" { paths = ["sys/mounts/team-a", "sys/auth/people"] }
  can "create,update" { paths = ["auth/services/role/other", "pki/roles/other"] }
  can "list" { paths = ["auth/services/role", "pki/roles"] }
  can "read" { path = "auth/services/role/shop/role-id" }
  cannot "update" { paths = ["auth/services/role/shop/secret-id", "pki/issue/shop"] }
}

test "an operator decides who may do what" {
  identity = "operator"
  can "list" { path = "sys/policies/acl" }
  can "read,create,update,delete" { path = "sys/policies/acl/new" }
  can "update" { path = "sys/policies/apply/1a2b3c" }
  can "read" { paths = ["sys/policies/apply", "sys/policies/sets"] }
  cannot "update" { path = "auth/token/create" }
}

test "an operator reads no secret" {
  identity = "operator"
  cannot "read" { path = "secret/data/services/shop/db" }
  cannot "list" { path = "secret/metadata/services" }
}

test "an operator looks after the server, and removes no audit device" {
  identity = "operator"
  can "read" { paths = ["sys/audit", "sys/key-status"] }
  can "update" { path = "sys/audit/file" }
  cannot "delete" { path = "sys/audit/file" }
  capabilities = {
    "sys/seal"     = ["sudo", "update"]
    "sys/rotate"   = ["sudo", "update"]
    "sys/raw/core" = ["deny"]
  }
}
