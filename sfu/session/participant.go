package session

import (
	"time"

	"weir/sfu"
)

// participant is one stay of one identity. It belongs to its Session.
type participant struct {
	// Fixed at the join.
	id       sfu.ParticipantID
	identity sfu.Identity
	kind     ParticipantKind
	region   string
	settings Settings
	joined   time.Time
	primary  Target // the transport that makes it Active

	// Of its connection.
	sink     Sink // nil while the connection is lost
	software sfu.Software
	heard    time.Time // last sign of life over a connection

	// What others see; every change of it goes through Session.changed.
	name       string
	metadata   string
	attributes map[string]string
	grant      Grant
	state      ParticipantState
	reason     LeaveReason
	version    uint32
	view       *ParticipantView // nil: stale
	batched    bool             // in the next batch of updates

	// What it offers.
	pubs   []*publication // announced and published, in the order of announcement
	queued []AddTrack     // announcements whose client track id is in use
	tracks []*dataTrack
	allow  *allowList // nil: everybody may receive everything
	// withheld: nobody may, whatever allow says.
	withheld bool

	// What it receives.
	subs      map[sfu.PublicationID]*subscription
	intents   int // subs without a publication
	dataSubs  map[sfu.PublicationID]*dataSubscription
	handles   map[uint16]DataHandle
	following map[*participant]int // publishers, by number of open subscriptions
	followers map[*participant]int // the other way round

	regranted     bool // the grant is not the one it joined with
	everConnected bool // media once worked
	failed        bool // a transport failed and has not come back
	disconnect    disconnectOnResume

	inbound inbound // its data packets
	outlet  outlet  // data packets to it

	voice voice
	link  link

	patience alarm // becauseNotActive, then becauseFailed
	silence  alarm // becauseSimulated
}

// hidden participants show to nobody.
func (p *participant) hidden() bool { return p.grant.Hidden }

// counts says that the participant keeps the session alive and takes a place in it: agents and recorders do neither.
func (p *participant) counts() bool {
	return !p.grant.Recorder && p.kind != Agent && p.kind != Egress
}

// isPublisher says that it has something to receive.
func (p *participant) isPublisher() bool {
	if len(p.tracks) > 0 {
		return true
	}
	for _, pub := range p.pubs {
		if pub.published {
			return true
		}
	}
	return false
}

// touch makes the next view a newer version.
func (p *participant) touch() {
	p.version++
	p.view = nil
}

// info is the participant as others see it. Its slices are never changed afterwards.
func (p *participant) info() ParticipantView {
	if p.view != nil {
		return *p.view
	}
	v := ParticipantView{
		ID: p.id, Identity: p.identity, Name: p.name, Metadata: p.metadata, Attributes: p.attributes,
		State: p.state, Kind: p.kind, Grant: p.grant, Version: p.version, JoinedAt: p.joined, Reason: p.reason,
		Region: p.region, ClientProtocol: p.software.ClientProtocol, Software: p.software,
		IsPublisher: p.isPublisher(),
	}
	for _, pub := range p.pubs {
		if pub.published {
			v.Publications = append(v.Publications, pub.view)
		}
	}
	for _, t := range p.tracks {
		v.DataTracks = append(v.DataTracks, t.view)
	}
	p.view = &v
	return v
}

// roster is who is here.
type roster struct {
	order      []*participant // by join
	byID       map[sfu.ParticipantID]*participant
	byIdentity map[sfu.Identity]*participant
	visible    int         // not hidden
	counting   int         // participants that keep the session alive
	recorders  int         // recorders among them all
	publishers int         // not hidden, with something published
	gone       []departure // oldest first, at most maxGone
}

// departure is remembered for those whose connection was down at the time.
type departure struct {
	at   time.Time
	view ParticipantView
}

func newRoster() roster {
	return roster{byID: map[sfu.ParticipantID]*participant{}, byIdentity: map[sfu.Identity]*participant{}}
}

// count brings the numbers up to date; it reports whether those of the session's view changed.
func (r *roster) count() bool {
	visible, publishers := r.visible, r.publishers
	r.visible, r.counting, r.recorders, r.publishers = 0, 0, 0, 0
	for _, p := range r.order {
		if !p.hidden() {
			r.visible++
			if p.isPublisher() {
				r.publishers++
			}
		}
		if p.counts() {
			r.counting++
		}
		if p.grant.Recorder {
			r.recorders++
		}
	}
	return visible != r.visible || publishers != r.publishers
}

func (r *roster) add(p *participant) {
	r.order = append(r.order, p)
	r.byID[p.id] = p
	r.byIdentity[p.identity] = p
}

func (r *roster) drop(p *participant) {
	for i, q := range r.order {
		if q == p {
			r.order = append(r.order[:i:i], r.order[i+1:]...)
			break
		}
	}
	delete(r.byID, p.id)
	if r.byIdentity[p.identity] == p {
		delete(r.byIdentity, p.identity)
	}
}

// replaced says that a newer stay of the same identity is here.
func (r *roster) replaced(p *participant) bool {
	q := r.byIdentity[p.identity]
	return q != nil && q != p
}
