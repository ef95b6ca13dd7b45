package settings

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// environment reads overrides: two underscores go one level down.
func (r *Reader) environment(into any) {
	vars := slices.Clone(r.Environment)
	slices.Sort(vars)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		rest, ok := strings.CutPrefix(name, r.Prefix)
		if !ok || r.Prefix == "" || rest == "" || r.ignores(name) || serviceLink(rest, value) {
			continue
		}
		r.override(reflect.ValueOf(into).Elem(), name, strings.Split(strings.ToLower(rest), "__"), value)
	}
}

func (r *Reader) ignores(name string) bool {
	return slices.ContainsFunc(r.Ignored, func(pattern string) bool {
		start, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, start)
	})
}

// serviceLink recognises what Kubernetes puts into the environment of every pod beside a service called weir.
func serviceLink(rest, value string) bool {
	port, ok := strings.CutPrefix(rest, "PORT_")
	return strings.HasPrefix(rest, "SERVICE_") || ok && port != "" && port[0] >= '0' && port[0] <= '9' ||
		rest == "PORT" && (strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://"))
}

// override follows the path from struct to struct.
func (r *Reader) override(v reflect.Value, name string, path []string, value string) {
	below := ""
	for i, key := range path {
		below = join(below, key)
		if why, ok := r.Refused[below]; ok {
			r.add(name, below, why)
			return
		}
		names := fields(v.Type())
		at, ok := names[key]
		if !ok {
			s := secretFor(v, key)
			if s == nil || i < len(path)-1 {
				r.add(name, below, "unknown key"+suggest(key, names))
				return
			}
			r.mark(below, name)
			s.File = value
			return
		}
		v = v.Field(at)
		if i < len(path)-1 && !composite(v) {
			r.add(name, below, "has no keys below it")
			return
		}
		if i < len(path)-1 && v.Kind() != reflect.Struct {
			r.add(name, below, "is set as a whole: as a YAML value in brackets")
			return
		}
	}
	r.value(v, name, below, value)
}

// composite says whether a value is more than one text.
func composite(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return v.Type() != secretType && !reflect.PointerTo(v.Type()).Implements(textType)
	}
	return false
}

// value reads an override's value: text stays as it is, all else is a YAML value.
func (r *Reader) value(v reflect.Value, name, path, value string) {
	if !composite(v) {
		r.mark(path, name)
		if err := setText(v, value, ast.Null(nil)); err != nil {
			r.add(name, path, err.Error())
		}
		return
	}
	node, err := parse([]byte(value))
	switch {
	case err != nil:
		r.add(name, path, reason(err))
	case node != nil:
		r.set(v, node, path, "$"+name)
	}
}

// secretFor is the secret whose file a key names; nil: none.
func secretFor(v reflect.Value, key string) *Secret {
	base, ok := strings.CutSuffix(key, "_file")
	if !ok {
		return nil
	}
	if i, ok := fields(v.Type())[base]; ok && v.Type().Field(i).Type == secretType {
		return v.Field(i).Addr().Interface().(*Secret)
	}
	return nil
}

// suggest names the key that was probably meant.
func suggest(key string, names map[string]int) string {
	best, distance := "", min(3, len(key)-1) // two letters wrong, of at least four
	for n := range names {
		if d := editDistance(key, n); d < distance || d == distance && best != "" && n < best {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance is Levenshtein's, for short words.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Beside lists the files of the directory name.d next to a configuration file, in order: packages put theirs there.
func Beside(file, dir string) []string {
	all, _ := filepath.Glob(filepath.Join(filepath.Dir(file), dir, "*.yaml"))
	slices.Sort(all)
	return all
}
