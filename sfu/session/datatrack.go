package session

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"weir/sfu"
)

// Header of a data track packet, 12 bytes, big endian (livekit.md section 7):
//
//	version 3 bits | start | final | extensions | reserved 10 | handle u16 | seq u16 | frame u16 | timestamp u32
//
// With extensions, a u16 size follows and that many bytes.
const (
	trackHeader     = 12
	versionMask     = 0xE0
	extensionFlag   = 0x04 // in the first byte
	handleAt        = 2
	frameAt         = 6
	maxDataIntents  = maxIntents
	frameTolerance  = 0.9 // frames come a little early or late
	maxTrackHandles = 65535
)

// dataTrack is a published stream of data frames.
type dataTrack struct {
	owner  *participant
	view   DataTrack
	handle uint16 // in packets to subscribers; unique in the session, so that one copy serves them all
	subs   []*dataSubscription
}

// dataSubscription is what a participant wants of a data track.
type dataSubscription struct {
	id    sfu.PublicationID
	by    *participant
	track *dataTrack // nil: not there yet
	on    bool
	open  bool
	fps   int
	frame uint16 // the last one decided on
	pass  bool   // whether that one is forwarded
	last  time.Time
	begun bool

	patience alarm // becauseDataGivenUp
}

// publishData offers a data track.
func (s *Session) publishData(p *participant, r PublishData) {
	outcome, text := OK, ""
	switch {
	case !p.grant.PublishData:
		outcome, text = NotAllowed, "no permission to publish data"
	case r.Handle == 0:
		outcome, text = InvalidHandle, "handle is 0"
	case r.Name == "" || len(r.Name) > maxName:
		outcome, text = InvalidName, "name is not 1 to 256 bytes"
	case slices.ContainsFunc(p.tracks, func(t *dataTrack) bool { return t.view.Handle == r.Handle }):
		outcome, text = DuplicateHandle, "handle in use"
	case slices.ContainsFunc(p.tracks, func(t *dataTrack) bool { return t.view.Name == r.Name }):
		outcome, text = DuplicateName, "name in use"
	case len(p.tracks) >= maxDataTracks || len(s.handles) >= maxTrackHandles || p.tracksSize()+len(r.Raw) > maxAttributes:
		outcome, text = LimitExceeded, "too many data tracks"
	}
	if outcome != OK {
		s.refuse(p, outcome, text, r)
		return
	}
	handle := s.freeHandle()
	t := &dataTrack{owner: p, handle: handle, view: DataTrack{
		ID: s.dataTrackID(), Handle: r.Handle, Name: r.Name, Encryption: r.Encryption, Raw: r.Raw,
	}}
	p.tracks = append(p.tracks, t)
	s.dataTracks[t.view.ID] = t
	s.handles[handle] = t
	s.tell(p, DataPublished{t.view})
	s.changed(p, true)
	for _, q := range s.order {
		s.offeredData(q, t)
	}
}

// tracksSize is what p's data tracks weigh in each update about it.
func (p *participant) tracksSize() int {
	n := 0
	for _, t := range p.tracks {
		n += len(t.view.Raw)
	}
	return n
}

// freeHandle is the next one no data track uses; there must be one. Numbers come round late, so that packets under way meet no stranger.
func (s *Session) freeHandle() uint16 {
	for {
		s.lastHandle++
		if _, used := s.handles[s.lastHandle]; !used && s.lastHandle != 0 {
			return s.lastHandle
		}
	}
}

func (s *Session) unpublishData(p *participant, r UnpublishData) {
	i := slices.IndexFunc(p.tracks, func(t *dataTrack) bool { return t.view.Handle == r.Handle })
	if i < 0 {
		s.refuse(p, NotFound, "unknown data track", r)
		return
	}
	s.endData(p.tracks[i])
}

// endData ends a data track and tells its publisher and everybody.
func (s *Session) endData(t *dataTrack) {
	s.withdrawData(t)
	s.tell(t.owner, DataUnpublished{t.view})
	s.changed(t.owner, true)
}

// withdrawData ends it without telling of it.
func (s *Session) withdrawData(t *dataTrack) {
	p := t.owner
	p.tracks = slices.DeleteFunc(p.tracks, func(q *dataTrack) bool { return q == t })
	delete(s.dataTracks, t.view.ID)
	delete(s.handles, t.handle)
	for _, q := range s.order {
		if sub := q.dataSubs[t.view.ID]; sub != nil {
			sub.on = false
			s.settleData(sub)
			delete(q.dataSubs, t.view.ID)
		}
	}
}

