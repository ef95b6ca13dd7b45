package negotiate

import "weir/sfu"

type state struct{}
type offered struct{}
type clientState struct{}

func (c *clientState) add(audios, videos int)             {}
func (c *clientState) publish(*Client, Publishing) string { return "" }
func (c *clientState) unpublish(string)                   {}
func (c *Client) offer(Local) (Result, error)             { return Result{}, ErrSyntax }
func (c *Client) accept(string) (Result, error)           { return Result{}, ErrSyntax }
func (c *Client) answer(string, Local) (Result, error)    { return Result{}, ErrSyntax }
func matchFormat(fs []Format, in Format) (Format, bool)   { return Format{}, false }

// Publishable is the codecs a client can be told to publish in: all (nil: every codec) without what its software cannot do.
func Publishable(sw sfu.Software, all []sfu.Codec) []sfu.Codec { return all }

// Receivable is the codecs a client can be sent.
func Receivable(sw sfu.Software, all []sfu.Codec) []sfu.Codec { return all }

// Inspect reads the transport part of a description without changing anything: call it before Answer, to renew
// Local when the offer restarts ICE. restart is false as long as nothing was negotiated.
func (p *Peer) Inspect(description string) (r Remote, restart bool, err error) {
	return Remote{}, false, ErrSyntax
}

// Answer answers a client's offer. pending are announced publications not bound yet (bound ones are remembered by
// their section), wanted all publications the client shall receive through this transport, in order of importance.
func (p *Peer) Answer(o Offer, l Local, pending []Pending, wanted []Wanted) (Result, error) {
	return Result{}, ErrSyntax
}

// Offer writes our offer of the subscriber transport (dual mode). An offer that was not answered yet is replaced.
func (p *Peer) Offer(l Local, wanted []Wanted) (Result, error) { return Result{}, ErrSyntax }

// Accept reads the client's answer to the last Offer.
func (p *Peer) Accept(answer string) (Result, error) { return Result{}, ErrSyntax }
