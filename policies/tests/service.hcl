# A service has its own secrets and its own name. What is its own hangs on the alias that its login made.

identity "shop" {
  policies = ["service"]
  alias "@services@" { metadata = { role_name = "shop" } }
}

identity "billing" {
  policies = ["service"]
  alias "@services@" { metadata = { role_name = "billing" } }
}

# The same policy on a token that came from no AppRole, or from that of the CI jobs.
identity "without login" {
  policies = ["service"]
}

identity "from elsewhere" {
  policies = ["service"]
  alias "@ci@" { metadata = { role_name = "shop" } }
}

# A name that would be more than one segment of the path, or a wildcard, fills in nothing.
identity "star" {
  policies = ["service"]
  alias "@services@" { metadata = { role_name = "*" } }
}

test "a service reads what is its own and what is shared" {
  identity = "shop"
  can "read" {
    paths = ["secret/data/services/shop/db", "secret/data/services/shop/deep/er", "secret/data/shared/addresses"]
  }
  cannot "create,update,patch,delete" { paths = ["secret/data/services/shop/db", "secret/data/shared/addresses"] }
}

test "a service reads nothing of another" {
  identity = "shop"
  cannot "read" {
    paths = [
      "secret/data/services/billing/db",
      "secret/data/services/shop",
      "secret/data/services/shop2/db",
      "secret/data/ci/shop/registry",
      "sys/policies/acl/service",
    ]
  }
  cannot "list" { path = "secret/metadata/services" }
}

test "a service has certificates in its own name" {
  identity = "shop"
  can "update" {
    path       = "pki/issue/shop"
    parameters = { common_name = "shop.internal" }
  }
  cannot "update" { path = "pki/issue/billing" }
  cannot "read" { path = "pki/roles/shop" }
}

test "a service looks after its token" {
  identity = "shop"
  can "read" { path = "auth/token/lookup-self" }
  can "update" { path = "auth/token/renew-self" }
}

test "the same holds for its neighbour" {
  identity = "billing"
  can "read" { path = "secret/data/services/billing/db" }
  cannot "read" { path = "secret/data/services/shop/db" }
}

test "without that login the policy opens nothing of anybody" {
  identity = "without login"
  can "read" { path = "secret/data/shared/addresses" }
  cannot "read" { paths = ["secret/data/services/shop/db", "secret/data/services/db"] }
  cannot "update" { path = "pki/issue/shop" }
}

test "a name in another auth method is another name" {
  identity = "from elsewhere"
  cannot "read" { path = "secret/data/services/shop/db" }
}

test "a name is no wildcard" {
  identity = "star"
  cannot "read" { paths = ["secret/data/services/shop/db", "secret/data/services/*/db"] }
}
