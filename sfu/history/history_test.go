package history

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"weir/sfu"
)

const ms = int64(time.Millisecond)

// packet has its number all over it, so that a mixed-up copy shows.
func packet(seq sfu.ExtSeq, arrival int64, size int) *sfu.Packet {
	b := make([]byte, max(size, 12))
	for i := range b {
		b[i] = byte(uint64(seq) >> (i % 3 * 8))
	}
	b[0], b[1] = 0x80, 0x80|96
	binary.BigEndian.PutUint16(b[2:], uint16(seq))
	binary.BigEndian.PutUint32(b[4:], uint32(seq)*3000)
	binary.BigEndian.PutUint32(b[8:], 0xabcd)
	return &sfu.Packet{Raw: b, HeaderLen: 12, Seq: seq, Arrival: arrival, Timestamp: uint32(seq) * 3000, SSRC: 0xabcd, Marker: true, PayloadType: 96}
}

func TestPutAndGet(t *testing.T) {
	for _, first := range []sfu.ExtSeq{1 << 16, 1<<16 + 32767, 1<<16 + 65534, 1<<32 - 2} {
		r := New(ForKind(sfu.Video))
		for i := range sfu.ExtSeq(100) {
			p := packet(first+i, int64(i)*ms, 100+int(i)*10)
			h, ok := r.Put(p)
			if !ok {
				t.Fatalf("%d was not taken", p.Seq)
			}
			if again, ok := r.BySeq(p.Seq); !ok || again != h {
				t.Fatalf("%d is not found", p.Seq)
			}
		}
		for i := range sfu.ExtSeq(100) {
			want := packet(first+i, int64(i)*ms, 100+int(i)*10)
			h, _ := r.BySeq(first + i)
			var got sfu.Packet
			if !r.Packet(h, &got) || !bytes.Equal(got.Raw, want.Raw) {
				t.Fatalf("%d came back as %d", want.Seq, got.Seq)
			}
			got.Raw, want.Raw = nil, nil
			if got.Seq != want.Seq || got.HeaderLen != 12 || got.Arrival != want.Arrival || got.Timestamp != want.Timestamp || !got.Marker ||
				got.PayloadType != 96 || got.SSRC != want.SSRC {
				t.Fatalf("got %+v, want %+v", got, *want)
			}
		}
		if r.Newest() != first+99 {
			t.Errorf("newest %d", r.Newest())
		}
	}
}

func TestRefused(t *testing.T) {
	r := New(Config{Span: time.Second, Cap: 64})
	for i := range sfu.ExtSeq(100) {
		r.Put(packet(70000+i, 0, 50))
	}
	if _, ok := r.Put(packet(70099, 0, 50)); ok {
		t.Error("the same packet was taken twice")
	}
	if _, ok := r.Put(packet(70001, 0, 50)); ok {
		t.Error("a packet older than everything kept was taken")
	}
	if _, ok := r.BySeq(70001); ok {
		t.Error("what was pushed out is still found")
	}
	if _, ok := r.Put(packet(80000, 0, 1<<16)); ok {
		t.Error("a packet larger than a datagram was taken")
	}
	if _, ok := r.Get(Handle(5)); ok {
		t.Error("a handle never given leads somewhere")
	}
}

func TestLatePacket(t *testing.T) {
	r := New(ForKind(sfu.Video))
	r.Put(packet(70000, 0, 50))
	r.Put(packet(70002, 2*ms, 50))
	if _, ok := r.BySeq(70001); ok {
		t.Error("found what never came")
	}
	if _, ok := r.Put(packet(70001, 3*ms, 60)); !ok {
		t.Error("a late packet was refused")
	}
	if h, ok := r.BySeq(70001); !ok {
		t.Error("a late packet is not found")
	} else if b, _ := r.Get(h); len(b) != 60 {
		t.Error("a late packet came back wrong")
	}
}

func TestSpan(t *testing.T) {
	for _, tc := range []struct {
		kind sfu.Kind
		span int64
	}{{sfu.Video, 1000}, {sfu.Audio, 500}} {
		r := New(ForKind(tc.kind))
		for i := range int64(3000) {
			r.Put(packet(sfu.ExtSeq(70000+i), i*ms, 200))
		}
		for i := range int64(3000) {
			_, ok := r.BySeq(sfu.ExtSeq(70000 + i))
			if want := 2999-i <= tc.span; ok != want {
				t.Fatalf("%v: packet %d ms old: kept %v", tc.kind, 2999-i, ok)
			}
		}
	}
}

