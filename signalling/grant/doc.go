// Package grant is what a token permits: it mints and verifies the signed tokens (RFC 7519, HS256 only) that clients,
// the server API and webhooks carry. It is pure: the time is handed in, the keys are the caller's.
//
// Errors never hold any part of a token, so they may be logged and shown.
package grant
