package wire

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"
)

// framed is one length-delimited field.
func framed(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// fillers are frames that cost much more than their length once they are decoded.
func fillers(size int) map[string]struct {
	frame []byte
	enc   Encoding
} {
	empty := func(number protowire.Number) []byte { return bytes.Repeat(framed(number, nil), size/2) }
	return map[string]struct {
		frame []byte
		enc   Encoding
	}{
		"empty track permissions": {framed(11, empty(2)), Binary}, // subscription_permission.track_permissions
		"empty layers":            {framed(4, empty(9)), Binary},  // add_track.layers
		"empty published tracks":  {framed(12, empty(3)), Binary}, // sync_state.publish_tracks
		"empty attributes":        {framed(15, empty(3)), Binary}, // update_metadata.attributes
		"empty strings":           {framed(6, empty(1)), Binary},  // subscription.track_sids
		"the same field again":    {empty(1), Binary},             // offer
		"objects in JSON":         {[]byte(`{"syncState":{"publishTracks":[{}` + strings.Repeat(",{}", size/3-20) + `]}}`), Text},
		"arrays in JSON":          {[]byte(strings.Repeat("[", size)), Text},
		"numbers in JSON":         {[]byte(`{"updateAudioTrack":{"features":[1` + strings.Repeat(",1", size/2-30) + `]}}`), Text},
	}
}

// A frame costs memory by its length, whatever is in it.
func TestFillersCostLittle(t *testing.T) {
	for name, c := range fillers(MaxFrame - 64) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := DecodeRequest(c.frame, c.enc)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("read with %v", err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
				t.Errorf("%d bytes were allocated", got)
			}
		})
	}
}

// What true clients say is far below the bounds; strings may say what they like.
func TestElements(t *testing.T) {
	sids := make([]string, 5000)
	for i := range sids {
		sids[i] = "TR_ABCDEFGHIJKL"
	}
	large := &livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{Subscription: &livekit.UpdateSubscription{TrackSids: sids}}}
	sdp := &livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{Offer: &livekit.SessionDescription{Sdp: strings.Repeat(`{[,"\`, 100_000)}}}
	for name, m := range map[string]proto.Message{"subscription": large, "text": sdp} {
		for _, enc := range []Encoding{Binary, Text} {
			b, err := marshal(enc, m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeRequest(b, enc); err != nil {
				t.Errorf("%s in encoding %d: %v", name, enc, err)
			}
		}
	}
}
