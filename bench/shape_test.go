package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestNamedShapes(t *testing.T) {
	for name, want := range map[string]struct{ participants, receives int }{
		"a1": {2, 1}, "a50": {51, 1}, "b100": {105, 5}, "c2": {2, 2}, "c12": {12, 22}, "a10000": {10001, 1},
		"": {}, "a": {}, "a0": {}, "a-1": {}, "d5": {}, "a1x": {}, "a20001": {}, "c999999999999999999999": {},
	} {
		s, err := NamedShape(name)
		if want.participants == 0 {
			if !errors.Is(err, ErrShape) {
				t.Errorf("%q: %v, want a refusal", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		last := &s.Groups[len(s.Groups)-1]
		if got := s.Participants(); got != want.participants {
			t.Errorf("%s: %d participants, want %d", name, got, want.participants)
		}
		if got := s.receives(last); got != want.receives {
			t.Errorf("%s: %d streams for each, want %d", name, got, want.receives)
		}
	}
}

func TestReadShape(t *testing.T) {
	for name, c := range map[string]struct{ text, refusal string }{
		"smallest":           {"groups: [{count: 1}]", ""},
		"taken shares":       {"groups: [{count: 3, video: [{}]}, {count: 6, subscribe: true, take: 2}]", ""},
		"take, unsubscribed": {"groups: [{count: 1, take: 1}]", "of those who subscribe"},
		"take below none":    {"groups: [{count: 1, take: -1, subscribe: true}]", "take -1"},
		"take and churn":     {"churn: 1\ngroups: [{count: 1, take: 1, subscribe: true}]", "churn"},
		"everything":         {"name: x\nsessions: 2\ngroups: [{count: 1, video: [{codec: vp9, layers: [{width: 64, height: 36, bitrate: 5000, fps: 5}]}], audio: [{bytes: 100}], subscribe: true, quality: low}]\njoin_rate: 5\nchurn: 1\nlayer_changes: 1\ndata: {rate: 1, bytes: 100, reliable: true}\ne2ee: true\ndual: true\nno_data_channels: true", ""},
		"empty":              {"", "participants"},
		"nobody":             {"groups: [{count: 0}]", "participants"},
		"too many":           {"sessions: 3\ngroups: [{count: 10000}]", "participants"},
		"unknown name":       {"groups: [{count: 1}]\nsesions: 2", "sesions"},
		"negative":           {"churn: -1\ngroups: [{count: 1}]", "out of range"},
		"no number":          {"churn: .nan\ngroups: [{count: 1}]", "out of range"},
		"infinite":           {"join_rate: .inf\ngroups: [{count: 1}]", "out of range"},
		"sessions":           {"sessions: -1\ngroups: [{count: 1}]", "out of range"},
		"codec":              {"groups: [{count: 1, video: [{codec: mp3}]}]", "mp3"},
		"quality":            {"groups: [{count: 1, quality: best}]", "best"},
		"four layers":        {"groups: [{count: 1, video: [{layers: [{width: 1, height: 1, bitrate: 9999, fps: 1}, {}, {}, {}]}]}]", "4 layers"},
		"layer":              {"groups: [{count: 1, video: [{layers: [{width: 0, height: 1, bitrate: 9999, fps: 1}]}]}]", "layer"},
		"audio":              {"groups: [{count: 1, audio: [{bytes: 2000}]}]", "2000"},
		"data":               {"data: {rate: 1, bytes: 3}\ngroups: [{count: 1}]", "out of range"},
		"sealed h264":        {"e2ee: true\ngroups: [{count: 1, video: [{codec: h264}]}]", "h264"},
		"wrong type":         {"groups: many", "sequence"},
		"overflow":           {"groups: [{count: 9223372036854775807}, {count: 9223372036854775807}]", "count"},
		"not YAML":           {"\t{", ""},
		"other quality":      {"groups: [{count: 1, quality: 7}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ReadShape([]byte(c.text))
			if name == "not YAML" || name == "other quality" {
				if !errors.Is(err, ErrShape) {
					t.Fatalf("read as %+v, %v", s, err)
				}
				return
			}
			switch {
			case c.refusal == "" && err != nil:
				t.Fatal(err)
			case c.refusal != "" && (!errors.Is(err, ErrShape) || !strings.Contains(err.Error(), c.refusal)):
				t.Fatalf("%v, want a refusal that names %q", err, c.refusal)
			}
		})
	}
}

// FuzzReadShape: a shape that is read makes sense, and stays what it is when it is written and read again.
func FuzzReadShape(f *testing.F) {
	f.Add("groups: [{count: 3, video: [{codec: vp8}], subscribe: true}]")
	f.Add("sessions: 2\ngroups: [{count: 1, audio: [{}]}, {count: 5, subscribe: true, quality: low}]\nchurn: 0.5")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadShape([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrShape) {
				t.Fatalf("error without a type: %v", err)
			}
			return
		}
		if n := s.Participants(); n < 1 || n > maxParticipants {
			t.Fatalf("%d participants", n)
		}
		again, err := yaml.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadShape(again)
		if err != nil || fmt.Sprint(back) != fmt.Sprint(s) { // no list and an empty one are the same
			t.Fatalf("came back otherwise (%v):\n%+v\n%+v", err, back, s)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatal(err)
		}
	})
}
