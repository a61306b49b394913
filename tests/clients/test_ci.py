"""CI jobs that log in with what their CI server says of them: the examples of deploy/ci, run as they stand.

The commands are taken out of the examples and run by a shell; what the CI server gives a job (its token, its variables) is given by the test, and
the tokens are signed by a real OpenID provider.
"""

import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import unittest
import urllib.parse

import ansible_harness as ansible
import issuer
from harness import ROOT, Server, binary, clean_environment

CI = ROOT / "deploy/ci"
AUDIENCE = "https://vault.example.test"
JENKINS = "https://jenkins.example.test"
OWNER = "4711"
JQ = shutil.which("jq")


def commands_of_gitlab():
    import yaml

    return "\n".join(yaml.safe_load((CI / "gitlab/gitlab-ci.yml").read_text())["deploy"]["script"])


def commands_of_github():
    import yaml

    job = yaml.safe_load((CI / "github/workflow.yml").read_text())["jobs"]["deploy"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert len(steps) == 1
    return steps[0], job["env"]


def commands_of_jenkins():
    found = re.findall(r"sh '''\n(.*?)'''", (CI / "jenkins/Jenkinsfile").read_text(), re.S)
    assert len(found) == 1
    return found[0]


@unittest.skipIf(issuer.MISSING, issuer.MISSING)
class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.issuer = issuer.Issuer(cls.server.path)
        cls.addClassCleanup(cls.issuer.stop)
        cls.bin = cls.server.path / "bin"
        cls.bin.mkdir()
        (cls.bin / "warifu").symlink_to(binary())
        cls.server.mount("ci", "kv", options={"version": "2"})
        for place in ("12/main", "12/release", "13/main", "77/main", "77/release", "78/main", "web/main", "web/release", "shop/main"):
            cls.server.must("PUT", f"ci/data/{place}/db", {"data": {"password": f"of {place}"}})
        cls.set_up("gitlab", GITLAB_URL=cls.issuer.url)
        cls.set_up("github", "main", "release", GITHUB_ISSUER=cls.issuer.url, GITHUB_OWNER_ID=OWNER)
        cls.set_up("jenkins", "web", "shop", JENKINS_ISSUER=cls.issuer.url, JENKINS_URL=JENKINS)

    @classmethod
    def set_up(cls, kind, *words, **more):
        environment = cls.environment(VAULT_TOKEN=cls.server.root, WARIFU_AUDIENCE=AUDIENCE, **more)
        done = subprocess.run(
            [CI / kind / "setup.sh", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=environment,
        )
        assert done.returncode == 0, f"{kind}: {done.stdout}{done.stderr}"

    @classmethod
    def environment(cls, **more):
        environment = clean_environment(**{**more, "VAULT_ADDR": cls.server.url, "HOME": str(cls.server.path)})
        environment["PATH"] = f"{cls.bin}:{environment['PATH']}"
        return environment

    def job(self, commands, **variables):
        """Runs a job's commands; what it deployed (nothing if it failed), and all that it printed."""
        folder = self.server.path / "job"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        deploy = folder / "deploy.sh"
        deploy.write_text('#!/bin/sh\nprintf %s "$DB_PASSWORD" >deployed\n')
        deploy.chmod(0o755)
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", commands], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            cwd=folder, env=self.environment(**variables),
        )
        deployed = folder / "deployed"
        self.assertEqual(done.returncode == 0, deployed.exists(), done.stderr)
        printed = done.stdout + done.stderr
        self.assertNotIn("of ", [line[:3] for line in printed.splitlines()], "no secret is printed")
        return deployed.read_text() if deployed.exists() else None, printed

    def token(self, mount, role, jwt):
        return self.server.call("POST", f"auth/{mount}/login", {"role": role, "jwt": jwt}, token=None)

    def reads(self, auth, place):
        return self.server.call("GET", f"ci/data/{place}/db", token=auth["client_token"]).status

    def of_ci(self, auth, policy):
        """That a token is what a job's is to be: short, scoped, and in no store."""
        self.assertEqual((auth["token_type"], auth["policies"], auth["lease_duration"]), ("batch", [policy], 600))

    # GitLab

    def gitlab(self, project="12", branch="main", **more):
        claims = {
            "sub": f"project_path:shop/{project}:ref_type:branch:ref:{branch}", "aud": AUDIENCE, "project_id": project, "ref": branch,
            "ref_type": "branch", "ref_protected": "true", "project_path": f"shop/{project}", "namespace_id": "7", **more,
        }
        return self.issuer.job(**claims)

    def test_a_gitlab_job_that_is_not_what_the_role_asks_deploys_nothing(self):
        commands = commands_of_gitlab()
        for jwt, project, branch, words in [
            (self.gitlab(ref_protected="false"), "12", "main", "Code: 400"),
            (self.gitlab(ref_type="tag", sub="project_path:shop/12:ref_type:tag:ref:main"), "12", "main", "Code: 400"),
            (self.gitlab(aud="https://another.test"), "12", "main", "Code: 400"),
            (self.gitlab()[:-4] + "AAAA", "12", "main", "Code: 400"),
            ("", "12", "main", "Code: 400"),
            # Let in, and not to what is another's: the variables of a job are nobody's word, its token is.
            (self.gitlab(), "13", "main", "403"),
            (self.gitlab(), "12", "release", "403"),
            # A branch with a slash in its name fills in no template.
            (self.gitlab(branch="feature/x"), "12", "main", "403"),
        ]:
            with self.subTest(project=project, branch=branch, words=words):
                deployed, printed = self.job(commands, WARIFU_ID_TOKEN=jwt, CI_PROJECT_ID=project, CI_COMMIT_REF_NAME=branch)
                self.assertIsNone(deployed)
                self.assertIn(words, printed)
                self.assertTrue(not jwt or jwt not in printed)

    def test_a_gitlab_job_deploys_with_the_secrets_of_its_project_and_branch(self):
        for branch in ("main", "release"):
            jwt = self.gitlab(branch=branch)
            deployed, printed = self.job(commands_of_gitlab(), WARIFU_ID_TOKEN=jwt, CI_PROJECT_ID="12", CI_COMMIT_REF_NAME=branch)
            self.assertEqual(deployed, f"of 12/{branch}", printed)
            self.assertNotIn("hvb.", printed)

    def test_jobs_of_one_project_do_not_take_each_others_branch(self):
        before = self.server.must("LIST", "auth/token/accessors").data["keys"]
        first = self.token("gitlab", "job", self.gitlab(branch="main")).json["auth"]
        second = self.token("gitlab", "job", self.gitlab(branch="release")).json["auth"]
        for auth, own, other in ((first, "12/main", "12/release"), (second, "12/release", "12/main")):
            self.of_ci(auth, "ci-gitlab")
            self.assertEqual((self.reads(auth, own), self.reads(auth, other)), (200, 403))
        self.assertNotEqual(first["entity_id"], second["entity_id"])
        self.assertEqual(self.server.must("LIST", "auth/token/accessors").data["keys"], before, "nothing is stored for them")

    def test_what_a_job_would_get_is_asked_without_one(self):
        claims = self.server.path / "claims.json"
        base = {"sub": "project_path:shop/14:ref_type:branch:ref:main", "aud": AUDIENCE, "iss": self.issuer.url, "iat": 1, "exp": 2 ** 33,
                "project_id": "14", "ref": "main", "ref_type": "branch", "ref_protected": "true"}
        for more, code, words in [
            ({}, 0, 'template, filled in: "ci/data/14/main/*" gives read'),
            ({"ref_protected": "false"}, 2, 'claim "ref_protected" does not match'),
            ({"ref": "feature/x"}, 0, "left out, its template cannot be filled in: policy ci-gitlab, line 2"),
        ]:
            claims.write_text(json.dumps({**base, **more}))
            done = subprocess.run(
                [binary(), "auth", "simulate", "gitlab", "role=job", f"claims=@{claims}"], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=60, env=self.environment(VAULT_TOKEN=self.server.root),
            )
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn(words, done.stdout)

    # GitHub

    def github(self, branch="main", repository="77", **more):
        claims = {
            "sub": f"repo:shop/{repository}:ref:refs/heads/{branch}", "ref": f"refs/heads/{branch}", "ref_type": "branch",
            "repository_id": repository, "repository": f"shop/{repository}", "repository_owner_id": OWNER, **more,
        }
        return lambda audience: self.issuer.job(aud=audience, **claims)

    def workflow(self, made, branch="main", repository="77"):
        """Runs the workflow beside what a runner has for its job: an endpoint that gives the job's token to who shows a bearer token."""
        commands, env = commands_of_github()

        class Runner(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                good = self.headers["authorization"] == "Bearer of the runner" and query["api-version"] == ["2.0"]
                body = json.dumps({"count": 1, "value": made(query["audience"][0])} if good else {}).encode()
                self.send_response(200 if good else 401)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        runner = http.server.HTTPServer(("127.0.0.1", 0), Runner)
        serving = threading.Thread(target=runner.serve_forever)
        serving.start()
        try:
            return self.job(commands, **{
                **env, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the runner", "GITHUB_REF_NAME": branch, "GITHUB_REPOSITORY_ID": repository,
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{runner.server_port}/token?api-version=2.0",
            })
        finally:
            runner.shutdown()
            serving.join()
            runner.server_close()

    @unittest.skipUnless(JQ, "no jq")
    def test_a_github_job_that_is_not_what_the_role_asks_deploys_nothing(self):
        for made, branch in [
            (self.github(sub="repo:shop/77:pull_request", ref="refs/pull/1/merge"), "main"),
            (self.github(sub="repo:shop/77:environment:prod"), "main"),
            (self.github(repository_owner_id="666"), "main"),
            (self.github("feature"), "main"),
            (self.github("feature"), "feature"),
            (self.github(), "release"),
            (lambda _: self.github()("https://another.test"), "main"),
        ]:
            deployed, printed = self.workflow(made, branch)
            self.assertIsNone(deployed)
            self.assertIn("Code: 400", printed)
        deployed, printed = self.workflow(self.github(), repository="78")
        self.assertIsNone(deployed)
        self.assertIn("403", printed)

    @unittest.skipUnless(JQ, "no jq")
    def test_a_github_job_deploys_with_the_secrets_of_its_repository_and_branch(self):
        for branch in ("main", "release"):
            deployed, printed = self.workflow(self.github(branch), branch)
            self.assertEqual(deployed, f"of 77/{branch}", printed)
            self.assertEqual(printed.count("hvb."), 1, "it is printed once, to be masked")
            self.assertIn("::add-mask::hvb.", printed)
        self.of_ci(self.token("github", "main", self.github()(AUDIENCE)).json["auth"], "ci-github")

    # Jenkins

    def jenkins(self, project="web", branch="main", **more):
        return self.issuer.job(sub=f"{JENKINS}/job/{project}/job/{branch}/", aud=AUDIENCE, branch=branch, build_number="3", **more)

    def test_a_jenkins_job_that_is_not_what_the_role_asks_deploys_nothing(self):
        for jwt, project, branch, words in [
            (self.jenkins("web2"), "web", "main", "Code: 400"),
            (self.jenkins("shop"), "web", "main", "Code: 400"),
            (self.issuer.job(sub=f"https://evil.test/{JENKINS}/job/web/job/main/", aud=AUDIENCE, branch="main"), "web", "main", "Code: 400"),
            (self.jenkins(), "shop", "main", "Code: 400"),
            (self.jenkins(), "web", "release", "403"),
        ]:
            deployed, printed = self.job(commands_of_jenkins(), WARIFU_ID_TOKEN=jwt, PROJECT=project, BRANCH_NAME=branch)
            self.assertIsNone(deployed)
            self.assertIn(words, printed)

    def test_a_jenkins_job_deploys_with_the_secrets_of_its_project_and_branch(self):
        for branch in ("main", "release"):
            jwt = self.jenkins(branch=branch)
            deployed, printed = self.job(commands_of_jenkins(), WARIFU_ID_TOKEN=jwt, PROJECT="web", BRANCH_NAME=branch)
            self.assertEqual(deployed, f"of web/{branch}", printed)
        self.of_ci(self.token("jenkins", "web", self.jenkins()).json["auth"], "ci-jenkins")

    # Ansible

    @unittest.skipIf(ansible.MISSING, ansible.MISSING)
    def test_a_playbook_deploys_with_the_token_of_its_job(self):
        target = pathlib.Path(self.server.path) / "db-password"
        for jwt, project, fails in [
            (self.gitlab(ref_protected="false"), "12", True),
            (self.gitlab(), "13", True),
            (self.gitlab(), "12", False),
        ]:
            done = ansible.playbook(
                CI / "ansible/deploy.yml", "-e", f"target={target}",
                **self.environment(WARIFU_ID_TOKEN=jwt, CI_PROJECT_ID=project, CI_COMMIT_REF_NAME="main"),
            )
            self.assertEqual(done.returncode != 0, fails, done.stdout + done.stderr)
            self.assertEqual(target.exists(), not fails)
            for secret in (jwt, "of 12/main", "hvb."):
                self.assertNotIn(secret, done.stdout + done.stderr)
        self.assertEqual((target.read_text(), target.stat().st_mode & 0o777), ("of 12/main", 0o600))


if __name__ == "__main__":
    unittest.main()
