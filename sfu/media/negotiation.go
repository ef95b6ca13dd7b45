package media

import (
	"errors"
	"fmt"
	"time"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
)

// negotiationTimeout is how long an offer of ours may stay unanswered (livekit.md section 4).
const negotiationTimeout = 15 * time.Second

// negotiation is the talk about one transport of a stay. The session's loop owns it.
type negotiation struct {
	target    session.Target
	transport *Transport
	peer      *negotiate.Peer

	wanted    []negotiate.Wanted
	placed    map[sfu.PublicationID]bool // has a place in the last description
	asked     map[sfu.PublicationID]bool // the client was asked for a section (single transport)
	received  map[sfu.PublicationID]bool // publications that come in by it
	free      map[sfu.Kind]int           // sections of the client nobody uses, as of the last answer
	nextOffer uint32
	offered   time.Time // our offer waits for its answer since; zero: none does
	dirty     bool      // wanted changed since the last offer, or since sections were asked for
	again     bool      // sections came free in the last answer that can be used in the next
}

func newNegotiation(target session.Target, t *Transport, p *negotiate.Peer) *negotiation {
	return &negotiation{
		target: target, transport: t, peer: p,
		placed: map[sfu.PublicationID]bool{}, asked: map[sfu.PublicationID]bool{}, received: map[sfu.PublicationID]bool{},
		free: map[sfu.Kind]int{},
	}
}

func (g *negotiation) want(w negotiate.Wanted) {
	g.wanted = append(g.wanted, w)
	g.dirty = true
}

func (g *negotiation) unwant(id sfu.PublicationID) {
	for i := range g.wanted {
		if g.wanted[i].Publication == id {
			g.wanted = append(g.wanted[:i], g.wanted[i+1:]...)
			break
		}
	}
	delete(g.placed, id)
	delete(g.asked, id)
	g.dirty = true
}

// answer answers a client's offer and starts or restarts the transport by it.
func (g *negotiation) answer(o session.Description, pending []negotiate.Pending) (negotiate.Result, error) {
	_, restart, err := g.peer.Inspect(o.SDP)
	if err != nil {
		return negotiate.Result{}, err
	}
	local := g.transport.Local()
	if restart {
		if local, err = g.transport.Restart(); err != nil {
			return negotiate.Result{}, fmt.Errorf("restart ICE: %w", err)
		}
	}
	r, err := g.peer.Answer(negotiate.Offer{SDP: o.SDP, Mids: o.Mids}, localSide(local), pending, g.wanted)
	if err != nil {
		return r, err
	}
	return r, g.connect(r)
}

// offer writes our offer (subscriber transport). restart renews the ICE credentials.
func (g *negotiation) offer(now time.Time, restart bool) (session.Description, error) {
	local := g.transport.Local()
	if restart && g.transport.Started() {
		var err error
		if local, err = g.transport.Restart(); err != nil {
			return session.Description{}, fmt.Errorf("restart ICE: %w", err)
		}
	}
	r, err := g.peer.Offer(localSide(local), g.wanted)
	if err != nil {
		return session.Description{}, err
	}
	g.dirty, g.offered = false, now
	g.nextOffer++
	return session.Description{SDP: r.SDP, ID: g.nextOffer, Mids: midMap(r.Mids)}, nil
}

var errStaleAnswer = errors.New("media: answer to an offer that is not the last")

// accept takes the client's answer to our last offer.
func (g *negotiation) accept(a session.Description) (negotiate.Result, error) {
	if g.offered.IsZero() || (a.ID != 0 && a.ID != g.nextOffer) {
		return negotiate.Result{}, errStaleAnswer
	}
	r, err := g.peer.Accept(a.SDP)
	if err != nil {
		return r, err
	}
	g.offered = time.Time{}
	return r, g.connect(r)
}

// connect brings the transport in line with what the far side said of its own.
func (g *negotiation) connect(r negotiate.Result) error {
	remote := RemoteDescription{
		Ufrag: r.Remote.Ufrag, Pwd: r.Remote.Pwd, Fingerprint: r.Remote.Fingerprint, Lite: r.Remote.Lite,
		Candidates: r.Remote.Candidates, Data: r.Remote.Data, MaxMessageSize: r.Remote.MaxMessageSize,
	}
	switch r.Remote.Setup {
	case negotiate.ActiveSetup:
		remote.Setup = SetupActive
	case negotiate.PassiveSetup:
		remote.Setup = SetupPassive
	}
	switch {
	case !g.transport.Started():
		return g.transport.Start(remote)
	case r.Restart:
		return g.transport.Restarted(remote)
	case remote.Data:
		g.transport.StartData(remote.MaxMessageSize)
	}
	for _, c := range remote.Candidates {
		// A candidate that can't be used is no reason to end a call that has a path.
		_ = g.transport.AddRemoteCandidate(c)
	}
	return nil
}

// ask counts the sections the client shall add for wanted publications that have no place and for which none was asked
// yet, and marks them asked. offer says that a new offer of the client is needed, if only for the sections it has.
func (g *negotiation) ask() (audios, videos int, offer bool) {
	offer, g.dirty, g.again = g.again, false, false
	missing := map[sfu.Kind]int{}
	for _, w := range g.wanted {
		switch {
		case g.placed[w.Publication] || g.asked[w.Publication]:
			continue
		case g.free[w.Kind] > 0:
			g.free[w.Kind]--
		default:
			missing[w.Kind]++
		}
		g.asked[w.Publication] = true
		offer = true
	}
	return missing[sfu.Audio], missing[sfu.Video], offer
}

// answered notes what an answer came to. What is still unplaced may be asked for again only if the client was not
// asked before: it has not had the time to add the sections.
func (g *negotiation) answered(r negotiate.Result) {
	g.free[sfu.Audio], g.free[sfu.Video] = r.FreeAudios, r.FreeVideos
	clear(g.placed)
	for _, s := range r.Sends {
		g.placed[s.Publication] = true
		delete(g.asked, s.Publication)
	}
	for _, id := range r.Refused {
		g.asked[id] = true
	}
	g.again = r.Again
	g.dirty = len(g.placed) < len(g.wanted) || g.again
}

func (g *negotiation) overdue(now time.Time) bool {
	return !g.offered.IsZero() && now.Sub(g.offered) >= negotiationTimeout
}

func (g *negotiation) deadline() time.Time {
	if g.offered.IsZero() {
		return time.Time{}
	}
	return g.offered.Add(negotiationTimeout)
}

func localSide(l LocalDescription) negotiate.Local {
	return negotiate.Local{
		Ufrag: l.Ufrag, Pwd: l.Pwd, Fingerprint: l.Fingerprint, Candidates: l.Candidates,
		EndOfCandidates: true, Lite: l.Lite,
	}
}

func midMap(mids map[string]string) map[string]string {
	if len(mids) == 0 {
		return nil
	}
	return mids
}
