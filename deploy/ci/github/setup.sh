#!/bin/sh
# Lets the jobs of a GitHub organisation in. GITHUB_ISSUER is https://token.actions.githubusercontent.com (or that of your own server),
# GITHUB_OWNER_ID the number of the organisation, WARIFU_AUDIENCE what the jobs ask for; the words are the branches that may deploy.
set -eu
here=$(dirname "$0")

warifu auth enable -path=github jwt
warifu write auth/github/config oidc_discovery_url="$GITHUB_ISSUER" bound_issuer="$GITHUB_ISSUER"
accessor=$(warifu read -field=accessor sys/auth/github)
sed "s/@github@/$accessor/g" "$here/policy.hcl" | warifu policy write ci-github -
for branch in "$@"; do
    warifu write "auth/github/role/$branch" - <<ROLE
{
  "role_type": "jwt",
  "bound_audiences": "$WARIFU_AUDIENCE",
  "user_claim": "sub",
  "bound_claims_type": "glob",
  "bound_claims": {
    "sub": "repo:*:ref:refs/heads/$branch",
    "ref": "refs/heads/$branch",
    "repository_owner_id": "$GITHUB_OWNER_ID"
  },
  "claim_mappings": {"repository_id": "repository_id"},
  "token_type": "batch",
  "token_ttl": "10m",
  "token_policies": "ci-github",
  "token_no_default_policy": true
}
ROLE
done
