"""consul-template's own runner and ours render the same templates from one server to the same bytes."""

import pathlib
import subprocess
import tempfile
import unittest

import go_program
import harness

# One for each thing that they could see differently: spelling of paths, types of numbers, order of maps, white space,
# quoting by each encoder, control flow, nested templates, functions on bytes.
TEMPLATES = [
    '{{ with secret "kv/data/app" }}{{ .Data.data.password }}{{ end }}',
    '{{ with secret "kv/app" }}{{ .Data.data.password }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ range $k, $v := .Data.data }}{{ $k }}={{ $v }}\n{{ end }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data | toJSON }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data | toJSONPretty }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data | toYAML }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data | toTOML }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data.count }} {{ .Data.data.big }} {{ .Data.data.ratio }} {{ .Data.data.yes }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ printf "%v %s %q" .Data.data.count .Data.data.password .Data.data.password }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ range .Data.data.list }}[{{ . }}]{{ else }}none{{ end }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ index .Data.data.list 1 }}{{ .Data.data.deep.er }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data.absent }}|{{ if .Data.data.absent }}a{{ else if .Data.data.yes }}b{{ end }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.metadata.version }}{{ end }}',
    '{{ (secret "plain/app").Data.word }} {{ with secret "plain/app" }}{{ .Data.odd | toJSON }}{{ end }}',
    '{{ range secrets "kv/metadata/" }}{{ . }}\n{{ end }}',
    '{{ range secrets "plain/" }}{{ . }} {{ with secret (printf "plain/%s" .) }}{{ .Data.word }}{{ end }}\n{{ end }}',
    '{{ define "line" }}<{{ .k }}>{{ end }}{{ with secret "plain/app" }}{{ template "line" (.Data | toJSON | parseJSON) }}{{ end }}',
    '{{- /* nothing */ -}}  {{- "left" -}}  \n  {{ "right" }}\n',
    '{{ range $i, $n := split "," "a,b,c" }}{{ if eq $i 2 }}{{ break }}{{ end }}{{ $i }}{{ $n }}{{ end }}',
    '{{ "text" | base64Encode }} {{ "dGV4dA==" | base64Decode }} {{ "a/b?" | base64URLEncode }} {{ "x" | sha256Hex }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data.password | sha256Hex }} {{ .Data.data.password | hmacSHA256Hex "key" }}{{ end }}',
    '{{ "a-b-c" | replaceAll "-" "+" }} {{ "abc" | toUpper }} {{ "one two" | toTitle }} {{ "  x " | trimSpace }}|{{ "a\\nb" | indent 2 }}',
    '{{ "foo.bar" | regexReplaceAll "foo([.a-z]+)" "$1" }} {{ "foobar" | regexMatch "foo.*" }} {{ "a,b" | split "," | join "+" }}',
    '{{ add 1 2 }} {{ 7 | divide 2 }} {{ modulo 3 7 }} {{ maximum 3 9 }} {{ "12" | parseInt | add 1 }} {{ "true" | parseBool }}',
    '{{ scratch.Set "a" "1" }}{{ scratch.MapSet "m" "k" "v" }}{{ scratch.Get "a" }}{{ range scratch.MapValues "m" }}{{ . }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data.list | contains "b" }}{{ containsAny .Data.data.list .Data.data.list }}{{ in .Data.data.list "b" }}{{ len .Data.data.list }}{{ end }}',
    '{{ with secret "kv/data/app" }}{{ .Data.data.text }}|{{ .Data.data.text | toJSON }}|{{ printf "%q" .Data.data.text }}{{ end }}',
    '{{ with $d := secret "kv/data/app" }}{{ with $d.Data.data.deep }}{{ .er }}{{ end }}{{ with $d.Data.data.none }}x{{ else }}none{{ end }}{{ end }}',
    '{{ range loop 3 }}{{ . }}{{ end }} {{ range $i := loop 5 7 }}{{ $i }}{{ end }} {{ env "REGION" }} {{ envOrDefault "NONE" "default" }}',
    '{{ with secret "kv/data/app?version=1" }}{{ .Data.data.password }} {{ .Data.metadata.version }}{{ end }}',
]


class TestConsulTemplate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runner = go_program.build("consul_template", "consul-template-runner")
        cls.server = harness.Server()
        cls.server.mount("kv", "kv", options={"version": "2"})
        cls.server.mount("plain", "kv", options={"version": "1"})
        cls.server.must("PUT", "kv/data/app", {"data": {"password": "before"}})
        cls.server.must("PUT", "kv/data/app", {"data": {
            "password": "s3cret <&> \"quoted\" 'single'", "count": 42, "big": 12345678901, "ratio": 0.5, "yes": True, "none": None,
            "list": ["a", "b", 3], "deep": {"er": "value", "n": 1}, "text": "line one\n\tüml ☃ \\ end\n"}})
        cls.server.must("PUT", "kv/data/other", {"data": {"x": "y"}})
        cls.server.must("PUT", "plain/app", {"word": "plain", "odd": {"b": 1, "a": [1.5, "x"]}, "k": "v"})
        cls.server.must("PUT", "plain/two", {"word": "second"})

    @classmethod
    def tearDownClass(cls):
        if hasattr(cls, "server"):
            cls.server.stop()

    def test_the_same_templates_give_the_same_bytes(self):
        with tempfile.TemporaryDirectory(prefix="warifu-ct-") as folder:
            path = pathlib.Path(folder)
            for n, text in enumerate(TEMPLATES):
                (path / f"{n}.ctmpl").write_text(text)
            environment = harness.clean_environment(VAULT_TOKEN=self.server.root, VAULT_ADDR=self.server.url, REGION="eu")
            words = [word for n in range(len(TEMPLATES)) for word in (f"{path}/{n}.ctmpl", f"{path}/{n}.theirs")]
            theirs = subprocess.run([self.runner, self.server.url, *words], capture_output=True, text=True, timeout=180, check=False,
                                    env=environment)
            self.assertEqual(theirs.returncode, 0, theirs.stderr[-3000:])
            words = [f"-template={path}/{n}.ctmpl:{path}/{n}.ours" for n in range(len(TEMPLATES))]
            ours = subprocess.run([harness.binary(), "template", *words], capture_output=True, text=True, timeout=180, check=False,
                                  env=environment)
            self.assertEqual(ours.returncode, 0, ours.stderr[-3000:])
            for n, text in enumerate(TEMPLATES):
                with self.subTest(template=text):
                    self.assertEqual((path / f"{n}.ours").read_bytes(), (path / f"{n}.theirs").read_bytes())


if __name__ == "__main__":
    unittest.main()
