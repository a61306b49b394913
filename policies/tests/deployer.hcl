# The deployer hands out what it cannot see.

identity "deployer" {
  policies = ["deployer"]
}

test "a secret id leaves wrapped, and for five minutes at most" {
  identity = "deployer"
  can "read" { paths = ["auth/services/role/shop/role-id", "auth/ci/role/shop/role-id"] }
  cannot "update" { paths = ["auth/services/role/shop/secret-id", "auth/ci/role/shop/secret-id"] }
  can "update" {
    paths    = ["auth/services/role/shop/secret-id", "auth/ci/role/shop/secret-id"]
    wrap_ttl = "60s"
  }
  can "update" {
    path     = "auth/services/role/shop/secret-id"
    wrap_ttl = "5m"
  }
  cannot "update" {
    path     = "auth/services/role/shop/secret-id"
    wrap_ttl = "301s"
  }
}

test "secrets are brought and not read" {
  identity = "deployer"
  can "create,update" { path = "secret/data/services/shop/db" }
  cannot "read,delete" { path = "secret/data/services/shop/db" }
  cannot "update" { path = "secret/data/ci/shop/registry" }
}

test "roles are not the deployer's" {
  identity = "deployer"
  cannot "update" {
    path       = "auth/services/role/shop"
    parameters = { token_policies = "root" }
  }
}
