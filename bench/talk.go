package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"weir/sfu"
	"weir/sfu/negotiate"
	"weir/sfu/session"
	"weir/signalling/wire"
)

// This file is the bot's side of the signalling connection; its loop runs all of it but got.

// connect joins, resumes, or gives up.
func (b *Bot) connect() {
	j, err := b.joinRequest()
	if err != nil {
		b.fail(err)
		return
	}
	s, err := dialSignal(b.ctx, &b.cfg, j)
	if err != nil {
		b.retry(err)
		return
	}
	b.signal = s
	b.tasks.Go(func() { s.read(b.got) })
}

// retry tries a resume again, a while later; a first join that fails is the end.
func (b *Bot) retry(err error) {
	if b.attempts++; b.stay == nil || !b.stay.welcomed || b.attempts > retries || errors.Is(err, ErrRefused) {
		b.fail(err)
		return
	}
	time.AfterFunc(retryAfter, func() {
		b.post(func() {
			if b.signal == nil {
				b.connect()
			}
		})
	})
}

// got runs on the reader of a connection.
func (b *Bot) got(from *signal, r wire.Response, err error) {
	b.post(func() {
		switch {
		case b.signal != from:
		case err != nil:
			b.lost(err)
		case r.Session != nil:
			b.hear(r.Session)
		}
	})
}

// lost resumes after the connection broke.
func (b *Bot) lost(err error) {
	b.signal.close(false)
	b.signal = nil
	if b.leaving || b.ctx.Err() != nil {
		return
	}
	if b.stay == nil || !b.stay.welcomed {
		b.fail(fmt.Errorf("bench: connection lost before the session said welcome: %w", err))
		return
	}
	b.connect()
}

func (b *Bot) request(r session.Request) {
	if b.signal == nil {
		return
	}
	if err := b.signal.request(r); err != nil {
		b.log.Debug("request not sent", "error", err)
	}
}

func (b *Bot) ping() {
	if b.signal != nil {
		_ = b.signal.send(wire.Request{Ping: &wire.Ping{Timestamp: b.clock.Now() / 1e6}})
	}
}

// hear takes one message of the session.
func (b *Bot) hear(m session.Message) {
	s := b.stay
	if s == nil {
		return
	}
	switch m := m.(type) {
	case session.Welcome:
		b.welcome(m)
	case session.Resumed:
		b.attempts = 0
		b.mu.Lock()
		b.resumes++
		b.mu.Unlock()
		s.resumed()
	case session.Answered:
		s.answered(m.Description)
	case session.Offered:
		s.offered(m.Description)
	case session.Candidate:
		b.candidate(m)
	case session.SectionsNeeded:
		s.up.changes = append(s.up.changes, func(c *negotiate.Client) { c.AddReceive(m.Audios, m.Videos) })
		s.offer()
	case session.Published:
		s.published(m)
	case session.Unpublished:
		b.unpublished(m.Publication)
	case session.MuteOwn:
		s.mute(m.Publication, m.Muted)
	case session.Update:
		b.update(m.Participants)
	case session.Goodbye:
		b.goodbye(m)
	}
}

func (b *Bot) welcome(m session.Welcome) {
	b.marks.joined.CompareAndSwap(0, b.clock.Now())
	b.stay.welcomed, b.stay.self = true, m.Self.ID
	b.attempts = 0
	for _, t := range b.stay.talks() {
		t.mu.Lock()
		t.trailer = m.SIFTrailer
		t.mu.Unlock()
	}
	b.setState(InSession)
	b.update(m.Others)
	b.stay.publish()
	if b.cfg.Dual && len(b.cfg.Publish) == 0 && !b.cfg.NoData {
		b.stay.offer() // data channels are on our transport
	}
}

func (b *Bot) candidate(m session.Candidate) {
	t := b.stay.up
	if m.Target == session.Subscriber {
		t = b.stay.down
	}
	for _, c := range b.allowed([]string{m.Init}) {
		_ = t.transport.AddRemoteCandidate(c) // what cannot be used is not needed
	}
}

// update keeps the publications of others, and says what the bot wants of new ones.
func (b *Bot) update(views []session.ParticipantView) {
	var fresh []sfu.PublicationID
	b.mu.Lock()
	for _, v := range views {
		if v.ID == b.stay.self {
			continue
		}
		now := map[sfu.PublicationID]bool{}
		for _, p := range v.Publications {
			if v.State == session.Disconnected {
				break
			}
			now[p.ID] = true
			if _, known := b.remote[p.ID]; !known && p.Kind == sfu.Video {
				fresh = append(fresh, p.ID)
			}
			b.remote[p.ID] = Remote{Participant: v.ID, Identity: v.Identity, View: p}
		}
		for id, r := range b.remote {
			if r.Participant == v.ID && !now[id] {
				delete(b.remote, id)
			}
		}
	}
	b.mu.Unlock()
	if len(fresh) > 0 && b.cfg.Subscribe && !b.cfg.Choose {
		b.request(session.TrackSetting{Publications: fresh, Quality: b.cfg.Quality})
	}
	b.notify()
}

func (b *Bot) unpublished(id sfu.PublicationID) {
	for cid, sid := range b.stay.sids {
		if sid == id {
			for _, o := range b.stay.sending[cid] {
				b.pump.remove(o)
			}
		}
	}
}

// goodbye ends the stay as the server wants it.
func (b *Bot) goodbye(m session.Goodbye) {
	switch m.Action {
	case session.ActionResume:
		b.signal.close(false) // its reader tells lost
	case session.ActionReconnect:
		b.signal.close(true)
		b.signal = nil
		b.endStay()
		b.connect()
	default:
		if !b.leaving {
			b.fail(fmt.Errorf("%w: sent away, reason %d", ErrGone, m.Reason))
		}
	}
}

// allowed keeps the candidates that may be sent to.
func (b *Bot) allowed(lines []string) []string {
	if b.cfg.Candidate == nil {
		return lines
	}
	var out []string
	for _, line := range lines {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "candidate:"))
		if len(f) < 6 {
			continue
		}
		if a, err := netip.ParseAddrPort(hostPort(f[4], f[5])); err == nil && b.cfg.Candidate(a) {
			out = append(out, line)
		}
	}
	return out
}

func hostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

func (b *Bot) publication(cid string) *Publication {
	for i := range b.cfg.Publish {
		if b.cfg.Publish[i].CID == cid {
			return &b.cfg.Publish[i]
		}
	}
	return nil
}
