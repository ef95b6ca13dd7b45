// Package client is the protocol machine of one signalling connection. It is pure: events and the time go in, effects
// come out, and one owner, the connection's loop, holds each Machine.
//
// A connection begins by joining or by resuming. Until the session has answered that with a Welcome, a Resumed or a
// Goodbye, nothing is written: clients throw away whatever comes before, so it is held. After a Goodbye, nothing is
// written either. In between the machine answers pings itself, hands requests to the session, encodes what the session
// tells in the encoding the client used last, and keeps the client's token fresh.
//
// What can end a connection, and whether the session learns of it, is listed with Why.
package client
