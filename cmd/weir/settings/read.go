// Package settings reads configuration strictly: YAML files and environment variables into Go structs, where each fault
// says in which file, line and column it is. It prints what it read, without secrets, and describes it as JSON Schema.
//
// A field is named by its yaml tag. Fields may be text, numbers, truth values, durations, lists, maps by text, structs,
// Secrets, and whatever unmarshals itself from text.
package settings

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file: a real one has a few kilobytes.
const maxFile = 1 << 20

// maxDepth bounds nesting, which no real file needs.
const maxDepth = 16

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	Where  string // "file:line:column", or the name of an environment variable
	Key    string // path, dotted; "" if it belongs to none
	Reason string
}

func (f *Fault) Error() string {
	s := f.Reason
	if f.Key != "" {
		s = f.Key + ": " + s
	}
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	return s
}

// Reader reads into one configuration.
type Reader struct {
	// Refused are keys that exist elsewhere or do not work here, by path, with what to do instead.
	Refused map[string]string
	// Environment is a list of NAME=value; those that begin with Prefix override the files.
	Environment []string
	Prefix      string // "WEIR_"
	// Ignored are names of environment variables that are no settings, though they begin with Prefix; with a star at the
	// end, all names that begin so.
	Ignored []string

	faults  []*Fault
	origins map[string]string
}

// Read reads files in order, each over the one before, and then the environment. into is a pointer to a struct that
// holds the defaults. The error joins all Faults.
func (r *Reader) Read(into any, files ...string) error {
	for _, name := range files {
		text, err := readFile(name)
		if err != nil {
			return &Fault{Where: name, Reason: err.Error()}
		}
		r.ReadText(into, name, text)
	}
	return r.Finish(into)
}

func readFile(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	return text, nil
}

// ReadText reads one file's text. Faults are kept until Finish.
func (r *Reader) ReadText(into any, name string, text []byte) {
	body, err := parse(text)
	if err != nil {
		r.add(position(name, err), "", reason(err))
		return
	}
	if body != nil {
		r.set(reflect.ValueOf(into).Elem(), body, "", name)
	}
}

// Finish reads the environment and the files of secrets, and returns all that was wrong.
func (r *Reader) Finish(into any) error {
	r.environment(into)
	r.secrets(reflect.ValueOf(into).Elem(), "")
	return r.Err()
}

// Err joins the faults so far.
func (r *Reader) Err() error {
	var all []error
	for _, f := range r.faults {
		all = append(all, f)
	}
	return errors.Join(all...)
}

// Reject adds a fault of a key that was found later, by whoever knows what it means.
func (r *Reader) Reject(key, reason string) { r.add(r.Origin(key), key, reason) }

// Origin says where a key was set, or the closest one above it; "" if by default.
func (r *Reader) Origin(key string) string {
	for key != "" {
		if at, ok := r.origins[key]; ok {
			return at
		}
		cut := strings.LastIndexAny(key, ".[")
		key = key[:max(cut, 0)]
	}
	return ""
}

func (r *Reader) add(where, key, reason string) {
	r.faults = append(r.faults, &Fault{Where: where, Key: key, Reason: reason})
}

func (r *Reader) mark(key, where string) {
	if r.origins == nil {
		r.origins = map[string]string{}
	}
	r.origins[key] = where
}

// parse returns the one document of a text; nil if it is empty.
func parse(text []byte) (node ast.Node, err error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("over %d bytes", maxFile)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	if i := strings.IndexFunc(string(text), func(c rune) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f || c == 0xfeff }); i >= 0 {
		return nil, fmt.Errorf("control character in line %d", 1+strings.Count(string(text[:i]), "\n"))
	}
	defer func() {
		if p := recover(); p != nil { // the parser's own fault, on a text that no person writes
			node, err = nil, fmt.Errorf("cannot be parsed: %v", p)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		if node != nil {
			return nil, errors.New("more than one document")
		}
		node = d.Body
	}
	return node, nil
}

// position is where the parser stumbled.
func position(name string, err error) string {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil && y.GetToken().Position != nil {
		p := y.GetToken().Position
		return fmt.Sprintf("%s:%d:%d", name, p.Line, p.Column)
	}
	return name
}

func reason(err error) string {
	var y yaml.Error
	if errors.As(err, &y) {
		return y.GetMessage()
	}
	return err.Error()
}

