# What a GitLab job reads: the secrets of its project and branch. @gitlab@ is the accessor of the auth mount; setup.sh puts it in.
path "ci/data/{{identity.entity.aliases.@gitlab@.metadata.project_id}}/{{identity.entity.aliases.@gitlab@.metadata.branch}}/*" {
  capabilities = ["read"]
}

# How long its token has, which `warifu run` asks first.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
