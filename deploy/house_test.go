// Package deploy holds what an operator installs. Its tests check those files, and the house rules of the sources.
package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file of the product's module.
type source struct {
	path    string // from the root, with slashes
	pkg     string // its directory
	test    bool
	file    *ast.File
	imports []string
}

// sources parses every Go file of this module. The files are read, not asked of the go command: what a child process
// reads is invisible to the test cache, which would then serve a stale pass.
func sources(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	const root = ".."
	fset := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || nested(name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), file: f}
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			s.imports = append(s.imports, p)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatalf("reading the sources: %v", err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files: the walk looks in the wrong place", len(all))
	}
	return fset, all
}

// nested says whether the directory is a module of its own.
func nested(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && filepath.Clean(dir) != ".."
}

// under says whether p is dir or below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func anyUnder(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return under(p, d) })
}

// pure are the packages that are handed the time and hold every rule of the call.
var pure = []string{
	"sfu/codec", "sfu/history", "sfu/loss", "sfu/rewrite", "sfu/layer", "sfu/estimate", "sfu/pace", "sfu/allocate", "sfu/speaker",
	"sfu/session", "sfu/negotiate",
	"signalling/wire", "signalling/client", "signalling/grant", "signalling/member", "signalling/derive", "signalling/policy", "signalling/glob", "signalling/delayed",
	"cascade/topology", "cascade/trunk", "e2ee/frame", "e2ee/keyring",
}

// isPure also holds for the vocabulary itself, but not for all that lies below it.
func isPure(pkg string) bool { return pkg == "sfu" || anyUnder(pkg, pure) }

// testKits are never part of the product.
var testKits = []string{"sfu/sfutest", "signalling/matrixtest"}

// TestDirections: who may not import whom. Test files may look sideways, but never up into a binary.
func TestDirections(t *testing.T) {
	rules := []struct {
		from   []string
		never  []string
		except []string // importers that may
		tests  bool     // binds test files too
		reason string
	}{
		{from: []string{"sfu"}, never: []string{"signalling", "cascade", "e2ee", "web", "bench"}, tests: false,
			reason: "media knows nothing of Matrix, LiveKit or other foci"},
		{from: []string{"signalling"}, never: []string{"cascade"}, tests: true,
			reason: "who is in a call and how foci are linked meet only in cmd/weir"},
		{from: []string{"cascade"}, never: []string{"signalling"}, tests: true,
			reason: "who is in a call and how foci are linked meet only in cmd/weir"},
		{from: []string{"sfu", "signalling", "cascade", "e2ee", "web", "deploy"}, never: []string{"cmd", "bench"}, tests: false,
			reason: "nothing depends on a binary or on the load tester"},
		{from: []string{"sfu", "signalling", "cascade", "web", "cmd/weir"}, never: []string{"e2ee/keyring"}, tests: false,
			reason: "a focus never holds a media key"},
		{from: []string{"sfu", "signalling", "cascade", "e2ee", "web", "cmd"}, never: testKits, except: testKits, tests: false,
			reason: "test kits are not part of the product"},
		{from: []string{"signalling/wire", "signalling/client", "signalling/grant", "signalling/derive", "signalling/policy", "signalling/glob", "signalling/member", "signalling/delayed"},
			never: []string{"signalling/socket", "signalling/matrix", "sfu/media"}, tests: false,
			reason: "rules do not reach for the shells that run them"},
		{from: []string{"sfu/session"}, never: []string{"sfu/media", "sfu/negotiate"}, tests: false,
			reason: "the session asks for media by effects"},
		{from: []string{"sfu/negotiate"}, never: []string{"sfu/media", "sfu/session"}, tests: false,
			reason: "SDP in, SDP out: the loop translates"},
		{from: []string{"cascade/trunk", "cascade/topology"}, never: []string{"cascade/link", "sfu/media"}, tests: false,
			reason: "rules do not reach for the shells that run them"},
	}
	_, all := sources(t)
	for _, r := range rules {
		for _, s := range all {
			if !anyUnder(s.pkg, r.from) || s.test && !r.tests || anyUnder(s.pkg, r.except) {
				continue
			}
			for _, imp := range s.imports {
				ours, ok := strings.CutPrefix(imp, "weir/")
				if ok && anyUnder(ours, r.never) {
					t.Errorf("%s imports %s: %s", s.path, imp, r.reason)
				}
			}
		}
	}
}

// TestOneImporter: each heavy dependency has one door into the product.
func TestOneImporter(t *testing.T) {
	rules := []struct {
		path      string
		importers []string
		reason    string
	}{
		{"github.com/livekit/protocol", []string{"signalling/wire"}, "their messages are ours everywhere else"},
		{"github.com/gorilla/websocket", []string{"signalling/socket", "cascade/link", "bench", "cmd/weir-bench"},
			"a WebSocket is the socket's, the trunk's and the bots' business"},
		{"maunium.net/go/mautrix", []string{"signalling/matrix", "bench/device"}, "Matrix is spoken in one place; bots have devices of their own"},
		{"github.com/go-jose/go-jose", []string{"signalling/grant"}, "tokens are made and read in one place"},
		{"github.com/pion/sdp", []string{"sfu/negotiate"}, "descriptions are read in one place"},
		{"github.com/pion", []string{"sfu/media", "sfu/sfutest", "sfu/negotiate"}, "the media stack stays behind sfu/media"},
		{"github.com/alecthomas/kong", []string{"cmd"}, "only binaries have a command line"},
		{"github.com/goccy/go-yaml", []string{"cmd", "bench", "deploy"}, "packages are handed their Config"},
	}
	_, all := sources(t)
	for _, r := range rules {
		for _, s := range all {
			for _, imp := range s.imports {
				if under(imp, r.path) && !s.test && !anyUnder(s.pkg, r.importers) {
					t.Errorf("%s imports %s, which belongs to %v: %s", s.path, imp, r.importers, r.reason)
				}
			}
		}
	}
}

