package main

import "net/http"

// pages are what people look at; nil: none.
func pages(*Config) http.Handler { return nil }
