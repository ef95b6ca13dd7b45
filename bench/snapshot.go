package bench

import (
	"weir/sfu"
	"weir/sfu/session"
)

// Snapshot is a bot at one instant. Times are ns of the run's clock, 0: not yet.
type Snapshot struct {
	State                              BotState
	Err                                error
	Began, Joined, Live                int64
	FirstAudio, FirstVideo             int64
	PacketsOut, PacketsIn              uint64
	BytesIn                            uint64
	Lost, Missed, Repaired, Duplicate  uint64
	Freezes, Strangers, Drops          uint64
	Sending                            int // streams
	Streams                            []StreamSnapshot
	Remote                             map[sfu.PublicationID]Remote
	Resumes                            int
	DataIn, DataBytes                  uint64
	DataOpen                           bool
	KeyframesAsked                     uint64
	Latency                            Histogram
	Opened, Unopened                   uint64
	KeyframesSent, Repairs, FramesSent uint64
}

// Snapshot reads the bot.
func (b *Bot) Snapshot() Snapshot {
	b.mu.Lock()
	s := Snapshot{
		State: b.state, Err: b.failure, Began: b.marks.began.Load(), Joined: b.marks.joined.Load(), Live: b.marks.connected.Load(),
		Resumes: b.resumes, DataIn: b.dataIn, DataBytes: b.dataBytes, Remote: make(map[sfu.PublicationID]Remote, len(b.remote)),
	}
	for id, r := range b.remote {
		s.Remote[id] = r
	}
	legs := append(append([]*leg(nil), b.legs...), b.ended...)
	b.mu.Unlock()
	for _, l := range legs {
		l.addTo(&s)
	}
	return s
}

func (l *leg) addTo(s *Snapshot) {
	s.PacketsOut += l.sent.Load()
	e := l.endpoint.Snapshot()
	s.Drops += e.KernelFull + e.KernelOther + e.Drops["queue_full"]
	if l.target == session.Publisher {
		open := l.transport.Snapshot().Data.Open
		s.DataOpen = open["_reliable"] && open["_lossy"]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Strangers += l.strangers
	s.KeyframesAsked += l.asked
	s.Latency.Merge(&l.latency)
	s.FirstAudio = earliest(s.FirstAudio, l.firsts[sfu.Audio])
	s.FirstVideo = earliest(s.FirstVideo, l.firsts[sfu.Video])
	s.Sending += len(l.outgoing)
	for _, in := range l.ended {
		s.add(in.snapshot())
	}
	for _, in := range l.streams {
		if in.begun {
			s.add(in.snapshot())
		}
	}
	to := l.transport.Outbound()
	to.Lock()
	defer to.Unlock()
	for _, o := range l.outgoing {
		s.KeyframesSent += o.keyframes
		s.Repairs += o.repaired
		s.FramesSent += o.frames
	}
}

func (s *Snapshot) add(st StreamSnapshot) {
	s.Streams = append(s.Streams, st)
	s.PacketsIn += st.Packets
	s.BytesIn += st.Bytes
	s.Lost += st.Lost
	s.Missed += st.Missed
	s.Repaired += st.Repaired
	s.Duplicate += st.Duplicate
	s.Freezes += st.Freezes
	s.Opened += st.Opened
	s.Unopened += st.Unopened
}

func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
