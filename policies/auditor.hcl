# Auditors: people outside of operations who check who may do what, and that it is written down.
#
# They read the rules and the names, never a value, and change nothing.

path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
path "sys/policies/apply" {
  capabilities = ["read"]
}
path "sys/policies/sets" {
  capabilities = ["read", "sudo"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read"]
}
path "auth/+/role/" {
  capabilities = ["list"]
}
path "auth/+/role/+" {
  capabilities = ["read"]
}
path "pki/roles" {
  capabilities = ["list"]
}
path "pki/roles/*" {
  capabilities = ["read"]
}
path "pki/certs" {
  capabilities = ["list"]
}

# Which audit devices there are. To find a value in their lines, it is hashed as they hash it.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "sys/audit-hash/*" {
  capabilities = ["update"]
}

path "sys/key-status" {
  capabilities = ["read"]
}
path "sys/capabilities-accessor" {
  capabilities = ["update"]
}
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}

# The names of secrets and when they were changed.
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}
path "secret/data/*" {
  capabilities = ["deny"]
}
