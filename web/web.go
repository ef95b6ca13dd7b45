// Package web serves the pages that are embedded in the binary: the call page (call, built into dist).
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// CallPath is where the call page is.
const CallPath = "/call/"

// policy lets the page talk to any homeserver and focus, and run nothing that did not come with it. Its media element
// sources are streams; its encryption runs in a worker and in WebAssembly.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; media-src 'self' blob: mediastream:; connect-src *; base-uri 'none'; form-action 'none'"

// Call serves the call page below CallPath, and 404 elsewhere.
func Call() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("the call page is not embedded: " + err.Error()) // the path above is a constant
	}
	server := http.StripPrefix(CallPath, http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, CallPath)
		switch {
		case r.URL.Path == strings.TrimSuffix(CallPath, "/"):
			http.Redirect(w, r, CallPath, http.StatusMovedPermanently)
			return
		case !ok || strings.HasSuffix(name, "/"):
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if path.Dir(name) == "assets" { // their names change with their bytes
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		server.ServeHTTP(w, r)
	})
}
