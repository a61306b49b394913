# Nomad servers: held by the periodic token that they keep renewing, to make tokens for the tasks they place.
#
# They make tokens by one token role only, which lists the policies that a task may ask for (allowed_policies) and makes them orphans with a
# period. They can end what they made, by accessor.

path "auth/token/create/nomad-cluster" {
  capabilities = ["update"]
}
path "auth/token/roles/nomad-cluster" {
  capabilities = ["read"]
}
path "auth/token/lookup" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