// TestPure: pure packages have no clock, socket, goroutine, lock or logger, and lean on nothing heavy.
func TestPure(t *testing.T) {
	forbidden := []string{"net", "os", "sync", "context", "log", "runtime", "unsafe", "testing"}
	valuesOnly := []string{"net/netip", "net/url", "net/textproto"} // parsing; no I/O in them
	heavy := map[string][]string{                                   // what a pure package may import besides the standard library
		"signalling/wire":  {"github.com/livekit/protocol/livekit", "google.golang.org/protobuf", "github.com/twitchtv/twirp"},
		"signalling/grant": {"github.com/go-jose/go-jose"},
		"sfu/negotiate":    {"github.com/pion/sdp"},
		"sfu/codec":        {},
	}
	clock := []string{"Now", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until", "Sleep"}

	fset, all := sources(t)
	for _, s := range all {
		if !isPure(s.pkg) || s.test {
			continue
		}
		for _, imp := range s.imports {
			switch first, _, _ := strings.Cut(imp, "/"); {
			case first == "weir":
				if ours := strings.TrimPrefix(imp, "weir/"); !isPure(ours) {
					t.Errorf("%s imports %s: a pure package imports pure packages only", s.path, imp)
				}
			case strings.Contains(first, "."):
				if !anyUnder(imp, heavy[s.pkg]) {
					t.Errorf("%s imports %s: no heavy dependency in a pure package", s.path, imp)
				}
			case anyUnder(imp, forbidden) && !slices.Contains(valuesOnly, imp):
				t.Errorf("%s imports %s: time is an argument, input and output are events and effects", s.path, imp)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure package starts no goroutine", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s: time.%s: time is an argument", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestGoroutines: five shells start every goroutine of the product, and only binaries end the process.
func TestGoroutines(t *testing.T) {
	shells := append([]string{"sfu/media", "signalling/socket", "signalling/matrix", "cascade/link", "cmd", "bench"}, testKits...)
	fset, all := sources(t)
	for _, s := range all {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if !anyUnder(s.pkg, shells) {
					t.Errorf("%s: a goroutine outside the shells %v", fset.Position(n.Pos()), shells)
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "os" && n.Sel.Name == "Exit" && !under(s.pkg, "cmd") {
					t.Errorf("%s: os.Exit belongs to the binaries", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// TestNames: a name says what a thing is; these endings say nothing.
func TestNames(t *testing.T) {
	banned := []string{"Impl", "Manager", "Helper", "Info", "Params", "Base", "Utils"}
	packages := []string{"internal", "pkg", "types", "util", "utils", "common", "config", "helpers"}
	fset, all := sources(t)
	for _, s := range all {
		for _, part := range strings.Split(s.pkg, "/") {
			if slices.Contains(packages, part) {
				t.Errorf("%s: no package called %s", s.path, part)
			}
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				name := spec.(*ast.TypeSpec).Name
				for _, b := range banned {
					if strings.HasSuffix(name.Name, b) || strings.EqualFold(name.Name, b) {
						t.Errorf("%s: type %s ends in %s", fset.Position(name.Pos()), name.Name, b)
					}
				}
			}
		}
	}
}

// TestHabits: no sleeping and no skipped tests, no promise of later work, small interfaces, every package says what it is.
func TestHabits(t *testing.T) {
	fset, all := sources(t)
	documented := map[string]bool{}
	for _, s := range all {
		documented[s.pkg] = documented[s.pkg] || s.file.Doc != nil
		for _, c := range s.file.Comments {
			for _, promise := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "not imple" + "mented"} {
				if strings.Contains(c.Text(), promise) {
					t.Errorf("%s: %q in a comment: do it or file it", fset.Position(c.Pos()), promise)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.InterfaceType:
				own := 0 // embedded ones were counted where they are declared
				for _, m := range n.Methods.List {
					own += len(m.Names)
				}
				if own > 3 {
					t.Errorf("%s: an interface of %d methods; three at most", fset.Position(n.Pos()), own)
				}
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || !s.test {
					break
				}
				// In a bubble the clock is fake: there, sleeping is how a script lets time pass.
				if x.Name == "time" && n.Sel.Name == "Sleep" && !slices.Contains(s.imports, "testing/synctest") {
					t.Errorf("%s: tests do not sleep", fset.Position(n.Pos()))
				}
				if x.Name == "t" && strings.HasPrefix(n.Sel.Name, "Skip") {
					t.Errorf("%s: tests are not skipped", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", pkg)
		}
	}
}

// TestTopLevel: the top level of the repository is fixed.
func TestTopLevel(t *testing.T) {
	allowed := []string{"cmd", "sfu", "signalling", "cascade", "e2ee", "web", "bench", "deploy", "go.mod", "go.sum", "README.md",
		"LICENSE", "Makefile", "bin", "out"} // bin and out are build products, ignored by git
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}
