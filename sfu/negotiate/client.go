package negotiate

import (
	"math/rand/v2"

	"weir/sfu"
)

// ClientConfig of a Client. The zero value works.
type ClientConfig struct {
	Seed      [32]byte
	Publish   []sfu.Codec // the client can send, best first; nil: all
	Subscribe []sfu.Codec // the client can receive; nil: all
	Data      bool        // offers have a data channel section
}

// Publishing is a publication a Client offers.
type Publishing struct {
	CID    string // track id
	Stream string // stream id, "": CID
	Kind   sfu.Kind
	Codecs []sfu.Codec // best first; nil: all of the kind
	RIDs   []string    // simulcast, lowest first; none: one stream with an explicit SSRC
	Legacy bool        // simulcast by explicit SSRCs in a SIM group, as many as RIDs
	Stereo bool
}

// Client is a client's side of one PeerConnection, for bots and tests. One goroutine owns it.
type Client struct {
	cfg     ClientConfig
	rng     *rand.ChaCha8
	session uint64
	version uint64
	state   clientState
}

// NewClient makes a Client that has not negotiated yet.
func NewClient(cfg ClientConfig) *Client {
	rng := rand.NewChaCha8(cfg.Seed)
	return &Client{cfg: cfg, rng: rng, session: rng.Uint64() >> 2}
}

// AddReceive adds sections to receive into, for the next offer (SectionsNeeded).
func (c *Client) AddReceive(audios, videos int) { c.state.add(audios, videos) }

// Publish adds a publication, for the next offer; its mid is returned.
func (c *Client) Publish(p Publishing) string { return c.state.publish(c, p) }

// Unpublish makes the section of a publication inactive in the next offer.
func (c *Client) Unpublish(cid string) { c.state.unpublish(cid) }

// Offer writes the client's offer: data channels first, then sections in the order they were added, as livekit-client does.
// Mids is what its message says: mid → CID.
func (c *Client) Offer(l Local) (Result, error) { return c.offer(l) }

// Accept reads the focus' answer. Sends are the publications agreed on, Receives the subscriptions placed.
func (c *Client) Accept(answer string) (Result, error) { return c.accept(answer) }

// Answer answers an offer of the focus (subscriber transport, dual mode).
func (c *Client) Answer(offer string, l Local) (Result, error) { return c.answer(offer, l) }
