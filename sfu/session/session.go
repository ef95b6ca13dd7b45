package session

import (
	"math/rand/v2"
	"time"

	"weir/sfu"
	"weir/sfu/speaker"
)

// Limits of what participants may make the session hold or send on (livekit.md section 9; the rest are ours).
const (
	maxMetadata     = 512 << 10 // bytes
	maxAttributes   = 64 << 10  // bytes of keys and values
	maxName         = 256       // bytes
	maxID           = 64        // bytes of an identifier that a participant names: ours are shorter
	maxPending      = 20        // announced publications without media, per participant
	maxQueued       = 3         // announcements waiting behind one client track id
	maxPublications = 128       // per participant: each costs a row in every update of it
	maxDataTracks   = 128       // per participant
	maxIntents      = 1000      // wishes for publications that do not exist, per participant
	maxGone         = 512       // departures remembered for those who resume
	maxBlocked      = 4096      // blocked identities
)

// trailerLength is that of the marker behind server-made frames: long enough never to appear by chance.
const trailerLength = 16

// Session is one call. The loop that holds it is its only owner; nothing in it may be used by two goroutines.
type Session struct {
	id      sfu.SessionID
	sid     string // "RM_…"
	cfg     Config
	codec   DataCodec
	rand    *rand.Rand
	trailer []byte // ends frames the focus makes itself (livekit.md section 8)
	created time.Time

	// Of the event at hand.
	now time.Time
	out []Effect

	started, ended bool
	populated      bool // somebody was here
	closing        bool // everybody is being sent away

	roster
	publications map[sfu.PublicationID]*publication // published ones
	dataTracks   map[sfu.PublicationID]*dataTrack
	handles      map[uint16]*dataTrack // by the handle subscribers see
	lastHandle   uint16
	blocked      map[sfu.Identity]time.Time // until

	updates     updates
	speakers    *speaker.List
	turned      []speaker.Level // scratch of observeSpeech
	links       links
	packets     packets
	alarms      alarms
	vacancy     alarm
	countsAlarm alarm
}

// New opens a session. seed makes its identifiers; codec reads its data packets; sid is its "RM_…" name.
func New(id sfu.SessionID, sid string, cfg Config, codec DataCodec, seed [32]byte, now time.Time) *Session {
	s := &Session{
		id: id, sid: sid, cfg: cfg, codec: codec, created: now, now: now,
		rand:         rand.New(rand.NewChaCha8(seed)),
		roster:       newRoster(),
		publications: map[sfu.PublicationID]*publication{},
		dataTracks:   map[sfu.PublicationID]*dataTrack{},
		handles:      map[uint16]*dataTrack{},
		blocked:      map[sfu.Identity]time.Time{},
		vacancy:      alarm{why: becauseEmpty},
		countsAlarm:  alarm{why: becauseCounts},
		packets:      newPackets(),
		speakers:     newSpeakers(),
	}
	s.updates.alarm.why = becauseBatch
	s.trailer = []byte(s.word(trailerLength))
	s.alarms.set(&s.vacancy, now.Add(s.emptyTimeout()))
	return s
}

// Deadline is when Handle wants a Tick if nothing else happens; zero: never.
func (s *Session) Deadline() time.Time {
	switch {
	case s.ended:
		return time.Time{}
	case !s.started:
		return s.created
	}
	return s.alarms.next()
}

// Handle takes one event at its time and appends what to do about it to out. After an Ended effect it does nothing more.
func (s *Session) Handle(now time.Time, ev Event, out []Effect) []Effect {
	if s.ended {
		return out
	}
	s.now, s.out = now, out
	if !s.started {
		s.started = true
		s.notify(SessionStarted, nil, nil, UnknownReason)
	}
	if join, ok := ev.(Join); ok {
		// Ahead of the alarms: one who comes in the instant of the departure timeout keeps the session alive.
		s.join(join)
		s.ring()
	} else if s.ring(); !s.ended {
		s.dispatch(ev)
	}
	out, s.out = s.out, nil
	return out
}