// subscribeData changes data track subscriptions.
func (s *Session) subscribeData(p *participant, r SubscribeData) {
	for _, u := range r.Updates {
		sub := p.dataSubs[u.Publication]
		t := s.dataTracks[u.Publication]
		if t != nil && t.owner == p {
			continue
		}
		if sub == nil {
			if t == nil && (!u.On || len(u.Publication) > maxID) || len(p.dataSubs) >= maxDataIntents+len(s.dataTracks) {
				continue
			}
			sub = &dataSubscription{id: u.Publication, by: p, track: t}
			p.dataSubs[u.Publication] = sub
			if t == nil {
				sub.patience = alarm{why: becauseDataGivenUp, data: sub}
				s.alarms.set(&sub.patience, s.now.Add(intentPatience))
			}
		}
		sub.on, sub.fps = u.On, max(u.FPS, 0)
		s.settleData(sub)
	}
}

func (s *Session) subscribeToAllData(p *participant) {
	for _, q := range s.order {
		for _, t := range q.tracks {
			s.offeredData(p, t)
		}
	}
}

// offeredData gives q a data track, if it asked for it or for all.
func (s *Session) offeredData(q *participant, t *dataTrack) {
	if q == t.owner {
		return
	}
	sub := q.dataSubs[t.view.ID]
	if sub == nil {
		if !q.settings.AutoSubscribeData || q.state != Active {
			return
		}
		sub = &dataSubscription{id: t.view.ID, by: q, on: true}
		q.dataSubs[t.view.ID] = sub
	}
	sub.track = t
	s.alarms.clear(&sub.patience)
	s.settleData(sub)
}

// giveUpData forgets a wish for a data track that never came.
func (s *Session) giveUpData(sub *dataSubscription) { delete(sub.by.dataSubs, sub.id) }

// settleData opens or ends a data subscription and tells the subscriber its handles.
func (s *Session) settleData(sub *dataSubscription) {
	q, t := sub.by, sub.track
	if t == nil {
		return
	}
	want := sub.on && q.grant.Subscribe && !t.owner.hidden() && t.owner.allows(q, sub.id)
	switch {
	case want == sub.open:
		return
	case want:
		t.subs = append(t.subs, sub)
		q.handles[t.handle] = DataHandle{Publisher: t.owner.id, Identity: t.owner.identity, Publication: sub.id}
	default:
		t.subs = slices.DeleteFunc(t.subs, func(o *dataSubscription) bool { return o == sub })
		delete(q.handles, t.handle)
	}
	sub.open = want
	if q.state != Disconnected && !s.closing {
		s.tell(q, DataHandles{maps.Clone(q.handles)})
	}
}

// reviewData settles every subscription to p's data tracks.
func (s *Session) reviewData(p *participant) {
	for _, t := range p.tracks {
		for _, q := range s.order {
			if sub := q.dataSubs[t.view.ID]; sub != nil {
				s.settleData(sub)
			}
		}
	}
}

// forgetData ends what a participant that is gone received.
func (s *Session) forgetData(p *participant) {
	for _, sub := range p.dataSubs { // tells nobody, so no order
		sub.on = false
		s.alarms.clear(&sub.patience)
		s.settleData(sub)
	}
	clear(p.dataSubs)
}

// dataTrackPacket forwards one packet of a data track. It is the session's to change.
func (s *Session) dataTrackPacket(p *participant, b []byte) {
	if len(b) < trackHeader || b[0]&versionMask != 0 {
		return
	}
	if b[0]&extensionFlag != 0 {
		if len(b) < trackHeader+2 || len(b) < trackHeader+2+int(binary.BigEndian.Uint16(b[trackHeader:])) {
			return
		}
	}
	handle := binary.BigEndian.Uint16(b[handleAt:])
	i := slices.IndexFunc(p.tracks, func(t *dataTrack) bool { return t.view.Handle == handle })
	if i < 0 {
		return
	}
	t, frame := p.tracks[i], binary.BigEndian.Uint16(b[frameAt:])
	var to []sfu.ParticipantID
	for _, sub := range t.subs {
		if sub.by.state == Active && sub.by.outlet.tracks && sub.takes(frame, s.now) {
			to = append(to, sub.by.id)
		}
	}
	if len(to) > 0 {
		binary.BigEndian.PutUint16(b[handleAt:], t.handle)
		s.do(SendData{To: to, Channel: DataTracks, Payload: b})
	}
}

// takes decides once for each frame whether its packets are forwarded, at most fps frames each second.
func (sub *dataSubscription) takes(frame uint16, now time.Time) bool {
	if sub.fps <= 0 {
		return true
	}
	if !sub.begun || frame != sub.frame {
		period := time.Duration(float64(time.Second) / float64(sub.fps) * frameTolerance)
		sub.pass = !sub.begun || now.Sub(sub.last) >= period
		sub.begun, sub.frame = true, frame
		if sub.pass {
			sub.last = now
		}
	}
	return sub.pass
}
