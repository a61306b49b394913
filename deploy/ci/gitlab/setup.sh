#!/bin/sh
# Lets the jobs of a GitLab in. GITLAB_URL is its address, WARIFU_AUDIENCE what its jobs name in `aud`.
set -eu
here=$(dirname "$0")

warifu auth enable -path=gitlab jwt
warifu write auth/gitlab/config oidc_discovery_url="$GITLAB_URL" bound_issuer="$GITLAB_URL"
accessor=$(warifu read -field=accessor sys/auth/gitlab)
sed "s/@gitlab@/$accessor/g" "$here/policy.hcl" | warifu policy write ci-gitlab -
warifu write auth/gitlab/role/job - <<ROLE
{
  "role_type": "jwt",
  "bound_audiences": "$WARIFU_AUDIENCE",
  "user_claim": "sub",
  "bound_claims_type": "glob",
  "bound_claims": {"sub": "project_path:*:ref_type:branch:ref:*", "ref_type": "branch", "ref_protected": "true"},
  "claim_mappings": {"project_id": "project_id", "ref": "branch"},
  "token_type": "batch",
  "token_ttl": "10m",
  "token_policies": "ci-gitlab",
  "token_no_default_policy": true
}
ROLE
