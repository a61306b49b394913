# A service in a container: held by the token that its sidecar gets from AppRole. One policy serves all of them.
#
# What is a service's own hangs on the name of its AppRole, which the login puts into the alias of its entity; no request can set it. @services@
# stands for the accessor of the auth method mounted at services/: `warifu policy apply policies` fills it in. `policy write` does not:
#
#     accessor=$(warifu auth list -format=json | jq -r '.["services/"].accessor')
#     sed "s/@services@/$accessor/" service.hcl | warifu policy write service -

# Its own secrets, to be read. They are written by `deployer`.
path "secret/data/services/{{identity.entity.aliases.@services@.metadata.role_name}}/*" {
  capabilities = ["read"]
}

# What all services share, such as addresses of one another.
path "secret/data/shared/*" {
  capabilities = ["read"]
}

# A certificate in its own name: the role of the CA has the name of the service, and says which names it may carry.
path "pki/issue/{{identity.entity.aliases.@services@.metadata.role_name}}" {
  capabilities = ["update"]
}
