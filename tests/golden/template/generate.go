// Command generate runs Go's own text/template over the cases below and writes what came of each to vectors.json,
// against which the engine in src/agent/template is tested. Run it here: go run generate.go cases.go random.go. With
// -random 400 -seed 7 it makes templates of its own and writes random.json.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// Vector is a case and what the library made of it.
type Vector struct {
	Template string          `json:"template"`
	Data     json.RawMessage `json:"data,omitempty"`
	Left     string          `json:"left,omitempty"`
	Right    string          `json:"right,omitempty"`
	Strict   bool            `json:"strict,omitempty"`
	Output   *string         `json:"output,omitempty"`
	// Stage is "parse" or "render" when the template fails.
	Stage string `json:"stage,omitempty"`
	Line  int    `json:"line,omitempty"`
}

const data = `{
  "name": "alice", "empty": "", "zero": 0, "one": 1, "neg": -7, "big": 1234567890123, "pi": 3.14159, "half": 0.5,
  "million": 1000000.5, "tiny": 0.00001234, "yes": true, "no": false, "null": null,
  "list": ["a", "b", "c"], "nums": [3, 1, 2], "mixed": [1, "x", null, true, 2.5], "none": [], "nested": [[1, 2], [3]],
  "map": {"b": 2, "a": 1, "c": 3}, "nomap": {}, "deep": {"a": {"b": {"c": "found"}}}, "nullish": {"k": null},
  "dash": {"a-b": "dashed", "with space": "spaced", "": "blank"},
  "users": [{"name": "u1", "age": 30, "tags": ["x", "y"]}, {"name": "u2", "age": 25, "tags": []}],
  "html": "<a href=\"x\">'&'</a>", "uni": "héllo wörld ☃ 日本", "quote": "say \"hi\"\n\ttab\\", "ctl": "a\u0001b\u007fc\u00a0d",
  "multi": "l1\nl2\nl3", "q": "a b&c=d/e?f+g~h"
}`

func main() {
	count := flag.Int("random", 0, "write this many random templates to -out instead")
	seed := flag.Int64("seed", 1, "of the random templates")
	path := flag.String("out", "random.json", "where the random templates go")
	flag.Parse()
	if *count > 0 {
		random(*count, *seed, *path)
		return
	}
	var vectors []Vector
	for _, t := range plain {
		vectors = append(vectors, run(Vector{Template: t, Data: json.RawMessage(data)}))
	}
	for _, t := range strict {
		vectors = append(vectors, run(Vector{Template: t, Data: json.RawMessage(data), Strict: true}))
	}
	for _, d := range delimited {
		vectors = append(vectors, run(Vector{Template: d[2], Data: json.RawMessage(data), Left: d[0], Right: d[1]}))
	}
	for _, d := range dots {
		vectors = append(vectors, run(Vector{Template: d[1], Data: json.RawMessage(d[0])}))
	}
	// The common data is written once, at the top.
	var shared any
	check(json.Unmarshal([]byte(data), &shared))
	for i := range vectors {
		if string(vectors[i].Data) == data {
			vectors[i].Data = nil
		}
	}
	out, err := json.MarshalIndent(map[string]any{"data": json.RawMessage(data), "vectors": vectors}, "", " ")
	check(err)
	check(os.WriteFile("vectors.json", append(out, '\n'), 0o644))
	println(len(vectors), "vectors")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var place = regexp.MustCompile(`template: t:(\d+)`)

func run(v Vector) Vector {
	failed := func(stage string, err error) Vector {
		v.Stage = stage
		m := place.FindStringSubmatch(err.Error())
		if m == nil {
			panic(err)
		}
		v.Line, _ = strconv.Atoi(m[1])
		return v
	}
	t := template.New("t").Delims(v.Left, v.Right).Funcs(template.FuncMap{
		"fail":  func() (string, error) { return "", errors.New("failed") },
		"adder": func() any { return func(a, b int) int { return a + b } },
		"seq":   func(items ...any) []any { return items[:len(items):len(items)] },
		"upper": strings.ToUpper,
	})
	if v.Strict {
		t.Option("missingkey=error")
	}
	t, err := t.Parse(v.Template)
	if err != nil {
		return failed("parse", err)
	}
	d := json.NewDecoder(bytes.NewReader(v.Data))
	d.UseNumber()
	var raw any
	check(d.Decode(&raw))
	var out bytes.Buffer
	if err := t.Execute(&out, exact(raw)); err != nil {
		return failed("render", err)
	}
	s := out.String()
	v.Output = &s
	return v
}

// exact makes whole numbers ints and others floats, and lists without spare capacity.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(v.String()); err == nil {
			return i
		}
		f, err := v.Float64()
		check(err)
		return f
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = exact(v[i])
		}
		return list
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
		return v
	}
	return v
}
