# Consul's CA provider: held by the token in the Consul servers' configuration (service mesh with an external CA).
#
# The root stays where it is: Consul may ask it to sign its intermediate and no more. The intermediate's mount is Consul's own.
# Both are mounted beforehand by an operator, so that Consul needs no right to mount anything.

path "sys/mounts/connect-root" {
  capabilities = ["read"]
}
path "sys/mounts/connect-inter" {
  capabilities = ["read"]
}
path "sys/mounts/connect-inter/tune" {
  capabilities = ["update"]
}

path "connect-root/" {
  capabilities = ["read"]
}
path "connect-root/cert/ca" {
  capabilities = ["read"]
}
path "connect-root/root/sign-intermediate" {
  capabilities = ["update"]
}

path "connect-inter/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
