// Command functions renders the cases below with consul-template's own library and writes what came of each to
// ../functions.json, against which the functions in src/agent/template are tested. Run it here: go run .
package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"

	"github.com/hashicorp/consul-template/template"
)

// Vector is a case and what the library made of it.
type Vector struct {
	Template string  `json:"template"`
	Output   *string `json:"output,omitempty"`
	Line     int     `json:"line,omitempty"`
}

func main() {
	var vectors []Vector
	for _, c := range cases {
		vectors = append(vectors, run(c))
	}
	out, err := json.MarshalIndent(vectors, "", " ")
	check(err)
	check(os.WriteFile("../functions.json", append(out, '\n'), 0o644))
	println(len(vectors), "vectors")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var place = regexp.MustCompile(`template: :(\d+)`)

func run(source string) Vector {
	v := Vector{Template: source}
	t, err := template.NewTemplate(&template.NewTemplateInput{Contents: source})
	check(err)
	result, err := t.Execute(&template.ExecuteInput{Brain: template.NewBrain(), Env: []string{"REGION=eu", "EMPTY="}})
	if err != nil {
		m := place.FindStringSubmatch(err.Error())
		if m == nil {
			panic(err)
		}
		v.Line, _ = strconv.Atoi(m[1])
		return v
	}
	s := string(result.Output)
	v.Output = &s
	return v
}