// TestMemory: a stream costs what its bitrate needs, and a stopped one nothing.
func TestMemory(t *testing.T) {
	r := New(ForKind(sfu.Audio))
	if s := r.Snapshot(); s.Bytes != 0 || s.Slots != 0 {
		t.Errorf("an empty history holds %+v", s)
	}
	for i := range int64(500) {
		r.Put(packet(sfu.ExtSeq(70000+i), i*20*ms, 120))
	}
	if s := r.Snapshot(); s.Bytes > 16<<10 || s.Slots > 32 {
		t.Errorf("a voice holds %+v", s)
	}
	r.Trim(500*20*ms + 600*ms)
	if s := r.Snapshot(); s.Bytes != 0 || s.Slots != 0 {
		t.Errorf("a stopped stream holds %+v", s)
	}
	if _, ok := r.Put(packet(80000, 20000*ms, 120)); !ok {
		t.Error("nothing is taken after a stop")
	}
	if _, ok := r.BySeq(80000); !ok {
		t.Error("nothing is found after a stop")
	}

	v := New(ForKind(sfu.Video))
	for i := range int64(6000) { // 5 Mbit/s
		v.Put(packet(sfu.ExtSeq(70000+i), i*2*ms, 1200))
	}
	if s := v.Snapshot(); s.Bytes > 800<<10 || s.Slots > 1024 {
		t.Errorf("5 Mbit/s hold %+v", s)
	}
}

// FuzzRing checks against a map of everything put: what Get returns is what was put, and what is young enough and among
// the newest is there.
func FuzzRing(f *testing.F) {
	f.Add(uint16(0), []byte{1, 1, 1, 1, 1})
	f.Add(uint16(65530), []byte{1, 3, 0x81, 1, 0x42, 9, 1, 1, 0xc0, 1, 1})
	f.Add(uint16(32767), []byte{0x7f, 0x7f, 0x7f, 1, 1, 0xff, 0xff, 1, 1, 0x80, 0x81})
	f.Fuzz(func(t *testing.T, first uint16, script []byte) {
		if len(script) > 500 {
			return
		}
		cfg := Config{Span: 300 * time.Millisecond, Cap: 128, Chunk: 2048}
		r := New(cfg)
		type put struct {
			p  *sfu.Packet
			at int64
		}
		kept := map[sfu.ExtSeq]put{}
		top, now := 1<<16+sfu.ExtSeq(first), int64(0)
		for _, op := range script {
			seq := top
			switch op >> 6 {
			case 0: // the next ones
				top += 1 + sfu.ExtSeq(op&3)
				seq = top
			case 1: // one from before
				seq = top - sfu.ExtSeq(op&0x3f)
			case 2: // time passes
				now += int64(op&0x3f) * 4 * ms
				continue
			case 3:
				r.Trim(now)
				continue
			}
			p := packet(seq, now, 12+int(op)*7)
			if _, ok := r.Put(p); ok {
				if old, dup := kept[seq]; dup && now-old.at <= int64(cfg.Span) && seq+128 > top {
					t.Fatalf("%d was taken twice", seq)
				}
				kept[seq] = put{p, now}
			}
		}
		for seq, want := range kept {
			h, ok := r.BySeq(seq)
			young := r.latest-want.at <= int64(cfg.Span)
			if ok && !young {
				t.Fatalf("%d outlived its span", seq)
			}
			if !ok {
				if young && seq+128 > r.newest {
					t.Fatalf("%d is gone", seq)
				}
				continue
			}
			if b, ok := r.Get(h); !ok || !bytes.Equal(b, want.p.Raw) {
				t.Fatalf("%d came back changed", seq)
			}
		}
	})
}

func TestPutAllocatesNothing(t *testing.T) {
	r := New(ForKind(sfu.Video))
	p := packet(70000, 0, 1100)
	step := func() {
		p.Seq++
		p.Arrival += 2 * ms
		h, ok := r.Put(p)
		if !ok {
			t.Fatal("refused")
		}
		if _, ok := r.Get(h); !ok {
			t.Fatal("not found")
		}
	}
	for range 3000 {
		step()
	}
	if n := testing.AllocsPerRun(3000, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPut(b *testing.B) {
	r := New(ForKind(sfu.Video))
	p := packet(70000, 0, 1100)
	b.ReportAllocs()
	b.SetBytes(1100)
	for b.Loop() {
		p.Seq++
		p.Arrival += 2 * ms
		r.Put(p)
	}
}

func BenchmarkGet(b *testing.B) {
	r := New(ForKind(sfu.Video))
	for i := range sfu.ExtSeq(1000) {
		r.Put(packet(70000+i, 0, 1100))
	}
	var p sfu.Packet
	b.ReportAllocs()
	for b.Loop() {
		h, _ := r.BySeq(70500)
		r.Packet(h, &p)
	}
}
