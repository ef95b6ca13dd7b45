package session

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"weir/sfu"
)

func says(name string, c DataChannel, d Data, text string) DataArrived {
	return DataArrived{ID: sfu.ParticipantID("PA_" + name), Channel: c, Payload: packetOf(d, text)}
}

func TestData(t *testing.T) {
	sc := newScript(t, Config{})
	watcher := modern("cas")
	watcher.Grant.Metrics = true
	mute := modern("dan")
	mute.Grant.PublishData = false
	hidden := modern("eve")
	hidden.Grant.Hidden = true
	sc.enter(modern("ann"), modern("bob"), watcher, mute, hidden)
	to := func(names ...sfu.Identity) Data { return Data{To: names} }
	sc.run("to all others", says("ann", Lossy, Data{}, "x"), `data 1 to [PA_bob PA_cas PA_dan PA_eve] "ann|-|x"`)
	sc.run("to some, each once, never back", says("ann", Lossy, to("bob", "bob", "ann", "?"), "x"), `data 1 to [PA_bob] "ann|-|x"`)
	sc.run("by sid", says("ann", Lossy, Data{ToSIDs: []sfu.ParticipantID{"PA_cas"}}, "x"), `data 1 to [PA_cas] "ann|-|x"`)
	sc.run("to nobody here", says("ann", Lossy, to("?"), "x"))
	sc.run("no right", says("dan", Lossy, Data{}, "x"))
	sc.run("undecodable", DataArrived{ID: "PA_ann", Payload: []byte("{")})
	sc.run("a hidden sender has no name", says("eve", Lossy, to("bob"), "x"), `data 1 to [PA_bob] "|-|x"`)
	sc.run("a forged sender does not help", says("bob", Lossy, Data{Sender: "PA_ann", Identity: "ann", To: []sfu.Identity{"cas"}}, "x"),
		`data 1 to [PA_cas] "bob|-|x"`)
	sc.run("metrics for the entitled", says("ann", Lossy, Data{Kind: DataMetrics}, "x"), `data 1 to [PA_cas] "ann|-|x"`)
	sc.run("transcription from agents only", says("ann", Lossy, Data{Kind: DataTranscription}, "x"))
	sc.run("not for clients to send", says("ann", Lossy, Data{Kind: DataUnknown}, "x"))

	next := func(seq uint32) Data { return Data{Sequence: seq, To: []sfu.Identity{"bob"}} }
	sc.run("first", says("ann", Reliable, next(5), "x"), `data 0 to [PA_bob] "ann|5|x"`)
	sc.run("again", says("ann", Reliable, next(5), "x"))
	sc.run("older", says("ann", Reliable, next(4), "x"))
	sc.run("without a number", says("ann", Reliable, next(0), "x"), `data 0 to [PA_bob] "ann|-|x"`)
	sc.run("a number on the lossy channel means nothing", says("ann", Lossy, next(1), "x"), `data 1 to [PA_bob] "ann|-|x"`)
	sc.run("the last number there is", says("ann", Reliable, next(math.MaxUint32), "x"), `data 0 to [PA_bob] "ann|4294967295|x"`)
	sc.run("after it none", says("ann", Reliable, next(1), "x"))
	sc.run("others count for themselves", says("cas", Reliable, next(1), "x"), `data 0 to [PA_bob] "cas|1|x"`)

	once := Data{Nonce: "n", To: []sfu.Identity{"bob"}}
	sc.run("nonce", says("ann", Lossy, once, "x"), `data 1 to [PA_bob] "ann|-|x"`)
	sc.run("repeated", says("ann", Lossy, once, "x"))
	for i := range nonceMemory {
		sc.quiet(says("ann", Lossy, Data{Nonce: fmt.Sprint(i), To: []sfu.Identity{"bob"}}, "x"))
	}
	if n := len(sc.s.byID["PA_ann"].inbound.nonces.seen); n != nonceMemory {
		t.Errorf("%d nonces remembered", n)
	}
	sc.run("forgotten in the end", says("ann", Lossy, once, "x"), `data 1 to [PA_bob] "ann|-|x"`)
}

func TestDataReplay(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.quiet(says("ann", Reliable, Data{Sequence: 1}, "early"))
	sc.quiet(modern("cas"))
	sc.run("cas is not ready", says("ann", Reliable, Data{Sequence: 2}, "a"), `data 0 to [PA_bob] "ann|2|a"`)
	sc.quiet(Send{Packet: packetOf(Data{}, "api"), Reliable: true})
	sc.quiet(says("bob", Reliable, Data{Sequence: 9, To: []sfu.Identity{"cas"}}, "b"))
	sc.quiet(says("bob", Reliable, Data{Sequence: 10, To: []sfu.Identity{"ann"}}, "not for cas"))
	sc.hasNot("active without channels", connected("cas"), "data")
	sc.run("one channel", DataOpen{"PA_cas", Reliable})
	sc.run("both: what it missed, in order", DataOpen{"PA_cas", Lossy},
		`data 0 to [PA_cas] "ann|2|a"`, `data 0 to [PA_cas] "|-|api"`, `data 0 to [PA_cas] "bob|9|b"`)
	sc.run("opened anew: nothing twice", DataOpen{"PA_cas", Lossy})
	sc.run("from now on directly", says("ann", Reliable, Data{Sequence: 3}, "c"), `data 0 to [PA_bob PA_cas] "ann|3|c"`)

	sc.quiet(modern("dan"))
	sc.quiet(connected("dan"))
	big := strings.Repeat("x", 40_000)
	for i := range uint32(4) {
		sc.quiet(says("ann", Reliable, Data{Sequence: 10 + i}, big))
	}
	if c := sc.s.packets.inside; c.size > replaySize || len(c.list) != 2 {
		t.Errorf("cache holds %d packets, %d bytes", len(c.list), c.size)
	}
	sc.now = sc.now.Add(replayAge)
	sc.quiet(DataOpen{"PA_dan", Lossy})
	sc.hasNot("too old", DataOpen{"PA_dan", Reliable}, "data")
}

