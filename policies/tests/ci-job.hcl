# A CI job has its project, and production's keys not even there.

identity "ci-shop" {
  policies = ["ci-job"]
  alias "@ci@" { metadata = { role_name = "shop" } }
}

test "a job has its project" {
  identity = "ci-shop"
  can "read" { path = "secret/data/ci/shop/registry" }
  can "list" { path = "secret/metadata/ci/shop/deploy" }
  cannot "create,update" { path = "secret/data/ci/shop/registry" }
}

test "a job has no other project and no service" {
  identity = "ci-shop"
  cannot "read" { paths = ["secret/data/ci/billing/registry", "secret/data/services/shop/db"] }
  cannot "list" { paths = ["secret/metadata/ci/billing", "secret/metadata/ci"] }
}

test "production is for nobody who runs what others have pushed" {
  identity = "ci-shop"
  cannot "read" { path = "secret/data/ci/shop/production/key" }
  capabilities = { "secret/data/ci/shop/production/key" = ["deny"] }
}
