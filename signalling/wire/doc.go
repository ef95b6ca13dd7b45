// Package wire translates between LiveKit's signalling format and our requests and messages, in both directions: what
// the focus reads a client (or a test, or a bot) writes, and the other way round. It is the only importer of LiveKit's
// generated messages and the only place where "room" means session and "track" publication. It is pure.
//
// A binary frame holds protobuf, a text frame protojson (livekit.md section 2).
package wire
