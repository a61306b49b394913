# What a GitHub job reads: the secrets of its repository and of the branch that its role is for. @github@ is the accessor of the auth mount; setup.sh
# puts it in. A role names its branch because GitHub's own claim does it with slashes (`refs/heads/main`).
path "ci/data/{{identity.entity.aliases.@github@.metadata.repository_id}}/{{identity.entity.aliases.@github@.metadata.role}}/*" {
  capabilities = ["read"]
}

# How long its token has, which `warifu run` asks first.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
