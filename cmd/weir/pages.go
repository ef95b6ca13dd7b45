package main

import (
	"net/http"

	"weir/web"
)

// pages are what people look at; nil: none.
func pages(c *Config) http.Handler {
	if c.Web.Call {
		return web.Call()
	}
	return nil
}
