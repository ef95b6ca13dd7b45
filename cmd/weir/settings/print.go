package settings

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Print writes a configuration as YAML that reads back as the same, except for secrets, which are only mentioned.
func Print(w io.Writer, config any) error {
	p := &printer{}
	p.fields(reflect.ValueOf(config).Elem(), 0)
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct{ out bytes.Buffer }

func (p *printer) line(depth int, format string, args ...any) {
	p.out.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&p.out, format, args...)
	p.out.WriteByte('\n')
}

func (p *printer) fields(v reflect.Value, depth int) {
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		p.pair(key, v.Field(i), depth)
	}
}

func (p *printer) pair(key string, v reflect.Value, depth int) {
	switch {
	case v.Type() == secretType:
		s := v.Interface().(Secret)
		switch {
		case s.File != "":
			p.line(depth, "%s_file: %s", key, quote(s.File))
		case s.Value != "":
			p.line(depth, "# %s: set, not shown", key)
		}
	case !composite(v):
		p.line(depth, "%s: %s", key, text(v))
	case v.Kind() == reflect.Struct:
		p.line(depth, "%s:", key)
		p.fields(v, depth+1)
	case v.Kind() == reflect.Map:
		p.table(key, v, depth)
	case v.Len() == 0:
		p.line(depth, "%s: []", key)
	case composite(v.Index(0)):
		p.line(depth, "%s:", key)
		for i := range v.Len() {
			p.line(depth+1, "-")
			p.fields(v.Index(i), depth+2)
		}
	default:
		var items []string
		for i := range v.Len() {
			items = append(items, text(v.Index(i)))
		}
		p.line(depth, "%s: [%s]", key, strings.Join(items, ", "))
	}
}

func (p *printer) table(key string, v reflect.Value, depth int) {
	var names []string
	for _, k := range v.MapKeys() {
		names = append(names, k.String())
	}
	slices.Sort(names)
	if v.Type().Elem() == secretType || len(names) == 0 {
		p.line(depth, "%s: {}", key)
		for _, n := range names {
			p.line(depth, "# %s.%s: set, not shown", key, quote(n))
		}
		return
	}
	p.line(depth, "%s:", key)
	for _, n := range names {
		p.pair(quote(n), v.MapIndex(reflect.ValueOf(n)), depth+1)
	}
}

// text is one value as YAML.
func text(v reflect.Value) string {
	if v.Type() == durationType {
		return quote(time.Duration(v.Int()).String())
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			panic("settings: a value that was read cannot be written: " + err.Error())
		}
		return quote(string(b))
	}
	if v.Kind() == reflect.String {
		return quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}

var (
	bare = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_/.-]*$|^[0-9]+[a-z][a-z0-9.]*$`)
	// words are not text to one YAML reader or another.
	words = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n|[0-9]+[eobx].*|[0-9a-f.]+)$`)
)

// quote writes a text so that every YAML reader takes it for that text.
func quote(s string) string {
	if bare.MatchString(s) && !words.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // YAML 1.2 takes every JSON text
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// Schema describes a configuration as JSON Schema (draft 2020-12).
func Schema(config any) ([]byte, error) {
	s := schema(reflect.TypeOf(config).Elem())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	return json.MarshalIndent(s, "", "  ")
}

func schema(t reflect.Type) map[string]any {
	switch {
	case t == secretType, reflect.PointerTo(t).Implements(textType):
		return map[string]any{"type": "string"}
	case t == durationType:
		return map[string]any{"type": "string", "pattern": `^-?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`}
	}
	switch t.Kind() {
	case reflect.Struct:
		properties := map[string]any{}
		for key, i := range fields(t) {
			properties[key] = schema(t.Field(i).Type)
			if t.Field(i).Type == secretType {
				properties[key+"_file"] = map[string]any{"type": "string"}
			}
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schema(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{"type": "string"}
}
