# Operators: the two or three people who look after the server itself.
#
# An operator decides what is mounted where, who may do what, and when the server is sealed. No secret is readable through this policy: those
# belong to the people whose services use them. Note what no policy can prevent: whoever writes policies can write one for himself. That is seen
# in the audit log (sys/policies/acl), which an operator cannot turn off unseen, and is why `auditor` is held by somebody else.

# What is mounted.
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/remount" {
  capabilities = ["update", "sudo"]
}

# How one logs in.
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/auth/*" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}
path "auth/+/role/" {
  capabilities = ["list"]
}
path "auth/+/role/+" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/+/role/+/role-id" {
  capabilities = ["read", "update"]
}

# What holders of tokens may do.
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/apply" {
  capabilities = ["read"]
}
path "sys/policies/apply/+" {
  capabilities = ["update", "sudo"]
}
path "sys/policies/sets" {
  capabilities = ["read", "sudo"]
}
path "sys/capabilities" {
  capabilities = ["update"]
}
path "sys/capabilities-accessor" {
  capabilities = ["update"]
}

# The certificate authority: its roles, but not certificates by them.
path "pki/roles" {
  capabilities = ["list"]
}
path "pki/roles/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "pki/config/*" {
  capabilities = ["create", "read", "update"]
}
path "pki/revoke" {
  capabilities = ["update"]
}

# Tokens and leases in an emergency: found by accessor, never by the token.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
path "sys/leases/lookup/*" {
  capabilities = ["list", "sudo"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}
path "sys/leases/revoke-prefix/*" {
  capabilities = ["update", "sudo"]
}

# The server. An audit device can be looked at and added, not removed: that takes two people, or a root token made by a quorum.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "sys/audit/*" {
  capabilities = ["create", "update", "sudo"]
}
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
path "sys/step-down" {
  capabilities = ["update", "sudo"]
}
path "sys/key-status" {
  capabilities = ["read"]
}
path "sys/rotate" {
  capabilities = ["update", "sudo"]
}
path "sys/rekey/*" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}
