// Nomad's own reading of job files, strictly: each job as JSON, one a line.
//
//	jobs FILE [FILE ...]
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/nomad/jobspec2"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: jobs FILE [FILE ...]")
	}
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fail(err.Error())
		}
		job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: path, Body: text, Strict: true})
		if err != nil {
			fail(err.Error())
		}
		job.Canonicalize()
		if err := json.NewEncoder(os.Stdout).Encode(job); err != nil {
			fail(err.Error())
		}
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
