package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"weir/sfu"
	"weir/sfu/session"
)

// counters are what is read at the beginning of the window, at its end, and each second in between.
type counters struct {
	at             int64
	server, own    time.Duration
	machine        time.Duration
	packets, bytes uint64
	sent           uint64
	latency        Histogram
	mallocs        float64
}

func (l *load) count(full bool) counters {
	c := counters{at: l.clock.Now(), own: ownCPU(), machine: machineCPU(), latency: l.latency}
	if l.target.PID != 0 {
		c.server, _ = processCPU(l.target.PID) // a process that ended shows in every other number
	}
	for _, s := range l.gone {
		c.packets += s.PacketsIn
		c.sent += s.PacketsOut
		c.bytes += s.BytesIn
	}
	for _, m := range l.members {
		m.bot.tally(&c)
	}
	if full && l.target.Metrics != "" {
		if t, err := readMetrics(context.Background(), l.target.Metrics); err == nil {
			c.mallocs = t.mallocs
			l.run.ServerGoroutines = t.goroutines
		}
	}
	return c
}

// tally adds what a bot received so far; it is cheap.
func (b *Bot) tally(c *counters) {
	b.mu.Lock()
	legs := append(append(make([]*leg, 0, 4), b.legs...), b.ended...)
	b.mu.Unlock()
	for _, l := range legs {
		c.sent += l.sent.Load()
		l.mu.Lock()
		for _, in := range l.ended {
			c.packets += in.packets
			c.bytes += in.bytes
		}
		for _, in := range l.streams {
			c.packets += in.packets
			c.bytes += in.bytes
		}
		c.latency.Merge(&l.latency)
		l.mu.Unlock()
	}
}

// measure is the window.
func (l *load) measure(ctx context.Context) error {
	for _, m := range l.members {
		m.before = m.bot.Snapshot()
		m.bot.clearMax()
	}
	late := l.pump.Late()
	l.dataMu.Lock()
	l.dataDelay = Histogram{}
	l.dataMu.Unlock()
	l.dataSent.Store(0)
	stop, stopped := context.WithCancel(ctx)
	first := l.count(true)
	last := first
	data := l.sendData(stop)
	err := l.watch(ctx, first, &last)
	stopped()
	<-data
	if err != nil {
		return err
	}
	end := l.count(true)
	lateNow := l.pump.Late()
	lateness := lateNow.Since(&late)
	l.run.Late = spread(&lateness)
	l.finish(first, end)
	l.judge()
	return nil
}

// clearMax forgets the longest latency so far.
func (b *Bot) clearMax() {
	b.mu.Lock()
	legs := b.legs
	b.mu.Unlock()
	for _, l := range legs {
		l.mu.Lock()
		l.latency.most = 0
		l.mu.Unlock()
	}
}

