# A CI job: held by the batch token that a job gets for its few minutes. One policy serves all projects.
#
# What a job reaches hangs on the AppRole of its project, as with services. Replace @ci@ by the accessor of the auth mount (see service.hcl).
# Give the role `token_type=batch`, `token_ttl=5m` and `secret_id_num_uses=1`.

# The secrets of its own project, to be read; not its neighbour's.
path "secret/data/ci/{{identity.entity.aliases.@ci@.metadata.role_name}}/*" {
  capabilities = ["read"]
}

# Where secrets of the project lie, so that a job can say what is missing.
path "secret/metadata/ci/{{identity.entity.aliases.@ci@.metadata.role_name}}/*" {
  capabilities = ["list"]
}

# Keys of production are for nobody who runs what others have pushed. The path is spelled as above and goes on: between two rules the more specific
# decides, and "secret/data/ci/+/production/*" would be the less specific of the two.
path "secret/data/ci/{{identity.entity.aliases.@ci@.metadata.role_name}}/production/*" {
  capabilities = ["deny"]
}
