# The deployer: held by the orchestrator (or the CI server itself) that starts containers and jobs, through a periodic token.
#
# It hands each of them a secret id, wrapped: what travels is a token that opens once and for five minutes at most. It never sees a secret id,
# since an unwrapped answer is refused, and it cannot log in as anybody.

path "auth/services/role/+/role-id" {
  capabilities = ["read"]
}
path "auth/services/role/+/secret-id" {
  capabilities     = ["create", "update"]
  min_wrapping_ttl = "1s"
  max_wrapping_ttl = "5m"
}
path "auth/ci/role/+/role-id" {
  capabilities = ["read"]
}
path "auth/ci/role/+/secret-id" {
  capabilities     = ["create", "update"]
  min_wrapping_ttl = "1s"
  max_wrapping_ttl = "5m"
}

# It brings new secrets to services and cannot read what is there.
path "secret/data/services/*" {
  capabilities = ["create", "update"]
}
