#!/bin/sh
# Lets the jobs of a Jenkins in. JENKINS_ISSUER is what its plugin OpenID Connect Provider says in `iss` (https://jenkins.example.test/oidc),
# JENKINS_URL the address of Jenkins itself, WARIFU_AUDIENCE the audience of the credential; the words are the multibranch projects.
# In the plugin, per build: the claim `sub` is the job's address ($JOB_URL), the claim `branch` is $BRANCH_NAME.
set -eu
here=$(dirname "$0")

warifu auth enable -path=jenkins jwt
warifu write auth/jenkins/config oidc_discovery_url="$JENKINS_ISSUER" bound_issuer="$JENKINS_ISSUER"
accessor=$(warifu read -field=accessor sys/auth/jenkins)
sed "s/@jenkins@/$accessor/g" "$here/policy.hcl" | warifu policy write ci-jenkins -
for project in "$@"; do
    warifu write "auth/jenkins/role/$project" - <<ROLE
{
  "role_type": "jwt",
  "bound_audiences": "$WARIFU_AUDIENCE",
  "user_claim": "sub",
  "bound_claims_type": "glob",
  "bound_claims": {"sub": "$JENKINS_URL/job/$project/job/*"},
  "claim_mappings": {"branch": "branch"},
  "token_type": "batch",
  "token_ttl": "10m",
  "token_policies": "ci-jenkins",
  "token_no_default_policy": true
}
ROLE
done
