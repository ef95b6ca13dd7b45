// Package media carries the media of the calls: it owns the UDP sockets of the media port, the transports behind them
// (ICE, DTLS, SRTP, SCTP), the loops that forward packets, and one loop for each session that executes what the pure
// package session decides. It is a shell: which packet goes where is decided in the pure packages of sfu.
package media
