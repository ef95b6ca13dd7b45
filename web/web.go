// Package web serves the pages that are embedded in the binary: the call page (sources in call, bundle in dist).
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// dist holds the bundle, every file gzipped: clients take it so, and the binary stays small.
//
//go:embed all:dist
var dist embed.FS

// CallPath is where the call page is.
const CallPath = "/call/"

// policy lets the page talk to any homeserver and focus, and run nothing that did not come with it. Its media element
// sources are streams; its encryption runs in a worker and in WebAssembly.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; media-src 'self' blob: mediastream:; connect-src *; base-uri 'none'; form-action 'none'"

// contentTypes of what a bundle has; the system's table may lack some or call them otherwise.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".wasm": "application/wasm",
}

// Call serves the call page below CallPath, and 404 elsewhere.
func Call() http.Handler { return http.HandlerFunc(serveCall) }

func serveCall(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, CallPath)
	switch {
	case r.URL.Path == strings.TrimSuffix(CallPath, "/"):
		http.Redirect(w, r, CallPath, http.StatusMovedPermanently)
		return
	case !ok:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
		return
	case name == "":
		name = "index.html"
	}
	packed, err := fs.ReadFile(dist, "dist/"+name+".gz")
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", contentType(name))
	h.Set("Vary", "Accept-Encoding")
	if path.Dir(name) == "assets" { // their names change with their bytes
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	write(w, r, packed)
}

func contentType(name string) string {
	ext := path.Ext(name)
	if t, ok := contentTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// write sends a gzipped file as it is, or unpacked to the rare client that does not take it so (RFC 9110 section 12.5.3).
func write(w http.ResponseWriter, r *http.Request, packed []byte) {
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(packed) // a client that went away is no fault of ours
		}
		return
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		http.Error(w, "500 damaged file", http.StatusInternalServerError)
		return
	}
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, plain)
	}
}