// ring serves the alarms that are due.
func (s *Session) ring() {
	for !s.ended {
		al := s.alarms.due(s.now)
		if al == nil {
			return
		}
		s.serve(al)
	}
}

func (s *Session) serve(al *alarm) {
	switch al.why {
	case becauseEmpty:
		s.finish(SessionClosed)
	case becauseBatch:
		s.flushUpdates()
	case becauseCounts:
		s.tellAll(SessionUpdate{s.View()})
	case becauseNotActive:
		s.farewell(al.participant, JoinFailure, ActionDisconnect)
	case becauseFailed:
		s.remove(al.participant, ConnectionTimeout)
	case becauseGivenUp:
		s.giveUp(al.subscription)
	case becauseDataGivenUp:
		s.giveUpData(al.data)
	case becauseRetry:
		s.settle(al.subscription)
	case becauseSetting:
		s.applySetting(al.subscription)
	case becauseDemandLower:
		s.lowerDemand(al.publication)
	case becauseDemandAgain:
		s.repeatDemand(al.publication)
	case becauseSimulated:
		s.simulateSpeech(al.participant, false)
	}
}

func (s *Session) dispatch(ev Event) {
	switch ev := ev.(type) {
	case Resume:
		s.resume(ev)
	case FromParticipant:
		s.request(ev)
	case ConnectionLost:
		s.connectionLost(ev)
	case TransportChanged:
		s.transportChanged(ev)
	case Negotiated:
		s.negotiated(ev)
	case NegotiationFailed:
		if p := s.byID[ev.ID]; p != nil && (p.sink != nil || !ev.Unanswered) {
			s.farewell(p, StateMismatch, ActionReconnect)
		}
	case StreamSeen:
		s.streamSeen(ev)
	case SubscriptionBound:
		s.subscriptionBound(ev)
	case SubscriptionRefused:
		s.subscriptionRefused(ev)
	case SubscriptionPaused:
		s.subscriptionPaused(ev)
	case DataArrived:
		s.dataArrived(ev)
	case DataOpen:
		s.dataOpen(ev)
	case Observed:
		s.observed(ev)
	case Tick:
	default:
		s.outside(ev)
	}
}

func (s *Session) do(e Effect) { s.out = append(s.out, e) }

// tell hands m to p's connection, if it has one.
func (s *Session) tell(p *participant, m Message) {
	if p.sink != nil {
		s.do(Tell{p.sink, m})
	}
}

func (s *Session) tellAll(m Message) {
	for _, p := range s.order {
		s.tell(p, m)
	}
}

// notify tells outsiders.
func (s *Session) notify(kind NoticeKind, p *participant, pub *publication, why LeaveReason) {
	n := Notice{Kind: kind, Session: s.View(), Reason: why}
	if p != nil {
		v := p.info()
		n.Participant = &v
	}
	if pub != nil {
		v := pub.view
		n.Publication = &v
	}
	s.do(Notify{n})
}

// View is the session as its participants see it.
func (s *Session) View() View {
	return View{
		ID: s.id, SID: s.sid, Metadata: s.cfg.Metadata, Created: s.created,
		Participants: s.visible, Publishers: s.publishers,
		MaxParticipants: s.cfg.MaxParticipants,
		EmptyTimeout:    int(s.emptyTimeout() / time.Second), DepartureTimeout: int(s.departureTimeout() / time.Second),
		Recording: s.recorders > 0,
		Encodings: s.encodings(),
	}
}

// Snapshot is everything an operator may want to see.
func (s *Session) Snapshot() Snapshot {
	snap := Snapshot{View: s.View()}
	for _, p := range s.order {
		snap.Participants = append(snap.Participants, p.info())
		for _, pub := range p.pubs {
			for _, sub := range pub.subs {
				snap.Subscriptions = append(snap.Subscriptions, SubscriptionView{
					Subscriber: sub.by.identity, Publisher: p.identity, Publication: pub.id,
					Wanted: sub.wanted, Target: sub.target, Paused: sub.paused,
				})
			}
		}
	}
	return snap
}