// watch lets the window pass: a sample each second, and churn and layer changes at their rates.
func (l *load) watch(ctx context.Context, first counters, last *counters) error {
	end := time.NewTimer(l.Window)
	defer end.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	churn, churnStop := ticker(l.Shape.Churn)
	defer churnStop()
	layers, layersStop := ticker(l.Shape.LayerChanges)
	defer layersStop()
	for {
		select {
		case <-end.C:
			if now := l.count(false); now.at-last.at > int64(time.Second)/2 {
				l.sample(first, *last, now)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-second.C:
			now := l.count(false)
			l.sample(first, *last, now)
			*last = now
		case <-churn:
			if err := l.replace(); err != nil {
				return err
			}
		case <-layers:
			l.changeLayer()
		}
	}
}

func ticker(rate float64) (<-chan time.Time, func()) {
	if rate <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(time.Duration(float64(time.Second) / rate))
	return t.C, t.Stop
}

func (l *load) sample(first, last, now counters) {
	d := float64(now.at-last.at) / 1e9
	h := now.latency.Since(&last.latency)
	p := Point{
		Second: float64(now.at-first.at) / 1e9, Packets: float64(now.packets-last.packets) / d,
		ServerCPU: (now.server - last.server).Seconds() / d, OwnCPU: (now.own - last.own).Seconds() / d,
		P50: spread(&h).P50, P99: spread(&h).P99,
	}
	l.run.Samples = append(l.run.Samples, p)
	l.Progress(fmt.Sprintf("%s: %3.0f of %.0f s  %7.0f packets/s  latency p99 %.2f ms  server %.2f cores, bots %.2f",
		l.target.Name, p.Second, l.Window.Seconds(), p.Packets, p.P99, p.ServerCPU, p.OwnCPU))
}

// replace lets one participant leave and another come. Publishers stay: their loss would hide what churn costs others.
func (l *load) replace() error {
	for range 16 {
		m := l.members[l.random.IntN(len(l.members))]
		if len(m.bot.cfg.Publish) > 0 && len(l.Shape.Groups) > 1 {
			continue
		}
		m.bot.Leave()
		s := m.bot.Snapshot()
		l.account(m, &s)
		l.latency.Merge(&s.Latency)
		l.gone = append(l.gone, s)
		l.run.Left++
		m.before, m.watched = Snapshot{}, true
		return l.seat(m)
	}
	return nil
}

// changeLayer lets one participant ask for another quality of one video.
func (l *load) changeLayer() {
	m := l.members[l.random.IntN(len(l.members))]
	s := m.bot.Snapshot()
	for id, r := range s.Remote {
		if r.View.Kind == sfu.Video && m.group.Subscribe {
			m.bot.Request(session.TrackSetting{Publications: []sfu.PublicationID{id}, Quality: sfu.Quality(l.random.IntN(3))})
			l.run.LayerChanges++
			return
		}
	}
}

// sendData lets publishers send messages until ctx ends; the channel is closed then.
func (l *load) sendData(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	var senders []*Bot
	for _, m := range l.members {
		if len(m.bot.cfg.Publish) > 0 {
			senders = append(senders, m.bot)
		}
	}
	tick, stop := ticker(l.Shape.Data.Rate * float64(len(senders)))
	if tick == nil {
		stop()
		close(done)
		return done
	}
	channel := session.Lossy
	if l.Shape.Data.Reliable {
		channel = session.Reliable
	}
	go func() {
		defer close(done)
		defer stop()
		payload := noise(l.Shape.Data.Bytes)
		for i := 0; ; i++ {
			select {
			case <-tick:
				putStamp(payload, l.clock.Now())
				if senders[i%len(senders)].SendData(channel, payload) == nil {
					l.dataSent.Add(1)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return done
}

// joinPatience is how long a bot that came in the window may take; one that is younger has not failed yet.
const joinPatience = 5 * time.Second

// account adds what one bot saw in the window to the run.
func (l *load) account(m *member, s *Snapshot) {
	r := &l.run
	b := &m.before
	r.Lost += s.Lost - min(b.Lost, s.Lost)
	r.Missed += s.Missed - b.Missed
	r.Repaired += s.Repaired - b.Repaired
	r.Duplicate += s.Duplicate - b.Duplicate
	r.Freezes += s.Freezes - b.Freezes
	r.Opened += s.Opened - b.Opened
	r.Unopened += s.Unopened - b.Unopened
	r.Resumes += s.Resumes
	r.OwnDrops += s.Drops - b.Drops
	r.Keyframes += s.KeyframesSent
	had := map[uint32]uint64{}
	for _, st := range b.Streams {
		had[st.SSRC] = st.Packets
	}
	streams := 0
	for _, st := range s.Streams {
		if st.Packets > had[st.SSRC] {
			streams++
		}
	}
	r.Streams += streams
	if s.Err != nil || s.Joined == 0 && l.clock.Now()-s.Began > int64(joinPatience) {
		r.Failed++
		if r.FirstErr == "" && s.Err != nil {
			r.FirstErr = s.Err.Error()
		}
	}
	if b.Joined != 0 || s.Err != nil { // it was there all the time
		r.StreamsShort += max(0, l.Shape.receives(m.group)-streams)
	}
}

// finish turns two readings into the run's numbers.
func (l *load) finish(first, end counters) {
	r := &l.run
	var join, live, video, audio Histogram
	times := func(s *Snapshot, watched bool) {
		if s.Joined != 0 {
			join.Add(s.Joined - s.Began)
		}
		if s.Live != 0 {
			live.Add(s.Live - s.Began)
		}
		if s.FirstVideo != 0 && watched {
			video.Add(s.FirstVideo - s.Began)
		}
		if s.FirstAudio != 0 && watched {
			audio.Add(s.FirstAudio - s.Began)
		}
	}
	for i := range l.gone {
		times(&l.gone[i], true)
	}
	for _, m := range l.members {
		s := m.bot.Snapshot()
		times(&s, m.watched)
		l.account(m, &s)
	}
	r.Join, r.Live, r.FirstVideo, r.FirstAudio = spread(&join), spread(&live), spread(&video), spread(&audio)
	latency := end.latency.Since(&first.latency)
	r.Latency = spread(&latency)
	l.dataMu.Lock()
	r.DataReceived, r.DataDelay, r.DataSent = l.dataDelay.Count(), spread(&l.dataDelay), l.dataSent.Load()
	l.dataMu.Unlock()
	r.Seconds = float64(end.at-first.at) / 1e9
	r.PacketsIn, r.BytesIn = end.packets-first.packets, end.bytes-first.bytes
	r.PacketsSent = end.sent - min(first.sent, end.sent)
	r.ServerCPU, r.OwnCPU = (end.server - first.server).Seconds(), (end.own - first.own).Seconds()
	if end.machine > 0 {
		r.OtherCPU = (end.machine - first.machine).Seconds() - r.ServerCPU - r.OwnCPU
	}
	if end.mallocs > 0 && first.mallocs > 0 {
		r.ServerMallocs = end.mallocs - first.mallocs
	}
	if l.target.PID != 0 {
		r.ServerRSS, _ = processRSS(l.target.PID)
	}
}

// What makes a run void: beyond it the numbers tell of the generator, not of the server.
const (
	mostOwnShare = .9 // of all cores
	mostLate     = 25 // ms, p99
	mostOther    = .2 // of all cores: a remark
)

// judge checks the generator itself.
func (l *load) judge() {
	r := &l.run
	var void, remark []string
	all := float64(r.Cores) * r.Seconds
	if r.OwnCPU > mostOwnShare*all {
		void = append(void, fmt.Sprintf("the generator took %.0f %% of the machine", 100*r.OwnCPU/all))
	}
	if r.Late.P99 > mostLate {
		void = append(void, fmt.Sprintf("frames left %.0f ms late (p99): the machine is saturated", r.Late.P99))
	}
	if r.OwnDrops > 0 {
		void = append(void, fmt.Sprintf("the generator dropped %d packets itself", r.OwnDrops))
	}
	if r.PacketsIn == 0 {
		void = append(void, "nothing was received")
	}
	if r.OtherCPU > mostOther*all {
		remark = append(remark, fmt.Sprintf("other processes took %.0f %% of the machine", 100*r.OtherCPU/all))
	}
	if l.target.PID == 0 {
		remark = append(remark, "no process id: the server's CPU and memory were not measured")
	}
	r.Void, r.Remark = strings.Join(void, "; "), strings.Join(remark, "; ")
}
