package negotiate

import (
	"slices"
	"strconv"
	"testing"

	"weir/sfu"
)

// A section goes publication → inactive → other publication, never at once: browsers would not tell of the second.
func TestSectionCoolsBeforeReuse(t *testing.T) {
	offer := captured(t, "chromium-single-join") // three video sections: 3, 4, 5
	a, b, c, d := videoWanted("a", sfu.VP8), videoWanted("b", sfu.VP8), videoWanted("c", sfu.VP8), videoWanted("d", sfu.VP8)
	e, f := videoWanted("e", sfu.VP8), videoWanted("f", sfu.VP8)
	p := NewPeer(Config{})
	for _, step := range []struct {
		name    string
		wanted  []Wanted
		mids    map[string]string
		missing int
		again   bool
	}{
		{"three fit", []Wanted{a, b, c}, map[string]string{"3": "TR_Va", "4": "TR_Vb", "5": "TR_Vc"}, 0, false},
		{"one goes", []Wanted{a, c}, map[string]string{"3": "TR_Va", "5": "TR_Vc"}, 0, false},
		{"another takes its place in the next offer", []Wanted{a, c, d}, map[string]string{"3": "TR_Va", "4": "TR_Vd", "5": "TR_Vc"}, 0, false},
		{"a swap needs two offers", []Wanted{e, c, d}, map[string]string{"4": "TR_Vd", "5": "TR_Vc"}, 0, true},
		{"of which this is the second", []Wanted{e, c, d}, map[string]string{"3": "TR_Ve", "4": "TR_Vd", "5": "TR_Vc"}, 0, false},
		{"more than there is", []Wanted{a, c, d, f}, map[string]string{"4": "TR_Vd", "5": "TR_Vc"}, 1, true},
		{"all go", nil, map[string]string{}, 0, false},
		{"and all come back", []Wanted{a, b, c, d, e, f}, map[string]string{"3": "TR_Va", "4": "TR_Vb", "5": "TR_Vc"}, 3, false},
	} {
		r := mustAnswer(t, p, offer, nil, step.wanted)
		if len(r.Mids) != len(step.mids) || r.MissingVideos != step.missing || r.Again != step.again {
			t.Fatalf("%s: mids %v, missing %d, again %v", step.name, r.Mids, r.MissingVideos, r.Again)
		}
		for mid, publication := range step.mids {
			if r.Mids[mid] != publication {
				t.Errorf("%s: %s is %q, want %q", step.name, mid, r.Mids[mid], publication)
			}
		}
	}
}

func TestSSRCOfEachPlacementIsNew(t *testing.T) {
	offer := captured(t, "chromium-single-join")
	p := NewPeer(Config{})
	seen := map[uint32]bool{}
	for range 20 {
		r := mustAnswer(t, p, offer, nil, []Wanted{videoWanted("a", sfu.VP8)})
		s := r.Sends[0]
		if seen[s.SSRC] || seen[s.RTX] || s.SSRC == s.RTX {
			t.Fatalf("SSRC used twice: %+v", s)
		}
		seen[s.SSRC], seen[s.RTX] = true, true
		if again := mustAnswer(t, p, offer, nil, []Wanted{videoWanted("a", sfu.VP8)}); again.Sends[0].SSRC != s.SSRC {
			t.Fatal("a subscription that stays changed its SSRC")
		}
		mustAnswer(t, p, offer, nil, nil)
	}
}

func TestOwnSectionsLast(t *testing.T) {
	r := mustAnswer(t, NewPeer(Config{}), captured(t, "chromium-sendrecv"), nil, []Wanted{videoWanted("a", sfu.VP8), videoWanted("b", sfu.VP8)})
	if len(r.Sends) != 1 || len(r.Receives) != 2 || r.MissingVideos != 1 {
		t.Errorf("sends %+v, missing %d", r.Sends, r.MissingVideos)
	}
	wantLines(t, r.SDP, r.Sends[0].Mid, "a=sendrecv")
}

func TestRefusedForItsCodec(t *testing.T) {
	p := NewPeer(Config{Software: sfu.Software{SDK: "js", Browser: "firefox"}})
	r := mustAnswer(t, p, captured(t, "chromium-single-join"), nil, []Wanted{videoWanted("a", sfu.AV1), videoWanted("b", sfu.VP8)})
	if !slices.Equal(r.Refused, []sfu.PublicationID{"TR_Va"}) || len(r.Sends) != 1 || r.MissingVideos != 0 {
		t.Errorf("refused %v, sends %v, missing %d", r.Refused, publications(r.Sends), r.MissingVideos)
	}
}

func TestSyncStream(t *testing.T) {
	w := audioWanted("a")
	w.Stream, w.Stereo = "camera", true
	r := mustAnswer(t, NewPeer(Config{}), captured(t, "chromium-single-join"), nil, []Wanted{w})
	if r.Sends[0].Stream != "PA_a|camera" || r.Sends[0].Track != "TR_Aa" {
		t.Errorf("send %+v", r.Sends[0])
	}
	wantLines(t, r.SDP, "0", "a=msid:PA_a|camera TR_Aa", "a=fmtp:111 minptime=10;useinbandfec=1;sprop-stereo=1")
}

func TestFreeSections(t *testing.T) {
	offer := captured(t, "chromium-single-join") // three of each kind
	p := NewPeer(Config{})
	r := mustAnswer(t, p, offer, nil, []Wanted{videoWanted("a", sfu.VP8), audioWanted("a")})
	if r.FreeAudios != 2 || r.FreeVideos != 2 {
		t.Errorf("free: %d audios, %d videos", r.FreeAudios, r.FreeVideos)
	}
	s := p.Snapshot()
	if len(s.Sections) != 7 || s.Sections[0].Sends != "TR_Aa" || s.Sections[3].Sends != "TR_Va" || !s.Sections[6].Data || s.Waiting || s.Remote.Ufrag == "" {
		t.Errorf("snapshot %+v", s)
	}
	mustAnswer(t, p, offer, nil, nil)
	if s := p.Snapshot(); !s.Sections[0].Cooling {
		t.Errorf("snapshot %+v", s.Sections[0])
	}
}

// A browser in a call of a hundred: what one answer costs.
func BenchmarkAnswer(b *testing.B) {
	c := NewClient(ClientConfig{Data: true})
	c.AddReceive(100, 100)
	o, err := c.Offer(clientSide())
	if err != nil {
		b.Fatal(err)
	}
	var wanted []Wanted
	for i := range 100 {
		n := strconv.Itoa(i)
		wanted = append(wanted, audioWanted(n), videoWanted(n, sfu.VP8))
	}
	p := NewPeer(Config{})
	b.SetBytes(int64(len(o.SDP)))
	for b.Loop() {
		if _, err := p.Answer(Offer{SDP: o.SDP}, focusSide(), nil, wanted); err != nil {
			b.Fatal(err)
		}
	}
}