func at(file string, n ast.Node) string {
	t := n.GetToken()
	if t == nil || t.Position == nil || strings.HasPrefix(file, "$") {
		return strings.TrimPrefix(file, "$")
	}
	return fmt.Sprintf("%s:%d:%d", file, t.Position.Line, t.Position.Column)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var (
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// set puts a node into a value. A key without value leaves the default.
func (r *Reader) set(v reflect.Value, n ast.Node, path, file string) {
	where := at(file, n)
	switch n.Type() {
	case ast.NullType:
		return
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		r.add(where, path, "anchors, aliases, tags and merges are not read here: write the value out")
		return
	}
	if strings.Count(path, ".")+strings.Count(path, "[") > maxDepth {
		r.add(where, path, "nested too deep")
		return
	}
	if path != "" {
		r.mark(path, where)
	}
	kind := v.Kind()
	switch {
	case v.Type() == secretType, v.Type() == durationType, v.CanAddr() && v.Addr().Type().Implements(textType):
		kind = reflect.String // a scalar that knows how to read itself
	}
	switch kind {
	case reflect.Struct, reflect.Map:
		m, ok := n.(ast.MapNode)
		if !ok {
			r.add(where, path, "expected a mapping of keys to values, found "+kindOf(n))
			return
		}
		r.mapping(v, m, path, file)
	case reflect.Slice:
		s, ok := n.(*ast.SequenceNode)
		if !ok {
			r.add(where, path, "expected a list, found "+kindOf(n))
			return
		}
		list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
		for i, e := range s.Values {
			if e.Type() == ast.NullType {
				r.add(at(file, e), fmt.Sprintf("%s[%d]", path, i), "an empty entry")
				continue
			}
			r.set(list.Index(i), e, fmt.Sprintf("%s[%d]", path, i), file)
		}
		v.Set(list)
	default:
		text, ok := scalar(n)
		if !ok {
			r.add(where, path, "expected one value, found "+kindOf(n))
			return
		}
		if err := setText(v, text, n); err != nil {
			r.add(where, path, err.Error())
		}
	}
}

func (r *Reader) mapping(v reflect.Value, m ast.MapNode, path, file string) {
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		key, ok := scalar(it.Key())
		where := at(file, it.Key())
		if !ok || it.Key().Type() == ast.MergeKeyType {
			r.add(where, path, "a key that is no text")
			continue
		}
		below := join(path, key)
		if seen[key] {
			r.add(where, below, "given twice")
			continue
		}
		seen[key] = true
		if v.Kind() == reflect.Map {
			r.entry(v, key, it.Value(), below, file)
			continue
		}
		if why, ok := r.Refused[below]; ok {
			r.add(where, below, why)
			continue
		}
		r.field(v, key, it.Value(), below, where, file)
	}
}

func (r *Reader) entry(v reflect.Value, key string, n ast.Node, path, file string) {
	e := reflect.New(v.Type().Elem()).Elem()
	r.set(e, n, path, file)
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	v.SetMapIndex(reflect.ValueOf(key), e)
}

func (r *Reader) field(v reflect.Value, key string, n ast.Node, path, where, file string) {
	names := fields(v.Type())
	if i, ok := names[key]; ok {
		r.set(v.Field(i), n, path, file)
		return
	}
	if s := secretFor(v, key); s != nil {
		text, ok := scalar(n)
		if !ok {
			r.add(where, path, "expected the name of a file, found "+kindOf(n))
			return
		}
		r.mark(path, where)
		s.File = text
		return
	}
	r.add(where, path, "unknown key"+suggest(key, names))
}

// fields are the positions of a struct's fields by key.
func fields(t reflect.Type) map[string]int {
	names := map[string]int{}
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); tag != "" && tag != "-" {
			names[tag] = i
		}
	}
	return names
}

func kindOf(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	}
	if text, ok := scalar(n); ok {
		return fmt.Sprintf("%.40q", text)
	}
	return "something else"
}

// scalar is the text of a single value as it was written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.MappingKeyNode:
		return scalar(n.Value)
	}
	return "", false
}

func setText(v reflect.Value, text string, n ast.Node) error {
	switch {
	case v.Type() == secretType:
		v.Addr().Interface().(*Secret).Value = text // its file stays, to be found out
		return nil
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%.40q is no duration: write a number and a unit, as 30s or 5m", text)
		}
		v.SetInt(int64(d))
		return nil
	case v.CanAddr() && v.Addr().Type().Implements(textType):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%.80q: %w", text, err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		// Only the words of YAML 1.2: "no" as a truth value is how Norway was lost.
		if text != "true" && text != "false" || n.Type() == ast.StringType && quoted(n) {
			return fmt.Errorf("%.40q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%.40q is no whole number", text)
		}
		v.SetInt(i)
	default:
		panic("settings: a field of type " + v.Type().String())
	}
	return nil
}

// quoted tells a text in quotes from a bare word.
func quoted(n ast.Node) bool {
	o := strings.TrimSpace(n.GetToken().Origin)
	return strings.HasPrefix(o, `"`) || strings.HasPrefix(o, `'`)
}
