package session

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

// start is when every script begins.
var start = time.Unix(1_700_000_000, 0)

// wire is a named connection.
type wire string

func (wire) Tell(Message) {}

// jsonCodec reads data packets written as JSON Data, with whatever else behind a newline.
type jsonCodec struct{}

func (jsonCodec) Decode(b []byte) (Data, error) {
	head, _, _ := strings.Cut(string(b), "\n")
	var d Data
	err := json.Unmarshal([]byte(head), &d)
	return d, err
}

func (jsonCodec) Stamp(b []byte, d Data) ([]byte, error) {
	_, rest, _ := strings.Cut(string(b), "\n")
	return []byte(fmt.Sprintf("%s|%s|%s", d.Identity, seqOf(d), rest)), nil
}

func seqOf(d Data) string {
	if d.Sequence == 0 {
		return "-"
	}
	return fmt.Sprint(d.Sequence)
}

func packetOf(d Data, text string) []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return append(append(b, '\n'), text...)
}

// script plays events to a session and compares what it does.
type script struct {
	t     *testing.T
	s     *Session
	now   time.Time
	names map[string]string // identifiers the session made → names in the script
}

func newScript(t *testing.T, cfg Config) *script {
	t.Helper()
	s := New("room", "RM_x", cfg, jsonCodec{}, [32]byte{1}, start)
	sc := &script{t: t, s: s, now: start, names: map[string]string{}}
	sc.run("opens", Tick{}, "notify started")
	return sc
}

