package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
)

// random writes templates that nobody thought of, and what the library made of each.
func random(count int, seed int64, path string) {
	r := rand.New(rand.NewSource(seed))
	var vectors []Vector
	for len(vectors) < count {
		g := &grammar{Rand: r}
		v := run(Vector{Template: g.list(3), Data: json.RawMessage(data)})
		// Most of what chance makes fails; a part of that is enough.
		if v.Output != nil || r.Intn(5) == 0 {
			vectors = append(vectors, v)
		}
	}
	for i := range vectors {
		vectors[i].Data = nil
	}
	out, err := json.MarshalIndent(map[string]any{"data": json.RawMessage(data), "vectors": vectors}, "", " ")
	check(err)
	check(os.WriteFile(path, append(out, '\n'), 0o644))
	println(len(vectors), "random vectors")
}

// grammar makes templates that are mostly right, with variables that mostly exist.
type grammar struct {
	*rand.Rand
	variables []string
	loops     int
}

func (g *grammar) pick(of ...string) string { return of[g.Intn(len(of))] }

func (g *grammar) trim() (string, string) {
	return g.pick("{{", "{{", "{{", "{{- "), g.pick("}}", "}}", "}}", " -}}")
}

func (g *grammar) list(depth int) string {
	var b strings.Builder
	for i := g.Intn(4) + 1; i > 0; i-- {
		b.WriteString(g.node(depth))
	}
	return b.String()
}

func (g *grammar) node(depth int) string {
	l, r := g.trim()
	if depth == 0 {
		if g.Intn(3) == 0 {
			return g.pick("x", " y\n", "\n  z", "<&>", "é")
		}
		return l + g.pipe(1) + r
	}
	keep := len(g.variables)
	defer func() { g.variables = g.variables[:keep] }()
	switch g.Intn(10) {
	case 0:
		s := l + "if " + g.pipe(depth) + r + g.list(depth-1)
		if g.Intn(2) == 0 {
			s += "{{else if " + g.pipe(depth) + "}}" + g.list(depth-1)
		}
		if g.Intn(2) == 0 {
			s += "{{else}}" + g.list(depth-1)
		}
		return s + "{{end}}"
	case 1:
		s := l + "with " + g.pipe(depth) + r + g.list(depth-1)
		if g.Intn(3) == 0 {
			s += "{{else with " + g.pipe(depth) + "}}" + g.list(depth-1)
		}
		if g.Intn(2) == 0 {
			s += "{{else}}" + g.list(depth-1)
		}
		return s + "{{end}}"
	case 2, 3:
		head := ""
		switch g.Intn(3) {
		case 0:
			head = "$i := "
			g.variables = append(g.variables, "$i")
		case 1:
			head = "$k, $v := "
			g.variables = append(g.variables, "$k", "$v")
		}
		g.loops++
		s := l + "range " + head + g.pick(".list", ".nums", ".map", ".none", ".users", "3", ".mixed", "(index .nested 0)", ".missing", ".name") + r + g.list(depth-1)
		g.loops--
		if g.Intn(3) == 0 {
			s += "{{else}}" + g.list(depth-1)
		}
		return s + "{{end}}"
	case 4:
		v := g.pick("$a", "$b", "$c")
		s := l + v + " := " + g.pipe(depth) + r
		g.variables = append(g.variables, v)
		keep = len(g.variables)
		return s
	case 5:
		if len(g.variables) > 0 {
			return l + g.variables[g.Intn(len(g.variables))] + " = " + g.pipe(depth) + r
		}
		return "t"
	case 6:
		if g.loops > 0 {
			return "{{if " + g.pipe(1) + "}}" + g.pick("{{break}}", "{{continue}}") + "{{end}}"
		}
		return g.pick("text", "{{/* c */}}", "{{- /* c */ -}}", " \n ")
	default:
		return l + g.pipe(depth) + r
	}
}

func (g *grammar) pipe(depth int) string {
	s := g.command(depth)
	for g.Intn(4) == 0 {
		s += " | " + g.pick("len", "not", "printf \"%v\"", "print", "html", "js", "urlquery", "printf \"%5v|\"", "eq 1", "upper", "and true", "or 0", "index .list")
	}
	return s
}

func (g *grammar) command(depth int) string {
	if depth == 0 {
		return g.operand(0)
	}
	a, b := g.operand(depth-1), g.operand(depth-1)
	switch g.Intn(12) {
	case 0:
		return g.pick("eq", "ne", "lt", "le", "gt", "ge") + " " + a + " " + b
	case 1:
		return g.pick("and", "or") + " " + a + " " + b
	case 2:
		return "not " + a
	case 3:
		return "len " + a
	case 4:
		return "index " + a + " " + b
	case 5:
		return "slice " + a + " " + g.pick("0", "1", "1 2", "0 2", "9")
	case 6:
		return "print " + a + " " + b
	case 7:
		return fmt.Sprintf("printf %q %s %s", g.pick("%v %v", "%d %s", "%q|%v", "%5v %-5v|", "%x %v", "%T %v", "%t %v", "%.2f %v", "%v", "%v %v %v", "%s %d", "%+v %#v"), a, b)
	case 8:
		return g.pick("html", "js", "urlquery", "println") + " " + a
	default:
		return a
	}
}

func (g *grammar) operand(depth int) string {
	if depth > 0 && g.Intn(4) == 0 {
		return "(" + g.pipe(depth) + ")" + g.pick("", "", "", ".x", ".a")
	}
	if len(g.variables) > 0 && g.Intn(3) == 0 {
		return g.variables[g.Intn(len(g.variables))] + g.pick("", "", "", ".name", ".a")
	}
	return g.pick(".", ".name", ".empty", ".zero", ".one", ".neg", ".pi", ".half", ".yes", ".no", ".null", ".list", ".nums", ".mixed", ".none", ".nested",
		".map", ".map.a", ".nomap", ".deep.a.b.c", ".deep.x", ".deep.x.y", ".nullish.k", ".users", ".html", ".uni", ".quote", ".missing", ".missing.x",
		"1", "0", "-3", "1.5", "2", `"a"`, `"b"`, `"name"`, "`raw`", "true", "false", "'c'", "nil", "$", "$.name", "$.one", "0x1f", "1e3", ".name.x")
}
