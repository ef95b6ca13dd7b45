// Package session holds the rules of one call: participants, publications and subscriptions.
// It is pure: events and the time go in, effects come out; one owner loop holds each Session.
//
// Requests are what participants ask, messages what they are told, effects what the loop does for the session.
package session