// run plays one event and compares its effects line by line.
func (sc *script) run(step string, ev Event, want ...string) {
	sc.t.Helper()
	got := sc.play(ev)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		sc.t.Errorf("%s:\n got\n\t%s\n want\n\t%s", step, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// quiet plays one event whose effects do not matter here.
func (sc *script) quiet(ev Event) []string { return sc.play(ev) }

// has plays one event and looks for lines among its effects.
func (sc *script) has(step string, ev Event, want ...string) {
	sc.t.Helper()
	got := sc.play(ev)
	for _, w := range want {
		if !contains(got, w) {
			sc.t.Errorf("%s: no %q in\n\t%s", step, w, strings.Join(got, "\n\t"))
		}
	}
}

// hasNot plays one event and fails if a line with that text is among its effects.
func (sc *script) hasNot(step string, ev Event, parts ...string) {
	sc.t.Helper()
	got := sc.play(ev)
	for _, line := range got {
		for _, part := range parts {
			if strings.Contains(line, part) {
				sc.t.Errorf("%s: %q in\n\t%s", step, part, strings.Join(got, "\n\t"))
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func (sc *script) play(ev Event) []string {
	var lines []string
	for _, e := range sc.s.Handle(sc.now, ev, nil) {
		if m, ok := e.(Tell); ok {
			if p, ok := m.Message.(Published); ok {
				sc.names[string(p.Track.ID)] = p.CID
			}
			if p, ok := m.Message.(DataPublished); ok {
				sc.names[string(p.Track.ID)] = p.Track.Name
			}
		}
		lines = append(lines, sc.name(show(e)))
	}
	return lines
}

// name replaces made identifiers.
func (sc *script) name(line string) string {
	for id, name := range sc.names {
		line = strings.ReplaceAll(line, id, name)
	}
	return line
}

// id is the identifier the session gave to what the script calls name.
func (sc *script) id(name string) sfu.PublicationID {
	for id, n := range sc.names {
		if n == name {
			return sfu.PublicationID(id)
		}
	}
	return sfu.PublicationID("unknown " + name)
}

// wait passes time in one go, with a Tick at each deadline, and returns what happened.
func (sc *script) wait(d time.Duration) []string {
	var lines []string
	end := sc.now.Add(d)
	for {
		next := sc.s.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(sc.now) {
			sc.now = next
		}
		lines = append(lines, sc.play(Tick{})...)
	}
	sc.now = end
	return lines
}

func (sc *script) waits(step string, d time.Duration, want ...string) {
	sc.t.Helper()
	got := sc.wait(d)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		sc.t.Errorf("%s:\n got\n\t%s\n want\n\t%s", step, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

var everything = Grant{Publish: true, Subscribe: true, PublishData: true, UpdateOwn: true}

// modern is what a current livekit-client joins with.
func modern(name string) Join {
	return Join{
		Sink: wire(name), ID: sfu.ParticipantID("PA_" + name), Identity: sfu.Identity(name), Grant: everything,
		Software: sfu.Software{SDK: "js", Protocol: 17}, Settings: Settings{AutoSubscribe: true, AdaptiveStream: true},
	}
}

func ask(name string, r Request) FromParticipant {
	return FromParticipant{Sink: wire(name), ID: sfu.ParticipantID("PA_" + name), Request: r}
}

func connected(name string) TransportChanged {
	return TransportChanged{ID: sfu.ParticipantID("PA_" + name), State: TransportConnected}
}

// enter brings somebody in up to Active with open channels, quietly.
func (sc *script) enter(joins ...Join) {
	for _, j := range joins {
		sc.quiet(j)
		sc.quiet(TransportChanged{ID: j.ID, Target: Publisher, State: TransportConnected})
		sc.quiet(TransportChanged{ID: j.ID, Target: Subscriber, State: TransportConnected})
		for c := Reliable; c <= DataTracks; c++ {
			sc.quiet(DataOpen{j.ID, c})
		}
		sc.wait(batchPeriod) // let updates pass
	}
}

func camera(cid string) AddTrack {
	return AddTrack{
		CID: cid, Kind: sfu.Video, Source: sfu.Camera, Width: 1280, Height: 720,
		Layers: []Encoding{
			{Quality: sfu.Low, Width: 320, Height: 180}, {Quality: sfu.Medium, Width: 640, Height: 360},
			{Quality: sfu.High, Width: 1280, Height: 720},
		},
		Codecs: []CodecOffer{{Codec: sfu.VP8, CID: cid}},
	}
}

func microphone(cid string) AddTrack {
	return AddTrack{CID: cid, Kind: sfu.Audio, Source: sfu.Microphone}
}

// publishes announces and negotiates, quietly.
func (sc *script) publishes(name string, tracks ...AddTrack) {
	for _, r := range tracks {
		sc.quiet(ask(name, r))
		sc.quiet(sc.bound(name, r))
		sc.quiet(StreamSeen{Publication: sc.id(r.CID), Codec: sc.s.publications[sc.id(r.CID)].codec(0)})
	}
}

func (sc *script) bound(name string, r AddTrack) Negotiated {
	c := sfu.Opus
	if r.Kind == sfu.Video {
		c = sfu.VP8
		if len(r.Codecs) > 0 {
			c = r.Codecs[0].Codec
		}
	}
	return Negotiated{ID: sfu.ParticipantID("PA_" + name), Bound: []Bound{{
		Publication: sc.id(r.CID), Codec: c, Mid: "m" + r.CID,
	}}}
}

// subscribed binds every open subscription of somebody, quietly.
func (sc *script) subscribed(name string) {
	for _, sub := range sc.s.byID[sfu.ParticipantID("PA_"+name)].subs {
		sc.quiet(SubscriptionBound{Subscriber: sub.by.id, Publication: sub.id})
	}
}

// show writes an effect on one line.
func show(e Effect) string {
	switch e := e.(type) {
	case Tell:
		return fmt.Sprintf("%v ← %s", e.Sink, showMessage(e.Message))
	case Result:
		return fmt.Sprintf("result %v", e.Err)
	case OpenTransports:
		return fmt.Sprintf("transports %s", e.ID)
	case CloseTransports:
		return fmt.Sprintf("close transports %s", e.ID)
	case ApplyOffer:
		var cids []string
		for _, p := range e.Pending {
			cids = append(cids, p.CID+p.Mid)
		}
		return fmt.Sprintf("offer %s to %v %v", e.ID, e.Sink, cids)
	case ApplyAnswer:
		return fmt.Sprintf("answer %s", e.ID)
	case ApplyCandidate:
		return fmt.Sprintf("candidate %s %q", e.ID, e.Candidate.Init)
	case RestartICE:
		return fmt.Sprintf("restart %s to %v", e.ID, e.Sink)
	case OpenPublication:
		return fmt.Sprintf("open %s %s", e.Track.ID, e.Track.Mime)
	case MuteMedia:
		return fmt.Sprintf("mute %s %v", e.Publication, e.Muted)
	case ClosePublication:
		return fmt.Sprintf("close %s", e.Publication)
	case OpenSubscription:
		return fmt.Sprintf("%s > %s %v%s", e.Subscriber, e.Track.ID, e.Target, paused(e.Paused))
	case SetTarget:
		return fmt.Sprintf("%s = %s %v%s", e.Subscriber, e.Publication, e.Target, paused(e.Paused))
	case CloseSubscription:
		if e.Revoked {
			return fmt.Sprintf("%s x %s revoked", e.Subscriber, e.Publication)
		}
		return fmt.Sprintf("%s x %s", e.Subscriber, e.Publication)
	case RequestKeyframe:
		return fmt.Sprintf("keyframe %s", e.Publication)
	case SendData:
		return fmt.Sprintf("data %d to %v %q", e.Channel, e.To, e.Payload)
	case RPCReplied:
		return fmt.Sprintf("reply %s from %s", e.RequestID, e.From)
	case Simulated:
		return fmt.Sprintf("simulated %s %d", e.ID, e.Request.Scenario)
	case Notify:
		return "notify " + showNotice(e.Notice)
	case Ended:
		return fmt.Sprintf("ended %d", e.Reason)
	}
	return fmt.Sprintf("%T", e)
}

func paused(p bool) string {
	if p {
		return " paused"
	}
	return ""
}

func showNotice(n Notice) string {
	names := [...]string{"started", "finished", "joined", "left", "aborted", "published", "unpublished"}
	line := names[n.Kind]
	if n.Participant != nil {
		line += " " + string(n.Participant.Identity)
	}
	if n.Publication != nil {
		line += " " + string(n.Publication.ID)
	}
	if n.Reason != 0 {
		line += fmt.Sprintf(" %d", n.Reason)
	}
	return line
}

func showView(v ParticipantView) string {
	states := [...]string{"joining", "joined", "active", "gone"}
	line := string(v.ID) + " " + states[v.State]
	for _, pub := range v.Publications {
		line += " " + string(pub.ID)
		if pub.Muted {
			line += "(muted)"
		}
	}
	for _, t := range v.DataTracks {
		line += " " + string(t.ID)
	}
	return line
}

func showViews(vs []ParticipantView) string {
	list := make([]string, 0, len(vs))
	for _, v := range vs {
		list = append(list, showView(v))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func showMessage(m Message) string {
	switch m := m.(type) {
	case Welcome:
		return "welcome " + string(m.Self.ID) + " " + showViews(m.Others)
	case Resumed:
		return fmt.Sprintf("resumed %d", m.LastSeq)
	case Update:
		return "update " + showViews(m.Participants)
	case SessionUpdate:
		return fmt.Sprintf("session %d/%d %s", m.Session.Participants, m.Session.Publishers, m.Session.Metadata)
	case Published:
		return "published " + string(m.Track.ID) + " " + m.Track.Mime
	case Demand:
		line := "demand " + string(m.Publication)
		for _, c := range m.Codecs {
			line += " " + c.Codec.String() + ":"
			for q, on := range c.Enabled {
				if on {
					line += string("LMH"[q])
				}
			}
		}
		return line
	case Response:
		return fmt.Sprintf("response %d to %T", m.Outcome, m.Request)
	case Goodbye:
		return fmt.Sprintf("goodbye %d %s", m.Reason, [...]string{"disconnect", "resume", "reconnect"}[m.Action])
	case Hangup:
		return "hangup"
	case DataHandles:
		var list []string
		for h, d := range m.Handles {
			list = append(list, fmt.Sprintf("%d=%s", h, d.Publication))
		}
		sort.Strings(list)
		return "handles " + strings.Join(list, " ")
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%v", m, m), "session.")
}
