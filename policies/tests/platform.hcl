# Nomad and Consul have what they need of the server, and no more.

identity "nomad-server" {
  policies = ["nomad-server"]
}

identity "consul-ca" {
  policies = ["consul-ca"]
}

test "Nomad makes tokens by its role and by no other" {
  identity = "nomad-server"
  can "update" {
    path       = "auth/token/create/nomad-cluster"
    parameters = { policies = ["nomad-task"] }
  }
  cannot "update" { paths = ["auth/token/create", "auth/token/create-orphan", "auth/token/create/other"] }
  can "read" { path = "auth/token/roles/nomad-cluster" }
  cannot "update" { path = "auth/token/roles/nomad-cluster" }
}

test "Nomad ends what it made" {
  identity = "nomad-server"
  can "update" { paths = ["auth/token/revoke-accessor", "auth/token/renew-self", "auth/token/lookup"] }
  cannot "read" { path = "secret/data/services/shop/db" }
}

test "Consul has its intermediate, and of the root a signature" {
  identity = "consul-ca"
  can "create,update" { path = "connect-inter/roles/leaf-cert" }
  can "read" { paths = ["connect-root/cert/ca", "sys/mounts/connect-inter"] }
  can "update" { path = "sys/mounts/connect-inter/tune" }
  cannot "update" { paths = ["connect-root/root/generate/internal", "connect-root/roles/mine", "pki/issue/shop"] }
  cannot "delete" { path = "sys/mounts/connect-inter" }
  capabilities = {
    "connect-inter/intermediate/generate/internal" = ["create", "delete", "list", "read", "update"]
    "connect-root/root/sign-intermediate"          = ["update"]
  }
}

identity "prometheus" {
  policies = ["prometheus"]
}

test "a scraper reads the metrics and nothing else" {
  identity = "prometheus"
  can "read" { path = "sys/metrics" }
  cannot "read" { paths = ["sys/host-info", "sys/mounts", "secret/data/services/shop/db"] }
}