func TestSendFromOutside(t *testing.T) {
	sc := newScript(t, Config{})
	sc.enter(modern("ann"), modern("bob"))
	sc.run("to all", Send{Packet: packetOf(Data{}, "x"), Nonce: "n"}, `data 1 to [PA_ann PA_bob] "|-|x"`, "result <nil>")
	sc.run("the same again", Send{Packet: packetOf(Data{}, "x"), Nonce: "n"}, "result <nil>")
	sc.run("undecodable", Send{Packet: []byte("{")}, "result session: undecodable data packet")
	call := Send{Packet: packetOf(Data{}, "call"), Reliable: true, To: []sfu.Identity{"ann"}, RequestID: "r1"}
	sc.run("a call", call, `data 0 to [PA_ann] "r1|-|call"`, "result <nil>")
	reply := func(kind DataKind) Data { return Data{Kind: kind, RequestID: "r1", To: []sfu.Identity{"r1"}} }
	sc.run("somebody else cannot answer", says("bob", Reliable, reply(DataRPCResponse), "x"))
	sc.run("ack", says("ann", Reliable, reply(DataRPCAck), "x"), "reply r1 from ann")
	sc.run("response", says("ann", Reliable, reply(DataRPCResponse), "x"), "reply r1 from ann")
	sc.run("only one", says("ann", Reliable, reply(DataRPCResponse), "x"))
	call.To = []sfu.Identity{"nobody"}
	sc.run("nobody there", call, "result session: no such participant")
}

// framed is a data track packet.
func framed(handle, frame uint16, text string) []byte {
	b := make([]byte, trackHeader)
	binary.BigEndian.PutUint16(b[handleAt:], handle)
	binary.BigEndian.PutUint16(b[frameAt:], frame)
	return append(b, text...)
}

func TestDataTracks(t *testing.T) {
	sc := newScript(t, Config{})
	auto := modern("cas")
	auto.Settings.AutoSubscribeData = true
	sc.enter(modern("ann"), modern("bob"), auto)
	sc.s.lastHandle = math.MaxUint16 - 1 // handles wrap past 0
	sc.run("handle 0", ask("ann", PublishData{Name: "x"}), "ann ← response 7 to session.PublishData")
	sc.run("no name", ask("ann", PublishData{Handle: 1}), "ann ← response 8 to session.PublishData")
	sc.s.lastHandle = math.MaxUint16 - 1
	sc.quiet(ask("ann", PublishData{Handle: 1, Name: "pos"}))
	pos := sc.id("pos")
	sc.run("same handle", ask("ann", PublishData{Handle: 1, Name: "x"}), "ann ← response 9 to session.PublishData")
	sc.run("same name", ask("ann", PublishData{Handle: 2, Name: "pos"}), "ann ← response 10 to session.PublishData")
	arrives := func(b []byte) DataArrived { return DataArrived{ID: "PA_ann", Channel: DataTracks, Payload: b} }
	out := func(h uint16, frame uint16) string { return fmt.Sprintf("%q", framed(h, frame, "x")) }
	sc.run("cas takes all", arrives(framed(1, 1, "x")), "data 2 to [PA_cas] "+out(65535, 1))
	sc.run("bob asks", ask("bob", SubscribeData{[]DataSubscription{{Publication: pos, On: true, FPS: 10}}}), "bob ← handles 65535=pos")
	sc.run("both", arrives(framed(1, 65535, "x")), "data 2 to [PA_cas PA_bob] "+out(65535, 65535))
	sc.run("same frame", arrives(framed(1, 65535, "x")), "data 2 to [PA_cas PA_bob] "+out(65535, 65535))
	sc.run("the next is too soon for bob", arrives(framed(1, 0, "x")), "data 2 to [PA_cas] "+out(65535, 0))
	sc.wait(100 * time.Millisecond)
	sc.run("a later one is not", arrives(framed(1, 1, "x")), "data 2 to [PA_cas PA_bob] "+out(65535, 1))
	for name, b := range map[string][]byte{
		"unknown handle": framed(2, 0, "x"), "short": framed(1, 0, "")[:11], "other version": {0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"extensions cut off": {4, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "extensions too long": {4, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
	} {
		sc.run(name, arrives(b))
	}
	sc.run("the next handle is not 0", ask("ann", PublishData{Handle: 65535, Name: "two"}),
		"ann ← "+"DataPublished{{two 65535 two 0 []}}",
		"ann ← update [PA_ann active pos two]", "bob ← update [PA_ann active pos two]", "cas ← update [PA_ann active pos two]",
		"cas ← handles 1=two 65535=pos")
	sc.run("only cas", ask("ann", Permission{Tracks: []TrackPermission{{Identity: "cas", All: true}}}), "bob ← handles ")
	sc.run("ended", ask("ann", UnpublishData{1}), "cas ← handles 1=two",
		"ann ← DataUnpublished{{pos 1 pos 0 []}}",
		"ann ← update [PA_ann active two]", "bob ← update [PA_ann active two]", "cas ← update [PA_ann active two]")
	sc.run("unknown", ask("ann", UnpublishData{1}), "ann ← response 1 to session.UnpublishData")
	sc.quiet(ask("ann", PublishData{Handle: 3, Name: "large", Raw: make([]byte, maxAttributes)}))
	sc.run("everybody is told all of it, so all of it has one limit", ask("ann", PublishData{Handle: 4, Name: "x", Raw: []byte{1}}), "ann ← response 3 to session.PublishData")
}
