// Package session holds the rules of one call: participants, publications and subscriptions.
// It is pure: events and the time go in, effects come out; one owner loop holds each Session.
//
// What happens to a call is in one file per purpose: join, leave, resume, announce and negotiated (a publication's
// beginning), publication (its life), subscribe, permission, setting (the layer a subscriber can use), dynacast (what
// a publisher is asked for), speakers, quality, packet and replay (data packets), datatrack, own, outside, simulate,
// timeout. update says who is told of a change and when; alarm keeps the deadlines.
//
// Requests are what participants ask, messages what they are told, effects what the loop does for the session.
package session
