package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type example struct {
	Name    string            `yaml:"name"`
	Port    int               `yaml:"port"`
	On      bool              `yaml:"on"`
	Wait    time.Duration     `yaml:"wait"`
	Nets    []netip.Prefix    `yaml:"nets"`
	Words   []string          `yaml:"words"`
	Inner   inner             `yaml:"inner"`
	Rules   []rule            `yaml:"rules"`
	Secrets map[string]Secret `yaml:"keys"`
	Labels  map[string]string `yaml:"labels"`
	hidden  int
}

type inner struct {
	Password Secret `yaml:"password"`
	Depth    int    `yaml:"depth_below"`
}

type rule struct {
	Action string   `yaml:"action"`
	Users  []string `yaml:"users"`
}

func read(text string, env ...string) (*example, *Reader, error) {
	c := &example{Name: "default", Port: 7880, hidden: 1}
	r := &Reader{Refused: map[string]string{"redis": "there is no redis: see cluster", "inner.later": "does not work yet"}, Environment: env, Prefix: "WEIR_", Ignored: []string{"WEIR_CONFIG"}}
	r.ReadText(c, "w.yaml", []byte(text))
	return c, r, r.Finish(c)
}

func printed(t testing.TB, c *example) string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	c, _, err := read(`
# a comment
name: "a: b"   # another
port: 1
on: true
wait: 1m30s
nets: [10.0.0.0/8, "::1/128"]
words:
  - x
  - 12
inner:
  password: s3cret
rules:
  - action: deny
    users: ['@a:b']
  - {action: allow}
keys: {APIx: one, APIy: "2"}
labels: {k: v}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := `name: "a: b"
port: 1
on: true
wait: 1m30s
nets: ["10.0.0.0/8", "::1/128"]
words: [x, "12"]
inner:
  # password: set, not shown
  depth_below: 0
rules:
  -
    action: deny
    users: ["@a:b"]
  -
    action: allow
    users: []
keys: {}
# keys.APIx: set, not shown
# keys.APIy: set, not shown
labels:
  k: v
`
	if got := printed(t, c); got != want {
		t.Errorf("%s", got)
	}
	if c.Inner.Password.Value != "s3cret" || c.Secrets["APIy"].Value != "2" {
		t.Errorf("%q %q", c.Inner.Password.Value, c.Secrets["APIy"].Value)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", c, c.Inner, c.Inner, c.Inner.Password); strings.Contains(s, "s3cret") {
		t.Errorf("formatting shows the secret: %s", s)
	}
}

func TestDefaultsStay(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "name:\nport: null\ninner: {password: , depth_below: ~}\n"} {
		c, _, err := read(text)
		if err != nil || c.Name != "default" || c.Port != 7880 {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// What a person sees, fault by fault.
func TestFaults(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "name: x\nprot: 1\n", "w.yaml:2:1: prot: unknown key; did you mean port?"},
		{"unknown key, nothing like it", "colour: 1\n", "w.yaml:1:1: colour: unknown key"},
		{"unknown key inside", "inner:\n  depth_bellow: 1\n", "w.yaml:2:3: inner.depth_bellow: unknown key; did you mean depth_below?"},
		{"refused key", "redis:\n  address: x\n", "w.yaml:1:1: redis: there is no redis: see cluster"},
		{"refused key inside", "inner: {later: 1}\n", "w.yaml:1:9: inner.later: does not work yet"},
		{"given twice", "port: 1\nport: 2\n", "w.yaml:2:1: mapping key \"port\" already defined at [1:1]"},
		{"no number", "port: many\n", `w.yaml:1:7: port: "many" is no whole number`},
		{"a fraction", "port: 1.5\n", `w.yaml:1:7: port: "1.5" is no whole number`},
		{"too large", "port: 99999999999999999999\n", `w.yaml:1:7: port: "99999999999999999999" is no whole number`},
		{"no truth value", "on: yes\n", `w.yaml:1:5: on: "yes" is neither true nor false`},
		{"a quoted truth value", "on: \"true\"\n", `w.yaml:1:5: on: "true" is neither true nor false`},
		{"no unit", "wait: 30\n", `w.yaml:1:7: wait: "30" is no duration: write a number and a unit, as 30s or 5m`},
		{"no network", "nets: [10.0.0.1]\n", `w.yaml:1:8: nets[0]: "10.0.0.1": netip.ParsePrefix("10.0.0.1"): no '/'`},
		{"one for a list", "words: x\n", `w.yaml:1:8: words: expected a list, found "x"`},
		{"an empty entry", "words: [x, ]\nnets:\n  -\n", `w.yaml:3:5: nets[0]: an empty entry`},
		{"a list for one", "name: [x]\n", "w.yaml:1:7: name: expected one value, found a list"},
		{"a mapping for one", "name: {x: 1}\n", "w.yaml:1:7: name: expected one value, found a mapping"},
		{"one for a mapping", "inner: 5\n", `w.yaml:1:8: inner: expected a mapping of keys to values, found "5"`},
		{"a list at the top", "- x\n", "w.yaml:1:1: expected a mapping of keys to values, found a list"},
		{"an anchor", "name: &a x\n", "w.yaml:1:7: name: anchors, aliases, tags and merges are not read here: write the value out"},
		{"a tag", "name: !!str x\n", "w.yaml:1:7: name: anchors, aliases, tags and merges are not read here: write the value out"},
		{"a broken text", "name: \"x\n", "w.yaml:1:7: could not find end character of double-quoted text"},
		{"a tab", "inner:\n\tdepth_below: 1\n", "w.yaml:2:1: found character '\t' that cannot start any token"},
		{"two documents", "name: x\n---\nname: y\n", "w.yaml: more than one document"},
		{"no UTF-8", "name: \xff\n", "w.yaml: not UTF-8"},
		{"a control character", "name: x\nport: \x01\n", "w.yaml: control character in line 2"},
		{"huge", "#" + strings.Repeat("x", maxFile), "w.yaml: over 1048576 bytes"},
		{"a secret that is a list", "inner: {password_file: [x]}\n", "w.yaml:1:9: inner.password_file: expected the name of a file, found a list"},
		{"two faults", "port: x\non: y\n", "w.yaml:1:7: port: \"x\" is no whole number\nw.yaml:2:5: on: \"y\" is neither true nor false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := read(tt.text); err == nil || err.Error() != tt.want {
				t.Errorf("%v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	c, r, err := read("port: 1\nwords: [a]\n", "WEIR_PORT=2", "WEIR_INNER__DEPTH_BELOW=3", "WEIR_WORDS=[x, y z]", "WEIR_NAME=a: b", "WEIR_KEYS={k: v}",
		"WEIR_ON=true", "WEIR_RULES=[{action: deny}]", "WEIR_CONFIG=/etc/x", "OTHER=1", "WEIR_SERVICE_HOST=10.0.0.1", "WEIR_PORT_7880_TCP=tcp://10.0.0.1:7880", "WEIR_INNER__PASSWORD=p=q")
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 2 || c.Inner.Depth != 3 || strings.Join(c.Words, "|") != "x|y z" || c.Name != "a: b" || c.Secrets["k"].Value != "v" || !c.On || c.Rules[0].Action != "deny" || c.Inner.Password.Value != "p=q" {
		t.Errorf("%s", printed(t, c))
	}
	if r.Origin("port") != "WEIR_PORT" || r.Origin("inner.depth_below") != "WEIR_INNER__DEPTH_BELOW" || r.Origin("rules[0].users") != "WEIR_RULES" || r.Origin("wait") != "" {
		t.Error(r.origins)
	}
	tests := []struct{ env, want string }{
		{"WEIR_PROT=1", "WEIR_PROT: prot: unknown key; did you mean port?"},
		{"WEIR_INNER__X=1", "WEIR_INNER__X: inner.x: unknown key"},
		{"WEIR_PORT__X=1", "WEIR_PORT__X: port: has no keys below it"},
		{"WEIR_KEYS__X=1", "WEIR_KEYS__X: keys: is set as a whole: as a YAML value in brackets"},
		{"WEIR_PORT=x", `WEIR_PORT: port: "x" is no whole number`},
		{"WEIR_REDIS=x", "WEIR_REDIS: redis: there is no redis: see cluster"},
		{"WEIR_WORDS=x", `WEIR_WORDS: words: expected a list, found "x"`},
		{"WEIR_WORDS=[x", "WEIR_WORDS: words: sequence end token ']' not found"},
		{"WEIR_RULES=[{x: 1}]", "WEIR_RULES: rules[0].x: unknown key"},
		{"WEIR_HIDDEN=1", "WEIR_HIDDEN: hidden: unknown key"},
	}
	for _, tt := range tests {
		if _, _, err := read("", tt.env); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v\nwant %s", tt.env, err, tt.want)
		}
	}
	// A service called weir makes Kubernetes set this.
	if c, _, err := read("", "WEIR_PORT=tcp://10.0.0.1:7880"); err != nil || c.Port != 7880 {
		t.Error(c.Port, err)
	}
}

func write(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSecrets(t *testing.T) {
	private, open := write(t, 0o640, "from file\n"), write(t, 0o644, "x")
	c, _, err := read("inner: {password_file: " + private + "}")
	if err != nil || c.Inner.Password.Value != "from file" {
		t.Errorf("%q, %v", c.Inner.Password.Value, err)
	}
	if p := printed(t, c); !strings.Contains(p, "password_file: "+quote(private)) || strings.Contains(p, "from file") {
		t.Error(p)
	}
	if c, _, err := read("", "WEIR_INNER__PASSWORD_FILE="+private); err != nil || c.Inner.Password.Value != "from file" {
		t.Errorf("%q, %v", c.Inner.Password.Value, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "inner_password"), []byte("credential\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if c, _, err := read("", "CREDENTIALS_DIRECTORY="+dir); err != nil || c.Inner.Password.Value != "credential" {
		t.Errorf("%q, %v", c.Inner.Password.Value, err)
	}
	if c, _, err := read("inner: {password: here}", "CREDENTIALS_DIRECTORY="+dir); err != nil || c.Inner.Password.Value != "here" {
		t.Errorf("%q, %v", c.Inner.Password.Value, err)
	}
	tests := []struct{ text, want string }{
		{"inner: {password_file: " + private + ", password: x}", "w.yaml:1:9: inner.password_file: inner.password is set too: only one of them may be"},
		{"inner: {password_file: " + open + "}", "w.yaml:1:9: inner.password_file: " + open + " can be read by everybody: chmod o-rwx it"},
		{"inner: {password_file: /nonexistent}", "w.yaml:1:9: inner.password_file: cannot be read: open /nonexistent: no such file or directory"},
		{"inner: {password_file: " + dir + "}", "w.yaml:1:9: inner.password_file: " + dir + " is no file"},
		{"inner: {password_file: " + write(t, 0o600, "") + "}", "is empty"},
		{"inner: {password_file: " + write(t, 0o600, strings.Repeat("x", maxSecret+1)) + "}", "is over 65536 bytes"},
	}
	for _, tt := range tests {
		if _, _, err := read(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	main := put("weir.yaml", "name: a\nport: 1\nwords: [x]\nlabels: {a: b}\n")
	put("conf.d/20.yaml", "port: 3\n")
	put("conf.d/10.yaml", "port: 2\nwords: [y]\nlabels: {c: d}\n")
	put("conf.d/30.yml", "port: 4\n")
	var c example
	var r Reader
	if err := r.Read(&c, append([]string{main}, Beside(main, "conf.d")...)...); err != nil {
		t.Fatal(err)
	}
	if c.Name != "a" || c.Port != 3 || strings.Join(c.Words, "") != "y" || len(c.Labels) != 2 {
		t.Errorf("%+v", c)
	}
	if err := new(Reader).Read(&c, filepath.Join(dir, "none")); err == nil || !strings.HasSuffix(err.Error(), "none: cannot be read: no such file or directory") {
		t.Error(err)
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, "plain": "plain", "/a/b.c": "/a/b.c", "30s": "30s", "1h30m0s": "1h30m0s", "true": `"true"`, "No": `"No"`, "12": `"12"`, "1e3": `"1e3"`,
		"0x10": `"0x10"`, "a b": `"a b"`, "a: b": `"a: b"`, "\n": `"\n"`, "<&>": `"<&>"`, "é": `"é"`, "-": `"-"`, "abc": `abc`, "e.5": `"e.5"`,
	} {
		if got := quote(s); got != want && !(s == "abc" && got == `"abc"`) {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func TestSchema(t *testing.T) {
	b, err := Schema(&example{})
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Additional bool `json:"additionalProperties"`
		Properties map[string]struct {
			Type       string         `json:"type"`
			Properties map[string]any `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.Additional || s.Properties["port"].Type != "integer" || s.Properties["rules"].Type != "array" || s.Properties["inner"].Properties["password_file"] == nil {
		t.Errorf("%s", b)
	}
}

// FuzzRead: a configuration that is read prints, and what was printed reads as the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "name: x\nport: 3\n", "words: [a, \"b\", 'c', 1, true, 0x1f, 1.0, ~x]\n", "name: |\n  a\n  b\n", "name: >-\n  a\n\n  b\n", "nets: [10.0.0.0/8]\nwait: 1h\n",
		"rules:\n- action: deny\n  users: ['@.*:x']\n- {}\n", "labels: {\"a b\": c, 1: 2, \"\": x}\n", "keys: {a: b}\ninner: {password: x, depth_below: -4}\n",
		"name: \"\\u2028\\x00\\t\"\n", "? name\n: x\n", "name: - x\n", "labels: {<<: x}\n", "words:\n- - a\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := read(text)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an empty reason")
			}
			return
		}
		first := printed(t, c)
		again, _, err := read(first)
		if err != nil {
			t.Fatalf("%v\n%s", err, first)
		}
		// Secrets are not shown, so they are not read again.
		c.Inner.Password, c.Secrets = Secret{File: c.Inner.Password.File}, nil
		if second, want := printed(t, again), printed(t, c); second != want {
			t.Fatalf("first:\n%s\nthen:\n%s", want, second)
		}
	})
}
