# What a Jenkins job reads: the secrets of the folder of jobs that its role is for, and of its branch. @jenkins@ is the accessor of the auth mount;
# setup.sh puts it in.
path "ci/data/{{identity.entity.aliases.@jenkins@.metadata.role}}/{{identity.entity.aliases.@jenkins@.metadata.branch}}/*" {
  capabilities = ["read"]
}

# How long its token has, which `warifu run` asks first.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
